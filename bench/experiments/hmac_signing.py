"""HMAC-SHA-256 of a token's signing input: the standard library's ways against two hashes that hold the padded key."""

import hmac
from collections.abc import Callable
from hashlib import sha256

from arsenal_fast.identity.token import hs256
from bench.experiments.racing import build, race

KEY = b"the secret of an experiment, 32 octets and more"
INPUT = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + b"a" * 263  # as long as that of an identity token


def main() -> None:
    sign = hs256(KEY)
    keyed = hmac.new(KEY, digestmod="sha256")

    def copied() -> bytes:
        one = keyed.copy()
        one.update(INPUT)
        return one.digest()

    contenders: dict[str, Callable[[], bytes]] = {
        "two copied sha256 (hs256)": lambda: sign(INPUT),
        "hmac.digest": lambda: hmac.digest(KEY, INPUT, "sha256"),
        "HMAC.copy": copied,
        "hmac.new": lambda: hmac.new(KEY, INPUT, sha256).digest(),
    }
    assert len({run() for run in contenders.values()}) == 1
    print(build())
    race("us per signature", contenders)


if __name__ == "__main__":
    main()
