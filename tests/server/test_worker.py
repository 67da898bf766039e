"""What is tried once before the workers are forked; tests/integration runs whole workers."""

import socket
from collections.abc import Iterator

import pytest

from arsenal_fast.config.load import load
from arsenal_fast.server import worker
from tests.support.service import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("name", ["PORT", "MANAGEMENT_PORT"])
def test_an_address_in_use_is_found_before_the_forks(name: str, taken: int) -> None:
    config = load({"HOST": "127.0.0.1", "PORT": str(free_port()), name: str(taken)})
    with pytest.raises(OSError, match="in use") as caught:
        worker.rehearse(config)
    assert caught.value.filename == taken


def test_both_ports_are_reserved_until_the_service_stops() -> None:
    shared, *ports = (str(free_port()) for _ in range(3))
    first, second = (load({"HOST": "127.0.0.1", "PORT": port, "MANAGEMENT_PORT": shared}) for port in ports)
    with worker.rehearse(first), pytest.raises(OSError, match="in use") as caught:
        worker.rehearse(second)
    assert caught.value.filename == second.management_port
    with worker.rehearse(second):
        """The first has let go of it."""
