"""Judges ID tokens: signature, issuer, audience, times, rule, first use.

An ID token is exchanged once. That is a rate limit: its ``jti`` is a client of the limiter that may make one request
until the token expires. So it holds over all replicas that share a Redis, and in each worker alone while it is away.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from math import ceil
from typing import Any, Final, NamedTuple

from arsenal_fast.oidc.issuer_keys import Fetch, IssuerKeys, Missing
from arsenal_fast.oidc.key_set import ALGORITHMS, verifies
from arsenal_fast.oidc.rules import Issuer, Rule, Rules
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.replies import reply
from arsenal_fast.stores.ports import Limiter
from arsenal_fast.tokens.claims import LEEWAY, Peek, Refusal, peek

MAX_LIFE_S: Final = 86_400
"""Seconds that an ID token may live: so long its ``jti`` is remembered."""

_LATEST: Final = 1 << 40  # seconds; numbers beyond are no moments


class Rejected(NamedTuple):
    """Why a token is not exchanged; ``temporary``: it may be later."""

    sentence: str
    temporary: bool = False


class Exchange:
    """Judges the ID tokens of one worker."""

    def __init__(
        self,
        rules: Rules,
        *,
        fetch: Fetch,
        limiter_of: Callable[[bytes], Limiter],
        local_limiter: Limiter,
        monotonic: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        """``limiter_of`` a client by its key; ``local_limiter``: the worker's own, for when the shared one is away."""
        self._fetch = fetch
        self._limiter_of = limiter_of
        self._local_limiter = local_limiter
        self._monotonic = monotonic
        self._now = now
        self._issuers: dict[str, tuple[Issuer, IssuerKeys]] = {}
        self.use(rules)

    def use(self, rules: Rules) -> None:
        """Judge by these rules from now on; the keys of an issuer that was known are kept."""
        known = self._issuers
        self._issuers = {
            each.url: (each, known[each.url][1] if each.url in known else self._keys_of(each)) for each in rules.issuers
        }

    def _keys_of(self, issuer: Issuer) -> IssuerKeys:
        return IssuerKeys(issuer.url, self._fetch, self._monotonic)

    async def judge(self, token: str) -> Rule | Rejected:
        """Return the rule of a good ID token, which is good this once; or why it is refused."""
        seen = peek(token)
        if isinstance(seen, Refusal):
            return Rejected(seen.sentence)
        algorithm, kid = seen.header.get("alg"), seen.header.get("kid")
        if fault := _header_fault(seen):
            return Rejected(fault)
        issuer, keys = self._issuers.get(_string(seen.claims.get("iss")), (None, None))
        if issuer is None or keys is None:
            return Rejected("The token's issuer is not one of OIDC_ISSUERS.")
        key: Any = await reply(keys.find, kid)
        if key is Missing.AWAY:
            return Rejected("The keys of the token's issuer can't be fetched now.", temporary=True)
        if key is Missing.UNKNOWN:
            return Rejected("The token's issuer has no key of its kid.")
        if not verifies(token, key, str(algorithm)):
            return Rejected("The token's signature is not its issuer's.")
        now_s = self._now()
        if fault := _claims_fault(seen.claims, issuer, now_s):
            return Rejected(fault)
        rule = next((rule for rule in issuer.rules if rule.matches(seen.claims)), None)
        if rule is None:
            return Rejected("No rule of OIDC_ISSUERS has the claims of the token.")
        if not await reply(self._use, issuer.url, seen.claims["jti"], seen.claims["exp"] + LEEWAY - now_s):
            return Rejected("The token was exchanged before.")
        return rule

    def _use(self, issuer: str, jti: str, left_s: float, done: Callable[[bool], None]) -> None:
        """Call ``done`` with whether this is the first use of an id within its time."""
        key = sha256(f"{issuer}\0{jti}".encode("utf-8", "surrogatepass")).hexdigest()
        client = Client(f"jti:{key}".encode("ascii"), Quota(1, max(1, ceil(left_s))))

        def shared(_revision: int, backlogs: Sequence[int] | None) -> None:
            if backlogs is not None:
                done(backlogs[0] == 0)
            else:
                self._local_limiter.admit([client], [1], lambda _, alone: done(alone is not None and alone[0] == 0))

        self._limiter_of(client.key_bytes).admit([client], [1], shared)


def _header_fault(seen: Peek) -> str | None:
    header = seen.header
    if header.get("alg") not in ALGORITHMS:
        return "The token's algorithm is not an asymmetric one that this service accepts."
    if "crit" in header or "b64" in header:
        return "The token's header has a parameter that this service does not accept."
    if not isinstance(header.get("kid"), str):
        return "The token's header names no key."
    return None


def _claims_fault(claims: Mapping[str, Any], issuer: Issuer, now_s: float) -> str | None:
    """Return why claims with a valid signature are refused, or None."""
    if claims.get("aud") not in (issuer.audience, [issuer.audience]):
        return "The token is for another audience."
    begin_s, end_s = claims.get("iat"), claims.get("exp")
    earliest_s = claims.get("nbf", begin_s)
    for second in (begin_s, end_s, earliest_s):
        if type(second) is not int or not 0 <= second <= _LATEST:
            return "The token's iat, exp or nbf is no whole number of seconds."
    assert isinstance(begin_s, int)
    assert isinstance(end_s, int)
    if not begin_s < end_s <= begin_s + MAX_LIFE_S:
        return f"The token lives longer than {MAX_LIFE_S} seconds, or not at all."
    if end_s + LEEWAY <= now_s:
        return "The token has expired."
    if max(begin_s, earliest_s) > now_s + LEEWAY:
        return "The token is not valid yet."
    if not 1 <= len(_string(claims.get("jti"))) <= 256:
        return "The token has no jti, which says that it is used once."
    return None


def _string(value: object) -> str:
    """Return a string; empty for anything else."""
    return value if isinstance(value, str) else ""
