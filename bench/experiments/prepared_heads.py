"""The first part of an answer: kept for the second (Date) and for the state of a limit, or formatted each time."""

import random
from email.utils import formatdate

from arsenal_fast.http.responses import STATUS_LINES, Starts, http_date
from arsenal_fast.limiting.headers import LimitLines
from arsenal_fast.limiting.quota import Quota
from bench.experiments.racing import build, race

COMMON = b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"
SECOND = 1_795_341_600
ANSWERS = 1000
QUOTA = Quota(100, 3600)
LINES = (
    b"X-RateLimit-Limit: %d\r\nX-RateLimit-Remaining: %d\r\nX-RateLimit-Reset: %d\r\n"
    b'RateLimit-Policy: "default";q=%d;w=%d\r\nRateLimit: "default";r=%d;t=%d\r\n'
)


def main() -> None:
    starts = Starts(COMMON)
    status = STATUS_LINES[200]
    chance = random.Random(1)
    # A client that has been at it for a while: any number left, up to a second of its interval gone.
    left = chance.choices(range(QUOTA.limit), k=ANSWERS)
    states = [(each, (QUOTA.limit - each) * 36 - chance.randrange(36)) for each in left]
    kept = LimitLines(QUOTA, "default")

    date = b"Date: " + http_date(SECOND) + b"\r\n"

    def kept_start() -> bytes:
        if starts.second != SECOND:
            starts.at(SECOND)
        return starts.ok

    def kept_lines() -> None:
        for each, reset in states:
            kept.lines(each, reset)

    def formatted_lines() -> None:
        for each, reset in states:
            LINES % (QUOTA.limit, each, reset, QUOTA.limit, QUOTA.window, each, reset)

    print(build())
    contenders = {
        "kept for the second": kept_start,
        "date kept, joined for each answer": lambda: status + date + COMMON,
        "date by http_date for each answer": lambda: b"%bDate: %b\r\n%b" % (status, http_date(SECOND), COMMON),
        "date by email.utils for each answer": lambda: (
            b"%bDate: %b\r\n%b" % (status, formatdate(SECOND, usegmt=True).encode(), COMMON)
        ),
    }
    race("status line, Date and common lines: us per answer", contenders)
    race("rate-limit lines: us per answer", {"kept": kept_lines, "formatted": formatted_lines}, per=ANSWERS)


if __name__ == "__main__":
    main()
