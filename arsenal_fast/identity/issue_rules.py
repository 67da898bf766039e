"""The rules of issuing: pure decisions over a store's record, the same as in issue.lua.

Nothing here reads a clock or a store. A floor outlives the lives of its record: a new life keeps the floor and begins
after it.
"""

from arsenal_fast.identity.validity import Issued, IssueRow, Life, Mode, Outcome, StoreRecord


def settle(held: StoreRecord | None, row: IssueRow, now: int) -> tuple[Issued, StoreRecord | None]:
    """Return the result of a row at ``now`` (ms), and the record to write; None: nothing changes."""
    if held is not None and is_living(held, row.epoch, now) and _is_kept(held, row, now):
        return Issued(Outcome.PROVISIONAL if held.provisional else Outcome.FOUND, held.life), None
    if row.mode is not Mode.PLAIN:
        return _bring(held, row)
    floor = 0 if held is None else held.floor
    begin = max(now, floor + 1, row.epoch)
    renewed = held is not None and is_living(held, row.epoch, now)
    life = Life(begin, begin + row.ttl)
    outcome = Outcome.RENEWED if renewed else Outcome.ISSUED
    return Issued(outcome, life), StoreRecord(life, floor, row.provisional)


def is_living(held: StoreRecord, epoch: int, now: int) -> bool:
    """Whether the life is neither over nor revoked."""
    life = held.life
    return now < life.expires and life.generated > held.floor and life.generated >= epoch


def _is_kept(held: StoreRecord, row: IssueRow, now: int) -> bool:
    """Whether the living life is the result of the row, unchanged."""
    match row.mode:
        case Mode.ASSERT:
            return True
        case Mode.CONFIRM:
            if _is_dead(row, held.floor):
                return True
            brought = Life(row.generated, row.generated + row.ttl)
            return not held.provisional and (held.life == brought or held.life.generated > row.generated)
    return now < held.life.renew_at


def _is_dead(row: IssueRow, floor: int) -> bool:
    return row.generated <= floor or row.generated < row.epoch


def _bring(held: StoreRecord | None, row: IssueRow) -> tuple[Issued, StoreRecord | None]:
    """Replace the record by the row's own life, unless that is dead."""
    life = Life(row.generated, row.generated + row.ttl)
    floor = 0 if held is None else held.floor
    if _is_dead(row, floor):
        return Issued(Outcome.REVOKED, life), None
    if row.mode is Mode.ASSERT:
        return Issued(Outcome.ISSUED, life), StoreRecord(life, floor, row.provisional)
    known = held is not None and held.life == life
    return Issued(Outcome.FOUND if known else Outcome.ISSUED, life), StoreRecord(life, floor)
