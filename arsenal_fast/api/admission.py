"""Who may pass: all checks of one event-loop tick go to the limiter together.

The first exchange of a tick opens a batch and asks the loop to flush it at the end of the tick; later
ones join. Several hits of one client are one row with a count. No timer, so no latency is added, and the
store sees one command per tick, or one for each ``MAX_BATCH`` clients where thousands come in one: a batch that
is full leaves at once, so that the store works while the rest of the tick is still being read.

A look at a client's limit joins the batch, too, as no hit: it costs no command of its own.

The reply has each row's backlog before its hits. The outcome of every single hit follows from it by the
arithmetic of :mod:`arsenal_fast.ratelimit.gcra`, the same that the store used, so what each client is told
(remaining, reset, retry) is exact.

A denied client is remembered on its :class:`Client` until its ``Retry-After`` has passed: until then no
hit of it could pass anywhere, so refusing without asking is exact too.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from functools import partial
from typing import Final

from arsenal_fast.api.admission_batch import AdmissionBatch, Looked
from arsenal_fast.api.context import Exchange
from arsenal_fast.api.fastpath.cached_batch import Batch
from arsenal_fast.api.fastpath.render import Record, stamp
from arsenal_fast.api.fastpath.write_batch import give_up
from arsenal_fast.api.problems import QUOTA_EXCEEDED, problem
from arsenal_fast.http.response import Starts
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.ratelimit import gcra
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.headers import LimitLines, retry_after_line
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.registry.revocation_sync import Revisions
from arsenal_fast.stores.ports import Limiter

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

_SECOND: Final = 1_000_000
"""Microseconds: the unit of the limiter."""


class OnFailure(StrEnum):
    """What to do with a request while the shared limiter is away."""

    LOCAL = "local"
    OPEN = "open"
    CLOSED = "closed"


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
        self._batch = AdmissionBatch()

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
        if not exchanges and not batch.looks:
            batch.started = self._monotonic()
            self._call_soon(self._flush)
        exchanges.append(exchange)
        if row == _LAST_ROW:
            self._flush()

    def look(self, client: Client, done: Looked) -> None:
        """Hand ``done`` how a limited client stands behind the hits of this tick, without charging it."""
        batch = self._batch
        if not batch.exchanges and not batch.looks:
            batch.started = self._monotonic()
            self._call_soon(self._flush)
        batch.looks.append((client, done))
        if batch.row_of(client) == _LAST_ROW:
            self._flush()

    def _flush(self) -> None:
        batch = self._batch
        if not batch.exchanges and not batch.looks:
            return  # it was full, and has left
        self._batch = AdmissionBatch()
        if batch.holds_tokens(self._quota) and batch.holds_expired(self._now()):
            self._submit_again(batch)
            return
        self._metrics.limiter_batches += 1
        self._limiter.admit(list(batch.rows), batch.quantities, partial(self._settle, batch))

    def _submit_again(self, batch: AdmissionBatch) -> None:
        """Make another batch of the same requests, with the callers of expired tokens identified anew."""
        now = self._now()
        for exchange in batch.exchanges:
            if exchange.record is not None and exchange.client.expires <= now:
                self._identify_again(exchange)
            else:
                self.submit(exchange)
        for client, done in batch.looks:
            self.look(client, done)
        self._flush()

    def _identify_again(self, exchange: Exchange) -> None:
        try:
            exchange.recall(self._monotonic())
            exchange.connection.identify_again(exchange)
        except Exception:
            give_up(exchange)

    def _settle(self, batch: AdmissionBatch, revision: int, backlogs: Sequence[int] | None) -> None:
        if backlogs is None:
            self._settle_alone(batch)
        elif not self._revisions.is_known(revision):
            # Something was revoked: what these exchanges were to be answered with may be dead.
            self._revisions.catch_up(revision, partial(self._decide, batch, list(backlogs), remember=True))
        else:
            self._decide(batch, list(backlogs), remember=True)

    def _settle_alone(self, batch: AdmissionBatch) -> None:
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
            return
        if self._on_failure is OnFailure.OPEN:
            self._refresh()
            self._settle_each(batch, self._pass_unlimited)
        else:
            self._settle_each(batch, self._refuse_unlimited)
        if batch.looks:
            nothing = [0] * len(batch.rows)
            self._spare.admit(list(batch.rows), nothing, lambda _, backlogs: self._answer_looks(batch, backlogs or ()))

    def _decide(self, batch: AdmissionBatch, backlogs: list[int], *, remember: bool) -> None:
        """Tell every exchange its outcome; ``backlogs`` is used up."""
        self._refresh()
        with self._departures:
            if self._quota is None:
                self._settle_each(batch, self._pass_unlimited)
            else:
                self._tell(batch, backlogs, remember=remember)
                if batch.looks:
                    self._answer_looks(batch, backlogs)

    def _tell(self, batch: AdmissionBatch, backlogs: list[int], *, remember: bool) -> None:
        now = self._now()
        start, join = self._starts.ok, b"".join
        moment = b""
        quota = None
        differ = len(batch.quotas) > 1
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

    def _answer_looks(self, batch: AdmissionBatch, backlogs: Sequence[int]) -> None:
        for client, done in batch.looks:
            backlog, quota = backlogs[batch.rows[client]], client.quota
            remaining, reset = gcra.remaining(backlog, quota), gcra.reset_after(backlog)
            done(self._lines_of(quota).lines(remaining, reset), remaining, reset)

    def _settle_each(self, batch: AdmissionBatch, settle: Callable[[Exchange, float], None]) -> None:
        """End a batch that no limiter has judged; ``settle`` takes the batch's start, too."""
        for exchange in batch.exchanges:
            try:
                settle(exchange, batch.started)
            except Exception:
                give_up(exchange)

    def pass_unlimited(self, exchange: Exchange) -> None:
        """Answer an exchange that nobody limits and no store has to be asked about."""
        if exchange.client.expires <= self._now():
            self._identify_again(exchange)
            return
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
        if client.expires <= self._now():
            return False  # its token is refused when the batch leaves
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
