"""Responses rendered by hand equal those of ``orjson``."""

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.api.clock import ResponseClock
from arsenal_fast.api.fastpath.endpoints import Endpoint
from arsenal_fast.api.fastpath.render import FORMAT, KIND, CachedVerdict, RenderedIdentity
from arsenal_fast.errors import InvalidIdentity
from arsenal_fast.http.response import ResponseHeads
from arsenal_fast.identity.grammar import Identity, compose
from arsenal_fast.identity.validity import LAST_MOMENT, MAX_TTL, Life, timestamp
from arsenal_fast.registry.verdict import judge
from tests.support.tokens import hs256_keys

few = settings(max_examples=30)

KEYS = hs256_keys()

LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,10}[A-Za-z0-9])?"


@st.composite
def identities(draw: st.DrawFn) -> Identity:
    while True:
        try:
            return compose(
                draw(st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True)),
                draw(st.from_regex(r"[A-Za-z0-9_-]{1,20}(\.[A-Za-z0-9_-]{1,10})?", fullmatch=True)),
                draw(st.from_regex(rf"{LABEL}(\.{LABEL}){{0,3}}", fullmatch=True)),
                draw(st.from_regex(r"v[0-9]{1,3}", fullmatch=True)),
            )
        except InvalidIdentity:
            continue


@st.composite
def lives(draw: st.DrawFn) -> Life:
    ttl = draw(st.integers(1, MAX_TTL)) * 1000
    generated = draw(st.integers(0, LAST_MOMENT - ttl))
    return Life(generated, generated + ttl)


ENDPOINT = Endpoint("GET", "/api/v1/id", "issue")


def living(identity: Identity, life: Life) -> RenderedIdentity:
    entry = RenderedIdentity(KEYS.sign_identity, ENDPOINT, identity.id, None)
    entry.begin(life)
    return entry


def at(now_s: float) -> ResponseClock:
    return ResponseClock(lambda: now_s, ResponseHeads(b""))


def common(identity: Identity, life: Life) -> dict[str, Any]:
    return {
        "id": identity.id,
        "email": identity.email,
        "ttl": life.ttl // 1000,
        "generated": timestamp(life.generated),
        "expires": timestamp(life.expires),
        "token": KEYS.sign_identity(identity.id, life),
    }


@few
@given(identities(), lives())
def test_the_answer_is_the_json_of_its_structure(identity: Identity, life: Life) -> None:
    metadata = {**identity._asdict(), "type": KIND, "compatible": ["nexus", "artifactory", "jfrog"]}
    body = orjson.dumps({**common(identity, life), "metadata": metadata})
    record = living(identity, life)
    head, _, rendered = record.response().partition(b"\r\n\r\n")
    assert rendered == body
    assert b"Content-Length: %d" % len(body) in head.split(b"\r\n")


@few
@given(identities(), lives())
def test_a_row_is_the_members_of_its_structure(identity: Identity, life: Life) -> None:
    assert b"{%b}" % living(identity, life).row() == orjson.dumps(common(identity, life))


@few
@given(identities(), lives())
def test_the_verdict_is_the_json_of_its_structure(identity: Identity, life: Life) -> None:
    verdict = judge(identity, life, life.generated, readable=True)
    body = orjson.dumps(
        {
            "identity": identity.id,
            "valid": verdict.valid,
            "status": verdict.status,
            "reason": verdict.reason,
            "well_formed": verdict.well_formed,
            "rfc5322_compliant": verdict.rfc5322_compliant,
            "metadata": {**identity._asdict(), "type": KIND, "format": FORMAT},
            "cached": True,
            "generated": timestamp(life.generated),
            "expires": timestamp(life.expires),
            "validated": timestamp(life.generated),
        }
    )
    response = CachedVerdict(living(identity, life), ENDPOINT).render(at((life.generated + 0.5) / 1000))
    assert response is not None
    head, _, rendered = response.partition(b"\r\n\r\n")
    assert rendered == body
    assert b"Content-Length: %d" % len(body) in head.split(b"\r\n")


@few
@given(identities(), lives())
def test_what_is_rendered_is_kept_from_the_second_time_on(identity: Identity, life: Life) -> None:
    record = living(identity, life)
    first = record.response()
    assert not record.kept_response
    assert record.response() == first
    assert record.kept_response


@few
@given(identities(), lives())
def test_a_response_is_stale_from_the_moment_of_renewal_and_a_verdict_from_the_end(
    identity: Identity, life: Life
) -> None:
    entry = living(identity, life)
    verdict = CachedVerdict(entry, ENDPOINT)
    assert entry.render(at((life.renew_at - 1) / 1000)) == entry.response()
    assert entry.render(at(life.renew_at / 1000)) is None
    assert verdict.render(at((life.expires - 1) / 1000)) is not None
    assert verdict.render(at(life.expires / 1000)) is None
    entry.forget()
    assert entry.render(at(life.generated / 1000)) is None
    assert verdict.render(at(life.generated / 1000)) is None
