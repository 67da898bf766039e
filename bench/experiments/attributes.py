"""``__slots__`` against ordinary instances, at the size of an exchange: making one, using it, holding many."""

import tracemalloc
from collections.abc import Callable
from typing import Any

from arsenal_fast.service.exchange import Exchange
from bench.experiments.racing import build, race

NAMES = tuple(name for name in Exchange.__slots__ if name != "__dict__")
HELD = 10_000


def make_class(*, slots: bool) -> Any:
    """A class that sets as many attributes as an exchange has."""
    body = "\n".join(f"        self.{name} = value" for name in NAMES)
    head = f"    __slots__ = {NAMES!r}\n" if slots else ""
    namespace: dict[str, Any] = {}
    exec(f"class Made:\n{head}    def __init__(self, value):\n{body}\n", namespace)
    return namespace["Made"]


def using(made: Any) -> Callable[[], None]:
    one = made(b"")

    def use() -> None:
        for _ in range(100):
            one.record = one.octets
            one.client = one.connection
            one.row = one.answer

    return use


def octets_each(made: Any) -> float:
    """Memory of an instance with all that belongs to it alone."""
    tracemalloc.start()
    held = [made(b"") for _ in range(HELD)]
    octets = tracemalloc.get_traced_memory()[0] / len(held)
    tracemalloc.stop()
    return octets


def main() -> None:
    slotted, plain = make_class(slots=True), make_class(slots=False)
    print(build(), f"{len(NAMES)} attributes")
    race("us to make one", {"__slots__": lambda: slotted(b""), "a dictionary": lambda: plain(b"")})
    race("us for three reads and three writes", {"__slots__": using(slotted), "a dictionary": using(plain)}, per=100)
    print(f"\noctets each: __slots__ {octets_each(slotted):.0f}, a dictionary {octets_each(plain):.0f}")


if __name__ == "__main__":
    main()
