"""The memory budget compared with the container's limit."""

import pytest

from arsenal_fast.cli.doctor.finding import Level
from arsenal_fast.cli.doctor.memory import examine
from arsenal_fast.memory_budget import MIB
from tests.cli.doctor.conftest import Configured

CASES: list[tuple[dict[str, str], int | None, Level, str]] = [
    ({"MEMORY_BUDGET": "205M"}, 256, Level.OK, "205M of 256M, for "),
    ({"MEMORY_BUDGET": "205M"}, None, Level.OK, "205M of no limit, for "),
    ({"MEMORY_BUDGET": "240M"}, 256, Level.WARN, "MEMORY_BUDGET is 240M of 256M"),
    ({"MEMORY_BUDGET": "300M"}, 256, Level.FAIL, "MEMORY_BUDGET is 300M, but the container may use 256M."),
    ({"MEMORY_BUDGET": "205M", "WORKERS": "2"}, 256, Level.FAIL, "2 workers need 260M."),
    ({"MEMORY_BUDGET": "205M", "MAX_CONNECTIONS": "50000"}, 256, Level.FAIL, "MAX_CONNECTIONS is 50000"),
]


@pytest.mark.parametrize(("variables", "limit", "level", "text"), CASES)
def test_the_budget_is_compared(
    configured: Configured,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    limit: int | None,
    level: Level,
    text: str,
) -> None:
    octets = None if limit is None else limit * MIB
    monkeypatch.setattr("arsenal_fast.config.load.memory_limit", lambda: octets)
    finding = examine(configured(**variables), octets)
    assert (finding.check, finding.level) == ("memory", level)
    assert text in finding.text
    assert bool(finding.mend) is (level is not Level.OK)
