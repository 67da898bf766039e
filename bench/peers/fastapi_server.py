"""A rival in Python: FastAPI on uvicorn (uvloop, httptools), redis-py's asyncio client, orjson.

Run as ``python -m uvicorn --app-dir bench/peers fastapi_server:app``. A request costs one pipeline: the client's
counter is incremented and the identity read together. Only the first request of a client's window and an identity that
is not there yet cost a second one. What is kept of an identity is ``generated``, ``expires`` (24 bytes each) and the
token. Answers are ready ``Response`` objects, which FastAPI passes on without validating or serializing them.
"""

import base64
import hashlib
import hmac
import os
import re
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import redis.asyncio
from fastapi import FastAPI, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

PREFIX = r"^[A-Za-z0-9_.]+$"
RUN = r"^[A-Za-z0-9_.-]+$"
IDENTITY = re.compile(r"([A-Za-z0-9_.]+)-([A-Za-z0-9_.-]+)@([a-z0-9.-]+)/(v[0-9]{1,3}):id")

DOMAIN = "sports.api.yourbook.com"
VERSION = "v1"
TTL = 3600
LIMIT = int(os.environ.get("RATE_LIMIT_REQUESTS", "100"))
WINDOW = int(os.environ.get("RATE_LIMIT_WINDOW", "3600"))
ISSUER = f"http://localhost:{os.environ['PORT']}"
SECRET = os.environ["JWT_SECRET"].encode()
FIXED_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Access-Control-Allow-Origin": "*",
    "X-RateLimit-Limit": str(LIMIT),
}

app = FastAPI(openapi_url=None)
store = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])


class Environment(BaseModel):
    name: str
    prefix: Annotated[str, Field(pattern=PREFIX)]
    run: Annotated[str, Field(pattern=RUN)]


class Batch(BaseModel):
    environments: Annotated[list[Environment], Field(min_length=1, max_length=1000)]


class Question(BaseModel):
    identity: str


def key(identity: str) -> str:
    return f"id:{identity}"


def identity_of(prefix: str, run: str) -> str:
    return f"{prefix}-{run}@{DOMAIN}/{VERSION}:id"


def client_of(request: Request) -> str:
    """The right-most X-Forwarded-For entry: the server listens on loopback alone, so its peer is the trusted proxy."""
    forwarded = request.headers.getlist("x-forwarded-for")
    return forwarded[-1].rpartition(",")[2].strip() if forwarded else "127.0.0.1"


def timestamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def record(identity: str, now: float) -> bytes:
    issued = int(now)
    claims = {"iss": ISSUER, "sub": identity, "iat": issued, "exp": issued + TTL, "jti": str(int(now * 1000))}
    signed = base64url(b'{"alg":"HS256","typ":"JWT"}') + b"." + base64url(orjson.dumps(claims))
    signature = base64url(hmac.digest(SECRET, signed, hashlib.sha256))
    return (timestamp(now) + timestamp(now + TTL)).encode() + signed + b"." + signature


async def visit(request: Request, now: float, identities: list[str]) -> tuple[dict[str, str], list[bytes | None]]:
    """Count the client and read the records; gives the answer's headers. Raises HTTPException 429."""
    # Windows follow the clock, so that a lost EXPIRE can lock no client out.
    cell = f"rl:{client_of(request)}:{int(now) // WINDOW}"
    async with store.pipeline(transaction=False) as pipeline:
        pipeline.incr(cell)
        if identities:
            pipeline.mget([key(identity) for identity in identities])
        count, *found = await pipeline.execute()
    if count == 1:
        await store.expire(cell, WINDOW)
    reset = str(WINDOW - int(now) % WINDOW)
    headers = {**FIXED_HEADERS, "X-RateLimit-Remaining": str(max(0, LIMIT - count)), "X-RateLimit-Reset": reset}
    if count > LIMIT:
        raise HTTPException(429, "Too many requests.", {**headers, "Retry-After": reset})
    return headers, found[0] if found else []


async def issue(identities: list[str], found: list[bytes | None], now: float) -> list[bytes]:
    """Keep new records where none was found, unless another request was first; return the kept ones."""
    made = {identity: record(identity, now) for identity, kept in zip(identities, found, strict=True) if kept is None}
    if made:
        async with store.pipeline(transaction=False) as pipeline:
            for identity, fresh in made.items():
                pipeline.set(key(identity), fresh, ex=TTL, nx=True, get=True)
            older = await pipeline.execute()
        for identity, kept in zip(list(made), older, strict=True):
            made[identity] = kept or made[identity]
    return [kept or made[identity] for identity, kept in zip(identities, found, strict=True)]


def life(identity: str, kept: bytes) -> dict[str, Any]:
    """The members that the answers to an issue share."""
    text = kept.decode()
    return {
        "id": identity,
        "email": identity.partition("/")[0],
        "ttl": TTL,
        "generated": text[:24],
        "expires": text[24:48],
        "token": text[48:],
    }


def answer(document: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(orjson.dumps(document), headers=headers, media_type="application/json")


@app.get("/api/v1/id")
async def issue_one(
    request: Request, run: Annotated[str, Query(pattern=RUN)], prefix: Annotated[str, Query(pattern=PREFIX)] = "unknown"
) -> Response:
    now, identity = time.time(), identity_of(prefix, run)
    headers, found = await visit(request, now, [identity])
    (kept,) = await issue([identity], found, now)
    metadata = {"prefix": prefix, "run": run, "domain": DOMAIN, "version": VERSION, "type": "disposable-identity"}
    compatible = ["nexus", "artifactory", "jfrog"]
    return answer({**life(identity, kept), "metadata": {**metadata, "compatible": compatible}}, headers)


@app.post("/api/v1/identities")
async def issue_batch(request: Request, batch: Batch) -> Response:
    now = time.time()
    identities = [identity_of(row.prefix, row.run) for row in batch.environments]
    headers, found = await visit(request, now, identities)
    kept = await issue(identities, found, now)
    rows = [
        {"environment": row.name, **life(identity, one)}
        for row, identity, one in zip(batch.environments, identities, kept, strict=True)
    ]
    totals = {"total": len(rows), "domain": DOMAIN, "version": VERSION, "ttl": TTL, "generated": timestamp(now)}
    return answer({"identities": rows, **totals}, headers)


@app.post("/api/v1/validate")
async def validate(request: Request, question: Question) -> Response:
    now, match = time.time(), IDENTITY.fullmatch(question.identity)
    headers, found = await visit(request, now, [question.identity] if match else [])
    kept = found[0] if found else None
    status, reason = "malformed", "It has not the form of an identity."
    metadata = None
    if match:
        parts = dict(zip(("prefix", "run", "domain", "version"), match.groups(), strict=True))
        metadata = {**parts, "type": "disposable-identity", "format": "rfc5322-compliant"}
        status, reason = "unknown", "It was never issued by this service."
    if kept is not None:
        status, reason = "active", "The identity was issued by this service and has not expired."
    document = {
        "identity": question.identity,
        "valid": kept is not None,
        "status": status,
        "reason": reason,
        "well_formed": match is not None,
        "rfc5322_compliant": match is not None,
        "metadata": metadata,
        "cached": kept is not None,
        "generated": kept[:24].decode() if kept else None,
        "expires": kept[24:48].decode() if kept else None,
        "validated": timestamp(now),
    }
    return answer(document, headers)


@app.get("/api/health/ready")
async def ready() -> dict[str, str]:
    await store.ping()
    return {"status": "ready"}
