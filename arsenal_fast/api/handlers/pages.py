"""Pages for browsers: the start page, the API's page, the health dashboard, the OpenAPI document, and their assets.

Nothing is loaded from another server, and no page has inline scripts: its content security policy enforces that.
Every file has a strong ETag and is revalidated each time (``no-cache``), so that an upgrade is visible at once and all
else is a 304.

Files are read and compressed at their first request and then cached, about 2 MB for all files.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.services import Services
from arsenal_fast.http.accept import bounded
from arsenal_fast.http.response import JSON, tail

_DIRECTORY: Final = Path(__file__).resolve().parents[2] / "assets"

HTML: Final = b"text/html; charset=utf-8"
_CSS: Final = b"text/css; charset=utf-8"
_SCRIPT: Final = b"text/javascript; charset=utf-8"  # RFC 9239
_PNG: Final = b"image/png"

_FILES: Final = {
    "/api/docs/swagger-ui.css": ("swagger-ui/swagger-ui.css", _CSS),
    "/api/docs/swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js", _SCRIPT),
    "/api/docs/docs.css": ("docs.css", _CSS),
    "/api/docs/docs.js": ("docs.js", _SCRIPT),
    "/api/docs/base.css": ("base.css", _CSS),
    "/api/docs/home.css": ("home.css", _CSS),
    "/api/docs/home.js": ("home.js", _SCRIPT),
    "/api/docs/dashboard.css": ("dashboard.css", _CSS),
    "/api/docs/dashboard.js": ("dashboard.js", _SCRIPT),
    "/api/docs/favicon-32x32.png": ("swagger-ui/favicon-32x32.png", _PNG),
    "/favicon.ico": ("swagger-ui/favicon-32x32.png", _PNG),
}
"""Path -> (file below the assets, media type)."""

ASSETS: Final = tuple(path for path in _FILES if path.startswith("/api/docs/"))
"""Paths of :func:`asset`, for the table of routes."""

_VARY: Final = b"Vary: Accept-Encoding\r\n"
POLICY: Final = (
    b"Content-Security-Policy: default-src 'none'; script-src 'self'; style-src %b; img-src 'self' data:; "
    b"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\n"
)
_DOCS_LINES: Final = POLICY % b"'self' 'unsafe-inline'" + _VARY
"""Swagger UI sets ``style`` attributes; its forms never submit."""
_NEGOTIATED_LINES: Final = POLICY % b"'self'" + b"Vary: Accept, Accept-Encoding\r\n"
"""The same path serves JSON to clients that don't prefer HTML."""

GZIP_LEVEL: Final = 2
"""Swagger UI's script takes 24 ms (once) and 525 kB at level 2, 56 ms and 460 kB at level 6. The event
loop is blocked meanwhile."""


class Representation(NamedTuple):
    """One content coding of one file, ready to be sent."""

    tag: bytes
    whole: bytes
    """Tail of a 200."""
    unchanged: bytes
    """Tail of a 304: the lines that a 200 would have, without content (RFC 9110 15.4.5)."""


def home(services: Services, context: RequestContext) -> None:
    """Respond with the start page, which a browser gets for ``GET /``."""
    prefix = urlsplit(services.settings.base_url).path
    _send(context, _file("home.html", HTML, _compressed(context), _NEGOTIATED_LINES, prefix))


def docs(services: Services, context: RequestContext) -> None:
    """Respond with the API's page (Swagger UI)."""
    _send(context, _file("docs.html", HTML, _compressed(context), _DOCS_LINES))


def dashboard(services: Services, context: RequestContext) -> None:
    """Respond with the health page, which a browser gets for ``GET /api/health``, with the same status."""
    page = _file("dashboard.html", HTML, _compressed(context), _NEGOTIATED_LINES)
    _send(context, page, 503 if services.status == "unhealthy" else 200)


def openapi(services: Services, context: RequestContext) -> None:
    """Respond with the OpenAPI document."""
    _send(context, _document(services.openapi, _compressed(context)))


def asset(services: Services, context: RequestContext) -> None:
    """Respond with the file of the route's path."""
    assert context.route is not None
    name, media_type = _FILES[context.route.path]
    if media_type == _PNG:  # it is compressed
        _send(context, _file(name, media_type, False, b""))
    else:
        _send(context, _file(name, media_type, _compressed(context), _VARY))


def _send(context: RequestContext, chosen: Representation, status: int = 200) -> None:
    condition = context.request.fields.if_none_match
    if status == 200 and condition is not None and matches(condition, chosen.tag):
        context.respond(304, chosen.unchanged)
    else:
        context.respond(status, chosen.whole)


def _compressed(context: RequestContext) -> bool:
    return admits_gzip(context.request.fields.accept_encoding)


# Twice the files and pages that there are: each may be kept with and without compression.
@lru_cache(maxsize=2 * (len(_FILES) + 3))
def _file(name: str, media_type: bytes, compressed: bool, lines: bytes, prefix: str = "") -> Representation:
    """Return a file. ``prefix``: path under which a proxy has put the service; a page at / can't refer relatively."""
    body = (_DIRECTORY / name).read_bytes()
    if prefix:
        body = body.replace(b'"api/', b'"%b/api/' % prefix.encode())
    return _represent(media_type, body, compressed, lines)


@lru_cache(maxsize=2)
def _document(make: Callable[[], bytes], compressed: bool) -> Representation:
    return _represent(JSON, make(), compressed, _VARY)


def _represent(media_type: bytes, body: bytes, compressed: bool, lines: bytes) -> Representation:
    # The codings differ in their bytes, so their strong tags must differ (RFC 9110 8.8.3.3).
    tag = b'"%b%b"' % (sha256(body).hexdigest()[:32].encode("ascii"), b"-gzip" if compressed else b"")
    common = b"%bETag: %b\r\nCache-Control: no-cache\r\n" % (lines, tag)
    unchanged = common + b"\r\n"
    if compressed:
        # Without a time stamp the bytes are the same from every worker.
        body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        common += b"Content-Encoding: gzip\r\n"
    return Representation(tag, tail(media_type, body, common), unchanged)


# RFC 9110 12.5.3: #( codings [ weight ] ), weight = OWS ";" OWS "q=" qvalue
_CODING: Final = re.compile(
    rb"[ \t]*+(\*|[!#$%&'*+.^_`|~0-9A-Za-z-]++)[ \t]*+(?:;[ \t]*+[qQ]=([01](?:\.[0-9]{0,3}+)?)[ \t]*+)?"
)


def admits_gzip(accept_encoding: bytes) -> bool:
    """Whether ``Accept-Encoding`` accepts gzip; an invalid or too long field accepts nothing."""
    admitted: dict[bytes, bool] = {}
    for member in bounded(accept_encoding).split(b","):
        match = _CODING.fullmatch(member)
        if match is not None:
            coding = match[1].lower()
            admitted[b"gzip" if coding == b"x-gzip" else coding] = match[2] is None or float(match[2]) > 0
    return admitted.get(b"gzip", admitted.get(b"*", False))


# RFC 9110 8.8.3: entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE
_ENTITY_TAG: Final = re.compile(rb'"[\x21\x23-\x7E\x80-\xFF]*+"')


def matches(if_none_match: bytes, tag: bytes) -> bool:
    """Whether ``If-None-Match`` names the tag, compared weakly (RFC 9110 13.1.2): proxies weaken tags.

    False where the field is too long: then the response is the whole representation, as without it.
    """
    if_none_match = bounded(if_none_match)
    return if_none_match.strip(b" \t") == b"*" or tag in _ENTITY_TAG.findall(if_none_match)
