"""Authentication: an address, or the subject of a service token with its own limit; and the text of a refusal."""

import pytest

from arsenal_fast.api import auth
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.tokens.claims import Refusal
from tests.support.callers import DAY, EXPIRED, FOREIGN, GOOD, ID, LIMITS, good, remaining
from tests.support.rig import START, Answer, Client, Rig, request

IDENTITY = "player-1@sports.api.yourbook.com/v1:id"

BEARERS = [
    (b"Bearer abc", b"abc"),
    (b"bearer abc", b"abc"),
    (b"BEARER abc", b"abc"),
    (b"Bearer    abc", b"abc"),
    (b"Bearer aZ09-._~+/==", b"aZ09-._~+/=="),
    (b"Bearer " + b"a" * 8000, b"a" * 8000),
    (b"", None),
    (b"Bearer", None),
    (b"Bearer ", None),
    (b"Bearer =", None),
    (b"Bearerabc", None),
    (b"Bearer\tabc", None),
    (b"Bearer abc def", None),
    (b"Bearer abc ", None),
    (b"Bearer abc\n", None),
    (b"Bearer a=b", None),
    (b"Bearer a,b", None),
    (b'Bearer "abc"', None),
    (b"Bearer \xff", None),
    (b"Bearer a\0", None),
    (b"Basic YTpi", None),
    (b"Digest abc", None),
    (b"xBearer abc", None),
    (b" Bearer abc", None),
    (b"abc", None),
]


@pytest.mark.parametrize(("authorization", "token"), BEARERS, ids=lambda value: repr(value)[:30])
def test_credentials_are_the_scheme_bearer_and_one_token(authorization: bytes, token: bytes | None) -> None:
    assert auth.bearer(authorization) == token


FUTURE = good("issue", begun=START + 61)

IDENTITY_TOKEN = "Bearer " + Rig().token(IDENTITY)

# What is sent, and the refusal; None: it is no bearer token.
BAD: dict[str, tuple[str, Refusal | None]] = {
    "none": ("Bearer", None),
    "two": ("Bearer one two", None),
    "no token": ("Bearer nonsense", Refusal.MALFORMED),
    "too long": (f"Bearer {'a' * 5000}", Refusal.OVERSIZED),
    "changed": (GOOD[:-5] + "AAAAA", Refusal.SIGNATURE),
    "foreign": (FOREIGN, Refusal.SIGNATURE),
    "expired": (EXPIRED, Refusal.EXPIRED),
    "of the future": (FUTURE, Refusal.FUTURE),
    "of an identity": (IDENTITY_TOKEN, Refusal.AUDIENCE),
}

bad_tokens = pytest.mark.parametrize(("authorization", "refusal"), BAD.values(), ids=BAD)


@pytest.mark.parametrize("authorization", ["Basic dXNlcjpwYXNzd29yZA==", "Digest a=b", "", "Bearerabc"])
def test_a_scheme_that_is_not_known_is_challenged_without_an_error_code(authorization: str) -> None:
    """RFC 6750 3.1: the response to another method only names the supported one."""
    answer = Rig().get(ID, Authorization=authorization)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="arsenal-identity"'


@bad_tokens
@pytest.mark.parametrize("target", [ID, "/api/v1/nothing", "/api/v1/audit"])
def test_a_bad_token_is_refused_with_the_challenge_that_says_why(
    authorization: str, refusal: Refusal | None, target: str
) -> None:
    answer = Rig().get(target, Authorization=authorization)
    assert answer.status == 401
    assert answer.headers["content-type"] == "application/problem+json"
    if refusal is None:
        challenge, detail = 'error="invalid_request"', "Authorization must be 'Bearer' and a service token."
    else:
        challenge = f'error="invalid_token", error_description="{refusal.sentence}"'
        detail = refusal.sentence
    assert answer.headers["www-authenticate"] == f'Bearer realm="arsenal-identity", {challenge}'
    assert answer.json["detail"] == detail
    assert authorization.rsplit(maxsplit=1)[-1] not in answer.body.decode().replace("Bearer", "")


def test_no_sentence_of_a_refusal_breaks_out_of_its_quotes() -> None:
    assert not [refusal for refusal in Refusal if set(refusal.sentence) & {'"', "\\"} or not refusal.sentence.isascii()]


BATCH = {"environments": [{"name": "a", "prefix": "free"}, {"name": "b", "prefix": "player"}]}

# Requests, and the scope that each needs.
GUARDED: list[tuple[str, object, str, str]] = [
    ("/api/v1/audit", None, "audit", "The audit"),
    ("/api/v1/revoke", {"identity": IDENTITY}, "revoke", "To revoke an identity without its token"),
    ("/api/v1/revoke", {"issued_before": "2025-11-22T10:00:00Z"}, "revoke", "To revoke more than one identity"),
    ("/api/v1/revoke", {"prefix": "player", "issued_before": "nonsense"}, "revoke", "To revoke more than one identity"),
    (ID, None, "issue", "An identity with a protected prefix"),
    ("/api/v1/identities", BATCH, "issue", "An identity with a protected prefix"),
]

OTHERS = {"issue": ("revoke", "audit"), "revoke": ("issue", "audit"), "audit": ("issue", "revoke")}


def ask(rig: Rig, target: str, body: object, **headers: str) -> Answer:
    return rig.get(target, **headers) if body is None else rig.post(target, body, **headers)


@pytest.mark.parametrize(("target", "body", "scope", "what"), GUARDED)
def test_what_needs_a_scope_says_which_to_who_has_no_token_and_to_who_has_another(
    target: str, body: object, scope: str, what: str
) -> None:
    rig = Rig(settings={"protected_prefixes": frozenset({"player"})})
    without = ask(rig, target, body)
    assert (without.status, without.json["detail"]) == (401, f"{what} needs a service token of scope {scope}.")
    assert without.headers["www-authenticate"] == f'Bearer realm="arsenal-identity", scope="{scope}"'
    for scopes in ((), OTHERS[scope]):
        other = ask(rig, target, body, Authorization=good(*scopes))
        assert (other.status, other.json["detail"]) == (403, f"{what} needs the scope {scope}.")
        assert other.headers["www-authenticate"] == (
            f'Bearer realm="arsenal-identity", error="insufficient_scope", scope="{scope}"'
        )
    assert ask(rig, target, body, Authorization=good(scope)).status not in {401, 403}


def test_a_browser_may_read_the_refusal() -> None:
    rig = Rig(settings={"origins": ("https://a.example",)})
    answer = rig.get(ID, Authorization=FOREIGN, Origin="https://a.example")
    assert answer.headers["access-control-allow-origin"] == "https://a.example"


# Methods and places where a token does not matter.


def test_head_is_refused_with_the_same_lines_and_no_body() -> None:
    rig = Rig()
    head = rig.connect().get(ID, method="HEAD", Authorization=FOREIGN)
    full = rig.get(ID, Authorization=FOREIGN)
    assert (head.status, head.body) == (401, b"")
    assert head.headers["www-authenticate"] == full.headers["www-authenticate"]
    assert head.headers["content-length"] == full.headers["content-length"]
    assert rig.connect().get(ID, method="HEAD", Authorization=GOOD).headers["ratelimit-policy"].startswith('"token"')


FREE = [
    ("GET", "/api/health", 200),
    ("GET", "/api/health/live", 200),
    ("GET", "/api/health/ready", 200),
    ("GET", "/api/metrics", 200),
    ("GET", "/api/docs", 200),
    ("GET", "/.well-known/jwks.json", 200),
    ("OPTIONS", "*", 204),
    ("OPTIONS", "/api/health", 204),
    ("GET", "/nothing", 404),
]


@bad_tokens
@pytest.mark.parametrize(("method", "target", "status"), FREE)
def test_what_is_free_is_free_for_everybody(
    method: str, target: str, status: int, authorization: str, refusal: Refusal | None
) -> None:
    answer = Rig().connect().get(target, method=method, Authorization=authorization)
    assert (answer.status, answer.headers.get("www-authenticate")) == (status, None)


@bad_tokens
@pytest.mark.parametrize(("method", "target"), [("GET", LIMITS), ("HEAD", LIMITS), ("OPTIONS", "/api/v1/id")])
def test_a_bad_token_is_charged_also_where_a_good_one_or_none_is_not(
    method: str, target: str, authorization: str, refusal: Refusal | None
) -> None:
    rig = Rig(settings={"quota": Quota(1, 60)})
    assert rig.connect().get(target, method=method).status in {200, 204}
    assert rig.connect().get(target, method=method, Authorization=GOOD).status in {200, 204}
    refused = [rig.connect().get(target, method=method, Authorization=authorization) for _ in range(2)]
    assert [answer.status for answer in refused] == [401, 429]


def test_two_authorizations_are_no_request() -> None:
    client = Rig().connect()
    client.send(f"GET {ID} HTTP/1.1\r\nHost: a\r\nAuthorization: {GOOD}\r\nAuthorization: {GOOD}\r\n\r\n".encode())
    assert client.answers("GET")[0].status == 400


# The fast path.


def spied(rig: Rig) -> list[str]:
    """The keys of the clients whose requests were recognised by their bytes; grows."""
    keys: list[str] = []
    rig.note_recognized(lambda request: keys.append(request.client.key))
    return keys


def test_a_token_that_comes_again_is_recognised_and_another_one_is_read() -> None:
    rig = Rig()
    keys, client = spied(rig), rig.connect()
    one, other = good(rate_limit=10), good(subject="bot", rate_limit=20)
    seen = [client.get(ID, Authorization=each) for each in (one, one, one, one, one, other, other, one)]
    assert keys == ["sub:sports-book"] * 4 + ["sub:bot", "sub:sports-book"]
    assert [remaining(answer) for answer in seen] == [9, 8, 7, 6, 5, 19, 18, 4]
    policies = [answer.headers["ratelimit-policy"] for answer in seen[4:6]]
    assert policies == ['"token";q=10;w=3600', '"token";q=20;w=3600']


def test_behind_a_proxy_the_token_is_charged_and_not_the_address_it_came_from() -> None:
    rig = Rig(settings={"trusted_proxies": ["203.0.113.0/24"]}, switched=True)
    keys, client, mine = spied(rig), rig.connect(), good()
    for host in range(20):
        client.get(ID, Authorization=mine, X_Forwarded_For=f"198.51.100.{host}")
    assert keys
    assert set(keys) == {"sub:sports-book"}
    assert rig.shared.admissions == [[("sub:sports-book", 1)]] * 20
    client.get(ID, X_Forwarded_For="198.51.100.1")
    assert rig.shared.admissions[-1] == [("198.51.100.1", 1)]


def test_a_bad_token_never_opens_the_fast_path() -> None:
    rig = Rig()
    keys, client = spied(rig), rig.connect()
    client.get(ID)
    assert [client.get(ID, Authorization=FOREIGN).status for _ in range(3)] == [401] * 3
    assert keys == []


def ending(rig: Rig) -> tuple[Client, str]:
    """A client on the fast path with a token that ends in a minute."""
    client, mine = rig.connect(), good(begun=START - DAY + 60)
    for _ in range(3):
        assert client.get(ID, Authorization=mine).status == 200
    return client, mine


@pytest.mark.parametrize("fast_path", [True, False])
@pytest.mark.parametrize("quota", [Quota(100, 3600), None])
@pytest.mark.parametrize("switched", [True, False])
def test_the_first_request_after_a_token_has_ended_is_refused(
    fast_path: bool, quota: Quota | None, switched: bool
) -> None:
    rig = Rig(settings={"quota": quota}, fast_path=fast_path, switched=switched)
    keys = spied(rig)
    client, mine = ending(rig)
    rig.advance(59.999)
    assert client.get(ID, Authorization=mine).status == 200
    assert len(keys) == (3 if fast_path else 0)
    rig.advance(0.001)
    answer = client.get(ID, Authorization=mine)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].endswith('error_description="The token has expired."')
    if quota is not None:
        assert remaining(answer) == 99, "charged to the address"
    assert client.get(ID, Authorization=mine).status == 401
    assert client.get(ID).status == 200, "the connection lives on"


def test_of_one_tick_only_the_requests_of_the_token_that_has_ended_are_refused() -> None:
    rig = Rig(switched=True)
    client, mine = ending(rig)
    other, lasting = rig.connect(), good(subject="bot")
    for _ in range(3):
        other.get(ID, Authorization=lasting)
    del rig.shared.admissions[:]
    rig.advance(60)
    other.deliver(request("GET", ID, Authorization=lasting))
    client.deliver(request("GET", ID, Authorization=mine))
    looking = rig.connect()
    looking.deliver(request("GET", LIMITS))
    rig.tick()
    assert [each.answers("GET")[0].status for each in (other, client, looking)] == [200, 401, 200]
    assert rig.shared.admissions == [[("sub:bot", 1), ("203.0.113.9", 1)]]


def test_a_token_whose_quota_is_that_of_addresses_is_told_of_its_own_policy_also_in_one_tick_with_them() -> None:
    rig = Rig(settings={"quota": Quota(10, 3600)})
    first, second = rig.connect(), rig.connect()
    first.deliver(request("GET", ID))
    second.deliver(request("GET", ID, Authorization=good(rate_limit=10)))
    rig.tick()
    policies = [client.answers("GET")[0].headers["ratelimit-policy"] for client in (first, second)]
    assert policies == ['"default";q=10;w=3600', '"token";q=10;w=3600']


def test_requests_of_tokens_and_addresses_in_one_tick_are_told_apart() -> None:
    rig = Rig(settings={"quota": Quota(2, 60)}, switched=True)
    first, second = rig.connect(), rig.connect()
    mine = good(rate_limit=3)
    first.deliver((request("GET", ID) + request("GET", ID, Authorization=mine)) * 3)
    second.deliver(request("GET", ID, Authorization=mine) + request("GET", ID, Authorization=FOREIGN))
    rig.tick()
    statuses = [answer.status for answer in first.answers(*["GET"] * 6) + second.answers("GET", "GET")]
    assert statuses == [200, 200, 200, 200, 429, 200, 429, 429]
    assert rig.shared.admissions == [[("203.0.113.9", 4), ("sub:sports-book", 4)]]
