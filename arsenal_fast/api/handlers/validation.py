"""``POST /api/v1/validate``: one identity, or a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from arsenal_fast.api.fastpath.render import FORMAT, KIND, stamp
from arsenal_fast.api.json_body import MAX_ROWS, pointer, raise_faults, read_object
from arsenal_fast.errors import Fault, ProblemError
from arsenal_fast.http.response import JSON, tail
from arsenal_fast.identity import grammar
from arsenal_fast.identity.grammar import Identity, Malformed
from arsenal_fast.identity.validity import timestamp
from arsenal_fast.identity.verdict import judge
from arsenal_fast.registry.lookup import Known
from arsenal_fast.tokens.claims import IdentityToken, Refusal

if TYPE_CHECKING:
    from arsenal_fast.api.app import Service
    from arsenal_fast.api.context import Exchange

_MEMBERS: Final = {"identity": "string", "token": "string", "identities": "array"}
_NO_STORE: Final = b"Cache-Control: no-store\r\n"


def validate(service: Service, exchange: Exchange) -> None:
    """Answer with the verdict on what was sent."""
    body = read_object(exchange.request, _MEMBERS)
    if "token" in body:
        _validate_token(service, exchange, body)
        return
    texts, single = _texts(body)

    def done(answers: Sequence[bytes]) -> None:
        content = answers[0] if single else b'{"results":[%b],"total":%d}' % (b",".join(answers), len(answers))
        exchange.respond(200, tail(JSON, content, _NO_STORE))

    if single:
        record = service.directory.active(texts[0])
        if record is not None:
            verdict = record.validation()
            service.recognition.prepare_verdict(exchange.request, record)
            exchange.respond(200, verdict + stamp(service.now()))
            return
    _judge_all(service, exchange, texts, done)


def _judge_all(
    service: Service, exchange: Exchange, texts: Sequence[str], done: Callable[[Sequence[bytes]], None]
) -> None:
    subjects = list(map(grammar.parse, texts))
    well_formed = [subject for subject in subjects if isinstance(subject, Identity)]

    def found(known: Sequence[Known | None], readable: bool) -> None:
        now_ms = service.now_ms()
        known_of = iter(known)
        done(
            [
                _answer(text, subject, next(known_of) if isinstance(subject, Identity) else None, now_ms, readable)
                for text, subject in zip(texts, subjects, strict=True)
            ]
        )

    if well_formed:
        service.directory.find(well_formed, exchange.guard(found))
    else:
        found((), True)


def _validate_token(service: Service, exchange: Exchange, body: dict[str, Any]) -> None:
    """A token, with or without the identity that it is said to be of."""
    faults: list[Fault] = [
        {"pointer": f"/{name}", "detail": f"{name} must be a string"}
        for name in ("identity", "token")
        if name in body and not isinstance(body[name], str)
    ]
    if "identities" in body:
        faults.append({"pointer": "/identities", "detail": "can't be sent together with a token"})
    raise_faults(faults)
    token = service.keys.read_identity(body["token"], service.now())
    text: str | None = body.get("identity")
    if text is None and isinstance(token, IdentityToken):
        text = token.id
    subject = grammar.parse(text or "")
    if text is None and isinstance(token, Refusal):
        subject = Malformed(token.sentence)

    def found(known: Sequence[Known | None], readable: bool) -> None:
        content = _answer(text, subject, known[0] if known else None, service.now_ms(), readable, token, service)
        exchange.respond(200, tail(JSON, content, _NO_STORE))

    if isinstance(subject, Identity):
        claimed = token.generated_ms if isinstance(token, IdentityToken) else None
        service.directory.find((subject,), exchange.guard(found), claimed=claimed)
    else:
        found((), True)


def _answer(
    text: str | None,
    subject: Identity | Malformed,
    known: Known | None,
    now_ms: int,
    readable: bool,
    token: IdentityToken | Refusal | None = None,
    service: Service | None = None,
) -> bytes:
    life = None if known is None else known.life
    dead_before = 0 if known is None else known.dead_before
    if known is None and service is not None and isinstance(subject, Identity):
        dead_before = service.directory.revisions.epoch_of(subject.prefix)
    verdict = judge(subject, life, now_ms, readable=readable, dead_before=dead_before, token=token)
    return orjson.dumps(
        {
            "identity": text,
            "valid": verdict.valid,
            "status": verdict.status,
            "reason": verdict.reason,
            "well_formed": verdict.well_formed,
            "rfc5322_compliant": verdict.rfc5322_compliant,
            "metadata": None
            if isinstance(subject, Malformed)
            else {**subject._asdict(), "type": KIND, "format": FORMAT},
            # The stores remember an expired identity for a while, to tell it from an unknown one: that is no cache hit.
            "cached": known is not None and known.cached and life is not None and now_ms < life.expires,
            "generated": None if life is None else timestamp(life.generated),
            "expires": None if life is None else timestamp(life.expires),
            "validated": timestamp(now_ms),
        }
    )


def _texts(body: dict[str, Any]) -> tuple[list[str], bool]:
    """Return the identities to judge and whether it is a single one."""
    if len(body) != 1:
        raise ProblemError(
            400,
            "Send identity, token, both of them, or identities.",
            [{"pointer": "", "detail": "must have identity, token, both of them, or identities"}],
        )
    if "identity" in body:
        text = body["identity"]
        if not isinstance(text, str):
            raise_faults([{"pointer": "/identity", "detail": "identity must be a string"}])
        return [text], True
    texts = body["identities"]
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_ROWS:
        raise_faults([{"pointer": "/identities", "detail": f"identities must be an array of 1 to {MAX_ROWS} strings"}])
    faults: list[Fault] = [
        {"pointer": pointer("identities", index), "detail": "must be a string"}
        for index, text in enumerate(texts)
        if not isinstance(text, str)
    ]
    raise_faults(faults)
    return texts, False
