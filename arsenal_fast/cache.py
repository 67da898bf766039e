"""A bounded map whose hit costs one dictionary look-up.

An exact LRU moves an entry at every hit; this cache keeps two generations instead. New and re-used
entries live in the young one; when that is full it becomes the old one, and entries that are not
used again before the next turn are forgotten. So an entry survives at least ``capacity`` and at most
``2 * capacity`` insertions after its last use (2Q and SIEVE rest on the same idea).

Forgetting is spread out: each insertion frees two entries of a dropped generation (or twice its own weight, where
entries are weighed), so that no request frees a hundred thousand of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from typing import Final, Generic, TypeVar

OFFERS: Final = 8_192
"""Keys offered to a full cache that it remembers at most: those that come again among them are taken."""

_MARKS: Final = 16 * OFFERS
"""Places of their marks, a byte each: of keys that come once, one in 32 meets the mark of another on average."""

K = TypeVar("K")
V = TypeVar("V")


class _Young(dict[K, V]):
    """The young generation: finding an entry takes no Python call, and a missing one is looked up by ``find``."""

    __slots__ = ("__missing__",)  # of the instance, so that it is called without a method around it

    def __init__(self, find: Callable[[K], V | None]) -> None:
        super().__init__()
        self.__missing__ = find


class GenerationalCache(Generic[K, V]):
    """At most ``2 * capacity`` entries of ``2 * room`` bytes and one entry, those being forgotten included."""

    __slots__ = (
        "_bytes",
        "_capacity",
        "_dying",
        "_find",
        "_marks",
        "_offered",
        "_old",
        "_retire",
        "_room",
        "_weigh",
        "_young",
        "get",
    )

    def __init__(
        self,
        capacity: int,
        retire: Callable[[V], None] | None = None,
        *,
        weigh: Callable[[K, V], int] | None = None,
        room: int = 0,
        find: Callable[[K], V | None] | None = None,
    ) -> None:
        """
        Args:
            capacity: entries of a generation.
            retire: called with every value that is forgotten for want of room, when that is done.
            weigh: bytes that an entry takes, the same whenever it is called.
            room: bytes of a generation.
            find: called with a key that has no entry; what it returns is the result of :attr:`get`.
        """
        if capacity < 1:
            raise ValueError("capacity must be at least 1")
        self._capacity = capacity
        self._retire = retire
        self._weigh = weigh
        self._room: float = inf if weigh is None else room
        self._bytes = 0
        """The weight of the young generation."""
        self._find = find
        self._young: _Young[K, V] = _Young(self._get_old)
        self.get: Callable[[K], V | None] = self._young.__getitem__
        """Returns the entry, keeping it young, or what ``find`` returns. It changes: call it as an attribute."""
        self._old: dict[K, V] = {}
        self._dying: dict[K, V] = {}
        self._marks = bytearray()
        """A mark for each key offered to a full cache, by its hash; empty until there are any."""
        self._offered = 0
        """The number of marks."""

    def put(self, key: K, value: V) -> V | None:
        """Insert an entry and return what it replaces, also where that is being forgotten; or None."""
        if self._bytes >= self._room or len(self._young) >= self._capacity:
            self._turn()
        young, weigh = self._young, self._weigh
        replaced = young.get(key)
        young[key] = value
        size_bytes = 0 if weigh is None else weigh(key, value)
        if replaced is None:
            # A key is in one generation only, so that the entries need not be compared for counting.
            replaced = self._old.pop(key, None)
            if replaced is None and self._dying:
                replaced = self._dying.pop(key, None)
        elif weigh is not None:
            size_bytes -= weigh(key, replaced)
        self._bytes += size_bytes
        if self._dying:
            self._forget(2, 2 * size_bytes)
        return replaced

    def put_all(self, entries: Mapping[K, V]) -> Sequence[tuple[K, V]]:
        """Insert entries, and return the key and value of each that they replace, as :meth:`put` does."""
        weigh, size_bytes = self._weigh, 0
        if weigh is not None:
            size_bytes = sum(map(weigh, entries, entries.values()))
        young = self._young
        if (
            self._bytes + size_bytes >= self._room
            or len(young) + len(entries) > self._capacity
            or not young.keys().isdisjoint(entries)
            or not self._old.keys().isdisjoint(entries)
            or not self._dying.keys().isdisjoint(entries)
        ):
            replaced = ((key, self.put(key, value)) for key, value in entries.items())
            return [(key, value) for key, value in replaced if value is not None]
        young.update(entries)  # in C, since most are new
        self._bytes += size_bytes
        if self._dying:
            self._forget(2 * len(entries), 2 * size_bytes)
        return ()

    def takes_new(self, key: K) -> bool:
        """Say whether to insert an entry that may never be used again, and replaces none.

        Always while there is room, otherwise at the second time: as the doorkeeper of TinyLFU (Einziger, Friedman and
        Manes, 2017). So keys that come once hardly displace others, and cost next to nothing, whereas those that come
        back are in at once.
        """
        if not self._old:
            return True
        marks, place = self._marks or self._forget_offers(), hash(key) % _MARKS
        if marks[place]:
            return True
        marks[place] = 1
        self._offered += 1
        if self._offered == OFFERS:
            self._forget_offers()
        return False

    def takes(self, key: K) -> bool:
        """Say whether to insert an entry that may never be used again: as :meth:`takes_new`, or it replaces one."""
        return self.takes_new(key) or key in self._young or key in self._old or key in self._dying

    def peek(self, key: K) -> V | None:
        """Return the entry without keeping it young, also where it is being forgotten; or None."""
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is None:
                value = self._dying.get(key)
        return value

    def discard(self, key: K) -> None:
        """Remove the entry, if any."""
        value = self._young.pop(key, None)
        if value is not None and self._weigh is not None:
            self._bytes -= self._weigh(key, value)
        self._old.pop(key, None)
        self._dying.pop(key, None)

    def clear(self) -> None:
        """Forget everything, at once."""
        if self._retire is not None:
            for _, value in self.held():
                self._retire(value)
        self._young.clear()
        self._old.clear()
        self._dying.clear()
        self._bytes = 0

    def values(self) -> Iterator[V]:
        """Yield the living entries as they stand now, each key once."""
        young, old = tuple(self._young.values()), tuple(self._old.values())
        yield from young
        yield from old

    def held(self) -> Iterator[tuple[K, V]]:
        """Yield keys and values of the living entries and of those that are being forgotten, as they stand now."""
        generations = (self._young, self._old, self._dying)
        for entries in [tuple(each.items()) for each in generations]:
            yield from entries

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def _get_old(self, key: K) -> V | None:
        value = self._old.get(key)
        if value is not None:
            self.put(key, value)
        elif self._find is not None:
            value = self._find(key)
        return value

    def _turn(self) -> None:
        while self._dying:
            self._forget(2, 0)
        self._dying = self._old
        self._old = self._young
        self._young = _Young(self._get_old)
        self.get = self._young.__getitem__
        self._bytes = 0

    def _forget_offers(self) -> bytearray:
        self._marks, self._offered = bytearray(_MARKS), 0
        return self._marks

    def _forget(self, left: int, size_bytes: int) -> None:
        """Free ``left`` entries of the dropped generation, and at least ``size_bytes`` of it."""
        dying, retire, weigh = self._dying, self._retire, self._weigh
        while dying and (left > 0 or size_bytes > 0):
            key, value = dying.popitem()
            left -= 1
            if retire is not None:
                retire(value)
            if weigh is not None:
                size_bytes -= weigh(key, value)
