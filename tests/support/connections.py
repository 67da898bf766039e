"""Helpers of the tests of a connection."""

from tests.support.rig import Client, Rig, request

LIVE = request("GET", "/api/health/live")

BODY = b'{"environments":[{"name":"a","prefix":"p","run":"1"}]}'

POST = request("POST", "/api/v1/identities", BODY)

UNLIMITED = {"quota": None}


def get(run: int | str, method: str = "GET", **headers: str) -> bytes:
    return request(method, f"/api/v1/id?prefix=p&run={run}", **headers)


def held() -> tuple[Rig, Client]:
    """A worker whose store answers when the test says so, and a client of it.

    Each request is a command to the store, as if it were alone in its turn of the loop.
    """
    rig = Rig(settings=UNLIMITED, switched=True)
    rig.service.issuer.call_soon = lambda flush: flush()
    rig.shared.holding = rig.shared.admitting = True
    return rig, rig.connect()


# 100 (Continue), RFC 9110 10.1.1


def expecting(body: bytes = BODY, minor: int = 1, **headers: str) -> bytes:
    octets = request("POST", "/api/v1/identities", body, Expect="100-continue", **headers)
    return octets.removesuffix(body).replace(b"HTTP/1.1", b"HTTP/1.%d" % minor)


def swept(rig: Rig, seconds: float) -> None:
    """Let time pass with a sweep each half second, as the listener does."""
    for _ in range(round(seconds * 2)):
        rig.advance(0.5)
        rig.sweep()


HEAD = b"GET /api/health/live HTTP/1.1\r\nHost: a\r\n"
