"""What each stage of the hot path costs a request, with the octets that the workloads send.

Each benchmark says in ``extra_info`` of which workload and stage it is and for how many requests; the scenario
``stages`` of ``python -m bench`` makes the stacked bar of PERF.md of them.
"""

from typing import Any

import pytest

from arsenal_fast.http.parser import Limits, RequestParser
from bench.workloads import SERIAL, WORKLOADS, Workload

REQUESTS = 1_000
SUFFIX = "@sports.api.yourbook.com/v1:id"
EVERY = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)


def messages(workload: Workload) -> list[bytes]:
    """As wrk sends them on one connection, one by one."""
    return [
        record.replace(SERIAL, (workload.serial_format % serial).encode())
        for serial, record in enumerate(workload.records(SUFFIX)[:REQUESTS])
    ]


def say(benchmark: Any, workload: Workload, stage: str) -> None:
    benchmark.extra_info.update(client=workload.name, stage=stage, requests=REQUESTS)


@EVERY
def test_parse(benchmark: Any, workload: Workload) -> None:
    say(benchmark, workload, "parse")
    octets = messages(workload)

    def parse() -> int:
        parser, count = RequestParser(Limits()), 0
        for message in octets:
            parser.feed(message)
            while parser.next_request() is not None:
                count += 1
        return count

    assert benchmark(parse) == REQUESTS
