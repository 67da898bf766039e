"""A pytest plugin (``-p tests.support.fault_report``): the faults that ``make faults`` tries, and a table at the end.

A row is a fault, what the service promises in it, and the test that does the one and holds the other. What the test
prints is what was seen. A row whose test fails is a promise that was broken; then pytest's exit status is not 0, nor
where a row's test is not there.
"""

import textwrap
from collections import defaultdict
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple

import pytest

TESTS: Final = Path("tests")
WIDTHS: Final = (34, 44, 68)


class Row(NamedTuple):
    done: str
    promised: str
    test: str
    """Below ``tests/``."""


ROWS: Final = [
    Row(
        "20 clients drip a head, a body, chunks; plain and TLS",
        "408 and a close at HEADER_TIMEOUT or BODY_TIMEOUT (here 1 s), others served meanwhile",
        "integration/test_slow_clients.py::test_a_slow_sender_is_answered_408_and_cut_off_even_if_it_is_steady",
    ),
    Row(
        "20 clients ask for 1 GB and read nothing; plain and TLS",
        "cut off after WRITE_TIMEOUT (here 1 s), at most 48 MiB held, others served meanwhile",
        "integration/test_slow_clients.py::test_a_client_that_never_reads_is_cut_off_and_its_responses_do_not_pile_up",
    ),
    Row(
        "a client reads slowly and steadily, longer than WRITE_TIMEOUT",
        "it gets all of it",
        "integration/test_bounds.py::test_a_client_that_reads_steadily_gets_all_of_it_however_long_it_takes",
    ),
    Row(
        "100 TLS connections never shake hands",
        "counted, cut off at HEADER_TIMEOUT",
        "integration/test_bounds.py::test_connections_that_never_shake_hands_are_counted_and_go",
    ),
    Row(
        "SIGTERM with an idle TLS client and half a ClientHello",
        "exit 0 within 8 s",
        "integration/test_bounds.py::test_an_idle_tls_client_and_half_a_hello_do_not_hold_up_the_stop",
    ),
    Row(
        "300 bodies of a megabyte that never end",
        "less than 60 MiB more, others served meanwhile",
        "integration/test_bounds.py::test_300_unfinished_bodies_of_a_megabyte_stay_within_the_bound",
    ),
    Row(
        "100 batches of 1,000 rows at once; answers read, or not",
        "less than 40 MiB more, others served meanwhile",
        "integration/test_bounds.py::test_100_batches_of_1000_rows_at_once_stay_within_the_bound",
    ),
    Row(
        "a megabyte of pipelined requests",
        "others wait less than 200 ms",
        "integration/test_bounds.py::test_a_megabyte_of_pipelined_requests_delays_no_other_client",
    ),
    Row(
        "1,000 requests at once where 100 are allowed; memory, Redis, 2 processes, 2 workers",
        "exactly 100 pass, the others are 429 with a true Retry-After",
        "integration/test_exact_limit.py::test_of_1000_at_once_exactly_100_pass",
    ),
    Row(
        "200 connections for 128 descriptors",
        "beyond the bound 503 with Retry-After, or a close; who is connected and who comes later is served",
        "integration/test_hostile.py::test_more_connections_than_descriptors_are_shed_and_those_that_are_there_are_served",
    ),
    Row(
        "no descriptor is left",
        "no spinning, the connected are served, it recovers alone",
        "integration/test_hostile.py::test_running_out_of_descriptors_is_survived_without_spinning",
    ),
    Row(
        "nobody reads the log; then Redis dies, then SIGTERM or SIGINT; 1 and 2 workers",
        "requests and liveness are answered, exit 0 within DRAIN_SECONDS (5 s) and what the log may take",
        "integration/test_blocked_log.py::test_the_service_answers_and_stops_while_its_log_is_not_read",
    ),
    Row(
        "nobody reads the log; a worker is killed",
        "it is replaced and the restart is counted",
        "integration/test_blocked_log.py::test_a_worker_that_dies_is_replaced_while_the_log_is_not_read",
    ),
    Row(
        "12,000 lines for a log that is read again",
        "what found no room is counted and told",
        "integration/test_blocked_log.py::test_dropped_lines_are_counted_and_reported_once_the_log_is_read_again",
    ),
    Row(
        "Redis is killed under load and started again",
        "only 200, each within 300 ms; shared again within 1 s",
        "integration/test_redis_faults.py::test_redis_killed_under_load_is_noticed_by_no_client_and_shared_again_within_a_second",
    ),
    Row(
        "Redis hangs (SIGSTOP) under load",
        "only 200, each within 300 ms; shared again within 1 s",
        "integration/test_redis_faults.py::test_redis_hanging_under_load_is_waited_for_once_and_is_shared_again_within_a_second",
    ),
    Row(
        "Redis takes no writes under load: a replica, a replica without its master, out of memory",
        "only 200, each within 300 ms; health degraded, then healthy",
        "integration/test_redis_faults.py::test_a_redis_that_is_ill_fails_no_request",
    ),
    Row(
        "Redis is full and evicts, with the settings that we ship",
        "no limit is reset, no revocation forgotten",
        "stores/redis/test_full.py::test_a_flood_of_identities_resets_no_limit_and_forgets_no_revocation",
    ),
    Row(
        "the ledger's disk is full (a tmpfs; needs root)",
        "only 200; health degraded, then healthy; nothing is lost",
        "integration/test_ledger_faults.py::test_a_full_disk_stops_no_issuing_and_what_waited_is_written_when_there_is_room",
    ),
    Row(
        "the ledger's file may not grow (RLIMIT_FSIZE)",
        "the same",
        "integration/test_ledger_faults.py::test_a_file_that_may_not_grow_stops_no_issuing_and_what_waited_is_written_when_it_may",
    ),
    Row(
        "the ledger's file is locked for LEDGER_LOCK_SECONDS, as a disk that stands still",
        "the same",
        "integration/test_ledger_faults.py::test_a_locked_file_stops_no_issuing_and_what_waited_is_written_when_it_is_free",
    ),
    Row(
        "PostgreSQL is stopped and started again",
        "the same",
        "integration/test_ledger_faults.py::test_a_stopped_postgresql_stops_no_issuing_and_what_waited_is_written_when_it_is_back",
    ),
    Row(
        "SIGTERM or SIGINT to the process group, 2 workers",
        "served for the whole DRAIN_DELAY, not ready; a second signal ends it; exit 0",
        "integration/test_process_group.py::test_a_signal_to_the_group_leaves_the_drain_delay_and_a_second_one_ends_it",
    ),
    Row(
        "SIGKILL of one of 2 workers under load",
        "replaced; who connects anew is served; every answer is a 200; sums over workers never go back",
        "integration/test_lifecycle.py::test_a_killed_worker_is_replaced_while_the_service_answers_and_the_sums_do_not_go_back",
    ),
    Row(
        "SIGTERM with a request whose head never ends",
        "cut off at DRAIN_SECONDS (here 1 s), exit 0",
        "integration/test_lifecycle.py::test_a_peer_that_is_stuck_is_cut_off_at_drain_seconds_and_is_no_failure",
    ),
    Row(
        "two replicas rolled ROLLS times in turn under load",
        "no request fails; a client tries again only where its connection was refused",
        "integration/test_rolling.py::test_replicas_rolled_under_load_lose_no_request",
    ),
]

WORDS: Final = {"failed": "BROKEN", "passed": "kept", "skipped": "none"}
SEEN: Final[defaultdict[str, list[str]]] = defaultdict(list)
"""By row's test: what was printed, of each of its parameters."""
OUTCOMES: Final[defaultdict[str, set[str]]] = defaultdict(set)


def pytest_configure(config: pytest.Config) -> None:
    """The rows are what is run, unless something is named."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args[:] = [f"{TESTS}/{row.test}" for row in ROWS]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    name = report.nodeid.partition("[")[0].removeprefix(f"{TESTS}/")
    if report.when == "call" or report.outcome != "passed":
        OUTCOMES[name].add(report.outcome)
        said = " ".join(report.capstdout.split())
        if report.skipped and isinstance(report.longrepr, tuple):
            said = report.longrepr[2].removeprefix("Skipped: ")
        SEEN[name].append(": ".join(filter(None, [report.nodeid.partition("[")[2].rstrip("]"), said])))


def lines(row: Row) -> Iterator[str]:
    """A row of the table."""
    outcome = next(word for outcome, word in WORDS.items() if outcome in OUTCOMES[row.test])
    seen = [part for said in SEEN[row.test] for part in textwrap.wrap(said, WIDTHS[2])]
    cells = [textwrap.wrap(row.done, WIDTHS[0]), textwrap.wrap(row.promised, WIDTHS[1]), [outcome], seen]
    for done, promised, kept, part in zip_longest(*cells, fillvalue=""):
        yield f"{done:{WIDTHS[0]}}  {promised:{WIDTHS[1]}}  {kept:6}  {part}".rstrip()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("faults")
    terminalreporter.line(f"{'done':{WIDTHS[0]}}  {'promised':{WIDTHS[1]}}  {'':6}  seen")
    for row in ROWS:
        if OUTCOMES[row.test]:
            for line in lines(row):
                terminalreporter.line(line)
