"""The client of a request: a table of proxy chains; no untrusted client chooses its key. The oracle is ipaddress."""

import ipaddress
import math
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from arsenal_fast.ratelimit.client import LOCAL, MAX_HOPS, Client, ClientAddresses, TokenHolder
from arsenal_fast.ratelimit.quota import Quota

PROXIES = ("10.0.0.0/8", "192.0.2.7", "2001:db8:ffff::/48", "fd00::1")
ADDRESSES = ClientAddresses(PROXIES)
NOBODY = ClientAddresses()

P = "10.0.0.1"  # a trusted peer

V4 = st.integers(0, 2**32 - 1).map(IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(IPv6Address)

GARBAGE = (
    *(b"", b" ", b"unknown", b"_hidden", b"-", b"localhost", b"client.example", b"for=1.2.3.4"),
    *(b"1.2.3", b"1.2.3.4.5", b"1.2.3.256", b"1.2.3.-4", b"1.2.3.+4", b"1.2.3.4_", b"1.2.3. 4", b"1..3.4"),
    *(b".1.2.3.4", b"1.2.3.4.", b"01.2.3.4", b"1.2.3.04", b"1.2.3.00", b"0x1.2.3.4", b"16909060"),
    *(b"1.2.3.4/32", b"1.2.3.4\n", b"1.2.3.4\x00", b"1.2.3.\xb2", b"1.2.3.\xd9\xa3", b"\xff\xfe"),
    *(b'"1.2.3.4"', b"'1.2.3.4'", b"1.2.3.4;proto=https", b"[1.2.3.4]", b"[1.2.3.4]:80"),
    *(b"1.2.3.4:", b"1.2.3.4:x", b"1.2.3.4:123456", b"1.2.3.4:-1", b"1.2.3.4:80:80"),
    *(b"[]", b"[::1", b"::1]", b"[::1]80", b"[::1]:", b"[::1]:123456", b"[[::1]]", b'"[2001:db8::1]:80"'),
    *(b":", b":::", b"1::2::3", b"::12345", b"::g", b"1:2:3:4:5:6:7:8:9", b"::1/128"),
    *(b"::ffff:1.2.3.04", b"::ffff:1.2.3.256", b"fe80::1%eth0", b"[fe80::1%eth0]:80"),
    *(b"1.2.3.4" * 2000, b"1" * 9000, b":" * 9000, b"[" * 9000),
)  # fmt: skip

CASES: dict[str, tuple[str, bytes | None, str]] = {
    # The peer alone.
    "no header": ("203.0.113.9", None, "203.0.113.9"),
    "a trusted peer without a header is itself a client": (P, None, P),
    "a peer without an address": ("", None, "local"),
    "a peer without an address is not believed": ("", b"1.2.3.4", "local"),
    "a named unix socket is keyed as any other": ("/run/client.sock", b"1.2.3.4", "local"),
    "IPv6 is keyed by its /64": ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
    "its shortest form": ("2001:0DB8:0:0::1", None, "2001:db8::/64"),
    "loopback": ("::1", None, "::/64"),
    "a peer with a zone id": ("fe80::1%eth0", None, "fe80::/64"),
    "a peer of a dual-stack socket": ("::ffff:203.0.113.9", None, "203.0.113.9"),
    "the same in hexadecimal": ("::ffff:cb00:7109", None, "203.0.113.9"),
    "an IPv4-compatible address is IPv6": ("::1.2.3.4", None, "::/64"),
    # Trusted proxies.
    "an untrusted peer is not believed": ("203.0.113.9", b"1.2.3.4", "203.0.113.9"),
    "a trusted peer is": (P, b"1.2.3.4", "1.2.3.4"),
    "a trusted IPv6 peer is": ("2001:db8:ffff:9::1", b"1.2.3.4", "1.2.3.4"),
    "a trusted peer of a dual-stack socket is": ("::ffff:10.0.0.1", b"1.2.3.4", "1.2.3.4"),
    "a trusted single address is": ("192.0.2.7", b"1.2.3.4", "1.2.3.4"),
    "its neighbour is not": ("192.0.2.8", b"1.2.3.4", "192.0.2.8"),
    "a trusted single IPv6 address is": ("fd00::1", b"1.2.3.4", "1.2.3.4"),
    "a host in the same /64 is not": ("fd00::2", b"1.2.3.4", "fd00::/64"),
    "the last address of a network is": ("10.255.255.255", b"1.2.3.4", "1.2.3.4"),
    "the first after it is not": ("11.0.0.0", b"1.2.3.4", "11.0.0.0"),
    "the last before it is not": ("9.255.255.255", b"1.2.3.4", "9.255.255.255"),
    # The walk.
    "what the client sent stands on the left": (P, b"6.6.6.6, 1.2.3.4", "1.2.3.4"),
    "trusted hops are passed": (P, b"1.2.3.4, 10.9.9.9, 10.8.8.8", "1.2.3.4"),
    "the first untrusted one ends it": (P, b"6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"),
    "a trusted address further left does not help": (P, b"10.9.9.9, 1.2.3.4", "1.2.3.4"),
    "all trusted: the left-most": (P, b"10.3.3.3, 10.2.2.2", "10.3.3.3"),
    "no space": (P, b"6.6.6.6,1.2.3.4,10.9.9.9", "1.2.3.4"),
    "tabs and many spaces": (P, b"6.6.6.6 ,\t 1.2.3.4 \t,  10.9.9.9  ", "1.2.3.4"),
    "IPv6 in the chain": (P, b"6.6.6.6, 2001:db8:1:2:3::4, 2001:db8:ffff::7", "2001:db8:1:2::/64"),
    "mapped IPv4 in the chain": (P, b"6.6.6.6, ::ffff:1.2.3.4, ::ffff:10.9.9.9", "1.2.3.4"),
    # Entries with a port.
    "IPv4 and port": (P, b"1.2.3.4:5678", "1.2.3.4"),
    "trusted IPv4 and port": (P, b"1.2.3.4:5678, 10.9.9.9:80", "1.2.3.4"),
    "IPv6 in brackets": (P, b"[2001:db8:1:2::1]", "2001:db8:1:2::/64"),
    "IPv6 and port": (P, b"[2001:db8:1:2::1]:80", "2001:db8:1:2::/64"),
    "mapped IPv4 and port": (P, b"[::ffff:1.2.3.4]:80", "1.2.3.4"),
    "the longest entry": (P, b"[ABCD:ABCD:ABCD:ABCD:ABCD:ABCD:192.168.158.190]:65535", "abcd:" * 4 + ":/64"),
} | {
    f"garbage ends the walk at the hop that wrote it: {garbage[:30]!r}": (P, b"6.6.6.6, " + garbage, P)
    for garbage in GARBAGE
}


@pytest.mark.parametrize(("peer", "forwarded_for", "key"), CASES.values(), ids=CASES)
def test_a_request_is_charged_to_its_client(peer: str, forwarded_for: bytes | None, key: str) -> None:
    assert ADDRESSES.key(peer, forwarded_for) == key.encode()


@pytest.mark.parametrize(("peer", "forwarded_for"), [case[:2] for case in CASES.values()], ids=CASES)
def test_without_trusted_proxies_the_header_changes_nothing(peer: str, forwarded_for: bytes | None) -> None:
    assert NOBODY.key(peer, forwarded_for) == NOBODY.key(peer, None)


def test_garbage_behind_a_trusted_hop_is_charged_to_that_hop() -> None:
    assert ADDRESSES.key(P, b"6.6.6.6, unknown, 10.9.9.9") == b"10.9.9.9"
    assert ADDRESSES.key(P, b"6.6.6.6, , 2001:db8:ffff:9::1") == b"2001:db8:ffff:9::/64"


def test_an_untrusted_hop_that_writes_garbage_is_charged_itself() -> None:
    assert ADDRESSES.key(P, b"unknown, 1.2.3.4, 10.9.9.9") == b"1.2.3.4"


def test_the_walk_reads_a_bounded_number_of_hops() -> None:
    chain = [f"10.1.{hop}.1".encode() for hop in range(MAX_HOPS)]
    assert ADDRESSES.key(P, b", ".join(chain)) == b"10.1.0.1"
    assert ADDRESSES.key(P, b", ".join([b"1.2.3.4", *chain[1:]])) == b"1.2.3.4", "the last that is read"
    assert ADDRESSES.key(P, b", ".join([b"1.2.3.4", *chain])) == b"10.1.0.1", "one more is not"
    assert ADDRESSES.key(P, b"," * 16_000) == P.encode()


@settings(max_examples=200)
@given(
    client=V4 | V6,
    claims=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from([b"10.9.9.9", b"2001:db8:ffff::7", b"", b"unknown", b"1.2.3.4", b'"', b","]),
            V4.map(lambda address: str(address).encode()),
        ),
        max_size=40,
    ),
    hops=st.lists(st.sampled_from(["10.1.1.1", "2001:db8:ffff::7", "[fd00::1]:443", "::ffff:10.2.2.2"]), max_size=30),
)
@example(client=IPv4Address("1.2.3.4"), claims=[b"10.9.9.9"], hops=[])
def test_an_untrusted_client_never_chooses_its_key(
    client: IPv4Address | IPv6Address, claims: list[bytes], hops: list[str]
) -> None:
    """With any header: directly, or through our proxies, which append the address that they saw."""
    assume(not trusted(client))
    alone = NOBODY.key(str(client), None)
    assert ADDRESSES.key(str(client), b",".join(claims)) == alone
    appended = [str(client).encode(), *(hop.encode() for hop in hops)]
    assert ADDRESSES.key(P, b", ".join([*claims, *appended])) == alone


@given(V4)
def test_an_ipv4_key_is_the_address_itself(address: IPv4Address) -> None:
    assert NOBODY.key(str(address), None) == str(address).encode()
    assert NOBODY.key(f"::ffff:{address}", None) == str(address).encode()


@given(V6)
def test_an_ipv6_key_is_the_network_of_ipaddress(address: IPv6Address) -> None:
    assume(address.ipv4_mapped is None)
    network = str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64))).encode()
    assert NOBODY.key(str(address), None) == network
    assert NOBODY.key(address.exploded.upper(), None) == network
    assert ADDRESSES.key(P, f"[{address.exploded}]:80".encode()) == network


@settings(max_examples=300)
@given(st.text(alphabet="0125.", max_size=16) | st.text(alphabet="0f:.1", max_size=20) | st.text(max_size=20))
@example("1.2.3.4")
@example("0.0.0.00")
@example("\u0661.2.3.4")
def test_what_is_an_address_is_what_ipaddress_says(text: str) -> None:
    """Of texts without a zone id or port, which ipaddress judges otherwise or not at all."""
    assume(not {"%", "[", "/"} & set(text))
    assume(not (text.count(":") == 1 and "." in text))
    assert (NOBODY.key(text, None) == LOCAL) == (not is_address(text))


@settings(max_examples=200)
@given(st.lists(st.tuples(V4, st.integers(0, 32)), max_size=4), V4)
def test_ipv4_trust_is_that_of_ipaddress(entries: list[tuple[IPv4Address, int]], peer: IPv4Address) -> None:
    networks = [ipaddress.ip_network((int(address), length), strict=False) for address, length in entries]
    addresses = ClientAddresses([str(network) for network in networks])
    # Hypothesis seldom meets a network by chance, so each network's own address is tried as well.
    for candidate in (peer, *(network.network_address for network in networks)):
        believed = addresses.key(str(candidate), b"192.0.2.99") == b"192.0.2.99"
        assert believed == any(candidate in network for network in networks) or str(candidate) == "192.0.2.99"


@settings(max_examples=200)
@given(st.lists(st.tuples(V6, st.integers(0, 128)), max_size=4), V6)
def test_ipv6_trust_is_that_of_ipaddress(entries: list[tuple[IPv6Address, int]], peer: IPv6Address) -> None:
    networks = [ipaddress.ip_network((int(address), length), strict=False) for address, length in entries]
    addresses = ClientAddresses([str(network) for network in networks])
    for candidate in (peer, *(network.network_address for network in networks)):
        assume(IPv6Address(int(candidate)).ipv4_mapped is None)
        believed = addresses.key(str(candidate), b"192.0.2.99") == b"192.0.2.99"
        assert believed == any(candidate in network for network in networks)


@pytest.mark.parametrize(
    ("entry", "peer", "believed"),
    [
        ("0.0.0.0/0", "203.0.113.9", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "2001:db8::1", True),
        ("::/0", "203.0.113.9", False),
        ("::/0", "::ffff:203.0.113.9", False),
        ("::ffff:203.0.113.0/120", "203.0.113.9", True),
        ("::ffff:203.0.113.0/120", "::ffff:203.0.113.9", True),
        ("::ffff:203.0.113.0/120", "203.0.114.9", False),
        ("::ffff:203.0.113.9", "203.0.113.9", True),
        ("::ffff:0:0/96", "203.0.113.9", True),
        ("::fffe:0:0/95", "203.0.113.9", False),
        ("::1", "::1", True),
        ("2001:DB8::/32", "2001:db8::1", True),
    ],
)
def test_a_network_is_trusted_in_its_own_family(entry: str, peer: str, believed: bool) -> None:
    assert (ClientAddresses([entry]).key(peer, b"192.0.2.99") == b"192.0.2.99") is believed


@pytest.mark.parametrize(
    "entry",
    [
        *("", " ", "*", "all", "localhost", "10.0.0", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/"),
        *("10.0.0.0/-8", "10.0.0.0/255.0.0.0", "10.0.0.0/0.255.255.255", "10.0.0.0/8 ", "10.0.0.0/8\n"),
        *("010.0.0.0/8", "1.2.3.4:80", "10.0.0.0/8,::1", "[::1]", "::1/129", "2001:db8::1/32"),
        *("fe80::1%eth0", "fe80::%eth0/64", "::/\u0663"),
    ],
)
def test_a_bad_entry_of_the_trusted_proxies_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="is not an IP address or CIDR") as caught:
        ClientAddresses(["10.0.0.0/8", entry])
    assert repr(entry) in str(caught.value)
    assert str(caught.value).endswith(".")


@settings(max_examples=500)
@given(
    st.one_of(
        V4.map(lambda address: str(address).encode()),
        st.text("0125.", max_size=16).map(str.encode),
        st.binary(max_size=20),
    )
)
@example(b"10.0.0.1")
@example(b"192.0.2.7")
@example(b"192.0.2.07")
@example(b"1.2.3.4 ")
def test_the_straight_way_of_one_address_ends_where_the_walk_does(forwarded_for: bytes) -> None:
    for addresses in (ADDRESSES, NOBODY, ClientAddresses(["0.0.0.0/0"])):
        assert addresses.forwarded_key(forwarded_for) == addresses._walk(forwarded_for)


def test_a_key_is_octets_that_are_told_as_text() -> None:
    assert Client(b"203.0.113.9", Quota(100, 3600)).key == "203.0.113.9"
    assert Client("sub:\ud800é".encode("utf-8", "surrogatepass"), Quota(100, 3600)).key == "sub:\ud800é"


def test_an_address_may_do_what_needs_no_token_and_a_holder_what_its_token_says() -> None:
    quota = Quota(100, 3600)
    address, holder = Client(b"203.0.113.9", quota), TokenHolder(b"sub:shop", quota, frozenset({"issue"}), 7.0)
    assert (address.token, address.scopes, address.expires) == (False, frozenset(), math.inf)
    assert (holder.token, holder.scopes, holder.expires) == (True, frozenset({"issue"}), 7.0)


def test_a_client_starts_undecided_and_is_compared_by_identity() -> None:
    quota = Quota(100, 3600)
    one, other = Client(b"203.0.113.9", quota), Client(b"203.0.113.9", quota)
    assert (one.encoded, one.denied_until) == (None, 0.0)
    assert one != other
    assert len({one, other}) == 2


def trusted(address: IPv4Address | IPv6Address) -> bool:
    actual = getattr(address, "ipv4_mapped", None) or address
    return any(actual in ipaddress.ip_network(entry) for entry in PROXIES)


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
