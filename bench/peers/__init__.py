"""Rivals with the same duties, measured beside the service: one ``Server`` row each.

The three rivals are written for speed by the book of their ecosystem, with one core in mind. Each counts the client and
looks the identity up in Redis in one pipeline, and signs a token once for each identity. They do less than the service:
a fixed window in place of an exact rate, one domain, version and ttl, no ledger, revocation, metrics, time-outs, CORS
policy or behaviour without Redis. So what they cost is the least of what they would.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version

from bench.results import said_by
from bench.servers import BENCH, EVERY_WORKLOAD, SERVICE, UNREACHED_LIMIT, Server, varied

HERE = BENCH / "peers"
BUILT = HERE / ".build"  # what `make peers` makes
JAVASCRIPT = HERE / "javascript"

# What the rivals, which have no ledger, are compared with where identities are issued.
WITHOUT_LEDGER = replace(
    varied(SERVICE, "arsenal_fast without ledger", DATABASE_URL="none"), workloads=frozenset({"issuing"})
)

RIVAL = Server(
    name="",
    command=(),
    environment={
        "PORT": "{port}",
        "REDIS_URL": "redis://127.0.0.1:{redis_port}/{redis_db}",
        "JWT_SECRET": SERVICE.environment["JWT_SECRET"],
        "NODE_ENV": "production",
        "GOMAXPROCS": "1",
        **UNREACHED_LIMIT,
    },
    workloads=EVERY_WORKLOAD,
    cell_keys="rl:*",
    identity_keys="id:*",
)
# --smol: smaller heaps, collected more often; on one core that takes less CPU time, not more.
BUN = replace(
    RIVAL,
    name="bun",
    command=("{bench}/peers/.build/bun", "--smol", "{bench}/peers/javascript/bun.mjs"),
    programs=("npm",),
    made="{bench}/peers/.build/bun",
)
FASTHTTP = replace(
    RIVAL,
    name="fasthttp",
    command=("{bench}/peers/.build/fasthttp",),
    programs=("go",),
    made="{bench}/peers/.build/fasthttp",
)
UVICORN_OPTIONS = (
    "--host=127.0.0.1 --loop=uvloop --http=httptools --ws=none --workers=1 --log-level=warning"
    " --no-access-log --no-server-header --no-proxy-headers"
)
FASTAPI = replace(
    RIVAL,
    name="fastapi",
    command=(
        *("{python}", "-m", "uvicorn", "--app-dir", "{bench}/peers", "--port", "{port}"),
        *UVICORN_OPTIONS.split(),
        "fastapi_server:app",
    ),
    packages=("fastapi", "uvicorn", "httptools"),
)

PEERS: tuple[Server, ...] = (WITHOUT_LEDGER, BUN, FASTHTTP, FASTAPI)


def versions(servers: Iterable[Server]) -> dict[str, str]:
    """What the measured rivals run on, by their names."""
    known = {BUN.name: bun_version, FASTHTTP.name: go_versions, FASTAPI.name: python_versions}
    return {server.name: known[server.name]() for server in servers if server.name in known}


def bun_version() -> str:
    return f"Bun {said_by(str(BUILT / 'bun'), '--version').strip()}"


def go_versions() -> str:
    """Of the compiler and of the sources that Debian packages."""
    go = re.findall(r"go(\d[\d.]*)", said_by("go", "version"))[0]
    return f"Go {go}, {(BUILT / 'fasthttp.versions').read_text().strip()}"


def python_versions() -> str:
    names = ("fastapi", "uvicorn", "httptools", "redis")
    return ", ".join(f"{name} {version(name)}" for name in names)
