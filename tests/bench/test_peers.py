"""The rivals on this machine give the service's responses, and one that does not is detected."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from bench import BenchError, duties
from bench.duties import Answer, Candidate, objections
from bench.load import seed
from bench.peers import BUN, FASTAPI, FASTHTTP, PEERS, versions
from bench.rounds import Running, running_server, seeded
from bench.servers import SERVICE, Server
from bench.workloads import WORKLOADS

HEADERS = frozenset({"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "date"})
DOCUMENT = {"id": "player-1", "ttl": 3600, "generated": "now", "token": "a.b.c", "metadata": {"run": "1"}}
RIVALS = (BUN, FASTHTTP, FASTAPI)


def answer(size: int = 600, headers: frozenset[str] = HEADERS, **changed: object) -> Answer:
    return Answer(headers, size, DOCUMENT | changed)


@pytest.mark.parametrize(
    ("own", "objection"),
    [
        (answer(), None),
        (answer(generated="later", token="d.e.f"), None),
        (answer(size=655), None),
        (answer(id="player-2"), "where the service answers"),
        (answer(metadata={"run": 1}), "where the service answers"),
        (answer(more=1), "where the service answers"),
        (answer(size=300), "300 bytes"),
        (answer(headers=HEADERS - {"x-ratelimit-reset"}), "sent no x-ratelimit-reset"),
    ],
)
def test_only_times_and_tokens_may_differ_from_the_services_answer(own: Answer, objection: str | None) -> None:
    found = objections(own, own, answer())
    assert [objection in one for one in found] == [True] if objection else not found


def test_another_token_for_the_same_question_is_an_objection_at_every_depth() -> None:
    first, second = ({"identities": [{"id": "x", "token": token}]} for token in ("a", "b"))
    own, again = (Answer(HEADERS, 100, document) for document in (first, second))
    assert objections(own, again, own) == ["gave another token to the same question"]


def test_rows_have_names_of_their_own_and_what_a_rival_needs_to_be_started() -> None:
    assert len({peer.name for peer in PEERS}) == len(PEERS)
    for rival in RIVALS:
        assert rival in PEERS
        command, environment = rival.filled(port=1, redis_port=2, redis_db=3, scratch="s")
        assert command
        assert environment["REDIS_URL"] == "redis://127.0.0.1:2/3"


@pytest.fixture(scope="module")
def service_and_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, int]]:
    with seeded([SERVICE], tmp_path_factory.mktemp("service")) as ((running,), redis_port):
        yield running, redis_port


def ask_all(service: Running, running: Running, redis_port: int, database: int) -> None:
    """The check that precedes a measurement, of each workload."""
    with redis.Redis(port=redis_port, db=0) as store, redis.Redis(port=redis_port, db=database) as own:
        first, other = Candidate(SERVICE, service.port, store), Candidate(running.server, running.port, own)
        for number, workload in enumerate(WORKLOADS):
            newcomer = 10 * database + number
            duties.check([first, other], workload.sample(service.suffix, newcomer), newcomer)


@pytest.mark.integration
@pytest.mark.parametrize(("database", "rival"), list(enumerate(RIVALS, 1)), ids=[rival.name for rival in RIVALS])
def test_a_rival_gives_the_services_answers_to_every_workload(
    database: int, rival: Server, service_and_redis: tuple[Running, int], tmp_path: Path
) -> None:
    service, redis_port = service_and_redis
    if reason := rival.left_out():
        pytest.skip(f"{rival.name}: {reason}")
    with running_server(rival, tmp_path, redis_port=redis_port, redis_db=database) as running:
        assert seed(running.port) == service.suffix
        ask_all(service, running, redis_port, database)
        assert "unknown" not in versions([rival])[rival.name]


@pytest.mark.integration
def test_a_server_that_keeps_no_counter_in_redis_is_refused(service_and_redis: tuple[Running, int]) -> None:
    service, redis_port = service_and_redis
    blind = Running(replace(SERVICE, name="blind", cell_keys="nothing:*"), service.pid, service.port)
    with pytest.raises(BenchError, match=r"blind can't be compared: it left 0 counters of a new client in Redis"):
        ask_all(service, blind, redis_port, 0)
