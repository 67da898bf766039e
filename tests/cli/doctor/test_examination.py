"""All checks, in the order in which to fix them; checks that are not possible are skipped with a reason."""

import time

from arsenal_fast.cli.doctor.examination import examine
from arsenal_fast.cli.doctor.finding import Finding, Level
from arsenal_fast.config.load import Config, load
from tests.cli.doctor.conftest import Configured

TIMEOUT_S = 0.5


def findings(config: Config) -> dict[str, Finding]:
    found = list(examine(config, time.time, TIMEOUT_S))
    assert len({each.check for each in found}) == len(found), "a check is named once"
    return {each.check: each for each in found}


def test_without_redis_its_checks_are_one_that_was_skipped() -> None:
    found = findings(load({"DATABASE_URL": "none"}))
    assert found["redis"].level is Level.SKIP
    assert "memory://" in found["redis"].text
    assert not {"redis-version", "persistence", "eviction"} & found.keys()


def test_a_redis_that_is_away_fails_once_and_the_rest_goes_on(configured: Configured) -> None:
    found = findings(configured())
    assert found["redis"].level is Level.FAIL
    assert [each.check for each in found.values() if each.level is Level.FAIL] == ["redis"]
    names = list(found)
    assert names.index("redis") < names.index("ledger")
    assert found["traffic"].level is Level.SKIP, "there is no Redis"


def test_the_checks_without_a_network_come_first(configured: Configured) -> None:
    names = list(findings(configured()))
    assert names.index("memory") < names.index("redis")
    assert names.index("certificate") < names.index("redis")
    assert names[-1] == "ledger"
