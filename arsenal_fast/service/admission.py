"""Who may pass: all checks of one event-loop tick go to the limiter together.

The first exchange of a tick opens a batch and asks the loop to flush it at the end of the tick; later
ones join. Several hits of one client are one row with a count. No timer, so no latency is added, and the
store sees one command per tick, or one for each ``MAX_BATCH`` clients where thousands come in one: a batch that
is full leaves at once, so that the store works while the rest of the tick is still being read.

The reply has each row's backlog before its hits. The outcome of every single hit follows from it by the
arithmetic of :mod:`arsenal_fast.limiting.gcra`, the same that the store used, so what each client is told
(remaining, reset, retry) is exact.

A denied client is remembered on its :class:`Client` until its ``Retry-After`` has passed: until then no
hit of it could pass anywhere, so refusing without asking is exact too.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from functools import partial
from operator import attrgetter
from typing import Final

from arsenal_fast.http.responses import Starts
from arsenal_fast.limiting import gcra
from arsenal_fast.limiting.client import Client
from arsenal_fast.limiting.headers import LimitLines, retry_after_line
from arsenal_fast.limiting.quota import Quota
from arsenal_fast.metrics import Metrics
from arsenal_fast.service.batches import Batch
from arsenal_fast.service.departures import give_up
from arsenal_fast.service.exchange import Exchange
from arsenal_fast.service.ports import Limiter
from arsenal_fast.service.problems import QUOTA_EXCEEDED, problem
from arsenal_fast.service.records import Record, stamp
from arsenal_fast.service.revisions import Revisions

POLICY: Final = "default"
"""The policy of addresses."""

TOKEN_POLICY: Final = "token"  # noqa: S105 a policy's name, no secret
"""The policy of service tokens; its quota is the token's own."""

MAX_QUOTAS: Final = 256
"""Different quotas whose lines are kept: the operator mints few, and each may keep 2 MiB."""

MAX_BATCH: Final = 512
"""Clients of a batch: some 2 ms of Redis. With 5,000 connections 54,000 requests a second became 75,000; from 64 to
1,000 it makes no difference."""

_LAST_ROW: Final = MAX_BATCH - 1

_QUOTA: Final = attrgetter("quota")

_SECOND: Final = 1_000_000
"""Microseconds: the unit of the limiter."""


class OnFailure(StrEnum):
    """What to do with a request while the shared limiter is away."""

    LOCAL = "local"
    OPEN = "open"
    CLOSED = "closed"


class _Batch:
    """The admissions of one tick."""

    __slots__ = ("exchanges", "quantities", "rows", "started")

    def __init__(self) -> None:
        self.rows: dict[Client, int] = {}
        """The row of each client, in their order."""
        self.quantities: list[int] = []
        self.exchanges: list[Exchange] = []
        self.started = 0.0


class Admission:
    """Gathers, asks, answers. ``spare`` is the worker's own limiter, for when the shared one is away."""

    def __init__(
        self,
        *,
        quota: Quota | None,
        limiter: Limiter,
        spare: Limiter,
        on_failure: OnFailure,
        call_soon: Callable[[Callable[[], None]], object],
        monotonic: Callable[[], float],
        refresh: Callable[[], None],
        departures: AbstractContextManager[None],
        starts: Starts,
        metrics: Metrics,
        hit: Callable[[int, Sequence[Record | Batch], float], None],
        issue: Callable[[Sequence[Exchange], float], None],
        revisions: Revisions,
        now: Callable[[], float],
    ) -> None:
        """``hit(issues, stamped, seconds)`` counts prepared answers; ``refresh`` moves ``starts`` to this second.

        ``issue(exchanges, started)`` takes the exchanges that were admitted with a record that is not to be handed out.

        ``quota``: that of an address; None: nobody is limited, and only the revision is asked for.
        """
        self._quota = quota
        self._default = None if quota is None else LimitLines(quota, POLICY)
        self._lines: dict[Quota, LimitLines] = {}
        """Of tokens, one of which may have the very quota of an address."""
        self._revisions = revisions
        self._now = now
        self._limiter = limiter
        self._spare = spare
        self._on_failure = on_failure
        self._call_soon = call_soon
        self._monotonic = monotonic
        self._refresh = refresh
        self._departures = departures
        self._starts = starts
        self._metrics = metrics
        self._hit = hit
        self._issue = issue
        self._batch = _Batch()

    def submit(self, exchange: Exchange) -> None:
        """Charge the exchange's client one hit; the exchange goes on, or is refused, later in this tick or after."""
        client = exchange.client
        if client.denied_until and self._refuse_locally(exchange, client):
            return
        batch = self._batch
        if self._quota is None:
            row = 0
        else:
            rows = batch.rows
            count = len(rows)
            row = rows.setdefault(client, count)
            if row == count:
                batch.quantities.append(1)
            else:
                batch.quantities[row] += 1
        exchange.row = row
        exchanges = batch.exchanges
        if not exchanges:
            batch.started = self._monotonic()
            self._call_soon(self._flush)
        exchanges.append(exchange)
        if row == _LAST_ROW:
            self._flush()

    def look(self, client: Client, done: Callable[[bytes, int, int], None]) -> None:
        """Tell ``done(lines, remaining, reset)`` of a client without charging it."""

        def told(revision: int, backlogs: Sequence[int] | None) -> None:
            if backlogs is None:
                self._spare.admit([client], [0], told)
                return
            quota = client.quota
            remaining = gcra.remaining(backlogs[0], quota)
            reset = gcra.reset_after(backlogs[0])
            done(self._lines_of(quota).lines(remaining, reset), remaining, reset)

        # Behind the hits of this tick, which the same client may have sent before.
        self._call_soon(partial(self._limiter.admit, [client], [0], told))

    def _flush(self) -> None:
        batch = self._batch
        if not batch.exchanges:
            return  # it was full, and has left
        self._batch = _Batch()
        self._metrics.limiter_batches += 1
        self._limiter.admit(list(batch.rows), batch.quantities, partial(self._settle, batch))

    def _settle(self, batch: _Batch, revision: int, backlogs: Sequence[int] | None) -> None:
        if backlogs is None:
            self._settle_alone(batch)
        elif not self._revisions.is_known(revision):
            # Something was revoked: what these exchanges were to be answered with may be dead.
            self._revisions.catch_up(revision, partial(self._decide, batch, list(backlogs), remember=True))
        else:
            self._decide(batch, list(backlogs), remember=True)

    def _settle_alone(self, batch: _Batch) -> None:
        exchanges = batch.exchanges
        if self._quota is None:
            self._decide(batch, [], remember=False)
            return
        self._metrics.limiter_fallback += len(exchanges)
        if self._on_failure is OnFailure.LOCAL:
            self._spare.admit(
                list(batch.rows),
                batch.quantities,
                # The spare limiter's refusals end with the outage: they are not remembered beyond it.
                lambda revision, backlogs: self._decide(batch, list(backlogs or ()), remember=False),
            )
        elif self._on_failure is OnFailure.OPEN:
            self._refresh()
            self._settle_each(batch, self._pass_unlimited)
        else:
            self._settle_each(batch, self._refuse_unlimited)

    def _decide(self, batch: _Batch, backlogs: list[int], *, remember: bool) -> None:
        """Tell every exchange its outcome; ``backlogs`` is used up."""
        self._refresh()
        with self._departures:
            if self._quota is None:
                self._settle_each(batch, self._pass_unlimited)
            else:
                self._tell(batch, backlogs, remember=remember)

    def _tell(self, batch: _Batch, backlogs: list[int], *, remember: bool) -> None:
        now = self._now()
        start, join = self._starts.ok, b"".join
        moment = b""
        quota = None
        # By identity: a token may have a quota that is equal to an address's, and is another policy.
        differ = len(set(map(id, map(_QUOTA, batch.rows)))) > 1
        denied = plain = 0
        stamped: list[Record | Batch] = []
        unborn: list[Exchange] = []
        for exchange in batch.exchanges:
            if quota is None or (differ and exchange.client.quota is not quota):
                quota = exchange.client.quota
                lines, interval, tolerance = self._lines_of(quota), quota.interval, quota.tolerance
                told = lines.by_backlog.get
            row = exchange.row
            backlog = backlogs[row] + interval
            record = exchange.record
            try:
                if backlog > tolerance:
                    denied += 1
                    if record is not None:
                        exchange.recall(batch.started)
                    self._refuse(exchange, backlog - tolerance, remember=remember)
                    continue
                backlogs[row] = backlog
                limits = told(backlog) or lines.after(backlog)
                if record is None:
                    plain += 1
                    exchange.admitted(limits)
                elif exchange.stamped:
                    if record.expires > now:
                        stamped.append(record)
                        moment = moment or stamp(now)
                        answer = join((start, limits, exchange.extra, record.unstamped, moment))
                        exchange.connection.answered_prepared(exchange, answer)
                    else:
                        plain += 1
                        exchange.recall(batch.started)
                        exchange.admitted(limits)
                elif record.fresh_until > now:
                    answer = join((start, limits, exchange.extra, record.tail))
                    exchange.connection.answered_prepared(exchange, answer)
                else:
                    # It is blank, became due, or was forgotten: for a revocation perhaps that this batch brought home.
                    exchange.limits = limits
                    unborn.append(exchange)
            except Exception:
                give_up(exchange)
        allowed = len(batch.exchanges) - denied
        self._metrics.limiter_allowed += allowed
        self._hit(allowed - plain - len(stamped) - len(unborn), stamped, self._monotonic() - batch.started)
        self._issue(unborn, batch.started)

    def _settle_each(self, batch: _Batch, settle: Callable[[Exchange, float], None]) -> None:
        """End a batch that no limiter has judged; ``settle`` takes the batch's start, too."""
        for exchange in batch.exchanges:
            try:
                settle(exchange, batch.started)
            except Exception:
                give_up(exchange)

    def pass_unlimited(self, exchange: Exchange) -> None:
        """Answer an exchange that nobody limits and no store has to be asked about."""
        self._refresh()
        self._pass_unlimited(exchange, self._monotonic())

    def _pass_unlimited(self, exchange: Exchange, started: float) -> None:
        record = exchange.record
        now = self._now()
        exchange.limits = b""
        if record is None:
            exchange.admitted(b"")
        elif not exchange.stamped and record.fresh_until <= now:
            self._issue([exchange], started)
        elif exchange.stamped and record.expires <= now:
            exchange.recall(started)
            exchange.admitted(b"")
        else:
            tail = record.unstamped + stamp(now) if exchange.stamped else record.tail
            exchange.connection.answered(exchange, b"".join((self._starts.ok, exchange.extra, tail)))
            stamped = [record] if exchange.stamped else []
            self._hit(1 - len(stamped), stamped, self._monotonic() - started)

    def _refuse_unlimited(self, exchange: Exchange, started: float) -> None:
        if exchange.record is not None:
            exchange.recall(started)
        exchange.respond(
            503,
            problem(
                503,
                "The shared rate limit is away and this service is set to refuse requests until it is back.",
                lines=retry_after_line(1),
            ),
        )

    def _lines_of(self, quota: Quota) -> LimitLines:
        if quota is self._quota and self._default is not None:
            return self._default
        lines = self._lines.get(quota)
        if lines is None:
            if len(self._lines) >= MAX_QUOTAS:
                self._lines.clear()
            lines = self._lines[quota] = LimitLines(quota, TOKEN_POLICY)
        return lines

    def _refuse_locally(self, exchange: Exchange, client: Client) -> bool:
        now = self._monotonic()
        left = client.denied_until - now
        if left <= 0:
            client.denied_until = 0.0
            return False
        self._metrics.limiter_denied_locally += 1
        if exchange.record is not None:
            exchange.recall(now)
        # Rounded, for a float's last digit must not make a whole second more of it.
        self._refuse(exchange, max(round(left * _SECOND), 1), remember=False)
        return True

    def _refuse(self, exchange: Exchange, retry_after: int, *, remember: bool) -> None:
        """``retry_after``: microseconds until one hit would pass."""
        self._metrics.limiter_denied += 1
        quota = exchange.client.quota
        if remember:
            exchange.client.denied_until = self._monotonic() + retry_after / _SECOND
        seconds = -(-retry_after // _SECOND)
        # What is left of the backlog follows from when the next hit would pass.
        backlog = retry_after + quota.tolerance - quota.interval
        exchange.limits = self._lines_of(quota).lines(0, gcra.reset_after(backlog))
        exchange.respond(
            429,
            problem(
                429,
                f"This client has used its {quota.limit} requests per {quota.window} s; try again in {seconds} s.",
                kind=QUOTA_EXCEEDED,
                title="Request cannot be satisfied as assigned quota has been exceeded",
                lines=retry_after_line(seconds),
                members={"violated-policies": [POLICY if quota is self._quota else TOKEN_POLICY]},
            ),
        )
