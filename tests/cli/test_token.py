"""`arsenal-fast token`: output and exit status."""

import argparse
import io
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from arsenal_fast.cli import token as token_command
from arsenal_fast.cli.arguments import Places
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.ledger.model import AuditQuery, TokenQuery
from arsenal_fast.tokens.claims import MAX_TOKEN, Refusal, ServiceToken, peek, token_id
from arsenal_fast.tokens.keys import Keys
from tests.support.ledger import opened
from tests.support.tokens import (
    BAD,
    GOOD_IDENTITY,
    GOOD_SERVICE,
    HEADER,
    ISSUER,
    NOW,
    PREVIOUS,
    SERVICE_CLAIMS,
    hs256_keys,
    signed,
)

Run = Callable[..., int]

MINT = ("--subject", "sports-book", "--scope", "issue,revoke,audit", "--rate-limit", "1000000", "--days", "90")


def no_secret() -> Keys:
    raise ConfigurationError(["JWT_SECRET must be set."])


def run(*argv: str, keys: Callable[[], Keys] = hs256_keys, ledger: str = "none", redis: str = "memory://") -> int:
    parser = argparse.ArgumentParser(prog="arsenal-fast")
    places = Places(lambda: ledger, lambda: redis)
    token_command.add_parser(parser.add_subparsers(), keys, places, lambda: NOW)
    arguments = parser.parse_args(["token", *argv])
    status: int = arguments.command(arguments)
    return status


def pipe(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(octets)))


def test_the_token_alone_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*MINT) == 0
    printed = capsys.readouterr()
    token = printed.out.removesuffix("\n")
    scopes, expires = frozenset({"issue", "revoke", "audit"}), int(NOW) + 90 * 86_400
    meant = ServiceToken("sports-book", scopes, 1_000_000, expires, int(NOW), 0, token_id(token))
    assert hs256_keys().verify_service(token, NOW) == meant
    assert printed.err == (
        "arsenal-fast: the ledger can't be used: the ledger is turned off: DATABASE_URL is none.\n"
        f"For sports-book from {ISSUER}: scope issue revoke audit, 1000000 requests a window, "
        f"until 2027-02-20T10:01:40.000Z. Its id is {meant.id}.\n"
    )


@pytest.mark.parametrize("verb", [(), ("mint",)])
def test_a_file_for_the_token_is_readable_by_its_owner_alone(
    verb: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "book.token"
    file.write_text("older, and readable by all")
    assert run(*verb, *MINT, "--scope", "behalf", "--per-subject", "60", "--out", str(file)) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    verified = hs256_keys().verify_service(file.read_text().strip(), NOW)
    assert isinstance(verified, ServiceToken)
    assert (verified.subject, verified.per_subject) == ("sports-book", 60)
    assert capsys.readouterr().out == ""


def test_a_file_that_can_not_be_written_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("mint", *MINT, "--out", str(tmp_path / "nowhere" / "token")) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "can't be read or written: No such file" in printed.err


def test_what_is_minted_stands_in_the_ledger(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    opened(sqlite_url).close()
    assert run("mint", *MINT, "--name", "sports-book, Frankfurt", ledger=sqlite_url) == 0
    printed = capsys.readouterr()
    token_of = token_id(printed.out.strip())
    with closing(opened(sqlite_url)) as store:
        (record,) = store.tokens(TokenQuery(9))
        (event,) = store.audit(AuditQuery(0, "me")).events
    begun = int(NOW) * 1000
    assert record == (
        *(token_of, "sports-book, Frankfurt", "sports-book", "issue revoke audit", 1_000_000, None),
        *(begun, begun + 90 * 86_400_000, "cli", 0),
    )
    assert (event.kind, event.caller, event.token, event.subject) == ("token_minted", "cli", token_of, "sports-book")
    assert "can't be used" not in printed.err


def test_a_token_that_was_withdrawn_is_told_by_inspecting_it(
    sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(sqlite_url).close()
    assert run("inspect", GOOD_SERVICE, ledger=sqlite_url) == 0
    assert run("revoke", token_id(GOOD_SERVICE), ledger=sqlite_url) == 0
    capsys.readouterr()
    assert run("inspect", GOOD_SERVICE, ledger=sqlite_url) == 1
    assert capsys.readouterr().out.endswith("\nverifies: no. The token has been withdrawn.\n")


def test_without_scope_and_days_it_allows_nothing_for_90_days(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--subject", "bot", "--rate-limit", "7") == 0
    printed = capsys.readouterr()
    token = printed.out.strip()
    meant = ServiceToken("bot", frozenset(), 7, int(NOW) + 90 * 86_400, int(NOW), 0, token_id(token))
    assert hs256_keys().verify_service(token, NOW) == meant
    assert "scope none, 7 requests" in printed.err


def test_scopes_may_be_between_spaces_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--subject", "bot", "--rate-limit", "7", "--scope", "issue audit") == 0
    verified = hs256_keys().verify_service(capsys.readouterr().out.strip(), NOW)
    assert isinstance(verified, ServiceToken)
    assert verified.scopes == {"issue", "audit"}


WRONG = [
    ((), "--subject and --rate-limit are required"),
    (("--subject", "a"), "--subject and --rate-limit are required"),
    (("--rate-limit", "1"), "--subject and --rate-limit are required"),
    (("--subject", "a b", "--rate-limit", "1"), "A subject is 1 to 128 of"),
    (("--subject", "", "--rate-limit", "1"), "A subject is 1 to 128 of"),
    (("--subject", "a\nb", "--rate-limit", "1"), "A subject is 1 to 128 of"),
    (("--subject", "a", "--rate-limit", "1", "--scope", "issue,root"), "A scope is one of issue, revoke, audit"),
    (("--subject", "a", "--rate-limit", "0"), "must be a whole number from 1 to 1000000000"),
    (("--subject", "a", "--rate-limit", "-1"), "must be a whole number from 1 to 1000000000"),
    (("--subject", "a", "--rate-limit", "1_0"), "must be a whole number from 1 to 1000000000"),
    (("--subject", "a", "--rate-limit", "٣"), "must be a whole number from 1 to 1000000000"),
    (("--subject", "a", "--rate-limit", "1", "--days", "0"), "must be a whole number from 1 to 3650"),
    (("--subject", "a", "--rate-limit", "1", "--days", "3651"), "must be a whole number from 1 to 3650"),
    (("--subject", "a", "--rate-limit", "1", "--days", "9" * 5000), "must be a whole number from 1 to 3650"),
    (("inspct",), "invalid choice"),
]


@pytest.mark.parametrize(("argv", "sentence"), WRONG)
def test_wrong_usage_is_2_and_mints_nothing(
    argv: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*argv)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err


def test_without_a_secret_nothing_is_minted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="JWT_SECRET must be set"):
        run(*MINT, keys=no_secret)
    assert capsys.readouterr().out == ""


def test_a_service_token_is_printed_readable(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", GOOD_SERVICE) == 0
    assert capsys.readouterr().out == (
        "kind: service token\n"
        "header alg: HS256\n"
        "header typ: JWT\n"
        f"claim iss: {ISSUER}\n"
        "claim aud: arsenal-identity\n"
        "claim sub: sports-book\n"
        "claim scope: issue revoke\n"
        "claim rate_limit: 1000000\n"
        "claim iat: 1795341600 (2026-11-22T10:00:00.000Z)\n"
        "claim exp: 1803117600 (2027-02-20T10:00:00.000Z)\n"
        "claim jti: c2VjcmV0IG51bWJlcg\n"
        f"id: {token_id(GOOD_SERVICE)}\n"
        "verifies: yes\n"
    )


@pytest.mark.parametrize("argv", [("inspect",), ("inspect", "-")])
@pytest.mark.parametrize("end", [b"", b"\n", b" \r\n\t"])
def test_a_token_may_be_piped_in(
    argv: tuple[str, ...], end: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, GOOD_IDENTITY.encode() + end)
    assert run(*argv) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("kind: identity token\n")
    assert printed.endswith("verifies: yes\n")


@pytest.mark.parametrize("octets", [b"", b"\xff\xfe\n", b"\0" * 10, b"null\n", b"A" * 10_000_000])
def test_whatever_is_piped_in_it_is_no_token(
    octets: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, octets)
    assert run("inspect") == 1
    assert capsys.readouterr().out.startswith("verifies: no. The t")


def kind_by_aud(token: str) -> str | None:
    """What inspecting takes it for; None where it can't be read."""
    seen = peek(token)
    return None if isinstance(seen, Refusal) else "service" if "aud" in seen.claims else "identity"


READABLE = [bad for bad in BAD if kind_by_aud(bad.token) == bad.kind]


def test_a_bad_token_is_1_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(READABLE) > 200
    for bad in READABLE:
        assert run("inspect", "--", bad.token) == 1, bad.name
        assert capsys.readouterr().out.endswith(f"\nverifies: no. {bad.refusal.sentence}\n"), bad.name


def test_what_can_not_be_read_is_1_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    for bad in BAD:
        if kind_by_aud(bad.token) is None:
            assert run("inspect", "--", bad.token) == 1, bad.name
            assert capsys.readouterr().out.startswith("verifies: no. The t"), bad.name


def test_a_token_is_shown_though_it_does_not_verify(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", signed(HEADER, SERVICE_CLAIMS, PREVIOUS)) == 1
    printed = capsys.readouterr().out
    assert "claim sub: sports-book\n" in printed
    assert printed.endswith("verifies: no. The token was not signed by this service, or was changed afterwards.\n")


def test_without_keys_a_token_is_shown_and_not_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", GOOD_SERVICE, keys=no_secret) == 1
    printed = capsys.readouterr().out
    assert "claim sub: sports-book\n" in printed
    assert printed.endswith("verifies: no. JWT_SECRET must be set.\n")


def test_nothing_in_a_token_reaches_the_terminal_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]0;owned\x07\r\nverifies: yes\x7f\x9b2J\u202e"
    claims = {hostile: 1, "sub": hostile, "list": [hostile], "exp": -1, "iat": 10**30, "nbf": True}
    assert run("inspect", signed(HEADER | {"kid": hostile}, claims)) == 1
    printed = capsys.readouterr().out
    assert all(" " <= character <= "~" for character in printed.replace("\n", ""))
    assert [line for line in printed.splitlines() if line.startswith("verifies")] == [
        "verifies: no. The token was issued by another service, or under another API_BASE_URL."
    ]
    assert json.dumps(hostile)[1:5] in printed


def test_no_more_of_stdin_is_read_than_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = io.BytesIO(b"A" * 10_000_000)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(endless, 1)))
    assert run("inspect") == 1
    assert endless.tell() <= 4 * MAX_TOKEN


def test_help_has_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert (
        "arsenal-fast token mint --subject sports-book --scope issue,revoke,audit --rate-limit 1000000 --days 90"
        in text
    )
    assert "inspect" in text


def test_a_program_gets_a_new_token_and_what_it_allows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("mint", *MINT, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    token = told.pop("token")
    assert told == {
        "id": token_id(token),
        "subject": "sports-book",
        "issuer": ISSUER,
        "scope": "issue revoke audit",
        "rate_limit": 1_000_000,
        "per_subject": None,
        "expires": "2027-02-20T10:01:40.000Z",
    }
    file = tmp_path / "book.token"
    assert run("mint", *MINT, "--json", "--out", str(file)) == 0
    assert json.loads(capsys.readouterr().out)["id"] == token_id(file.read_text().strip())


def test_a_program_gets_what_a_token_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", "--json", GOOD_SERVICE) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["id"], told["verifies"], told["fault"]) == (
        "service",
        token_id(GOOD_SERVICE),
        True,
        None,
    )
    assert (told["header"], told["claims"]) == (HEADER, SERVICE_CLAIMS)
    assert run("inspect", "--json", GOOD_IDENTITY) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], "id" in told) == ("identity", False)
    assert run("inspect", "--json", "nonsense") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["verifies"], told.keys()) == (False, {"verifies", "fault"})
