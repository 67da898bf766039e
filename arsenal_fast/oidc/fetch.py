"""Fetches the keys of an issuer in a thread, so that the event loop never waits for it.

OpenID Connect Discovery 1.0: the document at ``/.well-known/openid-configuration`` names the key set. Both are bounded
in size and time; nothing is fetched but by https (http on the loopback), and no redirect is followed.
"""

import asyncio
import contextlib
import http.client
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Final

from arsenal_fast.oidc.rules import url_fault

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0
"""Seconds for both documents together."""

MAX_DOCUMENT: Final = 262_144
"""Bytes of a document; GitHub's key set has 16,000."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the response is an error."""

    def redirect_request(self, *_: Any) -> None:
        """Return no further request."""


class KeyFetcher:
    """Fetches key sets for the event loop of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float = TIMEOUT_S) -> None:
        self._loop = loop
        self._timeout_s = timeout_s

    def __call__(self, issuer: str, done: Callable[[Mapping[str, Any] | None], None]) -> None:
        """Call ``done`` once, with the key set or None, at the latest after the time-out."""
        finished = False

        def finish(document: Mapping[str, Any] | None) -> None:
            nonlocal finished
            if not finished:
                finished = True
                timer.cancel()
                done(document)

        def work() -> None:
            document = fetch(issuer, self._timeout_s)
            with contextlib.suppress(RuntimeError):  # the worker has ended
                self._loop.call_soon_threadsafe(finish, document)

        # A resolver that hangs is no reason to wait longer, or to hold up the end of the process.
        timer = self._loop.call_later(self._timeout_s, finish, None)
        threading.Thread(target=work, name="oidc-keys", daemon=True).start()


def fetch(issuer: str, timeout_s: float) -> Mapping[str, Any] | None:
    """Return the key set of an issuer; None where it can't be had, which is logged."""
    deadline_s = time.monotonic() + timeout_s
    try:
        configuration = _document(issuer.rstrip("/") + "/.well-known/openid-configuration", deadline_s)
        if configuration.get("issuer") != issuer:  # Discovery 1.0 section 4.3
            raise ValueError("the configuration is of another issuer")
        return _document(configuration.get("jwks_uri"), deadline_s)
    except (OSError, ValueError, RecursionError, http.client.HTTPException, urllib.error.URLError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the response
        log.warning("the keys of %s can't be fetched: %s", issuer, error)
        return None


def _document(url: object, deadline_s: float) -> dict[str, Any]:
    """Return the JSON object at a URL; ValueError or OSError where there is none within the bounds."""
    if fault := url_fault(url):
        raise ValueError(f"a URL {fault}")
    request = urllib.request.Request(str(url), headers={"Accept": "application/json"})  # noqa: S310 checked above
    opener = urllib.request.build_opener(_NoRedirects)
    pieces: list[bytes] = []
    with opener.open(request, timeout=_left_s(deadline_s)) as response:
        # Piece by piece: the time-out is that of one read, and a slow peer could send a byte each second.
        while piece := response.read1(65_536):
            pieces.append(piece)
            _left_s(deadline_s)
            if sum(map(len, pieces)) > MAX_DOCUMENT:
                raise ValueError(f"a document has more than {MAX_DOCUMENT} bytes")
    document = json.loads(b"".join(pieces))
    if not isinstance(document, dict):
        raise ValueError("a document is no JSON object")
    return document


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the issuer is too slow")
    return left_s
