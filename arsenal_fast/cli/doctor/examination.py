"""Runs all checks, in the order of their mends."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

from arsenal_fast.cli.doctor import certificate, cluster, configuration, ledger, memory, sentinels, store, traffic
from arsenal_fast.cli.doctor.finding import Finding, Level
from arsenal_fast.config.cgroup import memory_limit
from arsenal_fast.config.load import Config
from arsenal_fast.stores.redis.url import parse_url


def examine(config: Config, now: Callable[[], float], timeout: float) -> Iterator[Finding]:
    """Run all checks. ``now``: wall clock, seconds; ``timeout``: seconds that each part may take."""
    yield from configuration.examine(config)
    yield memory.examine(config, memory_limit())
    yield certificate.examine(config, now())
    if config.embedded:
        yield store.REACHABLE.skip("the state is in the process (REDIS_URL is memory://), for one worker")
        yield traffic.examine((), config)
    elif parse_url(config.redis_url.reveal()).nodes:
        with ExitStack() as stack:
            masters = []
            for each in cluster.examine(config, now, timeout, stack):
                if isinstance(each, Finding):
                    yield each
                else:
                    masters.append(each)
            yield traffic.examine(masters, config)
    else:
        yield from sentinels.examine(config, timeout)
        with closing(store.connect(config, timeout)) as client:
            findings = list(store.examine(client, config, now))
            yield from findings
            yield traffic.examine((client,) if findings[0].level is Level.OK else (), config)
    yield ledger.examine(config, timeout)
