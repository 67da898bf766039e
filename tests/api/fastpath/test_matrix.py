"""The fast path gives the responses of the handlers in every configuration.

Nine things that differ between installations and clients have three values each. All together would be 19,683 setups;
81 of them are enough for every three values of different things to meet (an orthogonal array of strength 3). Each setup
goes through all phases of a worker.
"""

from collections.abc import Iterator
from itertools import combinations, product

import pytest

from arsenal_fast.api.admission import OnFailure
from arsenal_fast.ratelimit.quota import Quota
from tests.support.both_paths import (
    FILE,
    ORIGINS,
    PLAYER_1,
    PROXY,
    Comparison,
    Event,
    Packet,
    Script,
    Setup,
    bearer,
    get,
    one_by_one,
    post,
    steps,
)
from tests.support.rig import PEER

COLUMNS = [(0, 1, 0, 0), *[(1, -(a * a + b * b), a, b) for a, b in product(range(3), repeat=2)][:8]]
"""Of any three of these vectors over GF(3) none is a sum of the others (they lie on an elliptic quadric)."""

ROWS = [
    tuple(sum(x * y for x, y in zip(row, column, strict=True)) % 3 for column in COLUMNS)
    for row in product(range(3), repeat=4)
]

QUOTAS = (None, Quota(25, 3600), Quota(100_000, 3600))
LEDGERS = ("none", "here", "away")
NETWORKS = ("direct", "proxied", "ingress")
CALLERS = ("", bearer("shop", "issue", 1000), bearer("desk", "revoke,audit", 1000))
CORS = ((), ORIGINS[:1], ORIGINS)
ACCESS_LOGS = ("off", "errors", "all")
DELIVERIES = ("whole", "byte by byte", "pipelined")
DRAINS = ("never", "at the end", "with a request on its way")

INGRESS = (
    "X-Real-Ip: 198.51.100.{host}\r\nX-Forwarded-For: 198.51.100.{host}, 10.0.0.7\r\nX-Forwarded-Host: h\r\n"
    "X-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\nX-Scheme: https\r\n"
    "Forwarded: for=198.51.100.{host};proto=https\r\nVia: 1.1 edge-{host}\r\nX-Request-ID: r{number}\r\n"
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033{number:02x}-01\r\n"
    "User-Agent: a client\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nAccept-Language: en\r\n"
)
FIELDS = {
    "direct": "User-Agent: a client\r\nX-Forwarded-For: 198.51.100.9\r\n",
    "proxied": "X-Forwarded-For: 198.51.100.{host}\r\nX-Request-ID: r{number}\r\n",
    "ingress": INGRESS,
}

TWO = '{"environments":[{"name":"a","prefix":"player","run":"1"},{"name":"b","prefix":"bot","run":"2"}]}'
VERDICT, ID = f'{{"identity":"{PLAYER_1}"}}', "/api/v1/id?prefix=player&run=1"
HEAD = Packet(0, [b"HEAD " + get(ID).pieces[0][len(b"GET ") :]])
VIP = ID.replace("player", "vip")

NEW = iter(range(1_000))


def use() -> Script:
    """What clients do, with two identities that are new."""
    return steps(
        *[get(ID)] * 3,
        *(HEAD, get(ID)),
        *[get(f"/api/v1/id?prefix=player&run=new-{next(NEW)}") for _ in range(2)],
        *[get("/api/v1/id?prefix=player")] * 2,
        *[get(VIP)] * 3,
        *[get(f"{ID}&ttl=60")] * 2,
        *[post("/api/v1/validate", VERDICT)] * 4,
        *[post("/api/v1/identities", TWO)] * 4,
    )


EVERYTHING: Script = steps(
    use(),
    use(),
    *(get("/api/v1/limits"), get("/api/health/live"), get("/api/v1/nothing"), get("/api/v1/id?run=")),
    *(get("/api/v1/id?prefix=a-b&run=1"), get("/api/v1/id?prefix=player&run=%31"), post("/api/v1/id", "{}")),
    *(post("/api/v1/validate", '{"identity":'), post("/api/v1/validate", VERDICT, "Content-Type: text/plain\r\n")),
    *(Packet(0, [b"OPTIONS " + each.pieces[0][len(b"GET ") :]]) for each in (get(ID), get("/api/v1/nothing"))),
    get(ID),
    Event("advance", 2701),  # it is time to renew
    use(),
    Event("advance", 3601),  # it has expired
    *(post("/api/v1/validate", VERDICT), get(ID), get(ID)),
    Event("advance", 1),
    Event("revoke", PLAYER_1),
    *(post("/api/v1/validate", VERDICT), *[get(ID)] * 2, *[post("/api/v1/identities", TWO)] * 2),
    Event("advance", 1),
    *(post("/api/v1/revoke", VERDICT), post("/api/v1/validate", VERDICT), get(ID), get(ID)),
    get("/api/v1/audit?prefix=player"),
    Event("away", True),
    use(),
    Event("away", False),
    *[get(ID)] * 3,
)
FAULTS = steps(
    *(
        steps(Event("connect", 0), *[get(ID)] * 2, Packet(0, [fault]))
        for fault in (
            get(ID).pieces[0].replace(b"HTTP/1.1", b"HTTP/1.0"),
            get(ID).pieces[0].replace(b"HTTP/1.1", b"HTTP/2.0"),
            get(ID).pieces[0].replace(b"GET", b"BREW"),
            get(ID).pieces[0].replace(b"Host: h", b"Host : h"),
            get(ID).pieces[0].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
            get(ID, "X-A: \0\r\n").pieces[0],
            get(f"/{'a' * 9000}").pieces[0],
            post("/api/v1/validate", VERDICT, "Content-Length: 3\r\n").pieces[0],
        )
    )
)
DRAIN: dict[str, Script] = {
    "never": [],
    "at the end": steps(Event("drain"), use()),
    "with a request on its way": steps(
        *(Event("connect", 0), get(ID), get(ID), Event("hold", True), get(ID), Event("drain"), Event("hold", False)),
        use(),
    ),
}


def with_fields(script: Script, network: str, caller: str) -> Iterator[Packet | Event]:
    """The script with what the network and the caller add to each request."""
    for number, step in enumerate(script):
        if isinstance(step, Event):
            yield step
            continue
        origin = f"Origin: {ORIGINS[number % 2]}\r\n" if number // 8 % 2 else ""
        fields = FIELDS[network].format(host=1 + number // 4 % 3, number=number % 100)
        octets = b"".join(step.pieces).replace(b"\r\n", f"\r\n{fields}{origin}{caller}".encode(), 1)
        yield Packet(step.connection, [octets])


def delivered(script: list[Packet | Event], delivery: str) -> Iterator[Packet | Event]:
    """The script with some of its requests cut or joined, others whole: the fast path has to come and go."""
    waiting: list[bytes] = []
    for number, (step, following) in enumerate(zip(script, [*script[1:], None], strict=True)):
        if isinstance(step, Event) or delivery == "whole":
            yield step
        elif delivery == "pipelined":
            waiting.append(step.pieces[0])
            if not isinstance(following, Packet):
                yield from (Packet(0, [piece]) for piece in joined(waiting))
                waiting = []
        else:
            octets = step.pieces[0]
            yield step if number % 7 else Packet(0, [octets[index : index + 1] for index in range(len(octets))])


def joined(messages: list[bytes], trailing: int = 7) -> Iterator[bytes]:
    """The bytes of all messages: three whole ones, three in one piece with the beginning of the next, and again."""
    octets, begin, end = b"".join(messages), 0, 0
    for number, message in enumerate(messages):
        end += len(message)
        if number % 6 < 3:
            yield octets[begin:end]
            begin = end
        elif number % 6 == 5 or end == len(octets):
            yield octets[begin : end + trailing]
            begin = min(end + trailing, len(octets))


@pytest.mark.parametrize("fetches", [False, True])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: "".join(map(str, row)))
def test_both_paths_give_the_same_octets_in_this_setup(row: tuple[int, ...], fetches: bool) -> None:
    ledger, network, caller, cors, access_log, delivery, quota, failure, drain = row
    setup = Setup(
        quota=QUOTAS[quota],
        on_failure=tuple(OnFailure)[failure],
        ledger=LEDGERS[ledger],
        peer=PEER if NETWORKS[network] == "direct" else PROXY,
        origins=CORS[cors],
        access_log=ACCESS_LOGS[access_log],
        reopens=True,
        fetches=fetches,
    )
    script = [*EVERYTHING, *FAULTS, *DRAIN[DRAINS[drain]]]
    compare(setup, script, network, caller, delivery)


@pytest.mark.parametrize("fetches", [False, True])
@pytest.mark.parametrize("row", [row for row in ROWS if row[6] == 0], ids=lambda row: "".join(map(str, row)))
def test_both_paths_give_the_same_octets_with_a_limits_file(row: tuple[int, ...], fetches: bool) -> None:
    ledger, network, caller, cors, access_log, delivery, _, failure, drain = row
    setup = Setup(
        policies=FILE,
        on_failure=tuple(OnFailure)[failure],
        ledger=LEDGERS[ledger],
        peer=PEER if NETWORKS[network] == "direct" else PROXY,
        origins=CORS[cors],
        access_log=ACCESS_LOGS[access_log],
        reopens=True,
        fetches=fetches,
    )
    script = [*EVERYTHING, *FAULTS, *DRAIN[DRAINS[drain]]]
    comparison = compare(setup, script, network, caller, delivery)
    assert comparison.fast.rig.service.metrics.shadow_refused


def compare(setup: Setup, script: Script, network: int, caller: int, delivery: int) -> Comparison:
    comparison = Comparison(setup)
    with_callers = list(with_fields(script, NETWORKS[network], CALLERS[caller]))
    packets = list(delivered(with_callers, DELIVERIES[delivery]))
    comparison.take(one_by_one(packets) if setup.fetches else packets)
    assert len(comparison.fast.recognized) >= 12, "the fast path was taken"
    assert not comparison.slow.recognized
    return comparison


def test_every_three_values_of_different_things_meet() -> None:
    for columns in combinations(range(len(COLUMNS)), 3):
        met = {tuple(row[column] for column in columns) for row in ROWS}
        assert len(met) == 27
