"""Parses REDIS_URL, strictly.

::

    redis://[[user]:password@]host[:port][/db]      rediss:// is the same over TLS
    unix://[[user]:password@]/path/to/socket[?db=n]

A fault is a ValueError of one sentence which never quotes the URL: a password with a bare "/" or "#" in it
makes the parser see pieces of it as host or port. For the same reason repr() shows neither user nor password.
"""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

DEFAULT_PORT: Final = 6379

_PORT = re.compile(r"[0-9]{1,5}")
_DATABASE = re.compile(r"[0-9]{1,5}")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BLANK = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The parsed URL. ``path``: of a unix socket, without a host; ``tls``: rediss://."""

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    database: int = 0
    tls: bool = False
    user: bytes = field(default=b"", repr=False)
    password: bytes = field(default=b"", repr=False)


def parse_url(url: str) -> RedisAddress:
    """Return the address in a URL; ValueError with one sentence that shows nothing of the URL."""
    if _BLANK.search(url) or not url.isascii():
        raise ValueError("the Redis URL holds a blank or a character that must be percent-encoded.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("the Redis URL has a host that can't be one.") from None
    if parts.scheme not in {"redis", "rediss", "unix"} or not url[len(parts.scheme) :].startswith("://"):
        raise ValueError("the Redis URL must begin with redis://, rediss:// or unix://.")
    if parts.fragment or "#" in url:
        raise ValueError("the Redis URL has a '#', which must be written as %23.")
    userinfo, _, location = parts.netloc.rpartition("@")
    if "@" in userinfo:
        raise ValueError("the Redis URL has more than one '@'; within a password it must be written as %40.")
    user, _, password = userinfo.partition(":")
    if user and not password:
        raise ValueError("the Redis URL has a user but no password; a password alone is written as :password@.")
    if parts.scheme == "unix":
        return _unix(parts, location, _unquote(user), _unquote(password))
    host, port = _host_and_port(location)
    if parts.query:
        raise ValueError("the Redis URL has a query, but its database is written as a path: /0.")
    return RedisAddress(
        host=host,
        port=port,
        database=_database(parts.path.removeprefix("/")),
        tls=parts.scheme == "rediss",
        user=_unquote(user),
        password=_unquote(password),
    )


def _unix(parts: SplitResult, location: str, user: bytes, password: bytes) -> RedisAddress:
    if location or not parts.path.startswith("/") or parts.path == "/":
        raise ValueError("the Redis URL needs the absolute path of a socket: unix:///run/redis.sock.")
    if parts.query and not parts.query.startswith("db="):
        raise ValueError("the Redis URL of a unix socket can have no query but db and a number.")
    return RedisAddress(
        path=_unquote(parts.path).decode("utf-8", "surrogateescape"),
        database=_database(parts.query.removeprefix("db=")),
        user=user,
        password=password,
    )


def _host_and_port(location: str) -> tuple[str, int]:
    if location.startswith("["):
        host, bracket, port = location[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError("the Redis URL has an IPv6 host whose brackets don't match.")
        port = port.removeprefix(":")
    else:
        host, _, port = location.partition(":")
    if not host or "%" in host:
        raise ValueError("the Redis URL needs a host; a '/' in a password must be written as %2F.")
    if not port:
        return host, DEFAULT_PORT
    if _PORT.fullmatch(port) is None or not 1 <= int(port) <= 65535:
        raise ValueError("the Redis URL needs a port from 1 to 65535; a '/' in a password must be written as %2F.")
    return host, int(port)


def _database(text: str) -> int:
    if not text:
        return 0
    if _DATABASE.fullmatch(text) is None:
        raise ValueError("the Redis URL names its database by something else than a number.")
    return int(text)


def _unquote(text: str) -> bytes:
    if _ESCAPE.search(text):
        raise ValueError("the Redis URL has a '%' that begins no escape; a bare one is written as %25.")
    return unquote_to_bytes(text)
