"""The request ids that a worker makes, which no two workers make alike."""

import re
from typing import Any

MADE = re.compile(r"[0-9a-f]{19}\.[0-9a-f]{3}")


class Ids:
    """Replaces the ids that a worker made by their number in the order of their appearance.

    Two workers make different ones; the same id has the same number wherever it is.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, str] = {}

    def in_order(self, seen: Any) -> Any:
        """Return what was seen with numbers for ids."""
        if isinstance(seen, str):
            return MADE.sub(lambda made: self.numbers.setdefault(made[0], f"{len(self.numbers):023}"), seen)
        if isinstance(seen, bytes):
            return self.in_order(seen.decode("latin-1")).encode("latin-1")
        if isinstance(seen, dict):
            return {name: self.in_order(value) for name, value in seen.items()}
        if isinstance(seen, tuple) and hasattr(seen, "_make"):
            return seen._make(map(self.in_order, seen))
        return type(seen)(map(self.in_order, seen)) if isinstance(seen, list | tuple) else seen
