"""Deployment checks with real tools, and the table at the end of ``make verify-deploy``.

A check says what it checks and with what: ``@pytest.mark.deploy("alerts fire and stay silent", tool="promtool")``.
Tests in here without that marker are ordinary ones and run with the rest. A tool that is missing fails its checks:
``scripts/install-deploy-tools.sh`` brings them. Where a machine can't run a thing at all, the check calls
``pytest.skip`` with the reason, and the table shows it.
"""

from collections.abc import Iterator

import pytest

VERDICTS = ("failed", "skipped", "passed")  # the worst first: the verdict of all tests of a row

_rows = pytest.StashKey[dict[tuple[str, str], list[tuple[str, str]]]]()
_marks = pytest.StashKey[dict[str, tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_rows] = {}
    config.stash[_marks] = {}
    config.pluginmanager.register(_Recorder(config), "deployment-table")


class _Recorder:
    """Takes down the outcome of every marked test."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            marker = item.get_closest_marker("deploy")
            if marker is not None:
                self._config.stash[_marks][item.nodeid] = (str(marker.args[0]), str(marker.kwargs["tool"]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = self._config.stash[_marks].get(report.nodeid)
        if row is not None and (report.when == "call" or report.outcome != "passed"):
            why = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
            self._config.stash[_rows].setdefault(row, []).append((report.outcome, why))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        rows = self._config.stash[_rows]
        if not rows:
            return
        terminalreporter.section("what was checked with what")
        for line in _table(rows):
            terminalreporter.line(line)


def _table(rows: dict[tuple[str, str], list[tuple[str, str]]]) -> Iterator[str]:
    lines = [("check", "tool", "tests", "verdict")]
    for (what, tool), outcomes in rows.items():
        worst = next(verdict for verdict in VERDICTS if any(outcome == verdict for outcome, _ in outcomes))
        why = next((why for outcome, why in outcomes if outcome == worst and why), "")
        lines.append((what, tool, str(len(outcomes)), f"{worst}  {why}".rstrip()))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    for what, tool, tests, verdict in lines:
        yield f"{what:{widths[0]}}  {tool:{widths[1]}}  {tests:>{widths[2]}}  {verdict}"
