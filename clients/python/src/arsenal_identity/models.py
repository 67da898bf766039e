"""What calls take and return: frozen dataclasses, and how they are read from JSON.

Moments are aware datetimes in UTC. Members that a later release adds are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

Status = Literal["active", "expired", "revoked", "malformed", "unknown", "unverifiable"]


@dataclass(frozen=True)
class Metadata:
    """The parts of an identity."""

    prefix: str
    run: str
    domain: str
    version: str
    type: str

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the ``metadata`` of an identity or a verdict."""
        names = ("prefix", "run", "domain", "version", "type")
        return cls(*(_text(document, name) for name in names))


@dataclass(frozen=True)
class Identity:
    """A living identity. Its ``token`` proves that its holder was given the identity: keep it out of URLs and logs."""

    id: str
    email: str
    ttl_s: int
    generated: datetime
    expires: datetime
    token: str
    metadata: Metadata

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the answer of ``GET /api/v1/id``."""
        return cls(*_life(document), Metadata.read(document["metadata"]))


@dataclass(frozen=True)
class Environment:
    """One row of a batch. Without ``run`` a new one is drawn that nobody can guess."""

    name: str
    prefix: str | None = None
    run: str | None = None

    def body(self) -> dict[str, str]:
        """Return the row as JSON."""
        members = {"name": self.name, "prefix": self.prefix, "run": self.run}
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True)
class BatchIdentity:
    """One identity of a batch, for the environment of that name."""

    environment: str
    id: str
    email: str
    ttl_s: int
    generated: datetime
    expires: datetime
    token: str

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read one row of a batch."""
        return cls(_text(document, "environment"), *_life(document))


@dataclass(frozen=True)
class Batch:
    """Identities in the order of the environments."""

    identities: tuple[BatchIdentity, ...]
    domain: str
    version: str
    ttl_s: int
    generated: datetime

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the answer of ``POST /api/v1/identities``."""
        return cls(
            tuple(BatchIdentity.read(row) for row in document["identities"]),
            _text(document, "domain"),
            _text(document, "version"),
            _integer(document, "ttl"),
            _moment(document, "generated"),
        )


@dataclass(frozen=True)
class Verdict:
    """Whether an identity or token is good: ``valid`` is the verdict to act on, ``reason`` one sentence."""

    identity: str | None
    valid: bool
    status: Status
    reason: str
    well_formed: bool
    rfc5322_compliant: bool
    metadata: Metadata | None
    cached: bool
    generated: datetime | None
    expires: datetime | None
    validated: datetime

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the answer of ``POST /api/v1/validate`` to a single identity or token."""
        metadata = document["metadata"]
        return cls(
            document["identity"],
            document["valid"] is True,
            document["status"],
            _text(document, "reason"),
            document["well_formed"] is True,
            document["rfc5322_compliant"] is True,
            None if metadata is None else Metadata.read(metadata),
            document["cached"] is True,
            None if document["generated"] is None else _moment(document, "generated"),
            None if document["expires"] is None else _moment(document, "expires"),
            _moment(document, "validated"),
        )


@dataclass(frozen=True)
class RevokedIdentity:
    """An identity that was revoked; ``already``: it was before."""

    identity: str
    already: bool
    generated: datetime
    revoked: datetime

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the answer to the revocation of an identity."""
        return cls(
            _text(document, "identity"),
            document["already"] is True,
            _moment(document, "generated"),
            _moment(document, "revoked"),
        )


@dataclass(frozen=True)
class RevokedBefore:
    """Every life of the prefix (None: of all) that began before the moment is revoked."""

    prefix: str | None
    issued_before: datetime

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the answer to the revocation of a prefix or of everything."""
        return cls(document["prefix"], _moment(document, "issued_before"))


@dataclass(frozen=True)
class Limits:
    """The caller's rate limit; ``limit``, ``window_s`` and ``remaining`` are None where there is none."""

    client: str
    policy: str | None
    limit: int | None
    window_s: int | None
    remaining: int | None
    reset_s: int

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the answer of ``GET /api/v1/limits``."""
        return cls(
            _text(document, "client"),
            document["policy"],
            document["limit"],
            document["window"],
            document["remaining"],
            _integer(document, "reset"),
        )


@dataclass(frozen=True)
class TokenClaims:
    """What an identity token says, once its signature was verified offline. A revocation does not show in it."""

    identity: str
    issuer: str
    generated: datetime
    expires: datetime


def _life(document: dict[str, Any]) -> tuple[str, str, int, datetime, datetime, str]:
    """Return id, email, TTL, beginning, end and token."""
    return (
        _text(document, "id"),
        _text(document, "email"),
        _integer(document, "ttl"),
        _moment(document, "generated"),
        _moment(document, "expires"),
        _text(document, "token"),
    )


def _text(document: dict[str, Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is not a string")
    return value


def _integer(document: dict[str, Any], name: str) -> int:
    value = document[name]
    if not isinstance(value, int):
        raise TypeError(f"{name} is not a whole number")
    return value


def _moment(document: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(_text(document, name))
