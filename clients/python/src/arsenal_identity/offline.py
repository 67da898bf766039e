"""Identity tokens checked without a call, by the public keys that the service publishes.

Needs PyJWT and cryptography: the extra ``jwks``. A revocation does not show in a token: where that matters, validate.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from arsenal_identity import calls
from arsenal_identity.errors import TokenError
from arsenal_identity.exchange import Steps, exchange
from arsenal_identity.models import TokenClaims
from arsenal_identity.retry import Retry

MAX_AGE_S: Final = 3600.0
"""Seconds after which the keys are fetched again: a key that the service has dropped is no longer taken then."""
MIN_AGE_S: Final = 60.0
"""Seconds in which tokens of unknown keys, which anybody can make up, cause no second fetch."""
_REQUIRED: Final = ["iss", "sub", "iat", "exp", "jti"]


class TokenChecker:
    """Checks identity tokens; fetches the keys once an hour, and when a token names a key that is not known."""

    def __init__(
        self,
        issuer: str,
        leeway_s: float,
        retry: Retry,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            issuer: the service's ``API_BASE_URL``, the only ``iss`` that is taken.
            leeway_s: seconds by which this machine's clock may differ from the service's.
            monotonic: seconds, for the age of the keys.
            wall: seconds since 1970, for the times of the tokens.
        """
        self._issuer = issuer
        self._leeway_s = leeway_s
        self._retry = retry
        self._monotonic = monotonic
        self._wall = wall
        self._keys: dict[str, dict[str, Any]] = {}
        self._fetched_s: float | None = None

    def check(self, token: str) -> Steps[TokenClaims]:
        """Return what the token says, or raise TokenError."""
        jwt = _pyjwt()
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except jwt.InvalidTokenError as error:
            raise TokenError(f"The text is not a token: {error}.") from error
        if self._needs_keys(kid):
            found = yield from exchange(calls.keys(), self._retry)
            self._keys = {key["kid"]: key for key in found if isinstance(key.get("kid"), str)}
            self._fetched_s = self._monotonic()
        if not self._keys:
            raise TokenError("The service publishes no keys, for its tokens are signed with a secret: validate them.")
        if kid not in self._keys:
            raise TokenError("The token names no key of this service.")
        return self._claims(jwt, token, self._keys[kid])

    def _needs_keys(self, kid: object) -> bool:
        if self._fetched_s is None:
            return True
        age_s = self._monotonic() - self._fetched_s
        return age_s >= MAX_AGE_S or (kid not in self._keys and age_s >= MIN_AGE_S)

    def _claims(self, jwt: Any, token: str, key: dict[str, Any]) -> TokenClaims:
        """Verify signature, issuer and times. A token with an ``aud`` is a service token, and refused."""
        try:
            claims = jwt.decode(
                token,
                jwt.PyJWK(key, "EdDSA"),
                algorithms=["EdDSA"],
                issuer=self._issuer,
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
            generated_s, issued_s, expires_s = int(claims["jti"]) / 1000, int(claims["iat"]), int(claims["exp"])
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise TokenError(f"The token is refused: {error}.") from error
        if expires_s + self._leeway_s <= self._wall():
            raise TokenError("The token has expired.")
        if issued_s - self._leeway_s > self._wall():
            raise TokenError("The token is not valid yet.")
        generated, expires = datetime.fromtimestamp(generated_s, UTC), datetime.fromtimestamp(expires_s, UTC)
        return TokenClaims(claims["sub"], claims["iss"], generated, expires)


def _pyjwt() -> Any:
    """Return the module ``jwt``, which the rest of the client does without."""
    try:
        import jwt  # noqa: PLC0415 (an extra)
        import jwt.algorithms  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("Checking tokens offline needs PyJWT and cryptography: install the extra 'jwks'.") from error
    if not jwt.algorithms.has_crypto:
        raise ImportError("Checking tokens offline needs cryptography: install the extra 'jwks'.")
    return jwt
