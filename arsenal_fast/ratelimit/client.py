"""Finds the client that a request is charged to.

A client's key is its IPv4 address ("203.0.113.9"), its IPv6 /64 ("2001:db8:1:2::/64"), or, set by the
service, the subject of its token ("sub:..."); an end user of that subject is "sub:...>...". A peer without an
address (a unix socket) is "local".

``X-Forwarded-For`` is a claim: each hop appends the address it saw, so only what trusted hops appended is
known. The walk starts at the peer, reads from the right, and goes on while the current hop is trusted; the
first untrusted one is the client. Hence no untrusted client can choose its own key:

* an untrusted peer's header is not read at all;
* what an untrusted client sent stands to the left of its own address, and the walk stops at that address;
* an entry that is no address (a name, "unknown", an empty one, a zone id) was written by the
  current trusted hop, so that hop is charged: a proxy that hides its clients is charged for all of them;
* where all hops are trusted the left-most is the client; after MAX_HOPS entries the hop reached by then is.

Keys are bytes, canonical (one for each address), and short, whatever the header says. IPv4 inside IPv6
(::ffff:0:0/96) is IPv4, for keys as for trust: ``::/0`` trusts no IPv4 address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from math import inf
from typing import Final, NamedTuple

from arsenal_fast.ratelimit.headers import Plan
from arsenal_fast.ratelimit.quota import UNLIMITED, Quota

MAX_HOPS: Final = 32  # entries read; real chains have fewer than ten, a header section may hold thousands

LOCAL: Final = b"local"  # the key of a peer without an address

_MAX_ENTRY: Final = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")
_MAPPED: Final = 0xFFFF  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2: the bits above the IPv4 address
_V4_BITS: Final = 0xFFFFFFFF
_V6_CLIENT: Final = (1 << 128) - (1 << 64)  # one customer's network, RFC 6177: a host picks the lower 64 bits freely


class Client:
    """One client of the limiter; compared by identity.

    There are tens of thousands, and behind a proxy each request may add one, so it is small.
    """

    __slots__ = ("denied_until", "encoded", "key_bytes", "quota")

    token: bool = False
    """Whether this is the subject of a service token."""
    scopes: frozenset[str] = frozenset()
    """The scopes of its token."""
    expires: float = inf
    """Wall clock, seconds: when its token expires."""
    holder: TokenHolder | None = None
    """The holder of its token."""
    cell: bytes | None = None
    """The key of its cell in the store; None: its own key."""
    plan: Plan | None = None
    """What each of its hits is charged to: one quota for its own cell, then one for each of ``also``. None: to its own
    quota alone."""
    also: tuple[Client, ...] = ()
    """Further cells that each of its hits is charged to. No other client has these objects."""

    def __init__(self, key_bytes: bytes, quota: Quota) -> None:
        """``key_bytes``: the key in UTF-8."""
        self.key_bytes = key_bytes
        self.quota = quota
        # Used by the limiter and its stores.
        self.encoded: bytes | None = None
        """A store's encoding of the key, made once."""
        self.denied_until = 0.0
        """Monotonic seconds; 0.0: not denied."""

    @property
    def key(self) -> str:
        """The key as text."""
        return self.key_bytes.decode("utf-8", "surrogatepass")

    @property
    def caller(self) -> Client:
        """Who sends the requests, apart from the policies of a limits file."""
        return self


class TokenHolder(Client):
    """The subject of a service token, as that token lets it act.

    ``expires`` becomes 0 when the token is withdrawn or gets another limit: whatever still refers to this object has to
    find the client of the token again.
    """

    __slots__ = ("__weakref__", "behalf", "expires", "issued_s", "scopes", "token_id")

    token = True

    def __init__(
        self,
        key_bytes: bytes,
        quota: Quota,
        scopes: frozenset[str],
        expires: float,
        token_id: str = "",
        issued_s: int = 0,
        per_subject: Quota | None = None,
    ) -> None:
        """``per_subject``: the quota of each end user that the holder may act for."""
        super().__init__(key_bytes, quota)
        self.scopes = scopes
        self.expires = expires
        self.token_id = token_id
        self.issued_s = issued_s
        self.behalf = None if per_subject is None else Plan((quota, per_subject))
        """What requests on behalf of an end user are charged to."""

    @property
    def holder(self) -> TokenHolder:  # type: ignore[override]
        """The holder of the token: this one."""
        return self


class OnBehalf(Client):
    """The subject of a service token, sending requests on behalf of one of its end users."""

    __slots__ = ("also", "holder", "plan", "scopes")

    token = True
    holder: TokenHolder

    def __init__(self, holder: TokenHolder, end_user: bytes) -> None:
        """``end_user``: its name, visible bytes. The token of ``holder`` has the scope ``behalf``."""
        super().__init__(holder.key_bytes, holder.quota)
        assert holder.behalf is not None
        self.holder = holder
        self.scopes = holder.scopes
        self.plan = holder.behalf
        # No subject of a token has the byte ">".
        self.also = (Client(b"%b>%b" % (holder.key_bytes, end_user), holder.behalf.quotas[1]),)

    @property
    def expires(self) -> float:  # type: ignore[override]  # it ends with its token, whose end may change
        """Wall clock, seconds: when the token expires."""
        return self.holder.expires

    @property
    def key(self) -> str:
        """The key of the end user, which begins with the holder's."""
        return self.also[0].key


class Cell(Client):
    """One cell of a client, with a key of its own in the store; its key is the client's."""

    __slots__ = ("cell",)

    def __init__(self, key_bytes: bytes, cell: bytes, quota: Quota) -> None:
        super().__init__(key_bytes, quota)
        self.cell = cell


class PlannedClient(Cell):
    """A caller whose request is charged by the policies of a limits file."""

    __slots__ = ("also", "caller", "plan")

    caller: Client

    def __init__(self, caller: Client, cells: Sequence[Client], plan: Plan | None) -> None:
        """``cells``: those of the plan; None for the plan: the one cell with its quota. Without cells all pass."""
        first = cells[0] if cells else caller
        super().__init__(caller.key_bytes, first.cell or first.key_bytes, first.quota if cells else UNLIMITED)
        self.caller = caller
        self.plan = plan
        self.also = tuple(cells[1:])

    @property
    def token(self) -> bool:  # type: ignore[override]
        """Whether the caller is the subject of a service token."""
        return self.caller.token

    @property
    def scopes(self) -> frozenset[str]:  # type: ignore[override]
        """The scopes of its token."""
        return self.caller.scopes

    @property
    def expires(self) -> float:  # type: ignore[override]
        """Wall clock, seconds: when its token expires."""
        return self.caller.expires

    @property
    def holder(self) -> TokenHolder | None:  # type: ignore[override]
        """The holder of its token."""
        return self.caller.holder

    @property
    def key(self) -> str:
        """The caller's key."""
        return self.caller.key


class _Address(NamedTuple):
    version: int
    number: int
    key: bytes


# RFC 3986 section 3.2.2 dec-octet, as data: no leading zeros, which some read as octal, and no other script's
# digits. Looking up is thrice as fast as matching and int().
_OCTETS: Final = {b"%d" % octet: octet for octet in range(256)}
# The octets of an IPv6 address; ipaddress judges their order. No "%": a zone id means nothing elsewhere.
_IPV6 = re.compile(rb"[0-9A-Fa-f:.]{2,45}")
_IPV4_AND_PORT = re.compile(rb"([0-9.]{7,15}):[0-9]{1,5}")
_BRACKETED = re.compile(rb"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?")  # RFC 3986 IP-literal


@lru_cache(maxsize=4096)
def _address(text: bytes) -> _Address | None:
    """Return the address in the text, with or without a port; None where it is none."""
    if address := _ipv4(text):
        return address
    if _IPV6.fullmatch(text) and (address := _ipv6(text)):
        return address
    if match := _IPV4_AND_PORT.fullmatch(text):
        return _ipv4(match[1])
    if match := _BRACKETED.fullmatch(text):
        return _ipv6(match[1])
    return None


def _of_peer(peer: str) -> _Address | None:
    text = peer.encode("ascii", "replace")
    return _address(text) or _address(text.partition(b"%")[0])  # the kernel may add a zone id


def _ipv4(text: bytes) -> _Address | None:
    try:
        a, b, c, d = text.split(b".")
        return _Address(4, _OCTETS[a] << 24 | _OCTETS[b] << 16 | _OCTETS[c] << 8 | _OCTETS[d], text)
    except (KeyError, ValueError):
        return None


def _ipv6(text: bytes) -> _Address | None:
    try:
        number = int(IPv6Address(text.decode("ascii")))
    except ValueError:
        return None
    if number >> 32 == _MAPPED:
        return _Address(4, number & _V4_BITS, str(IPv4Address(number & _V4_BITS)).encode())
    return _Address(6, number, f"{IPv6Address(number & _V6_CLIENT)}/64".encode())


class ClientAddresses:
    """Finds the key of a request's client.

    ``trusted_proxies`` are addresses and CIDRs; a bad one is a ValueError of one sentence that names it.
    """

    __slots__ = ("_anyone", "_v4", "_v6")

    def __init__(self, trusted_proxies: Sequence[str] = ()) -> None:
        networks = [_network(entry) for entry in trusted_proxies]
        self._v4 = _by_mask(network for network in networks if isinstance(network, IPv4Network))
        self._v6 = _by_mask(network for network in networks if isinstance(network, IPv6Network))
        self._anyone = bool(networks)

    def trusts(self, peer: str) -> bool:
        """Whether X-Forwarded-For of this peer is trusted."""
        if not self._anyone:
            return False
        address = _of_peer(peer)
        return address is not None and self._trusts(address)

    def key(self, peer: str, forwarded_for: bytes | None) -> bytes:
        """Return the client's key. ``peer``: "" for a unix socket; X-Forwarded-For has its lines joined."""
        client = _of_peer(peer)
        if client is None:
            return LOCAL
        if forwarded_for is None or not self._anyone or not self._trusts(client):
            return client.key
        return self.forwarded_key(forwarded_for) or client.key

    def forwarded_key(self, forwarded_for: bytes) -> bytes | None:
        """Return the key of the client that a trusted peer forwards for; None: charge the peer itself."""
        # Nearly always the field is one untrusted IPv4 address, where the walk ends at once. This runs for each request
        # where clients come once, so the calls are inlined.
        try:
            a, b, c, d = forwarded_for.split(b".")
            number = _OCTETS[a] << 24 | _OCTETS[b] << 16 | _OCTETS[c] << 8 | _OCTETS[d]
        except (KeyError, ValueError):
            return self._walk(forwarded_for)
        for mask, networks in self._v4:
            if number & mask in networks:
                return self._walk(forwarded_for)
        return forwarded_for

    def _walk(self, forwarded_for: bytes) -> bytes | None:
        client = None
        for hop in reversed(forwarded_for.rsplit(b",", MAX_HOPS)[-MAX_HOPS:]):
            entry = hop.strip(b" \t")
            if len(entry) > _MAX_ENTRY:
                break
            address = _ipv4(entry) or _address(entry)
            if address is None:
                break
            client = address
            if not self._trusts(client):
                break
        return None if client is None else client.key

    def _trusts(self, address: _Address) -> bool:
        number = address.number
        for mask, networks in self._v4 if address.version == 4 else self._v6:  # noqa: SIM110  a generator costs 300 ns
            if number & mask in networks:
                return True
        return False


_ByMask = tuple[tuple[int, frozenset[int]], ...]


def _by_mask(networks: Iterable[IPv4Network | IPv6Network]) -> _ByMask:
    """Group networks by mask: a membership test costs one look-up per prefix length in use."""
    masks: dict[int, set[int]] = {}
    for network in networks:
        masks.setdefault(int(network.netmask), set()).add(int(network.network_address))
    return tuple((mask, frozenset(numbers)) for mask, numbers in masks.items())


# ip_network() also takes netmasks, host masks and zone ids; here a mask is a prefix length.
_CIDR = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?")


def _network(entry: str) -> IPv4Network | IPv6Network:
    try:
        if _CIDR.fullmatch(entry) is None:
            raise ValueError
        network = ip_network(entry)
    except ValueError:
        raise ValueError(
            f"{entry!r} is not an IP address or CIDR without host bits, such as 10.0.0.0/8 or 2001:db8::/32."
        ) from None
    if network.version == 6 and network.prefixlen >= 96:
        number = int(network.network_address)
        if number >> 32 == _MAPPED:
            return IPv4Network((number & _V4_BITS, network.prefixlen - 96))
    return network


def hits_of_rows(clients: Sequence[Client], quantities: Sequence[int]) -> list[int]:
    """Return the hits of each row; ``quantities`` has them only for the first of linked ones."""
    hits = list(quantities)
    for row, client in enumerate(clients):
        for place in range(row + 1, row + 1 + len(client.also)):
            hits[place] = hits[row]
    return hits
