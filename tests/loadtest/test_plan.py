"""The load of each user class, and the length of a run."""

import pytest

from loadtest.plan import LATE, RATES, SETTLE, SPAWN_RATE, Plan, parse_arguments


def test_a_run_without_arguments_is_the_guide_s_whole_mix() -> None:
    plan = parse_arguments([])
    assert (plan.users, plan.rates) == (5000, RATES)
    assert parse_arguments(["--scale", "0.5"]).rates["id"] == 750


@pytest.mark.parametrize(("users", "seconds"), [(5000, 40.0), (5000, 5.0), (100, 20.0), (20000, 10.0)])
def test_all_users_are_there_for_the_seconds_that_count_and_come_no_faster_than_they_may(
    users: int, seconds: float
) -> None:
    plan = Plan(users=users, seconds=seconds)
    assert plan.shape_seconds - plan.ramp_seconds >= LATE + seconds + 2 * SETTLE - 1e-9
    assert users / plan.ramp_seconds <= SPAWN_RATE + 1e-9


@pytest.mark.parametrize("words", ["--users 10", "--scale 0", "--seconds 1"])
def test_what_can_not_be_measured_is_refused(words: str) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(words.split())
