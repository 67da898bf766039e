"""The times of a certificate, compared with ``cryptography``."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from arsenal_fast.server.certificates import validity_period
from tests.support.certificates import make_pair

KEYS = ["ec", "ed25519", "rsa"]


@pytest.mark.parametrize("kind", KEYS)
def test_the_times_are_those_that_the_certificate_was_made_with(tmp_path: Path, kind: str) -> None:
    start = datetime(2026, 11, 22, 10, 0, 1, tzinfo=UTC)
    pair = make_pair(tmp_path, start, start + timedelta(days=90), kind=kind)
    assert validity_period(str(pair.certificate)) == (start.timestamp(), (start + timedelta(days=90)).timestamp())


# RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on.
MOMENTS = [
    (datetime(1950, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
    (datetime(1968, 12, 31, tzinfo=UTC), datetime(1969, 1, 1, tzinfo=UTC)),
    (datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)),
    (datetime(2051, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
]


@pytest.mark.parametrize(("start", "end"), MOMENTS)
def test_both_forms_of_time_are_read(tmp_path: Path, start: datetime, end: datetime) -> None:
    pair = make_pair(tmp_path, start, end)
    assert validity_period(str(pair.certificate)) == (start.timestamp(), end.timestamp())


def test_of_a_chain_the_first_certificate_counts(tmp_path: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ends = [start + timedelta(days=days) for days in (5, 1)]
    chain = tmp_path / "chain.pem"
    pairs = [make_pair(tmp_path / str(number), start, end) for number, end in enumerate(ends)]
    chain.write_text("subject: somebody\n" + "".join(pair.certificate.read_text() for pair in pairs))
    assert validity_period(str(chain)).not_after == ends[0].timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMIL/\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAUwA6ADAgEC\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.pem"
    path.write_text(text)
    with pytest.raises(ValueError, match="no certificate"):
        validity_period(str(path))


def test_a_certificate_that_is_cut_anywhere_is_refused_or_read_right(tmp_path: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    pair = make_pair(tmp_path, start, start + timedelta(days=5))
    body = "".join(pair.certificate.read_text().splitlines()[1:-1])
    for size in range(0, len(body), 4):
        pair.certificate.write_text(f"-----BEGIN CERTIFICATE-----\n{body[:size]}\n-----END CERTIFICATE-----\n")
        with pytest.raises(ValueError, match="no certificate"):
            validity_period(str(pair.certificate))
