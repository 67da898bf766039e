"""An identity that this worker knows to live, with its answers rendered once.

Rendering is done by hand for speed; that it is the JSON that ``orjson`` would write is held by a test.
It can be done by hand because the grammar lets no character into an identity that JSON would escape.
"""

from collections.abc import Callable
from typing import Final

from arsenal_fast.http.responses import JSON, tail
from arsenal_fast.identity.grammar import Identity
from arsenal_fast.identity.life import Life, timestamp
from arsenal_fast.identity.validate import REASONS, Status

KIND: Final = "disposable-identity"
FORMAT: Final = "rfc5322-compliant"


class Record:
    """One life of one identity in the worker's memory."""

    __slots__ = (
        "__weakref__",
        "_row",
        "_sign",
        "_tail",
        "_verdict",
        "expires",
        "fresh_until",
        "guarded",
        "id",
        "identity",
        "life",
    )

    def __init__(
        self, identity: Identity, life: Life, sign: Callable[[str, Life], str], *, guarded: bool = False
    ) -> None:
        """``sign`` makes the identity token of a life; it is called when somebody is told of it.

        ``guarded``: handed out only to callers whose token has the scope ``issue``.
        """
        self.identity = identity
        self.id = identity.id
        self.life = life
        self.guarded = guarded
        self._sign = sign
        self.fresh_until = life.renew_at / 1000
        """Wall clock, seconds: from here on the store has to be asked, for it is time to renew."""
        self.expires = life.expires / 1000
        self._tail: bytes | None = None
        self._row: bytes | None = None
        self._verdict: bytes | None = None

    @property
    def tail(self) -> bytes:
        """The end of the answer to ``GET /api/v1/id``."""
        if self._tail is None:
            prefix, run, domain, version = self.identity
            body = (
                f'{{"id":"{self.id}",{self._middle()},'
                f'"metadata":{{"prefix":"{prefix}","run":"{run}","domain":"{domain}","version":"{version}",'
                f'"type":"{KIND}","compatible":["nexus","artifactory","jfrog"]}}}}'
            )
            self._tail = tail(JSON, body.encode("ascii"), b"Cache-Control: no-store\r\n")
        return self._tail

    @property
    def row(self) -> bytes:
        """The members of this identity in a batch answer, without the environment's name and braces."""
        if self._row is None:
            self._row = f'"id":"{self.id}",{self._middle()}'.encode("ascii")
        return self._row

    @property
    def verdict(self) -> bytes:
        """The answer of a validation while the identity lives, up to the moment of validation."""
        if self._verdict is None:
            prefix, run, domain, version = self.identity
            self._verdict = (
                f'{{"identity":"{self.id}","valid":true,"status":"active","reason":"{REASONS[Status.ACTIVE]}",'
                f'"well_formed":true,"rfc5322_compliant":true,'
                f'"metadata":{{"prefix":"{prefix}","run":"{run}","domain":"{domain}","version":"{version}",'
                f'"type":"{KIND}","format":"{FORMAT}"}},"cached":true,'
                f'"generated":"{timestamp(self.life.generated)}","expires":"{timestamp(self.life.expires)}",'
                f'"validated":"'
            ).encode("ascii")
        return self._verdict

    def _middle(self) -> str:
        life = self.life
        return (
            f'"email":"{self.id[: self.id.index("/")]}","ttl":{life.ttl // 1000},'
            f'"generated":"{timestamp(life.generated)}","expires":"{timestamp(life.expires)}",'
            f'"token":"{self._sign(self.id, life)}"'
        )
