"""Real certificates, young and old, and pairs that don't match."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from arsenal_fast.cli.doctor.certificate import examine
from arsenal_fast.cli.doctor.finding import Level
from tests.cli.doctor.conftest import Configured
from tests.support.certificates import make_pair

START = datetime(2026, 11, 1, tzinfo=UTC)

# Days of its life, days of it that have passed, what is found.
AGES = [
    (90, 1.0, Level.OK, "good until 2027-01-30T00:00:00.000Z, for 89 days"),
    (90, 75.9, Level.OK, "for 14 days"),
    (90, 76.1, Level.WARN, "in 13.9 days: its renewal is late"),
    (90, 89.9, Level.WARN, "in 0.1 days"),
    (90, 90.0, Level.FAIL, "it has expired on 2027-01-30T00:00:00.000Z"),
    (90, -0.1, Level.FAIL, "it is not valid before 2026-11-01T00:00:00.000Z"),
    (6, 4.4, Level.OK, "for 2 days"),  # of a short one a quarter, not a fortnight
    (6, 4.6, Level.WARN, "its renewal is late"),
]


@pytest.mark.parametrize(("days", "passed", "level", "text"), AGES)
def test_a_certificate_is_judged_by_what_is_left_of_it(
    tmp_path: Path, configured: Configured, days: int, passed: float, level: Level, text: str
) -> None:
    pair = make_pair(tmp_path, START, START + timedelta(days=days))
    finding = examine(configured(**pair.variables), START.timestamp() + passed * 86_400)
    assert (finding.check, finding.level) == ("certificate", level)
    assert text in finding.text
    assert bool(finding.mend) is (level is not Level.OK)


def test_a_key_of_another_certificate_fails(tmp_path: Path, configured: Configured) -> None:
    pair, other = (make_pair(tmp_path / name, START, START + timedelta(days=9)) for name in ("a", "b"))
    finding = examine(configured(**{**pair.variables, "TLS_KEY_FILE": str(other.key)}), START.timestamp())
    assert finding.level is Level.FAIL
    assert "can't be used together" in finding.text


def test_a_file_without_a_certificate_fails(tmp_path: Path, configured: Configured) -> None:
    pair = make_pair(tmp_path, START, START + timedelta(days=9))
    pair.certificate.write_text("nothing")
    assert examine(configured(**pair.variables), START.timestamp()).level is Level.FAIL


def test_without_tls_there_is_nothing_to_look_at(configured: Configured) -> None:
    assert examine(configured(), START.timestamp()).level is Level.SKIP
