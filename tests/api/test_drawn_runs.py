"""The token of an identity with a drawn run is only in the response to the request that drew it.

The attack: a client that knows such an identity names its run in a request, to get the token and to revoke the
identity with it. First with real stores, a real ledger and an event loop; then without stores.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
import pytest

from arsenal_fast.api.handlers.identities import RESERVED
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.stores.redis.backend import RedisBackend
from tests.support.ledger import running
from tests.support.loops import run, until
from tests.support.rig import Answer, Client, Rig, read_answers, request

UNLIMITED: dict[str, Any] = {"quota": None}
ISSUE, BATCH, VALIDATE, REVOKE = "/api/v1/id", "/api/v1/identities", "/api/v1/validate", "/api/v1/revoke"
DOMAIN = "sports.api.yourbook.com"
OWN = {"name": "mine", "prefix": "player", "run": "7"}

Open = Callable[[], AbstractAsyncContextManager[Rig]]


def post(target: str, body: object, **headers: str) -> bytes:
    return request("POST", target, orjson.dumps(body), Content_Type="application/json", **headers)


def get(query: str, method: str = "GET", path: str = ISSUE) -> bytes:
    return request(method, f"{path}?{query}")


def rows(*environments: dict[str, str], **members: object) -> bytes:
    return post(BATCH, {"environments": list(environments), **members})


def escaped(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def ways(drawn: str) -> dict[str, tuple[bytes, dict[str, str]]]:
    """Each way to name a run: the request, and what its refusal must point at."""
    parameter = {"parameter": "run"}
    named = {"name": "x", "prefix": "bot", "run": drawn}
    return {
        "the usual line": (get(f"prefix=bot&run={drawn}"), parameter),
        "the other order": (get(f"run={drawn}&prefix=bot"), parameter),
        "another parameter": (get(f"prefix=bot&run={drawn}&utm_source=1"), parameter),
        "a ttl": (get(f"prefix=bot&run={drawn}&ttl=60"), parameter),
        "the default spelled out": (get(f"prefix=bot&run={drawn}&domain={DOMAIN}&version=v1"), parameter),
        "the domain in capitals": (get(f"prefix=bot&run={drawn}&domain={DOMAIN.upper()}"), parameter),
        "the run in capitals": (get(f"prefix=bot&run={drawn.upper()}"), parameter),
        "another prefix": (get(f"prefix=other&run={drawn}"), parameter),
        "no prefix": (get(f"run={drawn}"), parameter),
        "another domain": (get(f"prefix=bot&run={drawn}&domain=a.example"), parameter),
        "another version": (get(f"prefix=bot&run={drawn}&version=v2"), parameter),
        "an escaped beginning": (get(f"prefix=bot&run=%5F{drawn[1:]}"), parameter),
        "escapes": (get(f"prefix={escaped('bot')}&run={escaped(drawn)}"), parameter),
        "an escaped name": (get(f"prefix=bot&r%75n={drawn}"), parameter),
        "an escaped path": (get(f"prefix=bot&run={drawn}", path="/api/v1/%69d"), parameter),
        "the absolute form": (get(f"prefix=bot&run={drawn}", path=f"http://identity{ISSUE}"), parameter),
        "a batch of one": (rows(named), {"pointer": "/environments/0/run"}),
        "a batch with others": (rows(OWN, named, OWN), {"pointer": "/environments/1/run"}),
        "a batch of another ttl": (rows(OWN, named, ttl=60), {"pointer": "/environments/1/run"}),
        "a batch of the domain": (rows(named, domain=DOMAIN.upper()), {"pointer": "/environments/0/run"}),
        "a batch without a prefix": (rows({"name": "x", "run": drawn}), {"pointer": "/environments/0/run"}),
    }


async def ask(client: Client, octets: bytes) -> Answer:
    """The answer to one request, by however many turns of both loops."""
    client.deliver(octets)

    def answered() -> bool:
        client.rig.tick()
        return bool(client.transport.written)

    await until(answered)
    return read_answers(client.take(), [octets.split(b" ", 1)[0].decode()])[0]


@pytest.fixture(params=["no ledger", "sqlite"])
def ledger_of(request: pytest.FixtureRequest) -> str | None:
    if request.param == "no ledger":
        return None
    url: str = request.getfixturevalue("sqlite_url")
    return url


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def opened(request: pytest.FixtureRequest, ledger_of: str | None) -> Open:
    """A worker over each store, with a ledger and without one, by the time of the machine as Redis has it."""
    url = request.getfixturevalue("redis").url if request.param == "redis" else None

    @asynccontextmanager
    async def opening() -> AsyncIterator[Rig]:
        async with AsyncExitStack() as stack:
            store = ledger = None
            if url is not None:
                store = RedisBackend(url, timeout=5, jitter=lambda: 0.5)
                await store.start()
                stack.push_async_callback(store.close)
            if ledger_of is not None:
                ledger = await stack.enter_async_context(running(Ledger(ledger_of, timeout=5)))
            rig = Rig(settings=UNLIMITED, store=store, ledger=ledger)
            rig.wall = time.time()
            yield rig

    return opening


def test_naming_a_drawn_run_is_refused_and_its_holder_can_use_it(opened: Open) -> None:
    async def main() -> None:
        async with opened() as rig:
            victim, attacker = rig.connect(("198.51.100.1", 1)), rig.connect(("198.51.100.2", 2))
            held = (await ask(victim, get("prefix=bot"))).json
            look = post(VALIDATE, {"identity": held["id"]})
            # Every client may validate, and this worker then caches the identity.
            for _ in range(2):
                assert (await ask(attacker, look)).json["status"] == "active"
                assert (await ask(attacker, get("prefix=player&run=7"))).status == 200
            for way, (octets, place) in ways(held["metadata"]["run"]).items():
                for _ in range(3):  # the third one would be answered from what was remembered of two
                    answer = await ask(attacker, octets)
                    assert answer.status == 400, way
                    assert answer.json["errors"] == [{**place, "detail": RESERVED}], way
                assert held["token"].encode() not in attacker.octets
            assert (await ask(victim, look)).json["status"] == "active"
            proof = {"identity": held["id"], "token": held["token"]}
            assert (await ask(victim, post(VALIDATE, proof))).json["valid"] is True
            assert (await ask(attacker, post(REVOKE, {"identity": held["id"]}))).status == 401
            assert (await ask(victim, post(REVOKE, proof))).status == 200
            assert (await ask(victim, look)).json["status"] == "revoked"
            assert (await ask(attacker, get(f"prefix=bot&run={held['metadata']['run']}"))).status == 400

    run(main())


def test_naming_a_drawn_run_of_a_batch_is_refused(opened: Open) -> None:
    async def main() -> None:
        async with opened() as rig:
            victim, attacker = rig.connect(), rig.connect(("198.51.100.2", 2))
            octets = rows(OWN, {"name": "new", "prefix": "bot"}, {"name": "newer", "prefix": "bot"})
            batches = [(await ask(victim, octets)).json["identities"] for _ in range(4)]
            drawn = [row for batch in batches for row in batch[1:]]
            assert len({row["id"] for row in drawn}) == 8, "the same body means other identities each time"
            assert len({row["token"] for row in drawn}) == 8
            assert len({batch[0]["token"] for batch in batches}) == 1
            for row in drawn:
                run_ = row["id"].partition("@")[0].partition("-")[2]
                for way, (octets, _) in ways(run_).items():
                    assert (await ask(attacker, octets)).status == 400, way
                proof = {"identity": row["id"], "token": row["token"]}
                assert (await ask(victim, post(VALIDATE, proof))).json["valid"] is True

    run(main())


def test_the_audit_finds_a_drawn_run(sqlite_url: str) -> None:
    async def main() -> None:
        async with running(Ledger(sqlite_url, timeout=5)) as ledger:
            rig = Rig(settings=UNLIMITED, ledger=ledger)
            client = rig.connect()
            held = (await ask(client, get("prefix=bot"))).json
            target = f"/api/v1/audit?prefix=bot&run={held['metadata']['run']}"
            page = (await ask(client, request("GET", target, Authorization=rig.bearer("audit")))).json
            assert [event["run"] for event in page["events"]] == [held["metadata"]["run"]]

    run(main())


# Without a store or a ledger


@pytest.mark.parametrize("way", ways("_"))
@pytest.mark.parametrize("fast_path", [True, False])
def test_no_store_is_asked_whether_a_run_was_drawn(way: str, fast_path: bool) -> None:
    first = Rig(settings=UNLIMITED, switched=True)
    drawn = first.get(f"{ISSUE}?prefix=bot").json["metadata"]["run"]
    rig = Rig(settings=UNLIMITED, switched=True, fast_path=fast_path)  # another replica, whose store was flushed
    client = rig.connect()
    for away in (False, True):
        rig.shared.away = away
        for _ in range(3):
            client.send(ways(drawn)[way][0])
            assert client.answers("GET")[0].status == 400
    assert not rig.shared.issues
    assert not rig.shared.finds
    assert rig.service.metrics.identity_issued_without_store == 0
    assert len(rig.service.response_cache.by_line) == 0


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_service_token_of_scope_issue_is_refused_too(method: str) -> None:
    rig = Rig(settings={"protected_prefixes": frozenset({"bot"})})
    bearer = rig.bearer("issue", "revoke", "audit")
    drawn = rig.get(f"{ISSUE}?prefix=bot", Authorization=bearer).json["metadata"]["run"]
    target = f"{ISSUE}?prefix=bot&run={drawn}"
    assert rig.connect().get(target, method=method, Authorization=bearer).status == 400


FORM = "_1m81b5h80000g40r40m30e209"
FREE = ["_", "_1", FORM[:-1], FORM + "0", "0" + FORM[1:], "-" + FORM, FORM[:-1] + "l", FORM + ".a"]


@pytest.mark.parametrize("named", FREE)
@pytest.mark.parametrize("fast_path", [True, False])
def test_a_run_that_resembles_a_drawn_one_can_be_named(named: str, fast_path: bool) -> None:
    rig = Rig(settings=UNLIMITED, fast_path=fast_path)
    bodies = {rig.get(f"{ISSUE}?prefix=bot&run={named}").body for _ in range(3)}
    assert len(bodies) == 1
    batch = {"environments": [{"name": "x", "prefix": "bot", "run": named}]}
    tokens = {rig.post(BATCH, batch).json["identities"][0]["token"] for _ in range(3)}
    assert tokens == {orjson.loads(bodies.pop())["token"]}
