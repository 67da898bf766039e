"""`arsenal-fast token list | revoke | limit`: what they print, change, and with which exit status."""

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from arsenal_fast.cli import token_ledger
from arsenal_fast.identity.amendments import LONGEST_MS, WITHDRAWN, Amendment, subject_key, token_key
from arsenal_fast.ledger.model import AuditQuery
from arsenal_fast.stores.redis.backend import RedisBackend
from arsenal_fast.tokens.claims import token_id
from tests.cli.test_token import run
from tests.support.ledger import opened
from tests.support.loops import Answer
from tests.support.loops import run as run_loop
from tests.support.redis_server import RedisServer
from tests.support.tokens import GOOD_SERVICE, NOW

NOW_MS = int(NOW * 1000)
UNKNOWN = "0123456789abcdef0123"


@pytest.fixture
def ledger(sqlite_url: str) -> str:
    opened(sqlite_url).close()
    return sqlite_url


def minted(ledger: str, capsys: pytest.CaptureFixture[str], subject: str = "bot", *further: str) -> str:
    """Mint a token; returns its id."""
    assert run("mint", "--subject", subject, "--rate-limit", "7", *further, ledger=ledger) == 0
    return token_id(capsys.readouterr().out.strip())


def amendments(ledger: str) -> dict[str, Amendment]:
    with closing(opened(ledger)) as store:
        return store.amendments()


def kinds(ledger: str) -> Sequence[str]:
    with closing(opened(ledger)) as store:
        return [event.kind for event in store.audit(AuditQuery(0, "me")).events]


def test_the_list_has_all_that_is_known(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    good, gone = minted(ledger, capsys, "bot", "--scope", "issue"), minted(ledger, capsys, "shop", "--name", "till 4")
    assert run("limit", good, "9", ledger=ledger) == 0
    assert run("revoke", gone, ledger=ledger) == 0
    capsys.readouterr()
    assert run("list", "--json", ledger=ledger) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[good] == {
        "id": good,
        "name": "bot",
        "subject": "bot",
        "scope": "issue",
        "rate_limit": 9,
        "per_subject": None,
        "issued": "2026-11-22T10:01:40.000Z",
        "expires": "2027-02-20T10:01:40.000Z",
        "created_by": "cli",
        "last_used": None,
        "status": "active",
    }
    assert (rows[gone]["name"], rows[gone]["status"]) == ("till 4", "revoked")
    assert run("list", ledger=ledger) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "status", "subject", "scope", "rate_limit", "expires", "last_used", "name"]
    assert sorted(line.split()[:3] for line in lines) == sorted([[good, "active", "bot"], [gone, "revoked", "shop"]])


def test_without_a_ledger_there_is_no_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 1
    assert "the ledger can't be used: the ledger is turned off" in capsys.readouterr().err


def test_a_withdrawal_stands_in_the_ledger_until_the_token_would_have_ended(
    ledger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one = minted(ledger, capsys)
    assert run("revoke", one, ledger=ledger) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (token_ledger.SOON + "\n", "")
    ends_ms = int(NOW) * 1000 + 90 * 86_400_000
    assert amendments(ledger) == {token_key(one): Amendment(NOW_MS, WITHDRAWN, ends_ms)}
    assert kinds(ledger) == ["token_revoked", "token_minted"]


def test_a_token_that_the_ledger_does_not_know_is_withdrawn_for_as_long_as_any_could_live(
    ledger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("revoke", UNKNOWN, ledger=ledger) == 0
    assert "does not know a token of this id" in capsys.readouterr().err
    assert amendments(ledger) == {token_key(UNKNOWN): Amendment(NOW_MS, WITHDRAWN, NOW_MS + LONGEST_MS)}


def test_a_token_minted_in_the_second_of_its_subject_s_withdrawal_is_good(
    ledger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = minted(ledger, capsys)
    assert run("revoke", "--subject", "bot", ledger=ledger) == 0
    after = minted(ledger, capsys)
    assert set(amendments(ledger)) == {subject_key("bot")}
    capsys.readouterr()
    assert run("list", "--json", ledger=ledger) == 0
    status = {row["id"]: row["status"] for row in json.loads(capsys.readouterr().out)}
    assert status == {before: "revoked", after: "active"}


def test_a_withdrawn_token_gets_no_other_limit(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    one = minted(ledger, capsys)
    assert run("revoke", one, ledger=ledger) == 0
    capsys.readouterr()
    assert run("limit", one, "9", ledger=ledger) == 1
    assert capsys.readouterr().err == "arsenal-fast: the token has been withdrawn.\n"
    assert kinds(ledger)[0] == "token_revoked"


def test_where_nothing_can_be_written_nothing_is_said_to_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("revoke", UNKNOWN) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert token_ledger.NOWHERE in printed.err


def test_a_redis_that_can_not_be_reached_is_1_though_the_ledger_has_it(
    ledger: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        return None

    monkeypatch.setattr(token_ledger, "share", away)
    assert run("revoke", UNKNOWN, ledger=ledger, redis="redis://127.0.0.1:1") == 1
    assert token_ledger.NOT_SHARED in capsys.readouterr().err
    assert set(amendments(ledger)) == {token_key(UNKNOWN)}


WRONG = [
    (("revoke",), "one of the arguments ID --subject is required"),
    (("revoke", "x"), "must be 20 of 0-9 a-f"),
    (("revoke", UNKNOWN, "--subject", "bot"), "not allowed with argument"),
    (("revoke", "--subject", "two words"), "A subject is 1 to 128 of"),
    (("limit", UNKNOWN), "the following arguments are required: N"),
    (("limit", UNKNOWN, "0"), "must be a whole number from 1 to 1000000000"),
]


@pytest.mark.parametrize(("argv", "sentence"), WRONG)
def test_wrong_usage_is_2(argv: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*argv)
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.integration
def test_what_was_withdrawn_is_told_to_redis(
    ledger: str, redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    one = token_id(GOOD_SERVICE)
    assert run("limit", one, "9", ledger=ledger, redis=redis.url) == 0
    assert run("revoke", one, ledger=ledger, redis=redis.url) == 0
    assert capsys.readouterr().out == f"{token_ledger.IN_FORCE}\n" * 2

    async def held() -> object:
        backend = RedisBackend(redis.url, timeout=5, jitter=lambda: 0.5)
        await backend.start()
        answer: Answer[object] = Answer()
        backend.revocations.changes(0, answer)
        changes = await answer.wait()
        await backend.close()
        return changes

    changes: object = None

    async def main() -> None:
        nonlocal changes
        changes = await held()

    run_loop(main())
    assert changes.amendments == amendments(ledger)  # type: ignore[attr-defined]
    assert set(amendments(ledger)) == {token_key(one)}


def test_a_program_learns_whether_a_change_is_in_force(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    token = minted(ledger, capsys)
    for asked in (("limit", token, "9"), ("revoke", token), ("revoke", "--subject", "bot")):
        assert run(*asked, "--json", ledger=ledger) == 0
        assert json.loads(capsys.readouterr().out) == {"in_force": False, "detail": token_ledger.SOON}


def test_the_list_makes_no_ledger_of_an_empty_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "identity.db"
    empty.touch()
    for asked in (("list",), ("inspect", GOOD_SERVICE)):
        run(*asked, ledger=f"sqlite:///{empty}")
        assert f"There is no ledger at {empty}: the file is empty." in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["identity.db"]
    assert not empty.stat().st_size
