"""PERF.md and its pictures from the kept results: pure functions of the JSON; the same results give the same page.

``page`` puts together what ``tables`` (the workloads), ``figures`` (the scenarios), ``plan`` (cores, money) and
``plots`` (SVG) make of a :class:`~bench.results.Results`.
"""
