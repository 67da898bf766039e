"""The guide's mix as fast as one worker on one core can answer it, with everything on.

Single identities, batches of ten and validations in the guide's proportions (1,500 : 200 : 2,000), 6 % of the
identities new, over 64 connections in a closed loop; the medians of the turns. What one core carries is a second over
the CPU time of a request; the rate that was answered is lower where the generator or the disk was the limit. The
guide's own rates together are 3,700 a second.
"""

import statistics

from bench.load import Load
from bench.results import Figure
from bench.rounds import Running, Watch, seeded, warm
from bench.rounds import measure as measure_load
from bench.scripts import write_script
from bench.setting import Findings, Setting, by_turns, costs, crowd, middle_ms, noted
from bench.workloads import GUIDE_RATES, MIX

TIMES_THE_GUIDE = 12


def measure(setting: Setting) -> Findings:
    with seeded([setting.server], setting.directory) as ((running,), _):

        def load(running: Running) -> tuple[Load, Watch]:
            script = write_script(MIX, running.suffix, setting.directory, next(setting.serials))
            return measure_load(running, script, setting.length(3, 1))

        warm(running, write_script(MIX, running.suffix, setting.directory, next(setting.serials)), 1)
        taken = by_turns((running,), setting.length(3, 1), load)
    turns = taken[running.server.name]
    cost = statistics.median(costs(taken, running.server.name))
    rate = statistics.median(found.requests * 1e6 / found.duration_us for found, _ in turns)
    busy = statistics.median(watch.cpu.microseconds / watch.duration_us for _, watch in turns)
    aim = sum(GUIDE_RATES) * TIMES_THE_GUIDE
    return Findings(
        [
            noted(Figure("requests a second that one core carries", 1e6 / cost, "req/s", at_least=aim), crowd(taken)),
            Figure("times the guide's rates", 1e6 / cost / sum(GUIDE_RATES), "times"),
            Figure("CPU per request of the mix", cost, "us"),
            Figure("answered", rate, "req/s", note=f"the service was busy for {busy:.0%} of the time"),
            Figure("latency p99 of these", middle_ms([found.quantiles_us for found, _ in turns], 99), "ms"),
        ]
    )
