"""Parsing REDIS_URL: its values, its refusals, and that nothing of it is shown."""

import pytest

from arsenal_fast.stores.redis.url import Place, RedisAddress, parse_url

GOOD = [
    ("redis://redis:6379/1", RedisAddress(host="redis", port=6379, database=1)),
    ("redis://localhost", RedisAddress(host="localhost")),
    ("redis://localhost/", RedisAddress(host="localhost")),
    ("redis://10.0.0.7:1/15", RedisAddress(host="10.0.0.7", port=1, database=15)),
    ("redis://[::1]:6380/2", RedisAddress(host="::1", port=6380, database=2)),
    ("redis://[::1]", RedisAddress(host="::1")),
    ("redis://:secret@h:1", RedisAddress(host="h", port=1, password=b"secret")),
    ("redis://u:s%40%2F%3A%23%25@h", RedisAddress(host="h", user=b"u", password=b"s@/:#%")),
    ("redis://:a:b@h", RedisAddress(host="h", password=b"a:b")),
    ("redis://:%C3%A9@h", RedisAddress(host="h", password="é".encode())),
    ("rediss://h:6380/0", RedisAddress(host="h", port=6380, tls=True)),
    ("REDIS://h", RedisAddress(host="h")),
    ("unix:///run/redis.sock", RedisAddress(path="/run/redis.sock")),
    ("unix:///run/redis.sock?db=3", RedisAddress(path="/run/redis.sock", database=3)),
    ("unix://u:p@/run/a%20b", RedisAddress(path="/run/a b", user=b"u", password=b"p")),
    (
        "rediss://h?ssl_ca_certs=/etc/a%20b.pem&ssl_cert_reqs=CERT_NONE&ssl_check_hostname=False",
        RedisAddress(
            host="h",
            tls=True,
            parameters={"ssl_ca_certs": "/etc/a b.pem", "ssl_cert_reqs": "none", "ssl_check_hostname": "false"},
        ),
    ),
    (
        "redis+sentinel://u:p@a,b:1,[::1]:2,[::2]/mymaster/3?sentinel_username=s&sentinel_password=%25",
        RedisAddress(
            database=3,
            user=b"u",
            password=b"p",
            service="mymaster",
            sentinels=(Place("a", 26379), Place("b", 1), Place("::1", 2), Place("::2", 26379)),
            parameters={"sentinel_username": "s", "sentinel_password": "%"},
        ),
    ),
    ("rediss+sentinel://a/m", RedisAddress(tls=True, service="m", sentinels=(Place("a", 26379),))),
    (
        "redis+cluster://u:p@a,b:1,[::1]:2/0",
        RedisAddress(user=b"u", password=b"p", nodes=(Place("a", 6379), Place("b", 1), Place("::1", 2))),
    ),
    (
        "rediss+cluster://a?ssl_cert_reqs=none",
        RedisAddress(tls=True, nodes=(Place("a", 6379),), parameters={"ssl_cert_reqs": "none"}),
    ),
]


@pytest.mark.parametrize(("url", "address"), GOOD)
def test_a_good_url(url: str, address: RedisAddress) -> None:
    assert parse_url(url) == address


BAD = [
    "",
    "hunter2",
    "http://hunter2@h",
    "redis:h",
    "redis:///0",
    "redis://:hunter2@",
    "redis://:hunter2@:6379",
    "redis://:hunt/hunter2@h:6379/0",
    "redis://:hunter2#x@h:6379/0",
    "redis://:hunter2?x@h:6379/0",
    "redis://:hunter2@x@h",
    "redis://:hunter2%zz@h",
    "redis://:hunter2%@h",
    "redis://hunter2@h",
    "redis://:hunter2@h:0",
    "redis://:hunter2@h:65536",
    "redis://:hunter2@h:hunter2",
    "redis://:hunter2@h:+1",
    "redis://:hunter2@h:\u0661",
    "redis://:hunter2@h/x",
    "redis://:hunter2@h/-1",
    "redis://:hunter2@h/1/2",
    "redis://:hunter2@h/1?db=2",
    "redis://:hunter2@[::1",
    "redis://:hunter2@[::1]x",
    "redis://:hunter2@h ",
    "redis://:hunter2@h\n",
    "redis://:hunter2\t@h",
    "unix://:hunter2@run/redis.sock",
    "unix://:hunter2@/",
    "unix:///run/x?hunter2=1",
    "unix:///run/x?db=hunter2",
    "redis://:hunter2@h,i",
    "redis://:hunter2@h?ssl_ca_certs=/a",
    "redis://:hunter2@h?sentinel_password=hunter2",
    "rediss://:hunter2@h?ssl_ca_certs=",
    "rediss://:hunter2@h?ssl_ca_certs=/a&ssl_ca_certs=/b",
    "rediss://:hunter2@h?ssl_cert_reqs=hunter2",
    "rediss://:hunter2@h?hunter2=1",
    "redis://:hunter2@h,i",
    "redis+cluster://:hunter2@h/1",
    "redis+cluster://:hunter2@h,/0",
    "redis+cluster://:hunter2@h?sentinel_password=hunter2",
    "redis+cluster://:hunter2@h?shards=",
    "redis+cluster://:hunter2@h?shards=0",
    "redis+cluster://:hunter2@h?shards=49",
    "redis+cluster://:hunter2@h?shards=hunter2",
    "redis+cluster://:hunter2@h?shards=3&shards=3",
    "redis://:hunter2@h?shards=3",
    "redis+sentinel://:hunter2@h/m?shards=3",
    "redis+sentinel://:hunter2@h",
    "redis+sentinel://:hunter2@h/",
    "redis+sentinel://:hunter2@h,/m",
    "redis+sentinel://:hunter2@h/m/x",
    "redis+sentinel://:hunter2@h/m?db=1",
]


@pytest.mark.parametrize("url", BAD)
def test_a_bad_url_is_one_sentence_that_shows_nothing_of_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^the Redis URL [^\n]*\.$") as caught:
        parse_url(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_cluster_has_three_shards_unless_the_url_says_otherwise() -> None:
    assert parse_url("redis+cluster://h").shards == 3
    assert parse_url("redis+cluster://h?shards=48").shards == 48
    address = parse_url("rediss+cluster://h,i?ssl_cert_reqs=none&shards=6&ssl_ca_certs=/a")
    assert (address.shards, address.parameters) == (6, {"ssl_cert_reqs": "none", "ssl_ca_certs": "/a"})


def test_repr_shows_neither_user_nor_password() -> None:
    text = repr(parse_url("redis://somebody:hunter2@h:1/2"))
    assert "somebody" not in text
    assert "hunter2" not in text
    assert "'h'" in text


@pytest.mark.parametrize(
    ("parameter", "ours"),
    [
        ("socket_timeout=5", "REDIS_TIMEOUT_MS"),
        ("socket_connect_timeout=5", "REDIS_TIMEOUT_MS"),
        ("db=2", "/0"),
        ("ssl=true", "rediss://"),
        ("max_connections=10", "one connection"),
        ("decode_responses=true", "ssl_ca_certs, "),
        ("ssl_certfile=/a", "rediss://"),
    ],
)
def test_a_parameter_of_other_clients_is_refused_and_ours_is_named(parameter: str, ours: str) -> None:
    with pytest.raises(ValueError, match=r"^the Redis URL [^\n]*\.$") as caught:
        parse_url(f"redis://:hunter2@h/1?{parameter}")
    assert ours in str(caught.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://u:p@h/1", "h:6379"),
        ("rediss://[::1]:5", "[::1]:5"),
        ("unix:///run/redis.sock", "/run/redis.sock"),
        ("redis+sentinel://:p@a,[::1]:2/m", "a:26379,[::1]:2/m"),
        ("redis+cluster://:p@a,[::1]:2", "a:6379,[::1]:2"),
    ],
)
def test_an_address_as_text_has_no_secret(url: str, text: str) -> None:
    assert str(parse_url(url)) == text
