"""How much longer the service works on a bad token than on a good one: nobody may buy CPU time with rubbish.

`bench/microbench.py` on core 0: each bad token of the tests against a good one of its kind, CPU time, medians, while
two secrets verify.
"""

from bench.results import Figure
from bench.setting import Findings, Setting, microbench


def measure(setting: Setting) -> Findings:
    """The worst one decides."""
    found = microbench("tokens", setting.length(9, 3))
    worst = max(found, key=lambda name: found[name])
    note = f"{worst}; the worst of {len(found)}"
    return Findings([Figure("the dearest bad token, times a good one", found[worst], "times", 10, note)])
