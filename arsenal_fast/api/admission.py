"""Sends all requests of an event-loop tick to the limiter as one command.

The first request of a tick opens a batch and schedules its flush for the end of the tick; later ones join. Several hits
of one client are one row with a count. No timer, so no latency is added, and the store gets one command per tick, or
one for each ``MAX_BATCH`` clients: a full batch is sent at once, so that the store works while the rest of the tick is
still being read. A look at a client's limit joins the batch with 0 hits.

What a batch costs beside its requests (a send and a receive, two processes that wake up) does not grow with it. So
while another command is under way, a batch waits for those that come in the next ``TURNS`` turns of the loop.

The reply has each row's backlog before its hits. The outcome of each hit follows by :mod:`arsenal_fast.ratelimit.gcra`,
the store's own arithmetic, so the values of each client (remaining, reset, retry) are exact.

An identity that a request needs of the store, if it passes, is fetched by the same command where the store can do that.

A client with a plan (:class:`~arsenal_fast.ratelimit.headers.Plan`: a token's end user, or the policies of a limits
file) has a row for each of its cells; a hit is charged to all enforced ones or to none.

A :class:`Client` keeps until when it is denied: before that none of its hits could pass anywhere, so refusing them
without the store is exact too.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from functools import partial
from operator import add, attrgetter, gt
from typing import Final

from arsenal_fast.api.batches import Admissible, Batch, Looked, Traffic
from arsenal_fast.api.problems import limiter_away, quotas_used_up
from arsenal_fast.identity.validity import Fetched, Fetching
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.ratelimit import gcra
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.headers import Plan, PolicyLines, state_at
from arsenal_fast.ratelimit.quota import UNLIMITED, Quota
from arsenal_fast.registry.revocation_sync import RevocationSync
from arsenal_fast.stores.ports import FetchingLimiter, Limiter

MAX_BATCH: Final = 512
"""Clients of a batch: some 2 ms of Redis. With 5,000 connections 54,000 requests a second became 75,000; from 64 to
1,000 it makes no difference."""

TURNS: Final = 2
"""Turns of the loop for which a batch waits for company; none waits where the store has nothing to do. With 64
connections 31 requests a command became of 22, and 16 of 11 behind an ingress."""

MAX_USED: Final = 4096
"""Clients of batches with tokens that are kept until the tokens among them are sorted out."""

_LAST_ROW: Final = MAX_BATCH - 1

_QUOTA: Final = attrgetter("quota")
_EXPIRES: Final = attrgetter("expires")
_CLIENT: Final = attrgetter("client")

_ONE: Final = (1,)

Keep = Callable[[Sequence[Fetching], Sequence[Fetched | None], int], None]
"""As :meth:`arsenal_fast.registry.fetched.FetchedLives.keep`."""

_SECOND: Final = 1_000_000
"""Microseconds: the unit of the limiter."""


class OnFailure(StrEnum):
    """What to do with a request while the shared limiter is away."""

    LOCAL = "local"
    OPEN = "open"
    CLOSED = "closed"


class Admission:
    """Gathers requests, sends them to the limiter, and calls each with its outcome."""

    def __init__(
        self,
        *,
        quota: Quota,
        limiter: Limiter,
        local_limiter: Limiter,
        on_failure: OnFailure,
        sync: RevocationSync,
        call_soon: Callable[[Callable[[], None]], object],
        monotonic: Callable[[], float],
        now: Callable[[], float],
        invalidations: Callable[[], int],
        keep: Keep,
        refresh: Callable[[], None],
        write_batch: AbstractContextManager[None],
        batch_ended: Callable[[float], None],
        traffic: Traffic,
        metrics: Metrics,
    ) -> None:
        """
        Args:
            quota: of most addresses.
            local_limiter: the worker's own, for when the shared one is away.
            sync: catches up with revocations before a batch goes on.
            now: wall clock, seconds since the epoch.
            invalidations: how often cached identities were dropped because something was revoked.
            keep: keeps what was fetched, as far as it holds.
            refresh: called before the requests of a batch go on.
            batch_ended: takes the seconds that the batch took, after all its requests went on.
        """
        self._address_quota = {id(quota)}
        self._lines = PolicyLines(quota)
        self._limiter = limiter
        self._fetching = limiter if isinstance(limiter, FetchingLimiter) else None
        self._local_limiter = local_limiter
        self._on_failure = on_failure
        self._sync = sync
        self._amendments = sync.amendments
        self._call_soon = call_soon
        self._monotonic = monotonic
        self._now = now
        self._invalidations = invalidations
        self._keep = keep
        self._refresh = refresh
        self._write_batch = write_batch
        self._batch_ended = batch_ended
        self._metrics = metrics
        self._batch = Batch()
        self._traffic = traffic
        self._started_s = 0.0
        self._used: set[Client] = set()
        """The clients of batches with tokens since :meth:`used_tokens`."""
        self._used_ids: set[str] = set()

    def submit(self, request: Admissible, wanted: Fetching | None = None) -> None:
        """Charge the request's client one hit; it passes or is refused, in this tick or later.

        ``wanted``: an identity that the request needs of the store, if it passes; fetched by the same command, and kept
        before the request goes on.
        """
        client = request.client
        if client.denied_until and self._deny_locally(request, client):
            return
        batch = self._batch
        if not batch.begun:
            self._begin(batch)
        if client.quota is UNLIMITED:
            row = -1
            batch.unlimited.append(request)
        else:
            rows = batch.rows
            count = len(rows)
            request.row = row = rows.setdefault(client, count)
            if row == count:
                batch.quantities.append(1)
                if client.plan is not None:
                    batch.add_cells(client)
            else:
                batch.quantities[row] += 1
            batch.requests.append(request)
        if wanted is not None:
            batch.wanted.append(wanted)
            batch.wanted_rows.append(row)
        if row >= _LAST_ROW:
            self._flush()

    def look(self, request: Admissible, done: Looked) -> None:
        """Call ``done`` with the limit of a request's client after the hits of this tick, without charging it.

        As in :meth:`submit` the client is found again where its token has ended.
        """
        client = request.client
        batch = self._batch
        if not batch.begun:
            self._begin(batch)
        batch.looks.append((request, done))
        if client.quota is UNLIMITED:
            return
        count = len(batch.rows)
        row = batch.rows.setdefault(client, count)
        if row == count:
            batch.quantities.append(0)
            if client.plan is not None:
                batch.add_cells(client)
        if row >= _LAST_ROW:
            self._flush()

    def pass_unlimited(self, request: Admissible, _wanted: Fetching | None = None) -> None:
        """Let a request pass without limiter and store: no limit applies, and no revision is needed."""
        self._started_s = self._monotonic()
        client = request.client
        if client.expires <= self._now():
            request.identify_again()
            return
        if client.token:
            self._used.add(client)
        self._refresh()
        request.admitted(b"")
        self._batch_ended(self._monotonic() - self._started_s)

    def used_tokens(self) -> set[str]:
        """Return the ids of the tokens that were used since the last call."""
        self._sort_used()
        used, self._used_ids = self._used_ids, set()
        return used

    def batch_started_s(self) -> float:
        """Monotonic: the start of the batch whose requests go on now; of a request before that, when it came."""
        return self._started_s

    def _begin(self, batch: Batch) -> None:
        batch.begun = True
        batch.invalidations = self._invalidations()
        self._started_s = batch.started_s = self._monotonic()
        self._call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """Send the batch, or let it wait for company."""
        batch = self._batch
        if self._traffic.under_way and batch.begun and batch.turns < TURNS:
            batch.turns += 1
            self._call_soon(self._end_turn)
        else:
            self._flush()

    def _flush(self) -> None:
        batch = self._batch
        if not batch.begun:
            return  # it was full, and was sent
        self._batch = Batch()
        # By identity: a token's quota may be equal to an address's, but has another policy.
        quotas = set(map(id, map(_QUOTA, batch.rows)))
        batch.one_quota = len(quotas) <= 1 and not batch.linked
        if quotas != self._address_quota or batch.unlimited or batch.looks:  # there may be tokens
            now_s = self._now()
            clients = set(batch.rows)
            if batch.unlimited or batch.looks:
                clients |= set(map(_CLIENT, batch.all_requests()))
            if min(map(_EXPIRES, clients)) <= now_s:
                self._submit_again(batch, now_s)
                return
            self._used.update(clients)
            if len(self._used) > MAX_USED:
                self._sort_used()
        batch.amendments = self._amendments.version
        self._metrics.limiter_batches += 1
        self._traffic.under_way += 1
        if batch.rows:
            self._metrics.heaviest.add(*batch.callers())
        charged = list(batch.rows)
        if batch.wanted and self._fetching is not None:
            done = partial(self._fetched, batch)
            self._fetching.admit_and_fetch(charged, batch.quantities, batch.wanted_rows, batch.wanted, done)
        else:
            self._limiter.admit(charged, batch.quantities, partial(self._settle, batch))

    def _submit_again(self, batch: Batch, now_s: float) -> None:
        """Make another batch of the same requests, with the clients of ended tokens found again."""
        for request in (*batch.requests, *batch.unlimited):
            if request.client.expires <= now_s:
                self._try(request, request.identify_again)
            else:
                self.submit(request)
        for request, done in batch.looks:
            if request.client.expires <= now_s:
                self._try(request, request.identify_again)
            else:
                self.look(request, done)
        self._flush()

    def _fetched(
        self, batch: Batch, revision: int, backlogs: Sequence[int] | None, fetched: Sequence[Fetched | None]
    ) -> None:
        batch.fetched = fetched
        self._settle(batch, revision, backlogs)

    def _settle(self, batch: Batch, revision: int, backlogs: Sequence[int] | None) -> None:
        self._traffic.under_way -= 1
        if backlogs is None:
            self._settle_locally(batch)
        elif not self._sync.is_known(revision):
            # Something was revoked: the cached responses to these requests may be stale.
            self._sync.catch_up(revision, partial(self._decide, batch, list(backlogs), remember=True))
        else:
            self._decide(batch, list(backlogs), remember=True)

    def _identify_again(self, batch: Batch) -> None:
        """Take requests out of a batch whose tokens were changed meanwhile: their clients are found again."""
        now_s = self._now()
        ended = [request for request in batch.all_requests() if request.client.expires <= now_s]
        if ended:
            batch.requests = [request for request in batch.requests if request.client.expires > now_s]
            batch.unlimited = [request for request in batch.unlimited if request.client.expires > now_s]
            batch.looks = [(request, done) for request, done in batch.looks if request.client.expires > now_s]
        for request in ended:
            self._try(request, request.identify_again)

    def _sort_used(self) -> None:
        """Keep only the ids of the tokens among the used clients."""
        for client in self._used:
            if client.holder is not None:
                self._used_ids.add(client.holder.token_id)
        self._used.clear()

    def _settle_locally(self, batch: Batch) -> None:
        """Decide without the shared limiter, which is away."""
        if not batch.rows:
            self._decide(batch, [], remember=False)
            return
        self._metrics.limiter_fallback += len(batch.requests)
        local = self._on_failure is OnFailure.LOCAL
        self._local_limiter.admit(
            list(batch.rows),
            batch.quantities if local else [0] * len(batch.rows),
            # A denial by the local limiter ends with the outage: it is not kept.
            lambda _, backlogs: self._decide(batch, list(backlogs or ()), remember=False, alone=not local),
        )

    def _decide(self, batch: Batch, backlogs: list[int], *, remember: bool, alone: bool = False) -> None:
        """Call each request with its outcome; changes ``backlogs``.

        ``alone``: the shared limiter is away, and the setting for that case decides instead of the backlogs.
        """
        if batch.amendments != self._amendments.version:
            self._identify_again(batch)
        self._refresh()
        self._started_s = batch.started_s
        if batch.fetched:
            self._keep(batch.wanted, batch.fetched, batch.invalidations)
        with self._write_batch:
            passing = batch.unlimited
            if not alone:
                self._admit(batch, backlogs, remember=remember)
            elif self._on_failure is OnFailure.OPEN:
                passing = [*passing, *batch.requests]
            else:
                for request in batch.requests:
                    plan = request.client.plan
                    if plan is not None and not plan.enforced:
                        self._try(request, partial(request.admitted, b""))
                    else:
                        self._try(request, partial(request.refused, limiter_away()))
            for request in passing:
                self._try(request, partial(request.admitted, b""))
            self._batch_ended(self._monotonic() - batch.started_s)
            self._answer_looks(batch, backlogs)

    def _admit(self, batch: Batch, backlogs: list[int], *, remember: bool) -> None:
        quota = None
        differ = not batch.one_quota
        denied = 0
        for request in batch.requests:
            if quota is None or (differ and request.client.quota is not quota):
                quota = request.client.quota
                lines, interval, tolerance = self._lines.of(quota), quota.interval, quota.tolerance
                known = lines.by_backlog.get
            row = request.row
            backlog = backlogs[row] + interval
            try:
                if differ and (plan := request.client.plan) is not None:
                    denied += self._admit_to_all(request, plan, backlogs)
                elif backlog > tolerance:
                    denied += 1
                    self._deny(request, backlog - tolerance, remember=remember)
                else:
                    backlogs[row] = backlog
                    request.admitted(known(backlog) or lines.after(backlog))
            except Exception:
                request.cut_off()
        self._metrics.limiter_allowed += len(batch.requests) - denied

    def _admit_to_all(self, request: Admissible, plan: Plan, backlogs: list[int]) -> bool:
        """Charge a request to all enforced cells of its client, or to none; returns whether it is denied."""
        row = request.row
        place = row + len(plan.enforced)
        after = tuple(map(add, backlogs[row:place], plan.steps))
        if any(map(gt, after, plan.tolerances)):
            self._deny_all(request, plan, backlogs)
            return True
        backlogs[row:place] = after
        if plan.shadows:
            self._charge_shadows(plan, place, backlogs)
        request.admitted(plan.by_backlogs.get(after) or plan.after(after))
        return False

    def _charge_shadows(self, plan: Plan, place: int, backlogs: list[int]) -> None:
        """Charge a request that passes to the shadow cells from ``place`` on, or count what they would have refused."""
        refused = self._metrics.shadow_refused
        for quota in plan.shadows:
            backlog = backlogs[place] + quota.step
            if backlog > quota.tolerance:
                refused[quota.policy] = refused.get(quota.policy, 0) + 1
            else:
                backlogs[place] = backlog
            place += 1

    def _deny_all(self, request: Admissible, plan: Plan, backlogs: Sequence[int]) -> None:
        """Refuse a request of a client with a plan, of which at least one enforced cell has no room for it.

        The client does not keep the refusal: that would name one policy, and the next refusal has to tell of all.
        """
        client, quotas = request.client, plan.enforced
        before = backlogs[request.row : request.row + len(quotas)]
        excess_us = [at + quota.step - quota.tolerance for at, quota in zip(before, quotas, strict=True)]
        denied = [place for place, excess in enumerate(excess_us) if excess > 0]
        cells = (client, *client.also)
        self._metrics.limiter_denied += 1
        refused = {cells[place].key_bytes for place in denied}
        self._metrics.most_refused.add(refused, [1] * len(refused))
        problem = quotas_used_up([quotas[place] for place in denied], gcra.whole_seconds(max(excess_us)))
        request.denied(plan.lines(before), problem)

    def _answer_looks(self, batch: Batch, backlogs: Sequence[int]) -> None:
        for request, done in batch.looks:
            client = request.client
            if client.quota is UNLIMITED:
                done(b"", ())
                continue
            plan = client.plan
            quotas = (client.quota,) if plan is None else plan.enforced
            row = batch.rows[client]
            before = backlogs[row : row + len(quotas)]
            states = list(map(state_at, before, quotas))
            if plan is not None:
                lines = plan.lines(before)
            else:
                lines = self._lines.of(client.quota).lines(states[0].remaining, states[0].reset)
            done(lines, states)

    def _try(self, request: Admissible, go_on: Callable[[], None]) -> None:
        try:
            go_on()
        except Exception:
            request.cut_off()

    def _deny_locally(self, request: Admissible, client: Client) -> bool:
        """Refuse a client that is known to be denied; False: it may try again."""
        if client.expires <= self._now():
            return False  # its token is refused when the batch is sent
        self._started_s = self._monotonic()
        left_s = client.denied_until - self._started_s
        if left_s <= 0:
            client.denied_until = 0.0
            return False
        self._metrics.limiter_denied_locally += 1
        self._metrics.heaviest.add((client.key_bytes,), _ONE)
        # Rounded, so that a float's last digit does not add a whole second.
        self._deny(request, max(round(left_s * _SECOND), 1), remember=False)
        return True

    def _deny(self, request: Admissible, retry_after_us: int, *, remember: bool) -> None:
        """Refuse a request. ``retry_after_us``: until one hit would pass."""
        self._metrics.limiter_denied += 1
        client = request.client
        quota = client.quota
        self._metrics.most_refused.add((client.key_bytes,), _ONE)
        if remember:
            client.denied_until = self._monotonic() + retry_after_us / _SECOND
        # The backlog follows from the moment at which the next hit would pass.
        backlog = retry_after_us + quota.tolerance - quota.interval
        problem = quotas_used_up([quota], gcra.whole_seconds(retry_after_us))
        request.denied(self._lines.of(quota).lines(0, gcra.reset_after(backlog)), problem)
