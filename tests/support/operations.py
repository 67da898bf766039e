"""Helpers of the tests of health, metrics and telemetry."""

from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from arsenal_fast.stores.counters import Counters
from arsenal_fast.stores.ports import IdentityStore, Limiter, Revocations
from tests.support.rig import Answer, Rig


class SharedStore:
    """A stub of a Redis backend as the operator sees it: its health and its counts are the test's to set."""

    def __init__(self) -> None:
        own = Rig().spare
        self.on_return: Callable[[], None] | None = None
        self.limiter: Limiter = own.limiter
        self.identities: IdentityStore = own.identities
        self.revocations: Revocations = own.revocations
        self.counters = Counters()
        self.healthy = True

    @property
    def fault(self) -> str:
        return "" if self.healthy else "it refuses connections"

    @property
    def status(self) -> str:
        return "healthy" if self.healthy else "unavailable"


def away() -> SharedStore:
    store = SharedStore()
    store.healthy = False
    return store


def exposed(answer: Answer, name: str, **labels: str) -> float:
    assert answer.status == 200
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    raise AssertionError(f"{name} {labels} is not there")
