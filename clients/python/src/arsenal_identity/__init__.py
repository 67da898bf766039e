"""Client of the Arsenal Identity Service: ``Client`` waits for each answer, ``AsyncClient`` awaits it."""

from arsenal_identity.async_client import AsyncClient
from arsenal_identity.client import Client
from arsenal_identity.errors import (
    Fault,
    ForbiddenError,
    IdentityServiceError,
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    ProblemError,
    RateLimitedError,
    TokenError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
)
from arsenal_identity.models import (
    Batch,
    BatchIdentity,
    Environment,
    Identity,
    Limits,
    Metadata,
    RevokedBefore,
    RevokedIdentity,
    TokenClaims,
    Verdict,
)
from arsenal_identity.retry import NO_RETRY, Retry

__all__ = [
    "NO_RETRY",
    "AsyncClient",
    "Batch",
    "BatchIdentity",
    "Client",
    "Environment",
    "Fault",
    "ForbiddenError",
    "Identity",
    "IdentityServiceError",
    "InvalidRequestError",
    "Limits",
    "Metadata",
    "NoAnswerError",
    "NotFoundError",
    "ProblemError",
    "RateLimitedError",
    "Retry",
    "RevokedBefore",
    "RevokedIdentity",
    "TokenClaims",
    "TokenError",
    "UnauthorizedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "Verdict",
]
