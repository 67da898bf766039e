"""Requests that are told by their octets, without being parsed: what answers them, and how they are counted.

Clients repeat themselves. A request line that was answered before is found by its octets, and so is the body of a
validation. And nearly every line that was not is of one form, so that one pattern tells whose identity it wants: then a
*blank* record stands in for the answer until the store has given the identity a life. Whatever else comes, or turns out
to be due, forgotten or refused, goes the plain way: parser, route, handler. A test holds that both ways answer alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from arsenal_fast.api.fastpath.cached_batch import Batch
from arsenal_fast.api.fastpath.render import UNBORN, Record
from arsenal_fast.api.fastpath.write_batch import give_up
from arsenal_fast.cache import GenerationalCache
from arsenal_fast.http.response import Starts
from arsenal_fast.identity import grammar
from arsenal_fast.identity.runs import DRAWN
from arsenal_fast.identity.validity import Life
from arsenal_fast.memory_budget import Shares, weigh_reference
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.registry.issuer import Issuing

if TYPE_CHECKING:
    from arsenal_fast.api.context import Exchange
    from arsenal_fast.http.request import Request

ISSUE_PATH: Final = "/api/v1/id"
VALIDATE_PATH: Final = "/api/v1/validate"
BATCH_PATH: Final = "/api/v1/identities"
"""The paths whose requests are recognised: by their line, and the latter two by their body."""

VALIDATE_LINE: Final = f"POST {VALIDATE_PATH} HTTP/1.1".encode("ascii")
BATCH_LINE: Final = f"POST {BATCH_PATH} HTTP/1.1".encode("ascii")

DEFAULT_VERSION: Final = "v1"
"""Of identities that are asked for without one."""

MAX_PREPARED_TARGET: Final = 1024
"""Octets of a request target that is remembered. An identity has 325 at most; what is longer has escapes that are not
needed or parameters that mean nothing, and may be 8 KiB."""

MAX_PREPARED_BODY: Final = 512
"""Octets of a validation's body that is remembered: an identity has 325 at most, and around it stand 16."""

MAX_PREPARED_BATCH: Final = 2048
"""Octets of a batch's body that is remembered: some thirty rows."""

MAX_SEEN: Final = 16_384
"""Bodies of batches that are told when they come again; then all are forgotten. 2 MB."""

BATCHES: Final = 8
"""One batch is remembered at most for so many identities: with its pieces it takes as much memory as four of them."""

_QUERY: Final = rf"prefix=({grammar.PREFIX})&run=(?!{DRAWN})({grammar.RUN})"
"""Of nearly all requests: valid as it is, if the two are not too long together.

What begins with the form of a drawn run does not match: the handler refuses it, or issues it if it is longer.
"""
_MAX_QUERY: Final = len("prefix=&run=") + grammar.MAX_LOCAL - len("-")
_LINE: Final = rf"GET {ISSUE_PATH}\?{_QUERY} HTTP/1\.1"
_MAX_LINE: Final = len(f"GET {ISSUE_PATH}? HTTP/1.1") + _MAX_QUERY

_query: Final = re.compile(_QUERY).fullmatch
_line: Final = re.compile(_LINE).fullmatch


def _weigh(key: bytes, record: Record) -> int:
    return weigh_reference(key, len(record.id))


def _weigh_batch(key: bytes, batch: Batch) -> int:
    return len(key) + batch.octets


class Recognition:
    """What one worker recognises."""

    def __init__(
        self,
        *,
        capacity: int,
        shares: Shares,
        domain: str,
        issues: bool,
        protected: Container[str],
        issuing: Issuing,
        records: GenerationalCache[str, Record],
        sign: Callable[[str, Life], str],
        starts: Starts,
        refresh: Callable[[], None],
        monotonic: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        """``domain``: of identities that are asked for without one. ``refresh`` moves ``starts`` to this second.

        ``issues``: identities that were never asked for may be issued to anybody, without looking at the rest of the
        request; but for those whose prefix, in lower case, is ``protected``.
        """
        self.prepared: GenerationalCache[bytes, Record] = GenerationalCache(capacity, weigh=_weigh, room=shares.lines)
        """Records by the whole request line that asks for them."""
        self.verdicts: GenerationalCache[bytes, Record] = GenerationalCache(
            capacity, weigh=_weigh, room=shares.verdicts
        )
        """Records by the whole body that asks whether they live."""
        self.batches: GenerationalCache[bytes, Batch] = GenerationalCache(
            -(-capacity // BATCHES), weigh=_weigh_batch, room=shares.batches
        )
        """Batches by the whole body that asks for them."""
        self._seen: set[int] = set()
        """Hashes of bodies that asked for a batch that could have been kept."""
        self._ending = f"@{domain}/{DEFAULT_VERSION}:id"
        self._issues = issues
        self._protected = protected
        self._issuing = issuing
        self._records = records
        self._sign = sign
        self._starts = starts
        self._refresh = refresh
        self._monotonic = monotonic
        self._metrics = metrics

    def usual_id(self, query: bytes) -> str | None:
        """The id that a query of the usual form asks for, which is a valid one; None for any other query."""
        if len(query) > _MAX_QUERY:
            return None
        found = _query(query.decode("latin-1"))
        return None if found is None else "-".join(found.groups()) + self._ending

    def find(self, line: bytes) -> Record | None:
        """The record that answers a line, which may be a blank one; None: the line is to be parsed."""
        return self.prepared.get(line) or self.wanted(line)

    def wanted(self, line: bytes) -> Record | None:
        """As :meth:`find`, of a line that is not prepared."""
        if not self._issues or len(line) > _MAX_LINE:
            return None
        found = _line(line.decode("latin-1"))
        if found is None or (self._protected and found[1].lower() in self._protected):
            return None
        identity = "-".join(found.groups()) + self._ending
        record = self._records.get(identity)
        if record is None:
            return Record(identity, self._sign)
        record.keep_answer()
        self.prepared.put(line, record)
        return record

    def prepare(self, request: Request, record: Record) -> None:
        """Remember that the very octets of this request line are answered by ``record``."""
        if request.method == b"GET" and request.minor == 1 and len(request.target) <= MAX_PREPARED_TARGET:
            self.prepared.put(b"GET %b HTTP/1.1" % request.target, record)

    def prepare_verdict(self, request: Request, record: Record) -> None:
        """Remember that the very octets of this body ask for the verdict on ``record``."""
        if len(request.body) <= MAX_PREPARED_BODY:
            self.verdicts.put(request.body, record)

    def prepare_batch(self, request: Request, records: Sequence[Record], pieces: Sequence[bytes]) -> None:
        """Remember what this very body is answered with, once it has come twice: most never do."""
        body = request.body
        if len(body) > MAX_PREPARED_BATCH:
            return
        if hash(body) in self._seen:
            self.batches.put(body, Batch(records, pieces))
            return
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        self._seen.add(hash(body))

    def issue(self, exchanges: Sequence[Exchange], started: float) -> None:
        """Answer admitted exchanges whose records are blank, due or forgotten, once the store has told of their lives.

        ``started``: monotonic seconds.
        """
        blanks: list[Record] = []
        waiting: list[Exchange] = []
        for exchange in exchanges:
            record = exchange.record
            blank = record if isinstance(record, Record) and record.life is UNBORN else self._again(exchange)
            if blank is not None:
                blanks.append(blank)
                waiting.append(exchange)
            else:
                self._recall(exchange, exchange.limits, started)
        if blanks:
            limits = [exchange.limits for exchange in waiting]  # what begins to drain meanwhile forgets them
            self._issuing.begin(blanks, partial(self._issued, waiting, limits, started))

    def _again(self, exchange: Exchange) -> Record | None:
        """A blank record in the place of one that is not to be handed out; None: the request is to be parsed."""
        octets = exchange.octets
        record = self.wanted(octets[: octets.index(b"\r\n")])
        return record if record is not None and record.life is UNBORN else None

    def _recall(self, exchange: Exchange, limits: bytes, started: float) -> None:
        """Go the plain way; whoever can't must not take the others of the batch along."""
        try:
            if exchange.record is not None:
                exchange.recall(started)
            exchange.admitted(limits)
        except Exception:
            give_up(exchange)

    def _issued(
        self, exchanges: Sequence[Exchange], limits: Sequence[bytes], started: float, records: Sequence[Record] | None
    ) -> None:
        if records is None:
            for exchange, lines in zip(exchanges, limits, strict=True):
                self._recall(exchange, lines, started)
            return
        self._refresh()
        start, join = self._starts.ok, b"".join
        answers: list[tuple[Exchange, bytes]] = []
        for exchange, lines, record in zip(exchanges, limits, records, strict=True):
            try:
                if exchange.record is None:  # it was recalled
                    exchange.admitted(lines)
                else:
                    answers.append((exchange, join((start, lines, exchange.extra, record.answer()))))
            except Exception:
                give_up(exchange)
        self._metrics.observe(ISSUE_PATH, "GET", 200, self._monotonic() - started, len(answers))
        for exchange, answer in answers:
            exchange.connection.answered_prepared(exchange, answer)

    def count(self, issues: int, stamped: Sequence[Record | Batch], seconds: float) -> None:
        """Count answers that were prepared: identities, and what has a stamp; ``seconds``: that each of them took."""
        metrics = self._metrics
        verdicts, found = 0, issues
        for each in stamped:
            if isinstance(each, Batch):
                found += len(each.records)
            else:
                verdicts += 1
        found += verdicts
        metrics.identity_lookups += found
        metrics.identity_lookup_hits += found
        if issues:
            metrics.observe(ISSUE_PATH, "GET", 200, seconds, issues)
        if verdicts:
            metrics.observe(VALIDATE_PATH, "POST", 200, seconds, verdicts)
        if len(stamped) > verdicts:
            metrics.observe(BATCH_PATH, "POST", 200, seconds, len(stamped) - verdicts)
