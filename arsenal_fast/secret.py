"""Secret texts, which no log, error, repr, table or JSON document shows; and passwords in URLs.

Not a subclass of str on purpose: f-strings, ``join`` and the C JSON encoders read a str's own data and ignore
``__str__``. ``reveal()`` returns the text.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, unquote, urlsplit

MASK: Final = "***"

PARAMETERS: Final = frozenset(
    {"password", "passwd", "pwd", "passphrase", "sslpassword", "scram_client_key", "scram_server_key"}
    | {"oauth_client_secret", "ssl_password", "sentinel_password"}
)
"""Names of parameters of a URL whose values are secret: those of libpq, redis-py, ours, and of other clients."""

# Two patterns, each begins with a literal: as one pattern the search would take 40 us of every log line.
_USERINFO = re.compile(r"""(://[^/?#\s"'@:]*:)[^/?#\s"']*(?=@)""")
_PARAMETER = re.compile(rf"""=(?i:{"|".join(f"(?<={name}=)" for name in sorted(PARAMETERS))})[^&\s"'\\]+""")


class Secret:
    """A secret text. ``shown`` is displayed in its place: a URL keeps its host, a key nothing."""

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


def secrets_in(url: str) -> Iterator[str]:
    """Yield each password of a valid URL in all its forms: as it is, decoded, encoded."""
    parts = urlsplit(url)
    given = [parts.netloc.rpartition("@")[0].partition(":")[2]]
    for parameter in parts.query.split("&"):
        name, _, value = parameter.partition("=")
        if unquote(name).lower() in PARAMETERS:
            given.append(value)
    for text in filter(None, given):
        plain = unquote(text, errors="surrogateescape")
        yield from (text, plain, quote(plain, safe="", errors="surrogateescape"))


def without_passwords(text: str) -> str:
    """Return any text with the passwords of the URLs in it masked."""
    return _PARAMETER.sub(f"={MASK}", _USERINFO.sub(rf"\1{MASK}", text))
