"""``@task``: options, requests, and how a result is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from frontdesk.tasks.context import TaskContext
from frontdesk.tasks.errors import ArgumentsError, InvalidOption, NotSerializable, ResultTooLarge
from frontdesk.tasks.registry import TaskFunction, result_json, task
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.retry import RetryPolicy


class Report(BaseModel):
    month: str
    total: float = 0


@task
async def refund_report(context: TaskContext[Any], month: str, limit: int = 100) -> Report:
    """Collects and checks all refunds of a month."""
    return Report(month=month, total=limit)


@task(
    name="sum-up.v2",
    title="Sum it up",
    queue="slow",
    priority=5,
    timeout=None,
    retry=RetryPolicy(max_attempts=7),
    idempotent=True,
    keywords=["합계", "sum"],
    result_limit=10,
)
def sum_up(numbers: list[int]) -> int:
    return sum(numbers)


def test_a_function_is_a_task_with_sensible_options() -> None:
    assert isinstance(refund_report, TaskFunction)
    assert (refund_report.name, refund_report.title) == ("refund_report", "Refund report")
    assert refund_report.description == "Collects and checks all refunds of a month."
    assert (refund_report.queue, refund_report.priority, refund_report.timeout) == ("default", 0, 3600.0)
    assert (refund_report.retry, refund_report.keywords, refund_report.result_limit) == (RetryPolicy(), (), 10_000_000)
    assert (refund_report.signature.context, refund_report.signature.is_async) == ("context", True)
    assert list(refund_report.signature.schema["properties"]) == ["month", "limit"]


def test_every_option_can_be_given() -> None:
    assert (sum_up.name, sum_up.title, sum_up.queue) == ("sum-up.v2", "Sum it up", "slow")
    assert (sum_up.priority, sum_up.timeout, sum_up.retry.max_attempts) == (5, None, 7)
    assert (sum_up.keywords, sum_up.result_limit) == (("합계", "sum"), 10)
    assert (sum_up.signature.context, sum_up.signature.is_async) == (None, False)


def test_a_task_function_is_called_like_the_function() -> None:
    assert sum_up([1, 2]) == 3 == sum_up(numbers=[1, 2])


@pytest.mark.parametrize(
    ("options", "on_crash"),
    [
        ({}, "fail"),
        ({"idempotent": True}, "retry"),
        ({"idempotent": True, "on_crash": "fail"}, "fail"),
        ({"on_crash": "retry"}, "retry"),
    ],
)
def test_a_crash_repeats_only_what_is_idempotent_unless_it_is_said(options: dict[str, Any], on_crash: str) -> None:
    assert task(**options)(sum_up.function).on_crash == on_crash


def test_a_request_carries_the_options_and_the_arguments_as_json() -> None:
    assert sum_up.request({"numbers": ["1", 2]}) == TaskRequest(
        name="sum-up.v2",
        title="Sum it up",
        arguments={"numbers": ["1", 2]},
        queue="slow",
        priority=5,
        timeout=None,
        max_attempts=7,
        on_crash="retry",
    )


def test_a_request_leaves_defaults_to_the_function() -> None:
    assert refund_report.request({"month": "2025-01", "limit": None}).arguments == {"month": "2025-01"}


def test_options_of_a_request_win_over_the_declared_ones() -> None:
    request = refund_report.request({"month": "2025-01"}, title="January", delay=5, priority=-1, announce="note")
    assert (request.title, request.delay, request.priority, request.announce) == ("January", 5, -1, "note")
    assert (request.timeout, request.max_attempts, request.on_crash) == (3600, 3, "fail")


def test_a_request_with_wrong_arguments_is_answered_in_words() -> None:
    with pytest.raises(ArgumentsError, match="The arguments of refund_report do not fit: month: missing; give a str"):
        refund_report.request({})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"dealy": 3}, "refund_report: dealy=3: Extra inputs"),
        ({"delay": -1}, "refund_report: delay=-1: .*greater than or equal to 0"),
        ({"delay": -1, "queue": ""}, "queue='': .*; delay=-1: "),
    ],
)
def test_an_impossible_option_of_a_request_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidOption, match=complaint):
        refund_report.request({"month": "2025-01"}, **options)


def test_the_name_and_kind_of_a_request_cannot_be_changed() -> None:
    request = refund_report.request({"month": "2025-01"}, name="other", kind="agent")
    assert (request.name, request.kind) == ("refund_report", "function")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"name": "refund report"}, "'refund report' cannot be a task's name: .*; give name="),
        ({"name": "x" * 65}, "cannot be a task's name: 1 to 64 letters"),
        ({"name": "보고"}, "'보고' cannot be a task's name"),
        ({"title": "x" * 501}, "title=.*at most 500 characters"),
        ({"queue": ""}, "queue='': .*at least 1 character"),
        ({"priority": 1001}, "priority=1001: .*less than or equal to 1000"),
        ({"timeout": 0}, "timeout is in seconds, above 0, or None for no limit, not 0"),
        ({"timeout": float("inf")}, "timeout is in seconds"),
        ({"timeout": "5"}, "timeout is in seconds.*not '5'"),
        ({"timeout": True}, "timeout is in seconds"),
        ({"retry": 3}, r"retry is a RetryPolicy, such as RetryPolicy\(max_attempts=5\), not 3"),
        ({"retry": RetryPolicy(max_attempts=100_000)}, "max_attempts=100000: "),
        ({"on_crash": "again"}, "on_crash='again': .*'retry' or 'fail'"),
        ({"keywords": "sum"}, r"keywords takes several words: keywords=\('sum',\)"),
        ({"result_limit": 0}, "result_limit is in bytes, 1 or more, not 0"),
    ],
)
def test_an_impossible_option_is_refused_where_it_is_declared(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidOption, match=complaint):
        task(**options)(sum_up.function)


def test_a_lambda_needs_a_name() -> None:
    function: Callable[[], int] = lambda: 1  # noqa: E731
    with pytest.raises(InvalidOption, match="'<lambda>' cannot be a task's name"):
        task(function)
    assert task(name="one")(function)() == 1


def test_a_task_function_is_changed_by_copying() -> None:
    slow = replace(refund_report, queue="slow")
    assert (slow.request({"month": "x"}).queue, refund_report.request({"month": "x"}).queue) == ("slow", "default")
    with pytest.raises(InvalidOption, match="timeout"):
        replace(refund_report, timeout=-1)


# --- results


@dataclass
class Point:
    x: int
    y: float = 0.5


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ("é", '"é"'),
        ([1, {"a": True}], '[1,{"a":true}]'),
        (Point(1), '{"x":1,"y":0.5}'),
        (Report(month="a"), '{"month":"a","total":0.0}'),
        ({"points": [Point(1)], "day": date(2025, 1, 31)}, '{"points":[{"x":1,"y":0.5}],"day":"2025-01-31"}'),
        ((1, {2}, Colour.RED), '[1,[2],"red"]'),
        ([float("nan"), float("inf")], "[null,null]"),
    ],
)
def test_a_result_is_stored_as_compact_json(value: Any, text: str) -> None:
    assert result_json(value, limit=1000) == text


circle: list[Any] = []
circle.append(circle)
deep: list[Any] = []
for _ in range(2000):
    deep = [deep]


@pytest.mark.parametrize(
    "value",
    [object(), {"a": [print]}, b"\xff", "\ud800", circle, deep],
    ids=["object", "function", "bytes", "surrogate", "circle", "deep"],
)
def test_what_has_no_json_is_refused_with_its_type_and_what_to_do(value: Any) -> None:
    kind = type(value).__name__
    with pytest.raises(
        NotSerializable, match=f"report returned a {kind}, which cannot be stored .*; return JSON values"
    ):
        result_json(value, limit=1000, name="report")


def test_a_result_is_bounded_in_bytes() -> None:
    assert result_json("é", limit=4) == '"é"'
    with pytest.raises(ResultTooLarge, match="report returned 4 bytes of JSON, more than its result_limit of 3"):
        result_json("é", limit=3, name="report")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
        max_leaves=10,
    )
)  # fmt: skip
def test_json_values_come_back_as_they_were(value: Any) -> None:
    assert json.loads(result_json(value, limit=1_000_000)) == value


def test_options_are_typed_for_callers_that_check_nothing() -> None:
    unchecked = cast(Any, task)
    with pytest.raises(InvalidOption, match="priority='high'"):
        unchecked(priority="high")(sum_up.function)


# --- webhooks and lifetimes


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("https://example.org/hook?of=desk", "https://example.org/hook?of=desk"),
        ("HTTP://EXAMPLE.org:8080", "http://example.org:8080/"),
        ("https://bücher.example/훅", "https://xn--bcher-kva.example/%ED%9B%85"),
        ("http://[::1]:9/x", "http://[::1]:9/x"),
    ],
)
def test_a_webhook_is_an_address_of_the_web(given: str, stored: str) -> None:
    @task(webhook=given, keep_result=60)
    def work() -> None: ...

    request = work.request({})
    assert (request.webhook, request.keep_result) == (stored, 60.0)
    assert work.request({}, webhook=None, keep_result=None).webhook is None


@pytest.mark.parametrize(
    ("webhook", "what"),
    [
        ("example.org/hook", "begins with https:// or http://"),
        ("ftp://example.org/", "begins with https:// or http://"),
        ("javascript:alert(1)", "begins with https:// or http://"),
        ("", "begins with https:// or http://"),
        ("https://", "URL"),
        ("https://example.org:99999/", "port"),
        ("https://me:secret@example.org/", "leave name and password out"),
        ("https://example.org/a b", "no blanks"),
        (" https://example.org/", "no blanks"),
        ("https://example.org/\r\nX-Other: 1", "no blanks"),
        ("https://example.org/" + "x" * 2000, "at most 2000"),
        (7, "string"),
    ],
)
def test_what_is_no_address_of_the_web_is_refused_where_it_is_declared(webhook: Any, what: str) -> None:
    with pytest.raises(InvalidOption, match=what):

        @task(webhook=webhook)
        def work() -> None: ...


@pytest.mark.parametrize("keep_result", [0, -1, float("inf"), "soon"])
def test_a_lifetime_that_is_no_time_is_refused_where_it_is_declared(keep_result: Any) -> None:
    with pytest.raises(InvalidOption, match="keep_result"):

        @task(keep_result=keep_result)
        def work() -> None: ...
