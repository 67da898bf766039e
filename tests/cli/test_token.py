"""`arsenal-fast token`: output and exit status."""

import argparse
import io
import json
from collections.abc import Callable

import pytest

from arsenal_fast.cli import token as token_command
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.tokens.claims import MAX_TOKEN, Refusal, ServiceToken, peek
from arsenal_fast.tokens.keys import Keys
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


def run(*argv: str, keys: Callable[[], Keys] = hs256_keys) -> int:
    parser = argparse.ArgumentParser(prog="arsenal-fast")
    token_command.add_parser(parser.add_subparsers(), keys, lambda: NOW)
    arguments = parser.parse_args(["token", *argv])
    status: int = arguments.command(arguments)
    return status


def pipe(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(octets)))


def test_the_token_alone_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*MINT) == 0
    printed = capsys.readouterr()
    assert hs256_keys().verify_service(printed.out.removesuffix("\n"), NOW) == ServiceToken(
        "sports-book", frozenset({"issue", "revoke", "audit"}), 1_000_000, int(NOW) + 90 * 86_400
    )
    assert printed.err == (
        f"For sports-book from {ISSUER}: scope issue revoke audit, 1000000 requests a window, "
        "until 2027-02-20T10:01:40.000Z.\n"
    )


def test_without_scope_and_days_it_allows_nothing_for_90_days(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--subject", "bot", "--rate-limit", "7") == 0
    printed = capsys.readouterr()
    assert hs256_keys().verify_service(printed.out.strip(), NOW) == ServiceToken(
        "bot", frozenset(), 7, int(NOW) + 90 * 86_400
    )
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
        "verifies: no. The token was issued by somebody else or under another API_BASE_URL."
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
    assert "arsenal-fast token --subject sports-book --scope issue,revoke,audit --rate-limit 1000000 --days 90" in text
    assert "inspect" in text
