"""Runs of the gate on what is known: so often as the service is, and as often with a regression; kept for PERF.md."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PROOF = Path(__file__).parent / "gate-proof.json"


@dataclass(frozen=True)
class Trial:
    """One whole run of the gate; ``changes``: workload -> what it found. ``burned``: the regression, 0 for none."""

    burned: float
    failed: bool
    changes: Mapping[str, float]


@dataclass(frozen=True)
class Proof:
    """``reference``: what was compared with, in words; ``burn``: the regression that must be seen."""

    taken: str
    machine: str
    reference: str
    workloads: Sequence[str]
    burn: float
    trials: Sequence[Trial]

    @property
    def sentence(self) -> str:
        clean = [trial.failed for trial in self.trials if not trial.burned]
        burned = [trial.failed for trial in self.trials if trial.burned]
        return (
            f"{sum(clean)} false alarms in {len(clean)} runs of the gate without a change; "
            f"{sum(burned)} of {len(burned)} regressions of {self.burn:.0%} seen."
        )

    def write(self, path: Path = PROOF) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def read_proof(path: Path = PROOF) -> Proof | None:
    """None where none was kept."""
    if not path.exists():
        return None
    document = json.loads(path.read_text())
    document["trials"] = [Trial(**trial) for trial in document["trials"]]
    return Proof(**document)
