"""A process that issues as fast as it can and prints the rows that the ledger has acknowledged.

``python -m tests.support.ledger_child URL NAME``: one line "id generated expires" for each life, written in one
go and unbuffered, so that whatever was acknowledged before a SIGKILL is in the pipe. It runs until it is killed.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from itertools import count

from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.model import LedgerRow
from tests.support.ledger import T0, row

IN_FLIGHT = 200


async def main(url: str, name: str) -> None:
    ledger = Ledger(url, timeout=30.0)
    await ledger.start()
    numbers = count()

    def issue() -> None:
        number = next(numbers)
        # Every second one is of an identity that the other processes issue, too.
        mine = row(number // 2, T0 + number) if number % 2 else row(f"{name}.{number}", T0 + number)
        ledger.record([mine], lambda lives: acknowledged(mine, lives))

    def acknowledged(mine: LedgerRow, lives: Sequence[Life] | None) -> None:
        if lives is not None:
            os.write(1, f"{mine.id} {lives[0].generated} {lives[0].expires}\n".encode())
        issue()

    for _ in range(IN_FLIGHT):
        issue()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
