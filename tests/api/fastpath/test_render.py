"""What is rendered by hand is what ``orjson`` would write."""

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.api.fastpath.render import FORMAT, KIND, Record, stamp
from arsenal_fast.errors import InvalidIdentity
from arsenal_fast.identity.grammar import Identity, compose
from arsenal_fast.identity.validity import LAST_MOMENT, MAX_TTL, Life, timestamp
from arsenal_fast.identity.verdict import judge
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


def living(identity: Identity, life: Life) -> Record:
    record = Record(identity.id, KEYS.sign_identity)
    record.begin(life)
    return record


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
    head, _, rendered = record.answer().partition(b"\r\n\r\n")
    assert rendered == body
    assert b"Content-Length: %d" % len(body) in head.split(b"\r\n")


@few
@given(identities(), lives())
def test_a_row_is_the_members_of_its_structure(identity: Identity, life: Life) -> None:
    assert b"{%b}" % living(identity, life).batch_row() == orjson.dumps(common(identity, life))


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
    verdict_start = living(identity, life).validation()
    head, _, rendered = (verdict_start + stamp((life.generated + 0.5) / 1000)).partition(b"\r\n\r\n")
    assert rendered == body
    assert b"Content-Length: %d" % len(body) in head.split(b"\r\n")


@few
@given(identities(), lives())
def test_what_is_rendered_is_kept_from_the_second_time_on(identity: Identity, life: Life) -> None:
    record = living(identity, life)
    first = record.answer()
    assert not record.tail
    assert record.answer() == record.tail == first
    assert record.identity == identity


@few
@given(identities(), lives())
def test_a_record_is_fresh_until_it_is_to_be_renewed(identity: Identity, life: Life) -> None:
    record = living(identity, life)
    assert (record.fresh_until, record.expires) == (life.renew_at / 1000, life.expires / 1000)
