"""A text that must not be seen: in a log, an error, a repr, a table, a JSON document.

Not a subclass of str on purpose: f-strings, ``join`` and the C JSON encoders read a str's own octets and
would pass over ``__str__``. Whoever needs the text says so with ``reveal()``.
"""

from typing import Final

MASK: Final = "***"


class Secret:
    """``shown`` is what people may see in its place: a URL keeps its host, a key keeps nothing."""

    __slots__ = ("_shown", "_value")

    def __init__(self, value: str, shown: str = MASK) -> None:
        self._value = value
        self._shown = shown

    def reveal(self) -> str:
        return self._value

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"Secret({self._shown!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("A secret is not pickled.")
