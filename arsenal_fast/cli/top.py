"""``arsenal-fast top``: shows who sends most requests, and who is refused most often.

It reads ``/api/telemetry`` of the service on this machine, or of ``--url``, with a service token of scope ``metrics``
that it makes for itself. In a terminal it reads again every few seconds until Ctrl-C; elsewhere once. Exit status: 0; 1
where the service does not answer, with one sentence.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from arsenal_fast.cli.arguments import EXIT_FAILURE, Commands, add_command, whole
from arsenal_fast.cli.health import LOOPBACK, unverified

if TYPE_CHECKING:
    from arsenal_fast.config.load import Config
    from arsenal_fast.tokens.keys import Keys

TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 1 << 20
"""Of a response; the telemetry has some 10 KiB."""

_CLEAR: Final = "\x1b[H\x1b[2J"
_SUBJECT: Final = "top"
_LISTS: Final = (("heaviest", "MOST REQUESTS"), ("most_refused", "MOST REFUSED"))

Fetch = Callable[[], dict[str, Any]]
"""Returns the telemetry; raises OSError, HTTPException or ValueError."""


def add_parser(
    commands: Commands, configuration: "Callable[[], Config]", keys: "Callable[[], Keys]", now: Callable[[], float]
) -> None:
    """Add the command. ``configuration``: where the service listens; ``keys``: its own; ``now``: in seconds."""

    def run(arguments: argparse.Namespace) -> int:
        token = keys().mint_service(_SUBJECT, ["metrics"], 1, 1, now())
        fetch = partial(telemetry, arguments.url or _url(configuration()), token, own=arguments.url is None)
        live = sys.stdout.isatty() and not arguments.once and not arguments.json
        return show(fetch, as_json=arguments.json, pause_s=arguments.interval if live else None)

    parser = add_command(
        commands,
        "top",
        run,
        "show who sends most requests, and who is refused most often",
        "Show who sends most requests, and who is refused most often: live in a terminal, elsewhere once.",
    )
    parser.add_argument("--url", metavar="URL", help="of the service (default: the one on HOST and PORT)")
    parser.add_argument("--once", action="store_true", help="read once, also in a terminal")
    parser.add_argument("--json", action="store_true", help="print JSON, once")
    parser.add_argument(
        "--interval", metavar="SECONDS", type=whole(1, 3600), default=2, help="between two reads (default 2)"
    )


def show(
    fetch: Fetch, *, as_json: bool = False, pause_s: float | None = None, wait: Callable[[float], object] = time.sleep
) -> int:
    """Print what ``fetch`` returns: once, or again after each ``pause_s``; returns the exit status."""
    from http.client import HTTPException  # noqa: PLC0415  the command line starts at once

    while True:
        try:
            document = fetch()
        except (OSError, HTTPException, ValueError) as error:
            print(f"The service does not answer: {error}.", file=sys.stderr)
            return EXIT_FAILURE
        text = json.dumps(document["callers"]) if as_json else "\n".join(table(document))
        print(text if pause_s is None else _CLEAR + text, flush=True)
        if pause_s is None:
            return 0
        wait(pause_s)


def telemetry(url: str, token: str, *, own: bool) -> dict[str, Any]:
    """Read the telemetry; raises as :data:`Fetch` says.

    ``own``: the service is on this machine, so its certificate is not checked: it is for the name that clients use.
    """
    from http.client import HTTPConnection, HTTPSConnection  # noqa: PLC0415  the command line starts at once
    from urllib.parse import urlsplit  # noqa: PLC0415  the command line starts at once

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        raise ValueError(f"{url} is no URL of a service")
    connection: HTTPConnection
    if parts.scheme == "https":
        connection = HTTPSConnection(
            parts.hostname, parts.port, timeout=TIMEOUT_S, context=unverified() if own else None
        )
    else:
        connection = HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
    try:
        path = f"{parts.path.rstrip('/')}/api/telemetry"
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        text = response.read(MAX_BYTES)
    finally:
        connection.close()
    if response.status != 200:
        raise ValueError(f"it answers {response.status}")
    document = json.loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("callers"), dict):
        raise ValueError("it names no callers: JWT_SECRET or API_BASE_URL differs here, or it is an older release")
    return document


def table(document: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the telemetry's callers."""
    callers = document["callers"]
    seconds = max(callers["seconds"], 1.0)
    limiter = document["limiter"]
    yield f"{document['status']}, {document['workers']} workers; the last {seconds:.0f} s. Since the start: " + (
        f"{limiter['allowed']} allowed, {limiter['denied']} refused."
    )
    for name, title in _LISTS:
        yield ""
        yield f"{title:<16}{'A SECOND':>10}  CLIENT"
        for each in callers[name]:
            client = json.dumps(each["client"])[1:-1]  # printable ASCII only
            yield f"{each['requests']:<16}{each['requests'] / seconds:>10.1f}  {client}"
        if not callers[name]:
            yield "none"
        elif error := callers[f"{name}_error"]:
            yield f"Each may have up to {error} more."


def _url(config: "Config") -> str:
    host = LOOPBACK.get(config.host, config.host)
    port = config.management_port or config.port
    return f"{'https' if config.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
