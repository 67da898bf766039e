"""Sentinels in good and bad states: real ones where possible."""

import pytest

from arsenal_fast.cli.doctor import sentinels
from arsenal_fast.cli.doctor.finding import Level
from arsenal_fast.stores.redis.url import Place
from tests.cli.doctor.conftest import Configured
from tests.support.sentinels import Sentinels

PLACES = [Place("a", 26379), Place("b", 26379), Place("c", 26379)]
WELL = {"ip": "10.0.0.1", "port": 6379, "num-slaves": 2, "num-other-sentinels": 2, "quorum": 2}

# What the third of three sentinels says, and the level and a part of the text.
JUDGED = [
    (WELL, Level.OK, "3 of 3 sentinels answer, quorum 2, replicas: 2"),
    (None, Level.WARN, "2 of 3 sentinels answer, c:26379 does not"),
    (WELL | {"ip": "10.0.0.2"}, Level.WARN, "they name different masters"),
    (WELL | {"num-slaves": 0}, Level.WARN, "there is nothing to fail over to"),
    (WELL | {"num-other-sentinels": 1}, Level.WARN, "they know 2 of them"),
]


@pytest.mark.parametrize(("third", "level", "text"), JUDGED)
def test_what_sentinels_say_is_judged(third: dict[str, object] | None, level: Level, text: str) -> None:
    finding = sentinels.judge(PLACES, [WELL, WELL, third])
    assert (finding.level, text in finding.text, bool(finding.mend)) == (level, True, level is not Level.OK)


def test_two_sentinels_can_not_elect_where_one_fails() -> None:
    states = [WELL | {"num-other-sentinels": 1}] * 2
    assert "no failover succeeds" in sentinels.judge(PLACES[:2], states).text


def test_where_none_answers_the_check_of_redis_says_why() -> None:
    assert sentinels.judge(PLACES, [None] * 3).level is Level.SKIP


def test_without_sentinels_there_is_no_finding(configured: Configured) -> None:
    assert list(sentinels.examine(configured(), 1)) == []


@pytest.mark.integration
def test_real_sentinels_are_asked_with_their_own_password(configured: Configured) -> None:
    with Sentinels(password="hunter1", sentinel_password="hunter2") as watched:
        (finding,) = sentinels.examine(configured(REDIS_URL=watched.url()), 2)
        assert (finding.level, finding.text) == (Level.OK, "3 of 3 sentinels answer, quorum 2, replicas: 1")
        (finding,) = sentinels.examine(configured(REDIS_URL=watched.url(sentinel_password="wrong")), 2)
        assert finding.level is Level.SKIP
        watched.kill_sentinel(1)
        (finding,) = sentinels.examine(configured(REDIS_URL=watched.url()), 2)
        assert f"127.0.0.1:{watched.ports[1]} does not" in finding.text
        assert "hunter" not in finding.text
