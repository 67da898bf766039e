"""Decides whether a request costs more than before: the arithmetic of the gate, without processes.

What is judged is the median of many ratios, each of two slices of a second or so, one next to the other: a clock
that slows down bends both alike. A neighbour on the server's core does not (its share of caches and wake-ups
is another in each), but he is seen: of the pairs that half decides in which others had the least of the core.
A workload over half the TOLERANCE is measured again, longer, before anything is decided: noise seldom strikes
twice, and a regression that a first look takes for less shows itself in the second.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench import BenchError

BASELINE = Path(__file__).parent / "baseline.json"
TOLERANCE = 0.08  # about half of the 15 % that must be seen, so that as much noise is allowed either way
FORMAT = 1


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
    """One workload: ``change`` is by how much it is over the reference, 0.15 for 15 %."""

    workload: str
    reference: float
    pairs: Sequence[Pair]

    @property
    def change(self) -> float:
        return middle(self.pairs) / self.reference - 1

    @property
    def suspect(self) -> bool:
        return self.change > TOLERANCE / 2

    @property
    def regressed(self) -> bool:
        return self.change > TOLERANCE


def judge(ratios: Ratios, reference: Mapping[str, float]) -> list[Verdict]:
    """A verdict for each workload. Raises BenchError for one that has no reference."""
    unknown = sorted(ratios.keys() - reference.keys())
    if unknown:
        raise BenchError(f"No reference for {', '.join(unknown)}: measure one with python -m bench.gate --write.")
    return [Verdict(workload, reference[workload], found) for workload, found in ratios.items()]


def against(own: Ratios, other: Ratios) -> Ratios:
    """Own in times of the other's, which were measured beside: the same slice of the floor cancels out."""
    return {name: [one.over(two) for one, two in zip(pairs, other[name], strict=True)] for name, pairs in own.items()}


def joined(first: Ratios, second: Ratios) -> dict[str, list[Pair]]:
    """All pairs of both, workload by workload."""
    return {name: [*first.get(name, ()), *second.get(name, ())] for name in {**first, **second}}


def machine_key(facts: Mapping[str, str]) -> str:
    """Ratios hold for a kind of processor, a Python and a kernel: these weigh system calls and bytecode unlike."""
    python, kernel = (".".join(facts[name].split(".")[:2]) for name in ("Python", "kernel"))
    return f"{facts['CPU']}, Python {python}, {kernel}"


def read_baseline(key: str, path: Path = BASELINE) -> dict[str, float]:
    """Workload -> ratio. Raises BenchError when there is none for this kind of machine."""
    machines = _machines(path)
    if key not in machines:
        known = "; ".join(machines) or "none"
        raise BenchError(
            f"No baseline for {key} (known: {known}). Compare with another checkout (--against DIRECTORY), "
            "or make a baseline here (--write)."
        )
    ratios: dict[str, float] = machines[key]["ratios"]
    return ratios


def write_baseline(key: str, taken: str, ratios: Ratios, path: Path = BASELINE) -> None:
    """Keep the medians as this kind of machine's reference, beside what is there of others."""
    machines = _machines(path)
    known = machines.get(key, {}).get("ratios", {})
    medians = {name: round(middle(found), 3) for name, found in ratios.items()}
    machines[key] = {"taken": taken, "ratios": {**known, **medians}}
    path.write_text(json.dumps({"format": FORMAT, "machines": machines}, indent=1, sort_keys=True) + "\n")


def _machines(path: Path) -> dict[str, dict[str, Any]]:
    """Kind of machine -> when it was measured, and its ratios by workload."""
    if not path.exists():
        return {}
    document = json.loads(path.read_text())
    if document.get("format") != FORMAT:
        raise BenchError(f"{path.name} is not of format {FORMAT}.")
    machines: dict[str, dict[str, Any]] = document["machines"]
    return machines
