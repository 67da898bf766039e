"""Counts who calls most, in bounded memory.

A :class:`Sketch` is the summary of Misra and Gries (1982), which is the space-saving one in another form (Agarwal et
al., Mergeable Summaries, 2012). Its guarantees, for KEPT callers and N hits in all:

* a caller's count is at most what it did, and at least that minus ``error``;
* ``error`` is at most N / (KEPT + 1), so every caller that did more than that is in it;
* sketches can be merged, and the sum has the same guarantees.

It takes all rows of an admission batch at once. A caller costs one look-up; the small ones are dropped only after many
new ones have come.

Who called last week does not matter: :class:`RecentCallers` counts in windows, and reports the present one and the one
before.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

KEPT: Final = 128
"""Callers that a ranking has at most."""

CROWD: Final = 8 * KEPT
"""Callers of a sketch above which the small ones are dropped; those of one batch may come on top."""

WINDOW_S: Final = 300.0
"""Seconds after which a report begins a new window."""

K = TypeVar("K", bytes, str)


@dataclass(slots=True)
class Ranking:
    """What callers did, by name: at least these counts, and at most ``error`` more each."""

    counts: Counter[str] = field(default_factory=Counter)
    error: int = 0
    seconds: float = 0.0
    """How long was counted."""

    def add(self, counts: Mapping[str, int], error: int, seconds: float) -> None:
        """Add another ranking, of another worker at the same time."""
        self.counts.update(counts)
        self.counts, dropped = _largest(self.counts)
        self.error += error + dropped
        self.seconds = max(self.seconds, seconds)

    def heaviest(self) -> list[tuple[str, int]]:
        """Return the callers with their counts, the greatest count first."""
        return sorted(self.counts.items(), key=lambda each: (-each[1], each[0]))


class Sketch:
    """The counts of the callers that did most, by their keys in UTF-8."""

    __slots__ = ("_counts", "_error")

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._error = 0

    def add(self, keys: Iterable[bytes], hits: Sequence[int]) -> None:
        """Count the hits of these callers, in the same order."""
        counts = self._counts
        if hits.count(1) == len(hits):
            counts.update(keys)  # in C
        else:
            for key, number in zip(keys, hits, strict=True):
                if number:
                    counts[key] += number
        if len(counts) > CROWD:
            self._counts, dropped = _largest(counts)
            self._error += dropped

    def ranking(self, seconds: float) -> Ranking:
        """Return the counts by name."""
        counts, dropped = _largest(self._counts)
        named = Counter({key.decode("utf-8", "replace"): number for key, number in counts.items()})
        return Ranking(named, self._error + dropped, seconds)


class RecentCallers:
    """What callers did of late: in this window and the one before."""

    __slots__ = ("_earlier", "_sketch", "begun_s")

    def __init__(self) -> None:
        self._sketch = Sketch()
        self._earlier = Ranking()
        self.begun_s = 0.0
        """Monotonic: the beginning of this window."""

    def add(self, keys: Iterable[bytes], hits: Sequence[int]) -> None:
        """Count the hits of these callers, in the same order."""
        self._sketch.add(keys, hits)

    def report(self, now_s: float) -> Ranking:
        """Return the ranking at ``now_s`` (monotonic); begins a new window where this one is over."""
        seconds = max(now_s - self.begun_s, 0.0)
        recent = self._sketch.ranking(seconds)
        earlier = self._earlier
        if seconds >= WINDOW_S:
            self._earlier, self._sketch, self.begun_s = recent, Sketch(), now_s
        total = Ranking(Counter(recent.counts), recent.error)
        total.add(earlier.counts, earlier.error, recent.seconds + earlier.seconds)
        return total


def _largest(counts: Counter[K]) -> tuple[Counter[K], int]:
    """Return the KEPT largest counts, less the next one, and that: so much each caller may have done beside."""
    if len(counts) <= KEPT:
        return counts, 0
    next_one = sorted(counts.values(), reverse=True)[KEPT]
    return Counter({key: number - next_one for key, number in counts.items() if number > next_one}), next_one
