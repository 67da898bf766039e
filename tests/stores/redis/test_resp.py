"""RESP packing and the meaning of error replies."""

import hiredis
import pytest
from hiredis import ReplyError
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.stores.redis.resp import bulk, error_code, is_noscript, outage, pack


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
def test_a_packed_command_is_what_hiredis_packs(arguments: list[bytes]) -> None:
    packed = hiredis.pack_command(tuple(arguments))  # type: ignore[arg-type]  # its stub wants one item
    assert pack(*arguments) == packed


def test_bulk_counts_octets() -> None:
    assert bulk("é".encode()) == b"$2\r\n\xc3\xa9\r\n"


SIX = "ERR Error running script (call to f_0123456789abcdef): @user_script:9: @user_script: 9: -"

OUTAGES = [
    ("LOADING Redis is loading the dataset in memory", "LOADING"),
    ("READONLY You can't write against a read only replica.", "READONLY"),
    ("READONLY You can't write against a read only replica. script: 01ab, on @user_script:27.", "READONLY"),
    ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
    ("OOM command not allowed when used memory > 'maxmemory'. script: 01ab, on @user_script:27.", "OOM"),
    (SIX + "OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
    (SIX + "READONLY You can't write against a read only replica.", "READONLY"),
    (SIX + "MISCONF Redis is configured to save RDB snapshots", "MISCONF"),
    ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "MASTERDOWN"),
    ("CLUSTERDOWN The cluster is down", "CLUSTERDOWN"),
    ("NOAUTH Authentication required.", "NOAUTH"),
    ("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS"),
    ("NOPERM this user has no permissions to run the 'evalsha' command", "NOPERM"),
    ("BUSY Redis is busy running a script.", "BUSY"),
    ("MISCONF Errors writing to the AOF file", "MISCONF"),
    ("TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN"),
    ("MOVED 3999 127.0.0.1:6381", "MOVED"),
    ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS"),
    ("DENIED Redis is running in protected mode", "DENIED"),
    ("ERR max number of clients reached", "max number of clients"),
]

NO_OUTAGES = [
    "ERR unknown command 'EVALSHA', with args beginning with: 'READONLY'",
    "ERR wrong number of arguments for 'get' command",
    "ERR value is -OOM not an integer",
    "ERR user_script:1: something with : -OOM in it",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "NOSCRIPT No matching script. Please use EVAL.",
    "OOMPH is no code",
    "BUSYKEY Target key name already exists.",
    "LOADINGS",
    "xLOADING",
    "",
]


@pytest.mark.parametrize(("text", "code"), OUTAGES)
def test_an_outage_is_known_by_its_code_also_within_a_script_error(text: str, code: str) -> None:
    assert outage(ReplyError(text)) == code


@pytest.mark.parametrize("text", NO_OUTAGES)
def test_any_other_error_is_no_outage(text: str) -> None:
    assert outage(ReplyError(text)) is None


def test_noscript_is_the_one_that_is_repaired() -> None:
    assert is_noscript(ReplyError("NOSCRIPT No matching script. Please use EVAL."))
    assert not is_noscript(ReplyError("ERR NOSCRIPT"))
    assert not is_noscript(b"NOSCRIPT")
    assert not is_noscript(None)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("WRONGPASS invalid username-password pair", "WRONGPASS"),
        ("ERR unknown command 'AUTH', with args beginning with: 'hunter2'", "ERR"),
        ("hunter2 is not known here", "ERR"),
        ("", "ERR"),
    ],
)
def test_only_the_code_of_an_error_is_shown(text: str, code: str) -> None:
    assert error_code(ReplyError(text)) == code
