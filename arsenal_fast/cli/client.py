"""``arsenal-fast id | validate | revoke | limits``: calls of a running service, for people and scripts.

The service's URL is ``--url`` or ARSENAL_URL. A service token is read from ``--token-file`` or ARSENAL_TOKEN: never
from an argument, which other users of the machine can see. ``--json`` prints the service's own answer.
Exit status: 0 done (validate: all are valid), 1 refused, not found or not valid, 2 wrong usage, 69 no answer
(EX_UNAVAILABLE), 75 try again later (EX_TEMPFAIL): over the limit, or the service is too busy.
"""

import argparse
import json
import sys
import urllib.parse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arsenal_fast.cli.arguments import (
    EXIT_FAILURE,
    EXIT_USAGE,
    Commands,
    Failure,
    add_command,
    add_json,
    add_yes,
    is_confirmed,
)
from arsenal_fast.identity.validity import MAX_TTL, MIN_TTL

if TYPE_CHECKING:
    from arsenal_fast.cli.calls import Service

DEFAULT_URL: Final = "http://localhost:3655"

_EPILOG: Final = """\
The service is at --url or ARSENAL_URL (default http://localhost:3655). A service token comes from --token-file or
ARSENAL_TOKEN. Exit status: 0 done or valid, 1 refused or not valid, 2 wrong usage, 69 no answer, 75 try again later.

examples:
  arsenal-fast id --prefix player --run 4711
  arsenal-fast id --json | jq -r .token
  arsenal-fast validate player-4711@sports.api.yourbook.com/v1:id
  ARSENAL_TOKEN=... arsenal-fast revoke --prefix player --issued-before 2026-11-22T10:00:00Z
"""


def add_parsers(commands: Commands, environ: Mapping[str, str]) -> None:
    """Add the commands; ``environ`` has ARSENAL_URL and ARSENAL_TOKEN."""

    def add(name: str, run: Callable[["Service", argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        parser = add_command(commands, name, partial(_run, run, environ), summary, f"{summary.capitalize()}.", _EPILOG)
        parser.add_argument("--url", metavar="URL", help=f"the service (ARSENAL_URL, default {DEFAULT_URL})")
        parser.add_argument("--token-file", metavar="FILE", help="file with a service token (or ARSENAL_TOKEN)")
        add_json(parser)
        return parser

    issue = add("id", _issue, "get an identity from a running service")
    for name, what in (
        ("prefix", "what it is for"),
        ("run", "whom it is for; a new one is drawn without"),
        ("domain", ""),
    ):
        issue.add_argument(f"--{name}", metavar="TEXT", help=what or "its domain")
    issue.add_argument("--ttl", metavar="SECONDS", help=f"how long it lives, {MIN_TTL} to {MAX_TTL}")
    validate = add("validate", _validate, "ask a running service whether identities are valid")
    validate.add_argument("identities", metavar="IDENTITY", nargs="+", help="- reads them from stdin, one a line")
    revoke = add("revoke", _revoke, "revoke an identity, a prefix or everything at a running service")
    revoke.add_argument("identity", metavar="IDENTITY", nargs="?", help="the identity")
    revoke.add_argument("--prefix", metavar="TEXT", help="all of a prefix, with --issued-before")
    revoke.add_argument("--issued-before", metavar="MOMENT", help="RFC 3339; without --prefix: everything before")
    add_yes(revoke)
    add("limits", _limits, "print the caller's rate limit at a running service")


def _run(
    run: Callable[["Service", argparse.Namespace], int], environ: Mapping[str, str], given: argparse.Namespace
) -> int:
    try:
        return run(_service(environ, given), given)
    except Failure as failure:
        print(f"arsenal-fast: {_printable(str(failure))}", file=sys.stderr)
        return failure.status


def _service(environ: Mapping[str, str], given: argparse.Namespace) -> "Service":
    from arsenal_fast.cli.calls import Service  # its HTTP client would delay every other command

    url = (given.url or environ.get("ARSENAL_URL") or DEFAULT_URL).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise Failure(f"{url} is no http or https URL: --url or ARSENAL_URL.", EXIT_USAGE)
    if not given.token_file:
        return Service(url, environ.get("ARSENAL_TOKEN", "").strip())
    try:
        return Service(url, Path(given.token_file).read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise Failure(
            f"{given.token_file} can't be read: {getattr(error, 'strerror', None) or error}.", EXIT_USAGE
        ) from None


def _issue(service: "Service", given: argparse.Namespace) -> int:
    asked = {name: getattr(given, name) for name in ("prefix", "run", "domain", "ttl")}
    query = urllib.parse.urlencode({name: text for name, text in asked.items() if text is not None})
    answer = service.call(f"/api/v1/id?{query}")
    _print(given, answer, str(answer["id"]))
    return 0


def _validate(service: "Service", given: argparse.Namespace) -> int:
    identities = given.identities
    if identities == ["-"]:
        identities = sys.stdin.read().split()
    answer = service.call("/api/v1/validate", {"identities": identities})
    lines = (
        f"{each['status']}  {asked}  {each['reason']}"
        for asked, each in zip(identities, answer["results"], strict=True)
    )
    _print(given, answer, "\n".join(lines))
    return 0 if all(each["valid"] for each in answer["results"]) else EXIT_FAILURE


def _revoke(service: "Service", given: argparse.Namespace) -> int:
    if (given.identity is None) == (given.issued_before is None) or (given.identity and given.prefix):
        raise Failure("name an identity, or --issued-before with or without --prefix.", EXIT_USAGE)
    asked = {name: getattr(given, name) for name in ("identity", "prefix", "issued_before")}
    body = {name: text for name, text in asked.items() if text is not None}
    if given.identity is None:
        what = f"Every identity of the prefix {given.prefix}" if given.prefix else "Every identity"
        if not is_confirmed(given, f"{what} issued before {given.issued_before} would be revoked at {service.url}."):
            return EXIT_USAGE
    answer = service.call("/api/v1/revoke", body)
    _print(given, answer, f"revoked  {given.identity or given.prefix or 'everything'}")
    return 0


def _limits(service: "Service", given: argparse.Namespace) -> int:
    answer = service.call("/api/v1/limits")
    text = "no limit"
    if answer["limit"] is not None:
        text = f"{answer['remaining']} of {answer['limit']} requests in {answer['window']} s are left"
    _print(given, answer, f"{answer['client']}: {text}")
    return 0


def _print(given: argparse.Namespace, answer: object, text: str) -> None:
    print(json.dumps(answer) if given.json else _printable(text))


def _printable(text: str) -> str:
    """Return the text without control sequences for a terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)
