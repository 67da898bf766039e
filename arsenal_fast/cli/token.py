"""``arsenal-fast token``: mint a service token; ``arsenal-fast token inspect``: read any token.

The new token alone goes to stdout, so that it can be piped into a secret store; what it allows goes to stderr.
A token to inspect is better piped in than given as an argument, which other users of the machine can see. What is
printed of it is escaped: it may contain control sequences for a terminal. Exit status of ``inspect``: 0 it
verifies, 1 it does not. Nothing here reads the environment: ``keys`` is an argument, which may raise
ConfigurationError.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from arsenal_fast.cli.arguments import Commands, add_command, whole
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.identity.validity import timestamp
from arsenal_fast.tokens.claims import MAX_RATE_LIMIT, MAX_TOKEN, SCOPES, Peek, Refusal, peek

if TYPE_CHECKING:
    from arsenal_fast.tokens.keys import Keys

DEFAULT_DAYS: Final = 90
MAX_DAYS: Final = 3650
"""Ten years: the secret should be rotated before."""

_TIMES: Final = ("iat", "nbf", "exp")

_EPILOG: Final = """\
examples:
  arsenal-fast token --subject sports-book --scope issue,revoke,audit --rate-limit 1000000 --days 90
  curl -s "$API/api/v1/id?prefix=player" | jq -r .token | arsenal-fast token inspect
"""


def add_parser(commands: Commands, keys: "Callable[[], Keys]", now: Callable[[], float]) -> None:
    """Add the command; ``keys`` are those of the configuration, ``now`` is the wall clock in seconds."""
    parser = add_command(
        commands,
        "token",
        lambda given: mint(given, keys=keys, now=now, usage=parser.error),
        "mint a service token, or inspect a token",
        "Mint a service token with JWT_SECRET and print it, or inspect a token.",
        _EPILOG,
    )
    parser.add_argument("--subject", metavar="NAME", help="who the token is for, as in limits, logs and audit")
    parser.add_argument("--scope", metavar="LIST", default="", help=f"any of {','.join(SCOPES)}; none by default")
    parser.add_argument(
        "--rate-limit", metavar="NUMBER", type=whole(1, MAX_RATE_LIMIT), help="requests in a RATE_LIMIT_WINDOW"
    )
    parser.add_argument(
        "--per-subject",
        metavar="NUMBER",
        type=whole(1, MAX_RATE_LIMIT),
        default=0,
        help="requests of each end user that the scope behalf may name, in a RATE_LIMIT_WINDOW",
    )
    days = f"how long it holds, 1 to {MAX_DAYS} (default {DEFAULT_DAYS})"
    parser.add_argument("--days", metavar="NUMBER", type=whole(1, MAX_DAYS), default=DEFAULT_DAYS, help=days)
    reader = add_command(
        parser.add_subparsers(metavar="[inspect]"),
        "inspect",
        partial(inspect, keys=keys, now=now),
        "print what a token says and whether it verifies",
        "Print what a token says and whether it verifies with the configured keys (exit status 0 or 1).",
    )
    reader.add_argument("token", metavar="TOKEN", nargs="?", default="-", help="the token; - (default) reads stdin")


def mint(
    arguments: argparse.Namespace,
    *,
    keys: "Callable[[], Keys]",
    now: Callable[[], float],
    usage: Callable[[str], NoReturn],
) -> int:
    """Print a new service token; ``usage`` takes a sentence about wrong usage and does not return."""
    if arguments.subject is None or arguments.rate_limit is None:
        usage("--subject and --rate-limit are required to mint a token")
    scopes = [scope for scope in arguments.scope.replace(",", " ").split(" ") if scope]
    issuer = keys()
    moment = now()
    try:
        token = issuer.mint_service(
            arguments.subject,
            scopes,
            arguments.rate_limit,
            arguments.days,
            moment,
            per_subject=arguments.per_subject,
        )
    except ValueError as fault:
        usage(str(fault))
    allowed = " ".join(scopes) or "none"
    each = f" and {arguments.per_subject} of each end user" if arguments.per_subject else ""
    expires = timestamp((int(moment) + arguments.days * 86_400) * 1000)
    print(
        f"For {arguments.subject} from {issuer.issuer}: scope {allowed}, "
        f"{arguments.rate_limit} requests a window{each}, "
        f"until {expires}.",
        file=sys.stderr,
    )
    print(token)
    return 0


def inspect(arguments: argparse.Namespace, *, keys: "Callable[[], Keys]", now: Callable[[], float]) -> int:
    """Print a token's content and whether it verifies."""
    text = arguments.token
    if text == "-":
        text = sys.stdin.buffer.read(MAX_TOKEN * 2).decode("latin-1").strip(" \t\r\n")
    seen = peek(text)
    if isinstance(seen, Peek):
        for line in described(seen):
            print(line)
    fault = _fault(text, seen, keys, now())
    print(f"verifies: {'yes' if fault is None else f'no. {fault}'}")
    return 0 if fault is None else 1


def described(seen: Peek) -> Iterator[str]:
    """Yield a line for each member of header and claims; times also as dates."""
    yield f"kind: {'service' if 'aud' in seen.claims else 'identity'} token"
    for part, members in (("header", seen.header), ("claim", seen.claims)):
        for name, value in members.items():
            yield f"{part} {_shown(name)}: {_shown(value)}{_moment(name, value)}"


def _fault(token: str, seen: Peek | Refusal, keys: "Callable[[], Keys]", now: float) -> str | None:
    """Return why the token does not verify, or None."""
    if isinstance(seen, Refusal):
        return seen.sentence
    try:
        verifier = keys()
    except ConfigurationError as error:
        return str(error)
    service = "aud" in seen.claims
    verified = verifier.verify_service(token, now) if service else verifier.verify_identity(token, now)
    return verified.sentence if isinstance(verified, Refusal) else None


def _shown(value: Any) -> str:
    text = json.dumps(value)  # printable ASCII only
    return text[1:-1] if isinstance(value, str) else text


def _moment(name: str, value: Any) -> str:
    if name not in _TIMES or type(value) is not int:
        return ""
    try:
        return f" ({timestamp(value * 1000)})"
    except ValueError:
        return ""
