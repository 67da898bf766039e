"""The sum of unread responses."""

from arsenal_fast.server.backlog import Backlog


class Reader:
    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.cut = False

    def cut_off(self) -> None:
        self.cut = True


def test_within_the_bound_nobody_is_cut_off() -> None:
    backlog, reader = Backlog(100), Reader(0.0)
    backlog.update(reader, 60)
    backlog.update(reader, 100)
    backlog.update(reader, 0)
    backlog.update(reader, 0)
    assert (backlog.size_bytes, reader.cut, backlog._connections) == (0, False, {})


def test_beyond_it_the_one_that_has_not_read_for_the_longest_time_is() -> None:
    backlog = Backlog(100)
    readers = [Reader(since) for since in (5.0, 1.0, 3.0, 9.0)]
    for reader in readers:
        backlog.update(reader, 30)
    assert [reader.cut for reader in readers] == [False, True, False, False]
    assert backlog.size_bytes == 90
    backlog.update(readers[0], 95)
    assert [reader.cut for reader in readers] == [True, True, True, False]
    assert backlog.size_bytes == 30
