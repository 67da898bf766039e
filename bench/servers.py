"""The measured servers, as data. A new server is a new row: no other module knows its name.

Words in braces are filled in at the start: ``{python}``, ``{bench}`` (this directory), ``{port}``,
``{redis_port}``, ``{redis_db}`` (each server its own), ``{answer}`` (the floor's file), ``{scratch}`` (a path
of the server's own, deleted at the end). Every server must listen on 127.0.0.1:{port}, answer ``ready`` with
200 once it can serve, limit by client in Redis without denying anyone, and end on SIGTERM. ``duties.py`` checks that.
"""

import importlib.util
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import BenchError
from bench.workloads import WORKLOADS

BENCH = Path(__file__).parent
EVERY_WORKLOAD = frozenset(workload.name for workload in WORKLOADS)


@dataclass(frozen=True)
class Server:
    """One server under test."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: str = "/api/health/ready"
    workloads: frozenset[str] = EVERY_WORKLOAD
    programs: tuple[str, ...] = ()  # looked for on the PATH; one missing leaves the server out
    packages: tuple[str, ...] = ()  # of this Python; likewise
    made: str = ""  # a file that `make peers` makes; likewise
    cell_keys: str = ""  # Redis pattern of its limiter cells
    identity_keys: str = ""  # Redis pattern of its identities

    def left_out(self) -> str | None:
        """Why this machine can't run it, in a few words; None when it can."""
        absent = [program for program in self.programs if shutil.which(program) is None]
        absent += [package for package in self.packages if importlib.util.find_spec(package) is None]
        if absent:
            return f"{absent[0]} is not installed"
        if self.made and not Path(self.made.format(bench=BENCH)).exists():
            return "it is not built: run make peers"
        return None

    def filled(self, **words: object) -> tuple[list[str], dict[str, str]]:
        """The command line and the environment to start with."""
        known = {"python": sys.executable, "bench": str(BENCH), **words}
        command = [part.format_map(known) for part in self.command]
        return command, {name: value.format_map(known) for name, value in self.environment.items()}


AS_INSTALLED = (
    "import runpy, sys; sys.modules['cryptography'] = None;"
    " del sys.argv[0]; runpy.run_module(sys.argv[0], None, '__main__', True)"
)
"""Runs the module that its arguments name, as ``python -m`` does, without what only extras install.

PyJWT imports ``cryptography`` where it finds it, and so it would be here: that takes 9 MB.
"""

FLOOR = Server(name="floor", command=("{python}", "{bench}/floor.py", "{port}", "{answer}"))

# An emission interval of 36 us: no client is denied, and every request still costs a real check of a real cell.
UNREACHED_LIMIT = {"RATE_LIMIT_REQUESTS": "100000000", "RATE_LIMIT_WINDOW": "3600"}

# A token in 0.9 s, 100,000 at once: cells last as long as those of real clients, and still no client is denied.
LASTING_LIMIT = {"RATE_LIMIT_REQUESTS": "100000", "RATE_LIMIT_WINDOW": "86400"}

# The default configuration: Redis, the ledger in SQLite, metrics, the error log.
SERVICE = Server(
    name="arsenal_fast",
    command=("{python}", "-c", AS_INSTALLED, "arsenal_fast", "serve"),
    environment={
        "HOST": "127.0.0.1",
        "PORT": "{port}",
        "REDIS_URL": "redis://127.0.0.1:{redis_port}/{redis_db}",
        "TRUSTED_PROXIES": "127.0.0.1/32",
        "ACCESS_LOG": "errors",
        "WORKERS": "1",
        "JWT_SECRET": "the secret of the benchmark, 32 octets",
        "DATABASE_URL": "sqlite:///{scratch}.db",
        "MAX_CONNECTIONS": "10000",  # there are scenarios of 5,000
        **UNREACHED_LIMIT,
    },
    cell_keys="af:{0}:c:*",
    identity_keys="af:{0}:i:*",
)


def varied(server: Server, name: str = "", **variables: str) -> Server:
    """The same server with other variables, and under another name where one is given."""
    return replace(server, name=name or server.name, environment={**server.environment, **variables})


def lasting(server: Server) -> Server:
    """The same server with a limit whose cells stay in Redis during a scenario."""
    return varied(server, **LASTING_LIMIT)


def without_gc(server: Server) -> Server:
    """The same server with the garbage collector off. Raises BenchError where it is not started by AS_INSTALLED."""
    if AS_INSTALLED not in server.command:
        raise BenchError(f"{server.name} is no Python module, so its garbage collector can't be turned off.")
    code = f"import gc; gc.disable(); {AS_INSTALLED}"
    command = tuple(code if word == AS_INSTALLED else word for word in server.command)
    return replace(server, name=f"{server.name} without gc", command=command)
