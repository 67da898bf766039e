"""Time functions against each other: CPU time, interleaved round by round, medians and quartiles.

Interleaved, because a machine's speed moves within seconds: what slows one round slows all contenders of it alike.
"""

import gc
import platform
import statistics
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence

Contender = Callable[[], object]

ROUNDS = 15
SAMPLE_NS = 20_000_000
"""CPU time of one sample: two hundred times what a tick of the clock and an interrupt cost."""


def build() -> str:
    """This interpreter in words, as far as it knows how it was built."""
    configured = sysconfig.get_config_var("CONFIG_ARGS") or ""
    flags = [flag for flag in ("--enable-optimizations", "--with-lto") if flag in configured]
    if flags:
        how = " ".join(flags)
    elif "--with-wheel-pkg-dir=/usr/share" in configured:
        how = "Debian's package, whose rules optimise by profile and at link time without telling configure"
    else:
        how = "configured without --enable-optimizations"
    return f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}, {how}"


def race(title: str, contenders: Mapping[str, Contender], *, per: int = 1, rounds: int = ROUNDS) -> dict[str, float]:
    """Print a table of us per operation and return the medians; each call of a contender is ``per`` operations."""
    calls = {name: _calls_of(run) for name, run in contenders.items()}
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            samples[name].append(_sample(run, calls[name]) / calls[name] / per / 1000)
    return show(title, samples, "us")


def show(title: str, samples: Mapping[str, Sequence[float]], unit: str) -> dict[str, float]:
    """Print medians, quartiles and the ratio to the first contender; return the medians."""
    medians = {name: statistics.median(values) for name, values in samples.items()}
    first = next(iter(medians.values()))
    print(f"\n{title}\n| contender | {unit}, median | quartiles | times the first |\n|---|---|---|---|")
    for name, values in samples.items():
        low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
        print(f"| {name} | {medians[name]:.3g} | {low:.3g} to {high:.3g} | {medians[name] / first:.2f} |")
    return medians


def _calls_of(run: Contender) -> int:
    """How many calls make a sample; they warm it up, too."""
    calls = 1
    while (spent := _sample(run, calls)) < SAMPLE_NS / 4:
        calls *= 4
    return max(1, round(calls * SAMPLE_NS / spent))


def _sample(run: Contender, calls: int) -> int:
    """Nanoseconds of CPU time, without collections of garbage that another contender has made."""
    gc.collect()
    gc.disable()
    start = time.thread_time_ns()
    for _ in range(calls):
        run()
    spent = time.thread_time_ns() - start
    gc.enable()
    return spent
