"""The master of Redis dies, or hands over, under load: the service follows the sentinels, and no client is told."""

from collections.abc import Callable
from contextlib import ExitStack
from time import perf_counter

import pytest

from tests.integration.test_redis_faults import (
    BACK_WITHIN,
    ENV,
    RUNS,
    STALL,
    StalledError,
    judge,
    load,
    until_health,
    until_shared,
)
from tests.support.http_client import clients
from tests.support.loops import run, until
from tests.support.sentinels import Sentinels
from tests.support.service import REPLICA, ServiceProcess

pytestmark = pytest.mark.integration

PATIENCE = 40.0  # seconds that a failover under load may take in all


def follow(watched: Sentinels, hand_over: Callable[[], None]) -> None:
    """Two replicas of the service under load, until both share the new master."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(ServiceProcess(**ENV, **REPLICA, REDIS_URL=watched.url())) for _ in range(2))
        promoted = watched.servers[1]

        async def main() -> None:
            async with (
                load(one.port) as under,
                clients(one.port, 1) as (at_one,),
                clients(other.port, 1) as (at_other,),
            ):
                await under.more(300)
                hand_over()
                await until(lambda: watched.name(promoted))
                begin = perf_counter()
                await until_health(at_one, "healthy")
                await until_health(at_other, "healthy")
                await until_shared(at_one, at_other)
                took = perf_counter() - begin
                print(f"shared again {took * 1000:.0f} ms after the promotion")
                await under.more(300)
            judge(under)
            if took > BACK_WITHIN and under.control > STALL:
                raise StalledError
            assert took <= BACK_WITHIN

        run(main(), deadline=PATIENCE)
        for service in (one, other):
            service.wait_for_log(f"the master identities of Redis is 127.0.0.1:{promoted.port}")


@pytest.mark.parametrize("how", ["dies", "hands over"])
def test_the_promoted_master_is_shared_within_a_second_without_an_error(how: str) -> None:
    for left in reversed(range(RUNS)):
        try:
            with Sentinels() as watched:
                follow(watched, watched.servers[0].kill if how == "dies" else watched.fail_over)
        except StalledError:
            if not left:
                raise
        else:
            return
