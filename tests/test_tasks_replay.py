"""Which recorded call a durable call is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from frontdesk.tasks.errors import InvalidOption, ReplayMismatch, Retry
from frontdesk.tasks.replay import Recorded, Replay
from frontdesk.tasks.request import TaskRequest

CALLS = st.lists(
    st.tuples(st.sampled_from(["create", "wait", "ask", "sleep", "step"]), st.text(max_size=5)), max_size=8
)


@given(CALLS)
def test_the_same_calls_in_the_same_order_find_their_records(calls: list[tuple[str, str]]) -> None:
    records = {place: Recorded(kind, key, True, place) for place, (kind, key) in enumerate(calls)}
    replay = Replay(records)
    assert [replay.take(kind, key) for kind, key in calls] == list(records.items())


@given(CALLS, st.integers(min_value=0, max_value=8))
def test_calls_beyond_the_records_are_made_for_the_first_time(calls: list[tuple[str, str]], kept: int) -> None:
    replay = Replay({place: Recorded(*call, True, None) for place, call in enumerate(calls[:kept])})
    found = [replay.take(kind, key)[1] for kind, key in calls]
    assert [one is None for one in found] == [place >= kept for place in range(len(calls))]


@pytest.mark.parametrize(("kind", "key"), [("step", "b"), ("sleep", "a"), ("sleep", "")])
def test_another_call_at_a_recorded_position_is_a_mismatch_that_names_both(kind: str, key: str) -> None:
    replay = Replay({0: Recorded("step", "a", True, 1)})
    with pytest.raises(ReplayMismatch, match=r"durable call 0 was recorded as step\('a'\) but the function now calls"):
        replay.take(kind, key)


@pytest.mark.parametrize("delay", [-1.0, float("nan")])
def test_a_retry_is_asked_for_in_seconds_from_now(delay: float) -> None:
    with pytest.raises(InvalidOption, match="seconds from now"):
        Retry(delay)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"delay": -1},
        {"delay": float("inf")},
        {"timeout": 0},
        {"max_attempts": 0},
        {"priority": 1001},
        {"on_crash": "ignore"},
        {"kind": "job"},
        {"unknown": 1},
    ],
)
def test_a_request_that_cannot_work_is_refused_before_anything_is_written(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TaskRequest.model_validate({"name": "report", **wrong})
