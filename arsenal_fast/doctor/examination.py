"""All checks, in the order in which one would mend."""

from collections.abc import Callable, Iterator
from contextlib import closing

from arsenal_fast.cgroup import memory_limit
from arsenal_fast.config import Config
from arsenal_fast.doctor import certificate, configuration, ledger, memory, store, traffic
from arsenal_fast.doctor.finding import Finding, Level


def examine(config: Config, now: Callable[[], float], timeout: float) -> Iterator[Finding]:
    """``now``: wall clock, seconds; ``timeout``: seconds that each part may keep us waiting."""
    yield from configuration.examine(config)
    yield memory.examine(config, memory_limit())
    yield certificate.examine(config, now())
    if config.embedded:
        yield Finding(
            store.REACHABLE, Level.SKIP, "the state is in the process (REDIS_URL is memory://), for one worker"
        )
        yield traffic.examine(None, config)
    else:
        with closing(store.connect(config, timeout)) as client:
            findings = list(store.examine(client, config, now))
            yield from findings
            yield traffic.examine(client if findings[0].level is Level.OK else None, config)
    yield ledger.examine(config, timeout)
