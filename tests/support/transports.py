"""A service that is spoken to over plain TCP or over TLS, for tests that hold the same over both."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.certificates import good_pair
from tests.support.service import ServiceProcess

TRANSPORTS: Final = ("plain", "TLS")


class Service(NamedTuple):
    """A running service; ``tls``: for a client of it, where it speaks TLS."""

    process: ServiceProcess
    tls: ssl.SSLContext | None


@contextmanager
def service_over(transport: str, directory: Path, **env: str) -> Iterator[Service]:
    """Start one; its certificate is in the directory."""
    pair = good_pair(directory) if transport == "TLS" else None
    with ServiceProcess(**env, **(pair.variables if pair else {})) as process:
        yield Service(process, pair.trusting if pair else None)
