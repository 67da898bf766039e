"""The living identities: what this worker remembers, what the shared store knows, what the ledger holds.

The three levels have one job each. The worker's records answer at once. The store decides which life of an
identity is the living one, for all replicas. The ledger, where there is one, is the record: a new life is
answered only after it is written there, and where the store has lost its memory the ledger's life wins.

A life that the store has just made is *provisional* there until the ledger has it; whoever finds a
provisional life asks the ledger first, so that two replicas can't hand out two lives of one identity while
the store's memory is being restored.

Issuing never fails. With the store away the worker issues by itself from a spare store of its own memory
(`identity_issued_without_store` counts that); when the shared store is back, the ledger says what lives, and
without a ledger this worker asserts there what it knows to live. With the ledger away rows wait in its queue,
and health says so.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from arsenal_fast.cache import GenerationalCache
from arsenal_fast.identity.grammar import Identity
from arsenal_fast.identity.history import LedgerRow, Past, RevocationRow, stands
from arsenal_fast.identity.life import Found, Issued, IssueRow, Life, Mode, Outcome
from arsenal_fast.identity.revocation import Revoked
from arsenal_fast.identity.token import IdentityToken
from arsenal_fast.metrics import Metrics
from arsenal_fast.service.ports import IdentityStore, Ledger, Revocations
from arsenal_fast.service.records import Record
from arsenal_fast.service.revisions import Recall, Revisions

if TYPE_CHECKING:
    from arsenal_fast.service.exchange import Exchange

_TRIES: Final = 20
"""Times that a life is proposed to a ledger that has not heard of a revocation yet: each lasts a commit, some ms."""

_RESTORE_ROWS: Final = 200
"""Rows asserted at a time after an outage: small enough that Redis and the loop stay responsive."""


class Asker(NamedTuple):
    """Who asks, for the ledger: the client's key, the request's id, and the environments that a batch named."""

    caller: str
    request_id: str | None = None
    environments: Sequence[str] = ()

    @classmethod
    def of(cls, exchange: Exchange, environments: Sequence[str] = ()) -> Asker:
        request_id = exchange.request.fields.request_id
        # As in the log: what a client sends is not trusted to be text.
        text = request_id.decode("latin-1")[:128] if request_id and request_id.isascii() else None
        return cls(exchange.client.key, text, environments)


class Wanted(NamedTuple):
    """An identity to issue; with ``redraw`` it must be new, and ``redraw`` makes another should it not be."""

    identity: Identity
    redraw: Callable[[], Identity] | None = None


class Known(NamedTuple):
    """What is known of one identity. ``cached``: the worker or the store knew it, not only the ledger.

    ``dead_before``: every life generated before that moment (ms) was revoked.
    """

    life: Life | None
    dead_before: int
    cached: bool

    def is_living(self, now_ms: float) -> bool:
        """Neither over nor revoked."""
        life = self.life
        return life is not None and life.generated >= self.dead_before and now_ms < life.expires


class _Issue:
    """One call of :meth:`Directory.issue` on its way: which rows are still open, and how often some were refused."""

    __slots__ = ("asker", "done", "found", "tries", "ttl", "wanted")

    def __init__(
        self,
        wanted: list[Wanted],
        found: list[Record | None],
        ttl: int,
        asker: Asker,
        done: Callable[[Sequence[Record]], None],
    ) -> None:
        self.wanted = wanted
        self.found = found
        self.tries = 0
        self.ttl = ttl
        self.asker = asker
        self.done = done

    def finish(self) -> None:
        self.done(cast(list[Record], self.found))


class Directory:
    """Finds, issues, revokes and remembers identities."""

    def __init__(
        self,
        *,
        store: IdentityStore,
        spare: IdentityStore,
        revocations: Revocations,
        ledger: Ledger | None,
        capacity: int,
        now: Callable[[], float],
        metrics: Metrics,
        sign: Callable[[str, Life], str],
        protected: Container[str] = (),
    ) -> None:
        """``now``: wall clock, seconds since the epoch. ``sign`` makes the token of a life.

        ``protected``: prefixes, in lower case, whose records are guarded.
        """
        self._store = store
        self._spare = spare
        self._ledger = ledger
        self._now = now
        self._metrics = metrics
        self._sign = sign
        self._protected = protected
        self._revocations = revocations
        self.records: GenerationalCache[str, Record] = GenerationalCache(capacity, Record.forget)
        """What this worker remembers, by id. A record that falls out of it holds no longer, whoever has it."""
        self._forgotten = 0
        """How often something was forgotten, for it was revoked."""
        recall: Recall = _no_epochs if ledger is None else ledger.epochs
        self.revisions = Revisions(revocations, self._forget_ids, self.restore, recall)

    # Issuing.

    def issue(self, wanted: Sequence[Wanted], ttl: int, asker: Asker, done: Callable[[Sequence[Record]], None]) -> None:
        """Hand ``done`` a living record for each wanted identity, in order. ``ttl``: seconds, for new lives."""
        now = self._now()
        get = self.records.get
        found: list[Record | None] = []
        missing: list[int] = []
        for index, (identity, redraw) in enumerate(wanted):
            record = get(identity.id)
            if record is None or record.fresh_until <= now or redraw is not None:
                missing.append(index)
            found.append(record)
        metrics = self._metrics
        metrics.identity_lookups += len(found)
        metrics.identity_lookup_hits += len(found) - len(missing)
        if missing:
            self._ask_store(_Issue(list(wanted), found, ttl, asker, done), missing)
        else:
            done(cast(list[Record], found))

    def _ask_store(self, issue: _Issue, missing: Sequence[int]) -> None:
        rows = [self._row(issue.wanted[index], issue.ttl) for index in missing]
        forgotten = self._forgotten

        def answered(issued: Sequence[Issued] | None) -> None:
            if issued is not None:
                self._settle(issue, missing, self._store, forgotten, issued)
                return
            self._metrics.identity_issued_without_store += len(rows)
            self._spare.issue(rows, lambda spare: self._settle(issue, missing, self._spare, forgotten, spare or ()))

        self._store.issue(rows, answered)

    def _row(self, wanted: Wanted, ttl: int) -> IssueRow:
        identity, redraw = wanted
        return IssueRow(
            identity.id,
            ttl * 1000,
            Mode.PLAIN if redraw is None else Mode.FRESH,
            epoch=self.revisions.epoch_of(identity.prefix),
            provisional=self._ledger is not None,
        )

    def _settle(
        self, issue: _Issue, missing: Sequence[int], store: IdentityStore, forgotten: int, issued: Sequence[Issued]
    ) -> None:
        """Take what the store said: done, to be asked for again, or new and therefore the ledger's business."""
        again: list[int] = []
        new: list[tuple[int, Issued]] = []
        ledger = self._ledger
        for index, each in zip(missing, issued, strict=True):
            redraw = issue.wanted[index].redraw
            if each.outcome is Outcome.TAKEN and redraw is not None:
                # Another worker with the same node number drew the same run: once in a blue moon.
                issue.wanted[index] = Wanted(redraw(), redraw)
                again.append(index)
            elif ledger is None or each.outcome is Outcome.FOUND:
                self._keep(issue, index, each, forgotten)
            else:
                new.append((index, each))

        if ledger is not None and new:
            rows = [self._ledger_row(issue, index, each) for index, each in new]
            ledger.record(rows, partial(self._recorded, issue, new, store, again, forgotten))
        else:
            self._go_on(issue, again)

    def _go_on(self, issue: _Issue, again: Sequence[int]) -> None:
        if again:
            self._ask_store(issue, again)
        else:
            issue.finish()

    def _ledger_row(self, issue: _Issue, index: int, issued: Issued) -> LedgerRow:
        identity, asker = issue.wanted[index].identity, issue.asker
        return LedgerRow(
            "renewed" if issued.outcome is Outcome.RENEWED else "issued",
            identity.id,
            *identity,
            issued.life,
            asker.environments[index] if asker.environments else None,
            asker.caller,
            asker.request_id,
        )

    def _recorded(
        self,
        issue: _Issue,
        new: Sequence[tuple[int, Issued]],
        store: IdentityStore,
        again: list[int],
        forgotten: int,
        lives: Sequence[Life] | None,
    ) -> None:
        """The ledger has written the new lives, or holds older ones that still stand; None: it is away."""
        confirmed: list[IssueRow] = []
        older: list[tuple[int, Issued]] = []
        rows: list[IssueRow] = []
        for position, (index, each) in enumerate(new):
            identity = issue.wanted[index].identity
            if lives is None or lives[position] == each.life:
                self._keep(issue, index, each, forgotten)
                if lives is not None:
                    confirmed.append(self._confirmation(identity, each.life))
            else:
                older.append((index, each))
                rows.append(self._confirmation(identity, lives[position]))
        if confirmed:
            store.issue(confirmed, _ignore)
        if older:
            store.issue(rows, partial(self._stood, issue, older, rows, again, forgotten))
        else:
            self._go_on(issue, again)

    def _stood(
        self,
        issue: _Issue,
        older: Sequence[tuple[int, Issued]],
        rows: Sequence[IssueRow],
        again: list[int],
        forgotten: int,
        answers: Sequence[Issued] | None,
    ) -> None:
        """The store has taken the ledger's older lives, but for those that it knows to be dead.

        Those were revoked a moment ago, and the ledger has yet to hear of it: ask again until it has.
        """
        issue.tries += 1
        for position, (index, each) in enumerate(older):
            row = rows[position]
            held = Issued(Outcome.FOUND, Life(row.generated, row.generated + row.ttl))
            if answers is not None:
                held = answers[position]
                if held.outcome in (Outcome.PROVISIONAL, Outcome.REVOKED):
                    if issue.tries < _TRIES:
                        again.append(index)
                        continue
                    held = each
            self._keep(issue, index, Issued(Outcome.FOUND, held.life), forgotten)
        self._go_on(issue, again)

    def _keep(self, issue: _Issue, index: int, issued: Issued, forgotten: int) -> None:
        """Hand out a life, and remember it.

        ``forgotten``: how often something had been forgotten when the store was asked. If something was since,
        it may have been this, which was not remembered yet: then it is handed out, but not kept.
        """
        issue.found[index] = record = self._remember(issue.wanted[index].identity, issued)
        if forgotten != self._forgotten:
            self.records.discard(record.id)
            record.forget()

    def _confirmation(self, identity: Identity, life: Life) -> IssueRow:
        epoch = self.revisions.epoch_of(identity.prefix)
        return IssueRow(identity.id, life.ttl, Mode.CONFIRM, generated=life.generated, epoch=epoch)

    # Finding.

    def find(
        self,
        identities: Sequence[Identity],
        done: Callable[[Sequence[Known | None], bool], None],
        *,
        claimed: int | None = None,
    ) -> None:
        """Hand ``done(known, readable)`` what is known of each identity, None where nothing is.

        ``readable`` is False where neither the store nor the ledger could be read, so that None means
        nothing. ``claimed``: when the life began (ms) whose token came along. Whoever knows a later life may
        have forgotten that the claimed one was revoked: then memory does not answer, and the ledger is asked, too.
        """
        now = self._now()
        get = self.records.get
        known: list[Known | None] = []
        missing: list[int] = []
        for index, identity in enumerate(identities):
            record = get(identity.id)
            if record is not None and now < record.expires and claimed in (None, record.life.generated):
                known.append(Known(record.life, 0, cached=True))
            else:
                known.append(None)
                missing.append(index)
        self._metrics.identity_lookups += len(known)
        self._metrics.identity_lookup_hits += len(known) - len(missing)
        if not missing:
            done(known, True)
            return

        def found(answers: Sequence[Found | None] | None) -> None:
            uncertain = missing
            if answers is not None:
                uncertain = []
                for index, answer in zip(missing, answers, strict=True):
                    if answer is not None:
                        known[index] = self._known(identities[index], answer.life, answer.floor, cached=True)
                    if answer is None or answer.provisional or claimed not in (None, answer.life.generated):
                        uncertain.append(index)
            self._ask_ledger(identities, known, uncertain, answers is not None, counted)

        def counted(known: Sequence[Known | None], readable: bool) -> None:
            now_ms = self._now() * 1000
            for index in missing:
                each = known[index]
                if each is not None and each.is_living(now_ms):
                    self._metrics.identity_lookup_hits += 1
            done(known, readable)

        self._store.find([identities[index].id for index in missing], found)

    def _known(self, identity: Identity, life: Life | None, floor: int, *, cached: bool) -> Known:
        return Known(life, max(floor + 1 if floor else 0, self.revisions.epoch_of(identity.prefix)), cached)

    def _ask_ledger(
        self,
        identities: Sequence[Identity],
        known: list[Known | None],
        uncertain: Sequence[int],
        readable: bool,
        done: Callable[[Sequence[Known | None], bool], None],
    ) -> None:
        """Complete ``known`` where the store has nothing, a life that is merely proposed, or a later one."""
        if self._ledger is None or not uncertain:
            done(known, readable)
            return

        def told(pasts: Sequence[Past | None] | None) -> None:
            if pasts is None:
                done(known, False)
                return
            lost: list[IssueRow] = []
            for index, past in zip(uncertain, pasts, strict=True):
                identity, held = identities[index], known[index]
                if past is None:
                    continue
                known[index] = each = self._known(identity, past.life, past.floor, cached=held is not None)
                if held is not None:
                    known[index] = each = each._replace(dead_before=max(each.dead_before, held.dead_before))
                    if not self._rules(identity, past, held):
                        known[index] = each._replace(life=held.life)
                        continue
                if past.life is not None and each.is_living(self._now() * 1000):
                    lost.append(self._confirmation(identity, past.life))
            if lost:
                # The store has lost them (evicted, flushed): tell it, so that the next one need not ask here.
                self._store.issue(lost, _ignore)
            done(known, True)

        self._ledger.find([identities[index].id for index in uncertain], told)

    def _rules(self, identity: Identity, past: Past, held: Known) -> bool:
        """Whether the ledger's life is the one that holds, and not the store's provisional one.

        If not, the provisional life is on its way to the ledger, and was handed out perhaps: while the ledger
        was away.
        """
        if past.life is None or held.life is None:
            return held.life is None
        proposed = held.life.generated
        epoch = self.revisions.epoch_of(identity.prefix)
        return past.life.generated >= proposed or stands(past, epoch, proposed)

    def active(self, text: str) -> Record | None:
        """Return the record of an identity that this worker knows to live, counting the look-up if so."""
        record = self.records.get(text)
        if record is None or record.expires <= self._now():
            return None
        self._metrics.identity_lookups += 1
        self._metrics.identity_lookup_hits += 1
        return record

    # Revoking.

    def revoke(
        self,
        identity: Identity,
        token: IdentityToken | None,
        asker: Asker,
        done: Callable[[Revoked | None], None],
    ) -> None:
        """End all lives of an identity up to now; ``done(None)``: the store is away and nothing was done."""

        def found(known: Sequence[Known | None], _readable: bool) -> None:
            held = known[0]
            life = None if held is None else held.life
            if token is not None:
                own = Life(token.generated_ms, token.expires_s * 1000)
                if held is not None and own.generated < held.dead_before:
                    # The token of a life that was revoked has no say about the one that came after it.
                    done(Revoked(known=True, life=own, floor=held.dead_before - 1, already=True))
                    return
                life = life or own
            self._revocations.revoke(identity.id, life, partial(self._revoked, identity, asker, done))

        self.find((identity,), found, claimed=None if token is None else token.generated_ms)

    def _revoked(
        self,
        identity: Identity,
        asker: Asker,
        done: Callable[[Revoked | None], None],
        revoked: Revoked | None,
    ) -> None:
        if revoked is None or not revoked.known:
            done(revoked)
            return
        self._forget_ids([identity.id])
        at = revoked.floor
        if revoked.already:
            at = int(self._now() * 1000)  # somebody has asked once more, and that is an event of this moment
        else:
            self._metrics.identity_revoked += 1
        row = RevocationRow("revoked", at, revoked.floor + 1, asker.caller, asker.request_id, *identity)
        self._write(row, lambda: done(revoked))

    def revoke_before(self, prefix: str | None, before: int, asker: Asker, done: Callable[[int | None], None]) -> None:
        """End all lives of a prefix, or of everything, that began before ``before`` (ms)."""

        def raised(epoch: int | None) -> None:
            if epoch is None:
                done(None)
                return
            self.revisions.learn_epochs({prefix or "": epoch})
            self._forget_ids(None)
            self._metrics.identity_revoked += 1
            kind: Final = "revoked_all" if prefix is None else "revoked_prefix"
            at = int(self._now() * 1000)
            row = RevocationRow(kind, at, before, asker.caller, asker.request_id, prefix)
            self._write(row, lambda: done(epoch))

        self._revocations.set_epoch(prefix, before, raised)

    def _write(self, row: RevocationRow, done: Callable[[], None]) -> None:
        """Write a revocation; it is in force already, so a ledger that is away does not take it back."""
        if self._ledger is None:
            done()
        else:
            self._ledger.revoke(row, lambda _: done())

    def learn_epochs(self, epochs: Mapping[str, int]) -> None:
        """Take epochs from the ledger; where one has risen, nothing that is remembered can be trusted."""
        before = dict(self.revisions.epochs)
        self.revisions.learn_epochs(epochs)
        if self.revisions.epochs != before:
            self._forget_ids(None)

    # What this worker remembers.

    def restore(self) -> None:
        """The shared store was away, or has lost its memory: make what this worker remembers hold again.

        A ledger that answers knows better, for it has also heard of what was revoked meanwhile: then all is
        forgotten here, and asked for again. Else what is remembered to live is asserted in the store.
        """
        if self._ledger is not None and self._ledger.healthy:
            self._forget_ids(None)
            return
        now = self._now()
        records = [record for record in self.records.held() if now < record.expires]

        def next_chunk(answers: Sequence[Issued] | None) -> None:
            if answers is None:
                return  # away again; the next return starts anew
            chunk = records[-_RESTORE_ROWS:]
            del records[-_RESTORE_ROWS:]
            if chunk:
                rows = [self._assertion(record) for record in chunk]
                self._store.issue(rows, lambda issued: asserted(chunk, issued))

        def asserted(chunk: Sequence[Record], answers: Sequence[Issued] | None) -> None:
            for record, issued in zip(chunk, answers or (), strict=False):
                if issued.outcome is Outcome.REVOKED or issued.life != record.life:
                    record.forget()
            next_chunk(answers)

        next_chunk(())

    def _assertion(self, record: Record) -> IssueRow:
        epoch = self.revisions.epoch_of(record.identity.prefix)
        life = record.life
        provisional = self._ledger is not None
        return IssueRow(record.id, life.ttl, Mode.ASSERT, life.generated, epoch, provisional)

    def _remember(self, identity: Identity, issued: Issued) -> Record:
        outcome, life = issued
        metrics = self._metrics
        if outcome is Outcome.ISSUED:
            metrics.identity_issued += 1
        else:
            metrics.identity_lookup_hits += 1
            if outcome is Outcome.RENEWED:
                metrics.identity_renewed += 1
        text = identity.id
        record = self.records.peek(text)
        if record is None or record.life != life or not record.fresh_until:
            # One record for one life, one life for one identity: what is forgotten is then forgotten everywhere.
            if record is not None:
                record.forget()
            record = Record(text, life, self._sign, guarded=identity.prefix.lower() in self._protected)
        self.records.put(text, record)
        return record

    def _forget_ids(self, ids: Sequence[str] | None) -> None:
        """Forget these identities, or all of them."""
        self._forgotten += 1
        if ids is None:
            self.records.clear()
            return
        for identity in ids:
            held = self.records.peek(identity)
            if held is not None:
                held.forget()
                self.records.discard(identity)


def _no_epochs(done: Callable[[Mapping[str, int] | None], None]) -> None:
    """There is no ledger to remember any."""
    done({})


def _ignore(_issued: Sequence[Issued] | None) -> None:
    """A confirmation that did not arrive leaves the life provisional: the next to find it asks the ledger."""
