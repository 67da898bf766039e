"""The phase of a worker, and the health of its services."""

import pytest

from arsenal_fast.api.services import decoded
from tests.support.ledgers import SwitchedLedger
from tests.support.rig import START, Rig

STATUS = [
    # ready, draining, store away, ledger away -> status
    (False, False, False, False, "unhealthy"),
    (True, False, False, False, "healthy"),
    (True, True, False, False, "unhealthy"),
    (True, False, True, False, "degraded"),
    (True, False, False, True, "degraded"),
    (True, True, True, True, "unhealthy"),
]


@pytest.mark.parametrize(("ready", "draining", "store_away", "ledger_away", "status"), STATUS)
def test_the_status_follows_from_life_store_and_ledger(
    ready: bool, draining: bool, store_away: bool, ledger_away: bool, status: str
) -> None:
    ledger = SwitchedLedger()
    rig = Rig(ledger=ledger, switched=True)
    rig.service.ready, rig.service.draining = ready, draining
    rig.shared.away, ledger.away = store_away, ledger_away
    assert rig.service.status == status


def test_without_a_ledger_none_is_missed() -> None:
    assert (Rig().service.status, Rig().service.ledger_status) == ("healthy", "disabled")
    ledger = SwitchedLedger()
    rig = Rig(ledger=ledger)
    assert rig.service.ledger_status == "healthy"
    ledger.away = True
    assert rig.service.ledger_status == "unavailable"


def test_the_wall_clock_is_told_in_whole_milliseconds() -> None:
    rig = Rig()
    rig.wall = START + 0.0019
    assert rig.service.now_ms() == int(START) * 1000 + 1


def test_each_run_is_another_one_at_the_same_moment() -> None:
    service = Rig().service
    assert len({service.draw_run() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("path", "read"),
    [(b"/a", b"/a"), (b"/%61", b"/a"), (b"/%C3%A9", "/\u00e9".encode()), (b"/a%2Fb", b"/a/b"), (b"", b"")],
)
def test_escapes_of_a_path_are_read(path: bytes, read: bytes) -> None:
    assert decoded(path) == read


@pytest.mark.parametrize("path", [b"/%", b"/%4", b"/%zz", b"/%ff"])
def test_a_path_with_bad_escapes_is_not_read(path: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decoded(path)
