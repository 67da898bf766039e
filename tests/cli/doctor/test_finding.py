"""Findings: the worst level is the level of all."""

from itertools import permutations

import pytest

from arsenal_fast.cli.doctor.finding import Finding, Level, worst


def of(*levels: Level) -> list[Finding]:
    return [Finding("check", level, "text") for level in levels]


def test_without_findings_all_is_well() -> None:
    assert worst([]) is Level.OK


@pytest.mark.parametrize("levels", list(permutations(Level)))
def test_the_worst_is_found_wherever_it_stands(levels: tuple[Level, ...]) -> None:
    assert worst(of(*levels)) is Level.FAIL
    milder = [level for level in levels if level is not Level.FAIL]
    assert worst(of(*milder)) is Level.WARN
    assert worst(of(*(level for level in milder if level is not Level.WARN))) is Level.SKIP


def test_what_is_well_has_nothing_to_mend() -> None:
    assert Finding("check", Level.OK, "text").mend == ""
