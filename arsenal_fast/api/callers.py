"""Finds the client that a request is charged to: an address, or the subject of a service token.

A token of scope ``behalf`` may name an end user (``Arsenal-Subject``), who is charged too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final
from weakref import WeakValueDictionary

from arsenal_fast.api import auth
from arsenal_fast.cache import GenerationalCache
from arsenal_fast.errors import ProblemError
from arsenal_fast.http.request import Fields
from arsenal_fast.identity.amendments import WITHDRAWN, Amendment, Amendments, subject_key, token_key
from arsenal_fast.ratelimit.client import Client, ClientAddresses, OnBehalf, TokenHolder
from arsenal_fast.ratelimit.quota import SUBJECT_POLICY, TOKEN_POLICY, UNLIMITED, Quota
from arsenal_fast.tokens.cache import VerifiedTokens
from arsenal_fast.tokens.claims import Refusal, ServiceToken
from arsenal_fast.tokens.keys import Keys

MAX_HOPS_BYTES: Final = 128
"""Bytes of an X-Forwarded-For that is cached: two or three hops; longer ones are parsed each time."""

TOKENS: Final = 1024
"""Service tokens whose client is cached."""

SUBJECTS: Final = 1024
"""End users whose client is cached, of a generation; each takes up to 1 KiB. Others get theirs anew."""

_SUBJECT_KEY: Final = subject_key("")  # as the key of a client: see auth.holder
_TOKEN_KEY: Final = token_key("")

_SUBJECT: Final = re.compile(rb"[\x21-\x7e]{1,128}+").fullmatch
"""An Arsenal-Subject: visible ASCII, so that keys and log lines may have it."""


class Callers:
    """The cached clients of one worker.

    One object for each key while it is cached; two objects of one key share its cell.
    """

    def __init__(
        self,
        *,
        quota: Quota,
        token_window: int | None,
        trusted_proxies: tuple[str, ...],
        clients: int,
        forwarded: int,
        keys: Keys,
        amendments: Amendments,
        now: Callable[[], float],
    ) -> None:
        """
        Args:
            amendments: withdrawals and other limits of service tokens.
            quota: of an address.
            token_window: seconds of the windows of service tokens; None: they are not limited.
            clients: cached addresses of a generation.
            forwarded: cached values of X-Forwarded-For of a generation.
            now: wall clock, seconds since the epoch.
        """
        self._quota = quota
        self._token_window = token_window
        self._addresses = ClientAddresses(trusted_proxies)
        self._tokens = VerifiedTokens(keys.verify_service)
        self._now = now
        self._holders: GenerationalCache[str, TokenHolder] = GenerationalCache(TOKENS)
        """By the id of the token."""
        self._living: WeakValueDictionary[str, TokenHolder] = WeakValueDictionary()
        """Likewise, while a connection or the cache refers to them: there is one for each token."""
        self.by_subject: GenerationalCache[tuple[TokenHolder, bytes], OnBehalf] = GenerationalCache(SUBJECTS)
        """Clients by holder and subject; without an entry :meth:`of_subject` makes the client."""
        self._amendments = amendments
        amendments.on_change = self._amended
        self._clients: GenerationalCache[bytes, Client] = GenerationalCache(clients)
        self.by_forwarded_for: GenerationalCache[bytes, Client] = GenerationalCache(forwarded, find=self._forwarded)
        """Clients by the X-Forwarded-For of a trusted peer; None where it names none: then the peer is charged."""

    def trusts(self, peer: str) -> bool:
        """Whether the peer's X-Forwarded-For is trusted."""
        return self._addresses.trusts(peer)

    def of_address(self, peer: str, forwarded_for: bytes | None) -> Client:
        """Return the client of the address that a request is charged to."""
        client = None
        if forwarded_for is not None and self._addresses.trusts(peer):
            client = self.by_forwarded_for.get(forwarded_for)
        return client or self.of_peer(peer)

    def of_peer(self, peer: str) -> Client:
        """Return the client of the address that a connection comes from."""
        return self._client(self._addresses.key(peer, None))

    def _forwarded(self, forwarded_for: bytes) -> Client | None:
        key = self._addresses.forwarded_key(forwarded_for)
        if key is None:
            return None  # which is not kept: it would be the client of this peer alone
        if len(forwarded_for) > MAX_HOPS_BYTES:
            return self._client(key)
        client = Client(key, self._quota)
        if self.by_forwarded_for.takes_new(forwarded_for):
            self.by_forwarded_for.put(forwarded_for, client)
        return client

    def of_subject(self, holder: TokenHolder, subject: bytes) -> OnBehalf:
        """Return the client of a token's holder that sends a request on behalf of a valid subject."""
        client = self.by_subject.get((holder, subject))
        if client is None:
            client = OnBehalf(holder, subject)
            self.by_subject.put((holder, subject), client)
        return client

    def of_fields(self, fields: Fields) -> tuple[Client | None, ProblemError | None]:
        """Return the client that Authorization and Arsenal-Subject name, and the error that refuses the request.

        None for the client: the request is charged to its address. None for the error: it is not refused.
        """
        holder = None if fields.authorization is None else self._of_token(fields.authorization)
        if isinstance(holder, ProblemError):
            return None, holder
        if fields.subject is None:
            return holder, None
        if holder is None or auth.BEHALF not in holder.scopes:
            return holder, auth.demanded(holder, auth.BEHALF, "Arsenal-Subject")
        if _SUBJECT(fields.subject) is None:
            return holder, ProblemError(400, "Arsenal-Subject must be 1 to 128 visible ASCII characters.")
        return self.of_subject(holder, fields.subject), None

    def _of_token(self, authorization: bytes) -> TokenHolder | ProblemError:
        """Return the client of a service token, or the error that refuses it."""
        token_text = auth.bearer(authorization)
        if token_text is None:
            return auth.unread(authorization)
        verified = self._tokens.verify(token_text, self._now())
        if not isinstance(verified, ServiceToken):
            return auth.refused(verified)
        client = self._holders.get(verified.id)
        return client if client is not None else self._holder(verified)

    def _holder(self, token: ServiceToken) -> TokenHolder | ProblemError:
        """Return the client of a token that is not cached, or the error that refuses it."""
        client = self._living.get(token.id)
        if client is None:
            rate_limit = self._amendments.rate_limit(token.id, token.subject, token.issued)
            if rate_limit == WITHDRAWN:
                return auth.refused(Refusal.WITHDRAWN)
            client = TokenHolder(
                auth.holder(token),
                self._quota_of(rate_limit or token.rate_limit, TOKEN_POLICY),
                token.scopes,
                token.expires,
                token.id,
                token.issued,
                self._quota_of(token.per_subject, SUBJECT_POLICY) if token.per_subject else None,
            )
            self._living[token.id] = client
        self._holders.put(token.id, client)
        return client

    def _amended(self, amendments: Mapping[str, Amendment]) -> None:
        """Let the clients of amended tokens be found again by their next request."""
        subjects = {}
        for key, amendment in amendments.items():
            if key.startswith(_SUBJECT_KEY):
                subjects[key.encode("utf-8", "surrogatepass")] = amendment.moment_ms
            else:
                self._end(self._living.get(key.removeprefix(_TOKEN_KEY)))
        if subjects:
            for client in list(self._living.values()):
                if client.issued_s * 1000 < subjects.get(client.key_bytes, 0):
                    self._end(client)

    def _end(self, client: TokenHolder | None) -> None:
        if client is not None:
            client.expires = 0.0
            self._living.pop(client.token_id, None)
            self._holders.discard(client.token_id)

    def _quota_of(self, limit: int, policy: str) -> Quota:
        """Return the quota of a token's claim: at most one request a microsecond, the limiter's resolution."""
        window_s = self._token_window
        if window_s is None:
            return UNLIMITED
        return Quota(min(limit, window_s * 1_000_000), window_s, policy)

    def _client(self, key: bytes) -> Client:
        client = self._clients.get(key)
        if client is None:
            client = Client(key, self._quota)
            self._clients.put(key, client)
        return client
