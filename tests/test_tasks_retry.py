"""When a failed attempt is run again."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.tasks.errors import FrontdeskError, InvalidOption
from frontdesk.tasks.retry import RetryPolicy

seconds = st.floats(min_value=0, max_value=1e6)
chances = st.floats(min_value=0, max_value=1, exclude_max=True)
attempts = st.integers(min_value=1, max_value=10_000)


@st.composite
def policies(draw: st.DrawFn) -> RetryPolicy:
    low, high = sorted((draw(seconds), draw(seconds)))
    return RetryPolicy(
        initial=low,
        maximum=high,
        factor=draw(st.floats(min_value=1, max_value=1e6)),
        jitter=draw(st.floats(min_value=0, max_value=1)),
    )


def test_delays_double_from_one_second_up_to_five_minutes_by_default() -> None:
    policy = RetryPolicy(jitter=0)
    assert [policy.delay(attempt, 0.5) for attempt in range(1, 12)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_jitter_only_shortens_a_delay() -> None:
    policy = RetryPolicy(initial=10, jitter=0.5)
    assert [policy.delay(1, random) for random in (0.0, 0.5, 0.99)] == [10, 7.5, 5.05]


@given(policies(), attempts, chances)
def test_a_delay_lies_between_nothing_and_the_maximum(policy: RetryPolicy, attempt: int, random: float) -> None:
    assert 0 <= policy.delay(attempt, random) <= policy.maximum


@given(policies(), attempts, chances)
def test_a_delay_keeps_the_share_that_is_not_left_to_chance(policy: RetryPolicy, attempt: int, random: float) -> None:
    longest = policy.delay(attempt, 0)
    assert longest * (1 - policy.jitter) <= policy.delay(attempt, random) <= longest


@given(policies(), attempts)
def test_delays_never_shrink_from_attempt_to_attempt(policy: RetryPolicy, attempt: int) -> None:
    assert policy.delay(attempt, 0) <= policy.delay(attempt + 1, 0)


@given(policies(), chances)
def test_delays_begin_with_the_initial_one(policy: RetryPolicy, random: float) -> None:
    assert policy.initial == policy.delay(1, 0)


def test_a_power_beyond_all_floats_is_the_maximum() -> None:
    assert RetryPolicy(jitter=0).delay(1_000_000, 0) == 300


def test_without_an_initial_delay_there_is_none_after_any_attempt() -> None:
    policy = RetryPolicy(initial=0)
    assert {0.0} == {policy.delay(attempt, 0) for attempt in (1, 2, 1_000_000)}


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_are_counted_from_one(attempt: int) -> None:
    with pytest.raises(InvalidOption, match="counted from 1"):
        RetryPolicy().delay(attempt, 0)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 1.5}, "max_attempts"),
        ({"max_attempts": True}, "max_attempts"),
        ({"initial": -1}, "initial"),
        ({"initial": nan}, "initial"),
        ({"initial": "1"}, "initial"),
        ({"factor": 0.5}, "factor"),
        ({"factor": inf}, "factor"),
        ({"maximum": -1}, "maximum"),
        ({"maximum": inf}, "maximum"),
        ({"maximum": None}, "maximum"),
        ({"initial": 10, "maximum": 5}, "maximum"),
        ({"jitter": -0.1}, "jitter"),
        ({"jitter": 1.1}, "jitter"),
        ({"jitter": False}, "jitter"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_by_name_and_value(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOption, match=named) as caught:
        RetryPolicy(**options)
    assert str(options[named]) in str(caught.value)
    assert isinstance(caught.value, FrontdeskError)


def test_a_policy_is_a_value() -> None:
    assert RetryPolicy(max_attempts=2) == RetryPolicy(max_attempts=2)
    with pytest.raises(FrozenInstanceError):
        RetryPolicy().factor = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
