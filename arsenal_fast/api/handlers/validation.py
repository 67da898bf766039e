"""``POST /api/v1/validate``: one identity, or a list."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.fastpath.render import FORMAT, KIND, verdict_of
from arsenal_fast.api.json_body import MAX_ROWS, check_form, check_strings, pointer, raise_faults, read_object
from arsenal_fast.api.services import Services
from arsenal_fast.errors import Fault
from arsenal_fast.identity import grammar
from arsenal_fast.identity.grammar import Identity, Malformed
from arsenal_fast.identity.validity import Life, timestamp
from arsenal_fast.registry.lookup import IdentityState
from arsenal_fast.registry.verdict import judge, status_of
from arsenal_fast.replies import Reply
from arsenal_fast.tokens.claims import IdentityToken, Refusal

_MEMBERS: Final = ("identity", "token", "identities")
_FORMS: Final = ({"identity"}, {"identities"})


def validate(services: Services, context: RequestContext) -> Coroutine[Reply[Any], None, None] | None:
    """Respond with the verdict, at once where this worker knows it, otherwise after a look-up."""
    body = read_object(context.request, _MEMBERS)
    if "token" in body:
        return _validate_token(services, context, body)
    texts, single = _texts(body)
    if single:
        identity = services.lookup.active(texts[0])
        if identity is not None:
            verdict = services.response_cache.put_verdict(context.request, identity)
            services.clock.refresh()
            context.respond(200, verdict.render(services.clock) or b"")
            return None
    return _judge_all(services, context, texts, single=single)


async def _judge_all(services: Services, context: RequestContext, texts: Sequence[str], *, single: bool) -> None:
    subjects = list(map(grammar.parse, texts))
    well_formed = [subject.id for subject in subjects if isinstance(subject, Identity)]
    states: Sequence[IdentityState | None] = ()
    readable = True
    if single and well_formed:  # at the end of the tick, as on the fast path
        state, readable = await services.lookup.find_with_others(well_formed[0])
        states = (state,)
    elif well_formed:
        states, readable = await services.lookup.find(well_formed)
    now_ms = services.now_ms()
    state_of = iter(states)
    answers = [
        _answer(text, subject, next(state_of) if isinstance(subject, Identity) else None, now_ms, readable)
        for text, subject in zip(texts, subjects, strict=True)
    ]
    context.answer(answers[0] if single else {"results": answers, "total": len(answers)})


def verdict(services: Services, identity: str, state: IdentityState | None, readable: bool) -> bytes:
    """Return the response to the validation of one id, from its own header lines on, by the clock of responses."""
    clock = services.clock
    now_ms = int(clock.now_s * 1000)
    life, dead_before, known = (None, 0, False) if state is None else state
    status = status_of(life, now_ms, readable=readable, dead_before=dead_before)
    return verdict_of(identity, status, life, cached=_is_cached(life, known, now_ms)) + clock.stamp()


async def _validate_token(services: Services, context: RequestContext, body: dict[str, Any]) -> None:
    """Validate a token, with or without the identity that it should be of."""
    faults: list[Fault] = [
        {"pointer": f"/{name}", "detail": f"{name} must be a string"}
        for name in ("identity", "token")
        if name in body and not isinstance(body[name], str)
    ]
    if "identities" in body:
        faults.append({"pointer": "/identities", "detail": "can't be sent together with a token"})
    raise_faults(faults)
    token = services.keys.read_identity(body["token"], services.now())
    text: str | None = body.get("identity")
    if text is None and isinstance(token, IdentityToken):
        text = token.id
    subject = grammar.parse(text or "")
    if text is None and isinstance(token, Refusal):
        subject = Malformed(token.sentence)
    state, readable = None, True
    if isinstance(subject, Identity):
        claimed_ms = token.generated_ms if isinstance(token, IdentityToken) else None
        (state,), readable = await services.lookup.find((subject.id,), claimed_ms=claimed_ms)
    context.answer(_answer(text, subject, state, services.now_ms(), readable, token, services))


def _answer(
    text: str | None,
    subject: Identity | Malformed,
    known: IdentityState | None,
    now_ms: int,
    readable: bool,
    token: IdentityToken | Refusal | None = None,
    services: Services | None = None,
) -> dict[str, Any]:
    life = None if known is None else known.life
    dead_before = 0 if known is None else known.dead_before_ms
    if known is None and services is not None and isinstance(subject, Identity):
        dead_before = services.identities.sync.epoch_of(subject.prefix)
    verdict = judge(subject, life, now_ms, readable=readable, dead_before=dead_before, token=token)
    return {
        "identity": text,
        "valid": verdict.valid,
        "status": verdict.status,
        "reason": verdict.reason,
        "well_formed": verdict.well_formed,
        "rfc5322_compliant": verdict.rfc5322_compliant,
        "metadata": None if isinstance(subject, Malformed) else _metadata(subject),
        "cached": known is not None and _is_cached(life, known.cached, now_ms),
        "generated": None if life is None else timestamp(life.generated),
        "expires": None if life is None else timestamp(life.expires),
        "validated": timestamp(now_ms),
    }


def _is_cached(life: Life | None, known: bool, now_ms: int) -> bool:
    # The stores keep an expired identity for a while, to tell it from an unknown one: that is no cache hit.
    return known and life is not None and now_ms < life.expires


def _metadata(identity: Identity) -> dict[str, str]:
    prefix, run, domain, version = identity
    return {"prefix": prefix, "run": run, "domain": domain, "version": version, "type": KIND, "format": FORMAT}


def _texts(body: dict[str, Any]) -> tuple[list[str], bool]:
    """Return the identities to validate, and whether it is a single one."""
    needed = "identity, token, both of them, or identities"
    check_form(body, _FORMS, f"Send {needed}.", needed)
    if "identity" in body:
        check_strings(body, body)
        return [body["identity"]], True
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
