"""Parses REDIS_URL, strictly.

::

    redis://[[user]:password@]host[:port][/db]      rediss:// is the same over TLS
    unix://[[user]:password@]/path/to/socket[?db=n]
    redis+sentinel://[[user]:password@]host[:port],host[:port]/service[/db]     rediss+sentinel:// over TLS
    redis+cluster://[[user]:password@]host[:port],host[:port][?shards=n]        rediss+cluster:// over TLS

User and password are those of Redis; the sentinels' own are the parameters ``sentinel_username`` and
``sentinel_password``. Over TLS those of redis-py are understood: ``ssl_ca_certs`` and the other TLS_PARAMETERS.

A fault is a ValueError of one sentence which never quotes the URL: a password with a bare "/" or "#" in it
makes the parser see pieces of it as host or port. For the same reason repr() shows neither user nor password.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

DEFAULT_PORT: Final = 6379
DEFAULT_SENTINEL_PORT: Final = 26379

SCHEMES: Final = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster", "unix")

TLS_PARAMETERS: Final = (
    *("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_cert_reqs"),
    "ssl_check_hostname",
)
_CHOICES: Final[Mapping[str, Mapping[str, str]]] = {
    "ssl_cert_reqs": {
        **{each: each for each in ("required", "optional", "none")},
        **{f"cert_{each}": each for each in ("required", "optional", "none")},
    },
    "ssl_check_hostname": {"true": "true", "1": "true", "yes": "true", "false": "false", "0": "false", "no": "false"},
}
"""The values of a parameter, in all spellings, and what they mean."""

_SENTINEL_PARAMETERS: Final = ("sentinel_username", "sentinel_password")

SHARDS: Final = 3
"""Of a cluster, without the parameter ``shards``: the least number of masters that a cluster has."""
MAX_SHARDS: Final = 48

_TIMEOUT: Final = "REDIS_TIMEOUT_MS is the time-out of Redis"
_OURS: Final = {
    "db": "the database is written as a path: /0",
    "username": "the user is written before the host: user:password@",
    "password": "the password is written before the host: :password@",
    "host": "the host is written behind the scheme",
    "port": "the port is written behind the host",
    "path": "a socket is written as unix:///path",
    "timeout": _TIMEOUT,
    "socket_timeout": _TIMEOUT,
    "socket_connect_timeout": _TIMEOUT,
    "ssl": "TLS is written as the scheme rediss://",
    "service_name": "the service is written as a path: /service",
    "master_name": "the service is written as a path: /service",
    "max_connections": "a worker has one connection to Redis",
    "health_check_interval": "a connection that is silent for a second gets a PING",
    "retry_on_timeout": "lost connections are always opened anew",
    "ssl_min_version": "at least TLS 1.2 is always spoken",
    "protocol": "RESP2 is always spoken",
}
"""Parameters that users of other clients know, and what there is instead."""

_PORT = re.compile(r"[0-9]{1,5}")
_SHARDS = re.compile(r"[1-9][0-9]?")
_DATABASE = re.compile(r"[0-9]{1,5}")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BLANK = re.compile(r"[\x00-\x20\x7f]")
_URL = re.compile(r"(?P<scheme>[^:]*)://(?P<location>[^/?]*)(?P<path>[^?]*)\??(?P<query>.*)")


class Place(NamedTuple):
    """A host, as a name or an address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The parsed URL. ``path``: of a unix socket, without a host; ``tls``: rediss://.

    ``service``: what the master is called by the ``sentinels``; empty without them, and with them there is no host.
    ``nodes``: some of a cluster's, through which the others are found; with them there is no host either. ``shards``:
    over how many the cluster's clients and identities are spread.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    database: int = 0
    tls: bool = False
    user: bytes = field(default=b"", repr=False)
    password: bytes = field(default=b"", repr=False)
    service: str = ""
    sentinels: tuple[Place, ...] = ()
    nodes: tuple[Place, ...] = ()
    shards: int = SHARDS
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of TLS and of the sentinels, by name."""

    def __str__(self) -> str:
        if self.sentinels:
            return f"{','.join(map(str, self.sentinels))}/{self.service}"
        if self.nodes:
            return ",".join(map(str, self.nodes))
        return self.path or str(Place(self.host, self.port))


def parse_url(url: str) -> RedisAddress:
    """Return the address in a URL; ValueError with one sentence that shows nothing of the URL."""
    if _BLANK.search(url) or not url.isascii():
        raise ValueError("the Redis URL holds a blank or a character that must be percent-encoded.")
    if "#" in url:
        raise ValueError("the Redis URL has a '#', which must be written as %23.")
    parts = _URL.fullmatch(url)
    scheme = parts["scheme"].lower() if parts else ""
    if parts is None or scheme not in SCHEMES:
        raise ValueError(
            "the Redis URL must begin with redis://, rediss://, redis+sentinel://, redis+cluster:// or unix://."
        )
    userinfo, _, location = parts["location"].rpartition("@")
    if "@" in userinfo:
        raise ValueError("the Redis URL has more than one '@'; within a password it must be written as %40.")
    user, _, password = userinfo.partition(":")
    if user and not password:
        raise ValueError("the Redis URL has a user but no password; a password alone is written as :password@.")
    address = RedisAddress(user=_unquote(user), password=_unquote(password), tls=scheme.startswith("rediss"))
    if scheme == "unix":
        return _unix(address, location, parts["path"], parts["query"])
    sentinel, cluster = scheme.endswith("+sentinel"), scheme.endswith("+cluster")
    if "," in location and not (sentinel or cluster):
        text = "the Redis URL names several hosts, which only those of sentinels and of a cluster can"
        raise ValueError(f"{text}: redis+sentinel:// or redis+cluster://.")
    default = DEFAULT_SENTINEL_PORT if sentinel else DEFAULT_PORT
    places = tuple(_place(each, default) for each in location.split(","))
    database = parts["path"].removeprefix("/")
    query, shards = _shards(parts["query"]) if cluster else (parts["query"], SHARDS)
    address = replace(address, parameters=_parameters(query, address.tls, sentinel))
    if cluster:
        if _database(database):
            raise ValueError("the Redis URL names a database, but a cluster has only database 0.")
        return replace(address, nodes=places, shards=shards)
    if not sentinel:
        return replace(address, host=places[0].host, port=places[0].port, database=_database(database))
    service, _, database = database.partition("/")
    if not service:
        raise ValueError("the Redis URL needs the name that the sentinels have for the master: /service/0.")
    return replace(address, service=_text(service), sentinels=places, database=_database(database))


def _unix(address: RedisAddress, location: str, path: str, query: str) -> RedisAddress:
    if location or path in ("", "/"):
        raise ValueError("the Redis URL needs the absolute path of a socket: unix:///run/redis.sock.")
    if query and not query.startswith("db="):
        raise ValueError("the Redis URL of a unix socket can have no query but db and a number.")
    return replace(address, path=_text(path), database=_database(query.removeprefix("db=")))


def _place(location: str, default: int) -> Place:
    if location.startswith("["):
        host, bracket, port = location[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError("the Redis URL has an IPv6 host whose brackets don't match.")
        port = port.removeprefix(":")
    else:
        host, _, port = location.partition(":")
    if not host or any(character in host for character in "%[]"):
        raise ValueError("the Redis URL needs a host; a '/' in a password must be written as %2F.")
    if not port:
        return Place(host, default)
    if _PORT.fullmatch(port) is None or not 1 <= int(port) <= 65535:
        raise ValueError("the Redis URL needs a port from 1 to 65535; a '/' in a password must be written as %2F.")
    return Place(host, int(port))


def _parameters(query: str, tls: bool, sentinel: bool) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for each in query.split("&") if query else ():
        name, _, value = each.partition("=")
        if name == "shards":
            raise ValueError("the Redis URL has the parameter shards, but its scheme is not redis+cluster://.")
        if name in _OURS:
            raise ValueError(f"the Redis URL has the parameter {name}, but {_OURS[name]}.")
        if name not in TLS_PARAMETERS + _SENTINEL_PARAMETERS:
            known = ", ".join(TLS_PARAMETERS + _SENTINEL_PARAMETERS)
            raise ValueError(f"the Redis URL has a parameter that is not known here; there are {known}.")
        if name in TLS_PARAMETERS and not tls:
            raise ValueError(f"the Redis URL has the parameter {name} of TLS, but its scheme is not rediss://.")
        if name in _SENTINEL_PARAMETERS and not sentinel:
            raise ValueError(f"the Redis URL has the parameter {name}, but its scheme is not redis+sentinel://.")
        if name in parameters or not value:
            raise ValueError(f"the Redis URL needs one value of the parameter {name}.")
        parameters[name] = _chosen(name, _text(value)) if name in _CHOICES else _text(value)
    return parameters


def _shards(query: str) -> tuple[str, int]:
    """Return the rest of the query, and the number of shards in it."""
    given = [each for each in query.split("&") if each.startswith("shards=")]
    if not given:
        return query, SHARDS
    number = given[0].removeprefix("shards=")
    if len(given) > 1 or _SHARDS.fullmatch(number) is None or int(number) > MAX_SHARDS:
        raise ValueError(f"the Redis URL needs one number from 1 to {MAX_SHARDS} as the parameter shards.")
    return "&".join(each for each in query.split("&") if each not in given), int(number)


def _chosen(name: str, value: str) -> str:
    meanings = _CHOICES[name]
    if value.lower() not in meanings:
        raise ValueError(f"the Redis URL has a value of {name} that is not known; there are {', '.join(meanings)}.")
    return meanings[value.lower()]


def _database(text: str) -> int:
    if not text:
        return 0
    if _DATABASE.fullmatch(text) is None:
        raise ValueError("the Redis URL names its database by something else than a number.")
    return int(text)


def _text(text: str) -> str:
    return _unquote(text).decode("utf-8", "surrogateescape")


def _unquote(text: str) -> bytes:
    if _ESCAPE.search(text):
        raise ValueError("the Redis URL has a '%' that begins no escape; a bare one is written as %25.")
    return unquote_to_bytes(text)
