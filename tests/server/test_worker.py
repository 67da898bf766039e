"""What is tried once before the workers are forked; tests/integration runs whole workers."""

import socket

import pytest

from arsenal_fast.config.load import load
from arsenal_fast.server import worker


def test_an_address_in_use_is_found_before_the_forks() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = load({"HOST": "127.0.0.1", "PORT": str(taken.getsockname()[1])})
        with pytest.raises(OSError, match="in use"):
            worker.rehearse(config)
