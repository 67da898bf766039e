"""An identity that this worker knows to live, with its answers rendered once they are asked for again.

Rendering is done by hand for speed; that it is the JSON that ``orjson`` would write is held by a test.
It can be done by hand because the grammar lets no character into an identity that JSON would escape.

A record that is asked for once holds little: most identities are issued, and never asked for again here.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from arsenal_fast.http.response import JSON
from arsenal_fast.identity.grammar import Identity, split
from arsenal_fast.identity.validity import Life, timestamp
from arsenal_fast.identity.verdict import REASONS, Status

KIND: Final = "disposable-identity"
FORMAT: Final = "rfc5322-compliant"

ANSWER_LINES: Final = f"Cache-Control: no-store\r\nContent-Type: {JSON.decode()}\r\nContent-Length: "
_WHAT_FOR: Final = f'"type":"{KIND}","compatible":["nexus","artifactory","jfrog"]}}}}'
_END: Final = '"}'
STAMP: Final = len(timestamp(0) + _END)
"""Octets of a stamp."""

UNBORN: Final = Life(0, 0)
"""Of a blank record."""


class Record:
    """One life of one identity in the worker's memory; *blank* until the life begins, and then as if it was over."""

    __slots__ = ("_sign", "asked", "expires", "fresh_until", "guarded", "id", "life", "row", "tail", "unstamped")

    def __init__(self, identity: str, sign: Callable[[str, Life], str], *, guarded: bool = False) -> None:
        """``identity``: the id of a valid one. ``sign`` makes the identity token of a life.

        ``guarded``: handed out only to callers whose token has the scope ``issue``.
        """
        self.id = identity
        self.life = UNBORN
        self.guarded = guarded
        self._sign = sign
        self.fresh_until = 0.0
        """Wall clock, seconds: from here on the store has to be asked, for it is time to renew."""
        self.expires = 0.0
        self.asked = False
        """Whether somebody was handed it by this worker: then it is worth while to keep what is rendered."""
        self.tail = b""
        """The end of the answer to ``GET /api/v1/id``; empty until ``render_tail`` and ``asked``."""
        self.row = b""
        self.unstamped = b""
        """The answer to a validation from its own lines on, up to the stamp; empty until it is asked for."""

    @property
    def identity(self) -> Identity:
        """The four parts."""
        return split(self.id)

    def begin(self, life: Life) -> None:
        """Fill in the life of a blank record."""
        self.life = life
        self.fresh_until, self.expires = _ends(life)

    def forget(self) -> None:
        """End the record: who still holds it (prepared answers do) has to ask again, and holds nothing rendered."""
        self.fresh_until = self.expires = 0.0
        self.tail = self.row = self.unstamped = b""

    def answer(self) -> bytes:
        """Return ``tail``, rendered; it is kept from the second time on."""
        if self.tail:
            return self.tail
        # Spelled out, for it stands in the way of every new identity: as _members and _parts have it.
        identity, life = self.id, self.life
        local, _, rest = identity.partition("@")
        prefix, _, run = local.partition("-")
        domain, _, version = rest.partition("/")
        body = (
            f'{{"id":"{identity}","email":"{local}@{domain}",{_span(life)},"token":"{self._sign(identity, life)}",'
            f'"metadata":{{"prefix":"{prefix}","run":"{run}","domain":"{domain}","version":"{version[:-3]}",{_WHAT_FOR}'
        )
        tail = f"{ANSWER_LINES}{len(body)}\r\n\r\n{body}".encode("ascii")
        if self.asked:
            self.tail = tail
        self.asked = True
        return tail

    def keep_answer(self) -> None:
        """Render ``tail``, and keep it."""
        self.asked = True
        self.answer()

    def batch_row(self) -> bytes:
        """Return ``row``: the members in a batch answer, without the environment's name and braces."""
        if self.row:
            return self.row
        row = self._members().encode("ascii")
        if self.asked:
            self.row = row
        self.asked = True
        return row

    def validation(self) -> bytes:
        """Return ``unstamped``, rendered."""
        if not self.unstamped:
            body = (
                f'{{"identity":"{self.id}","valid":true,"status":"active","reason":"{REASONS[Status.ACTIVE]}",'
                f'"well_formed":true,"rfc5322_compliant":true,'
                f'"metadata":{{{_parts(self.id)},"type":"{KIND}","format":"{FORMAT}"}},"cached":true,'
                f'"generated":"{timestamp(self.life.generated)}","expires":"{timestamp(self.life.expires)}",'
                f'"validated":"'
            )
            self.unstamped = f"{ANSWER_LINES}{len(body) + STAMP}\r\n\r\n{body}".encode("ascii")
        return self.unstamped

    def _members(self) -> str:
        identity, life = self.id, self.life
        token = self._sign(identity, life)
        return f'"id":"{identity}","email":"{identity[: identity.index("/")]}",{_span(life)},"token":"{token}"'


def _parts(identity: str) -> str:
    local, _, rest = identity.partition("@")
    prefix, _, run = local.partition("-")
    domain, _, version = rest.partition("/")
    return f'"prefix":"{prefix}","run":"{run}","domain":"{domain}","version":"{version[:-3]}"'


# Identities are issued many at a time, and then their lives are equal.


@lru_cache(maxsize=64)
def _ends(life: Life) -> tuple[float, float]:
    return life.renew_at / 1000, life.expires / 1000


@lru_cache(maxsize=64)
def _span(life: Life) -> str:
    generated, expires = timestamp(life.generated), timestamp(life.expires)
    return f'"ttl":{life.ttl // 1000},"generated":"{generated}","expires":"{expires}"'


def stamp(now: float) -> bytes:
    """Return the end of an answer that says when it was given: at ``now`` (seconds)."""
    return (timestamp(int(now * 1000)) + _END).encode("ascii")
