"""``arsenal-fast top``: the table, the JSON, and what it says where the service gives nothing."""

import json
from http.client import HTTPException
from typing import Any
from urllib.request import urlopen

import pytest

from arsenal_fast.cli import top
from arsenal_fast.cli.main import main
from tests.support.service import ServiceProcess

SECRET = "a secret of this test, 40 octets long...."


def document(**callers: Any) -> dict[str, Any]:
    empty = {"seconds": 0.0, "heaviest": [], "heaviest_error": 0, "most_refused": [], "most_refused_error": 0}
    return {
        "status": "healthy",
        "workers": 2,
        "limiter": {"allowed": 4715, "denied": 7},
        "callers": {**empty, **callers},
    }


def test_the_table_has_both_lists_with_their_error() -> None:
    heaviest = [{"client": "203.0.113.9", "requests": 4711}, {"client": "sub:bot>tg-\u001b", "requests": 4}]
    lines = list(top.table(document(seconds=100.0, heaviest=heaviest, heaviest_error=3)))
    assert lines == [
        "healthy, 2 workers; the last 100 s. Since the start: 4715 allowed, 7 refused.",
        "",
        "MOST REQUESTS     A SECOND  CLIENT",
        "4711                  47.1  203.0.113.9",
        "4                      0.0  sub:bot>tg-\\u001b",
        "Each may have up to 3 more.",
        "",
        "MOST REFUSED      A SECOND  CLIENT",
        "none",
    ]


def test_live_it_clears_the_screen_and_reads_again(capsys: pytest.CaptureFixture[str]) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        top.show(document, pause_s=2, wait=wait)
    assert waits == [2, 2]
    assert capsys.readouterr().out.count("\x1b[H\x1b[2Jhealthy") == 2


def test_json_is_the_callers_of_one_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert top.show(document, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == document()["callers"]


@pytest.mark.parametrize("error", [OSError("refused"), HTTPException("refused"), ValueError("refused")])
def test_a_service_that_gives_nothing_is_one_sentence(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def fetch() -> dict[str, Any]:
        raise error

    assert top.show(fetch) == 1
    assert capsys.readouterr() == ("", "The service does not answer: refused.\n")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:3655", "http://"])
def test_what_is_no_url_is_said(url: str) -> None:
    with pytest.raises(ValueError, match="is no URL of a service"):
        top.telemetry(url, "x", own=False)


@pytest.mark.integration
def test_it_names_the_callers_of_a_running_service(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ServiceProcess(JWT_SECRET=SECRET) as service:
        for _ in range(3):
            urlopen(f"http://127.0.0.1:{service.port}/api/v1/id?run=1").close()
        for name, value in {"JWT_SECRET": SECRET, "HOST": "127.0.0.1", "PORT": str(service.port)}.items():
            monkeypatch.setenv(name, value)
        assert main(["top", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["heaviest"] == [{"client": "127.0.0.1", "requests": 3}]
        monkeypatch.setenv("JWT_SECRET", "another secret, which is 40 octets long..")
        assert main(["top", "--once"]) == 1
        assert "it names no callers: JWT_SECRET" in capsys.readouterr().err
