"""CPU time of a bad token compared with a good one: garbage must not cost much more.

`bench/test_tokens.py` by pytest-benchmark on core 0: each bad token of the tests against a good one of its kind, CPU
time, medians, while two secrets verify.
"""

from bench.results import Figure
from bench.setting import Findings, Setting, timings


def measure(setting: Setting) -> Findings:
    """The worst one decides."""
    found = timings(setting, "test_tokens.py")
    good = {case: us for (function, case), us in found.items() if function == "good"}
    ratios = {case: us / good[case.partition(":")[0]] for (function, case), us in found.items() if function == "bad"}
    worst = max(ratios, key=lambda case: ratios[case])
    note = f"{worst}; the worst of {len(ratios)}"
    return Findings([Figure("the dearest bad token, times a good one", ratios[worst], "times", 10, note)])
