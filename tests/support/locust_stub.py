"""A stub of Locust: names only, so that the locustfile's arithmetic can be tested where Locust is not installed.

Unreal: users have no client and never run, there is no gevent, and nothing is replaced in the standard library.
``make loadtest-short`` is where the real one runs.
"""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

LOCUSTFILE = Path(__file__).parents[2] / "loadtest/locustfile.py"


class User:
    """In place of FastHttpUser."""

    def __init__(self, environment: Any) -> None:
        self.environment = environment
        self.client = ModuleType("session")
        self.client.client = ModuleType("agent")  # type: ignore[attr-defined]


class Shape:
    """In place of LoadTestShape; a test says what time it is and how many users there are."""

    runner = None
    run_time = 0.0
    user_count = 0

    def get_run_time(self) -> float:
        return self.run_time

    def get_current_user_count(self) -> int:
        return self.user_count


class WorkerRunner:
    """In place of the runner of a worker."""


class Hook:
    """In place of an event: listeners are left as they are."""

    def add_listener(self, function: Any) -> Any:
        return function


def _module(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(members)
    return module


def load_locustfile(environment: Mapping[str, str]) -> Any:
    """The locustfile as a fresh module, under these variables alone."""
    events = _module("events", quitting=Hook(), init_command_line_parser=Hook())
    stubs = {
        "locust": _module(
            "locust",
            FastHttpUser=User,
            LoadTestShape=Shape,
            constant_pacing=lambda seconds: seconds,
            events=events,
            task=lambda function: function,
        ),
        "locust.env": _module("locust.env", Environment=object),
        "locust.runners": _module("locust.runners", WorkerRunner=WorkerRunner),
        "geventhttpclient": _module("geventhttpclient"),
        "geventhttpclient.connectionpool": _module(
            "geventhttpclient.connectionpool", ConnectionPool=type("ConnectionPool", (), {})
        ),
    }
    spec = importlib.util.spec_from_file_location("locustfile_under_test", LOCUSTFILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with (
        patch.dict(sys.modules, stubs),
        patch.dict("os.environ", environment, clear=True),
        patch("gc.set_threshold"),  # the locustfile's, not the tests'
    ):
        spec.loader.exec_module(module)
    return module
