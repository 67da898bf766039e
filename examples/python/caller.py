"""A Python caller: a session for each player under an identity of its own, checked and ended.

    python caller.py [URL] PLAYER [PLAYER ...]

IDENTITY_TOKEN is a service token, for a limit of its own. Needs the package in clients/python.
"""

import os
import sys

from arsenal_identity import Client, Environment, IdentityServiceError, InvalidRequestError, RateLimitedError

LOCAL_URL = "http://localhost:3655"


def open_sessions(client: Client, players: list[str]) -> None:
    """Issue identities for all players in one request, use them, and end them."""
    batch = client.batch([Environment(name=player, prefix="player", run=player) for player in players])
    for row in batch.identities:
        print(f"{row.environment} is {row.id} until {row.expires:%H:%M:%S} UTC")
    for row in batch.identities:
        verdict = client.validate(row.id, token=row.token)
        print(f"{row.id} is {verdict.status}: {verdict.reason}")
    for row in batch.identities:
        client.revoke(row.id, token=row.token)
    limits = client.limits()
    if limits.limit is not None:
        print(f"{limits.remaining} of {limits.limit} requests are left to {limits.client}")


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    url, players = (arguments[0], arguments[1:]) if arguments and "://" in arguments[0] else (LOCAL_URL, arguments)
    if not players:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with Client(url, token=os.environ.get("IDENTITY_TOKEN")) as client:
            open_sessions(client, players)
    except RateLimitedError as error:
        print(f"The limit is used up; try again in {error.retry_after_s:.0f} s.", file=sys.stderr)
        return 75
    except InvalidRequestError as error:
        for fault in error.faults:
            print(f"{fault.pointer}: {fault.detail}", file=sys.stderr)
        return 2
    except IdentityServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
