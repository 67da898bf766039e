"""Decides whether a request costs more than before: the arithmetic of the gate, without processes.

What is judged is the median of many ratios, each of two slices of a second or so, one next to the other: a clock
that slows down bends both alike. A neighbour on the server's core does not (its share of caches and wake-ups
is another in each), but he is seen: of the pairs that half decides in which others had the least of the core.
A workload over half the TOLERANCE is measured again, longer, before anything is decided: noise seldom strikes
twice, and a regression that a first look takes for less shows itself in the second.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import NamedTuple

TOLERANCE = 0.08  # about half of the 15 % that must be seen, so that as much noise is allowed either way


class Pair(NamedTuple):
    """CPU per request (us, or in times another's), and the share that others had of the server's core meanwhile."""

    ratio: float
    others: float = 0.0

    def over(self, other: "Pair") -> "Pair":
        """In times the other's, with the larger share of others."""
        return Pair(self.ratio / other.ratio, max(self.others, other.others))


Ratios = Mapping[str, Sequence[Pair]]  # by workload


def quieter_half(pairs: Sequence[Pair]) -> list[float]:
    """The ratios of those with the least company, at least half of them."""
    ranked = sorted(pairs, key=lambda pair: pair.others)
    return [pair.ratio for pair in ranked[: (len(ranked) + 1) // 2]]


def middle(pairs: Sequence[Pair]) -> float:
    """The median of the quieter half."""
    return statistics.median(quieter_half(pairs))


@dataclass(frozen=True)
class Verdict:
    """One workload, in times the other checkout: ``change`` is by how much it is dearer, 0.15 for 15 %."""

    workload: str
    pairs: Sequence[Pair]

    @property
    def change(self) -> float:
        return middle(self.pairs) - 1

    @property
    def suspect(self) -> bool:
        return self.change > TOLERANCE / 2

    @property
    def regressed(self) -> bool:
        return self.change > TOLERANCE


def judge(ratios: Ratios) -> list[Verdict]:
    """A verdict for each workload."""
    return list(starmap(Verdict, ratios.items()))


def against(own: Ratios, other: Ratios) -> Ratios:
    """Own in times of the other's, which were measured beside: the same slice of the floor cancels out."""
    return {name: [one.over(two) for one, two in zip(pairs, other[name], strict=True)] for name, pairs in own.items()}


def joined(first: Ratios, second: Ratios) -> dict[str, list[Pair]]:
    """All pairs of both, workload by workload."""
    return {name: [*first.get(name, ()), *second.get(name, ())] for name in {**first, **second}}
