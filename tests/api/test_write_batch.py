"""Responses of one turn are written together and in order, and no client can delay another."""

import logging

import pytest

from arsenal_fast.api.fastpath.render import RenderedIdentity
from tests.support.rig import Client, FakeTransport, Rig, request


def asking(rig: Rig, count: int) -> list[Client]:
    clients = [rig.connect((f"198.51.100.{number}", 40_000)) for number in range(count)]
    for number, client in enumerate(clients):
        client.deliver(request("GET", f"/api/v1/id?prefix=player&run={number}"))
    return clients


def test_all_answers_of_a_batch_are_made_before_the_first_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    events: list[str] = []
    clients = asking(rig, 3)
    render, write = RenderedIdentity.response, FakeTransport.write

    def noting_render(identity: RenderedIdentity) -> bytes:
        events.append("made")
        return render(identity)

    def noting_write(transport: FakeTransport, data: bytes) -> None:
        events.append("written")
        write(transport, data)

    monkeypatch.setattr(RenderedIdentity, "response", noting_render)
    monkeypatch.setattr(FakeTransport, "write", noting_write)
    rig.tick()
    assert events == ["made"] * 3 + ["written"] * 3
    assert [client.answers("GET")[0].status for client in clients] == [200] * 3


def test_a_client_whose_connection_fails_while_answers_leave_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    first, second, third = asking(rig, 3)

    def fail(*_: object) -> None:
        raise OSError("something unforeseen")

    monkeypatch.setattr(second.transport, "write", fail)
    with caplog.at_level(logging.ERROR):
        rig.tick()
    assert second.transport.aborted
    assert "failed on its way to its response" in caplog.text
    for client in (first, third):
        assert client.answers("GET")[0].status == 200


def test_an_answer_that_nobody_waits_to_be_made_leaves_at_once() -> None:
    rig = Rig()
    client = rig.connect()
    client.deliver(request("GET", "/api/health/live"))
    assert client.answers("GET")[0].status == 200
