"""``arsenal-fast token mint``: mint a service token; ``arsenal-fast token inspect``: read any token.

The new token alone goes to stdout, so that it can be piped into a secret store, or into a file of mode 0600
(``--out``); what it allows goes to stderr. It is shown once: the ledger keeps its id, and not the token.
A token to inspect is better piped in than given as an argument, which other users of the machine can see. What is
printed of it is escaped: it may contain control sequences for a terminal. Exit status of ``inspect``: 0 it
verifies, 1 it does not, or was withdrawn. Nothing here reads the environment: ``keys`` is an argument, which may raise
ConfigurationError, and so are the places of ledger and Redis.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from arsenal_fast.cli.arguments import EXIT_FAILURE, Commands, Places, add_command, add_json, whole
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.identity.amendments import DEFAULT_DAYS, LONGEST_DAYS, WITHDRAWN
from arsenal_fast.identity.validity import timestamp
from arsenal_fast.tokens.claims import (
    ID_LENGTH,
    MAX_RATE_LIMIT,
    MAX_TOKEN,
    SCOPES,
    Peek,
    Refusal,
    is_token_id,
    peek,
    subject_fault,
    token_id,
)

if TYPE_CHECKING:
    from arsenal_fast.ledger.model import TokenRecord
    from arsenal_fast.tokens.keys import Keys

_TIMES: Final = ("iat", "nbf", "exp")

_EPILOG: Final = """\
examples:
  arsenal-fast token mint --subject sports-book --scope issue,revoke,audit --rate-limit 1000000 --days 90
  arsenal-fast token mint --subject sports-book --scope issue --rate-limit 1000000 --out sports-book.token
  arsenal-fast token list
  arsenal-fast token limit 5b1f0c9d2e7a48b63c11 500000
  arsenal-fast token revoke 5b1f0c9d2e7a48b63c11
  arsenal-fast token revoke --subject sports-book
  arsenal-fast token inspect < sports-book.token
"""


def add_parser(commands: Commands, keys: "Callable[[], Keys]", places: Places, now: Callable[[], float]) -> None:
    """Add the commands; ``keys`` are those of the configuration, ``now`` is the wall clock in seconds."""
    parser = add_command(
        commands,
        "token",
        lambda given: mint(given, keys=keys, places=places, now=now, usage=parser.error),
        "mint, list, limit, withdraw or inspect service tokens",
        "Mint a service token with JWT_SECRET and print it, and work on those that were minted.",
        _EPILOG,
    )
    _add_mint_options(parser)  # ``token --subject NAME`` mints, too, as in earlier releases
    verbs = parser.add_subparsers(title="commands", metavar="")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        """Add a command of ``token_ledger``, which is imported once it is chosen."""

        def run(given: argparse.Namespace) -> int:
            from arsenal_fast.cli import token_ledger

            commands = {"list": token_ledger.list_tokens, "revoke": token_ledger.revoke, "limit": token_ledger.limit}
            return commands[name](given, places=places, now=now)

        parser = add_command(verbs, name, run, summary)
        add_json(parser)
        return parser

    minting = add_command(
        verbs,
        "mint",
        lambda given: mint(given, keys=keys, places=places, now=now, usage=minting.error),
        "mint a service token; it goes to stdout or --out, what it allows to stderr",
    )
    _add_mint_options(minting)
    add("list", "list the tokens that were minted")
    revoking = add("revoke", "withdraw a token, or all of a subject")
    which = revoking.add_mutually_exclusive_group(required=True)
    which.add_argument("id", metavar="ID", nargs="?", type=_id, help="as in the list, or as inspect tells it")
    which.add_argument("--subject", metavar="NAME", type=_subject, help="all of its tokens minted until now")
    limiting = add("limit", "change the limit of a token")
    limiting.add_argument("id", metavar="ID", type=_id, help="as in the list, or as inspect tells it")
    limiting.add_argument("number", metavar="N", type=whole(1, MAX_RATE_LIMIT), help="requests in a RATE_LIMIT_WINDOW")
    reader = add_command(
        verbs,
        "inspect",
        partial(inspect, keys=keys, places=places, now=now),
        "print what a token says and whether it verifies",
        "Print what a token says and whether it verifies with the configured keys (exit status 0 or 1).",
    )
    add_json(reader)
    reader.add_argument("token", metavar="TOKEN", nargs="?", default="-", help="the token; - (default) reads stdin")


def _add_mint_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    limit = whole(1, MAX_RATE_LIMIT)
    add("--subject", metavar="NAME", help="who the token is for, as in limits, logs and audit")
    add("--name", metavar="TEXT", default="", help="for people: what it is used for (default: the subject)")
    add("--scope", metavar="LIST", default="", help=f"any of {','.join(SCOPES)}; none by default")
    add("--rate-limit", metavar="NUMBER", type=limit, help="requests in a RATE_LIMIT_WINDOW")
    each = "requests of each end user that the scope behalf may name, in a RATE_LIMIT_WINDOW"
    add("--per-subject", metavar="NUMBER", type=limit, default=0, help=each)
    days = f"how long it holds, 1 to {LONGEST_DAYS} (default {DEFAULT_DAYS})"
    add("--days", metavar="NUMBER", type=whole(1, LONGEST_DAYS), default=DEFAULT_DAYS, help=days)
    add_json(parser)
    add("--out", metavar="FILE", help="write the token into a new file of mode 0600, and not to stdout")


def _id(text: str) -> str:
    if not is_token_id(text):
        raise argparse.ArgumentTypeError(f"must be {ID_LENGTH} of 0-9 a-f")
    return text


def _subject(text: str) -> str:
    if fault := subject_fault(text):
        raise argparse.ArgumentTypeError(fault)
    return text


def mint(
    arguments: argparse.Namespace,
    *,
    keys: "Callable[[], Keys]",
    places: Places,
    now: Callable[[], float],
    usage: Callable[[str], NoReturn],
) -> int:
    """Print a new service token; ``usage`` takes a sentence about wrong usage and does not return."""
    from arsenal_fast.cli import token_ledger
    from arsenal_fast.registry.service_tokens import TokenOrder
    from arsenal_fast.registry.service_tokens import mint as sign

    if arguments.subject is None or arguments.rate_limit is None:
        usage("--subject and --rate-limit are required to mint a token")
    order = TokenOrder(
        arguments.subject,
        [scope for scope in arguments.scope.replace(",", " ").split(" ") if scope],
        arguments.rate_limit,
        arguments.days,
        arguments.per_subject,
        arguments.name,
    )
    issuer = keys()
    with token_ledger.kept(places.ledger_url()) as store:
        try:
            token, change = sign(issuer, order, token_ledger.learned(store), now(), token_ledger.CALLER)
        except ValueError as error:
            usage(str(error))
        record = change.record
        assert record is not None
        minted = json.dumps({"token": token, **_told(record, issuer.issuer)}) if arguments.json else token
        if fault := _written(minted if arguments.out is None else token, arguments.out):
            print(f"arsenal-fast: {fault}", file=sys.stderr)
            return EXIT_FAILURE
        if store is not None:
            store.write([change])
    if arguments.json:
        if arguments.out is not None:
            print(json.dumps(_told(record, issuer.issuer)))
        return 0
    each = f" and {record.per_subject} of each end user" if record.per_subject else ""
    print(
        f"For {record.subject} from {issuer.issuer}: scope {record.scope or 'none'}, {record.rate_limit} requests a "
        f"window{each}, until {timestamp(record.expires_ms)}. Its id is {record.id}.",
        file=sys.stderr,
    )
    return 0


def _told(record: "TokenRecord", issuer: str) -> dict[str, object]:
    """Return what a new token allows, for ``--json``."""
    return {
        "id": record.id,
        "subject": record.subject,
        "issuer": issuer,
        "scope": record.scope,
        "rate_limit": record.rate_limit,
        "per_subject": record.per_subject,
        "expires": timestamp(record.expires_ms),
    }


def _written(text: str, file: str | None) -> str | None:
    """Write a line to stdout or to a file; returns why that was not possible, or None."""
    if file is None:
        print(text)
        return None
    from arsenal_fast.ledger.admin import LedgerError, as_ledger_error, private_file

    try:
        with as_ledger_error(), private_file(file) as whole_file, open(whole_file, "w", encoding="ascii") as out:
            print(text, file=out)
    except LedgerError as error:
        return str(error)
    return None


def inspect(
    arguments: argparse.Namespace, *, keys: "Callable[[], Keys]", places: Places, now: Callable[[], float]
) -> int:
    """Print a token's content and whether it verifies."""
    text = arguments.token
    if text == "-":
        text = sys.stdin.buffer.read(MAX_TOKEN * 2).decode("latin-1").strip(" \t\r\n")
    seen = peek(text)
    is_service = isinstance(seen, Peek) and "aud" in seen.claims
    fault = _fault(text, seen, keys, now())
    if fault is None and isinstance(seen, Peek) and is_service:
        fault = _withdrawal(text, seen.claims, places)
    if arguments.json:
        told = {"kind": _kind(seen), "header": seen.header, "claims": seen.claims} if isinstance(seen, Peek) else {}
        told |= {"id": token_id(text)} if is_service else {}
        print(json.dumps({**told, "verifies": fault is None, "fault": fault}))
        return 0 if fault is None else 1
    if isinstance(seen, Peek):
        for line in described(seen):
            print(line)
        if is_service:
            print(f"id: {token_id(text)}")
    print(f"verifies: {'yes' if fault is None else f'no. {fault}'}")
    return 0 if fault is None else 1


def _kind(seen: Peek) -> str:
    return "service" if "aud" in seen.claims else "identity"


def described(seen: Peek) -> Iterator[str]:
    """Yield a line for each member of header and claims; times also as dates."""
    yield f"kind: {_kind(seen)} token"
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


def _withdrawal(token: str, claims: dict[str, Any], places: Places) -> str | None:
    """Return that a verified service token has been withdrawn, as far as the ledger knows; or None."""
    from arsenal_fast.cli import token_ledger

    with token_ledger.kept(places.ledger_url()) as store:
        limit = token_ledger.learned(store).rate_limit(token_id(token), claims["sub"], claims["iat"])
    return Refusal.WITHDRAWN.sentence if limit == WITHDRAWN else None


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
