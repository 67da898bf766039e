"""What an identity costs: one issue composes it, writes two timestamps, and perhaps takes a run."""

import os
from typing import Any

from arsenal_fast.identity.grammar import compose, parse
from arsenal_fast.identity.life import timestamp
from arsenal_fast.identity.runs import LENGTH, draw_run

NOW = 1_795_341_600_000


def test_parse(benchmark: Any) -> None:
    assert benchmark(parse, "player-123456@sports.api.yourbook.com/v1:id").run == "123456"


def test_compose(benchmark: Any) -> None:
    assert benchmark(compose, "player", "123456", "sports.api.yourbook.com", "v1").run == "123456"


def test_timestamp_of_a_known_second(benchmark: Any) -> None:
    assert benchmark(timestamp, NOW) == "2026-11-22T10:00:00.000Z"


def test_timestamp_of_new_seconds(benchmark: Any) -> None:
    """Each call another second, more of them than are remembered."""
    moments = iter(range(NOW, NOW + 10**12, 1_000))
    assert benchmark(lambda: timestamp(next(moments))).endswith("Z")


def test_draw_run(benchmark: Any) -> None:
    assert len(benchmark(draw_run, NOW, os.urandom)) == LENGTH
