"""Fetching a key set: discovery, bounds, and what is refused; the issuer is on the loopback."""

import asyncio
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from arsenal_fast.oidc.fetch import MAX_DOCUMENT, KeyFetcher, fetch
from tests.support.oidc_issuer import OidcIssuer

CONFIGURATION = "/.well-known/openid-configuration"


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with OidcIssuer() as issuer:
        yield issuer


def test_the_configuration_names_the_key_set(issuer: OidcIssuer) -> None:
    document = fetch(issuer.url, 5.0)
    assert document is not None
    assert [key["kid"] for key in document["keys"]] == ["k1"]
    assert issuer.requests == [CONFIGURATION, "/keys"]


def test_what_is_wrong_with_the_documents_is_logged(issuer: OidcIssuer, caplog: pytest.LogCaptureFixture) -> None:
    good = dict(issuer.documents)
    cases: dict[str, dict[str, bytes]] = {
        "of another issuer": {CONFIGURATION: json.dumps({"issuer": "https://evil.example"}).encode()},
        "must be an https URL": {CONFIGURATION: json.dumps({"issuer": issuer.url, "jwks_uri": "file:///a"}).encode()},
        "must be a URL": {CONFIGURATION: json.dumps({"issuer": issuer.url}).encode()},
        "no JSON object": {"/keys": b"[]"},
        "Expecting property name": {"/keys": b"{"},
        f"more than {MAX_DOCUMENT}": {"/keys": b" " * (MAX_DOCUMENT + 1)},
        "302": {"/keys": f"{issuer.url}/elsewhere".encode(), "/elsewhere": good["/keys"]},
    }
    for sentence, documents in cases.items():
        issuer.documents = {**good, **documents}
        caplog.clear()
        assert fetch(issuer.url, 5.0) is None, sentence
        assert sentence in caplog.text
    assert "/elsewhere" not in issuer.requests


def test_an_issuer_that_does_not_answer_takes_a_bounded_time_and_no_other_callback() -> None:
    """The loop goes on meanwhile, and the thread's late answer is dropped."""

    async def main(url: str) -> Mapping[str, Any] | None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Mapping[str, Any] | None] = loop.create_future()
        KeyFetcher(loop, timeout_s=0.05)(url, answer.set_result)
        return await answer

    with socket.create_server(("127.0.0.1", 0)) as server:
        assert asyncio.run(main(f"http://127.0.0.1:{server.getsockname()[1]}")) is None


def test_a_key_set_reaches_the_loop(issuer: OidcIssuer) -> None:
    async def main() -> Mapping[str, Any] | None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Mapping[str, Any] | None] = loop.create_future()
        KeyFetcher(loop)(issuer.url, answer.set_result)
        return await answer

    assert asyncio.run(main()) is not None
