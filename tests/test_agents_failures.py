"""What a provider's failure is said to be, and when it may be tried again. Events split into lines are here too."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.agents.models.failures import (
    MESSAGE_LIMIT,
    Refused,
    Unanswered,
    of_event,
    of_status,
    retry_after,
)
from frontdesk.agents.models.sse import EventDecoder

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "later"}, None),
    ],
)
def test_the_pause_that_a_provider_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds
    error = of_status("m", 503, {"message": "x"}, headers, NOW)
    assert isinstance(error, Unanswered)
    assert error.retry_after == seconds


def test_a_provider_can_ask_for_another_try_of_what_is_usually_final() -> None:
    assert isinstance(of_status("m", 400, None, {"x-should-retry": "true"}), Unanswered)
    assert isinstance(of_status("m", 400, None, {"x-should-retry": "maybe"}), Refused)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "a\n  b"}, "400: the provider refuses the request: a b"),
        ({"detail": "from FastAPI"}, "400: the provider refuses the request: from FastAPI"),
        ({"detail": [{"loc": "body"}]}, "400: the provider refuses the request"),
        ("plain", "400: the provider refuses the request: plain"),
        ("  <!doctype html>", "400: the provider refuses the request"),
        (None, "400: the provider refuses the request"),
        ({"message": "Bad key: sk-proj-abc***xyz."}, "400: the provider refuses the request: Bad [key]"),
        ({"message": "sk-0123456789 is bad"}, "400: the provider refuses the request: [key] is bad"),
        ({"message": "token limit of 8000"}, "400: the provider refuses the request: token limit of 8000"),
        ({"message": "Bearer abcdef123456"}, "400: the provider refuses the request: [key]"),
    ],
)
def test_the_providers_words_are_quoted_without_keys_and_pages(body: object, words: str) -> None:
    assert str(of_status("m", 400, body, {})) == f"model m: {words}"


def test_long_words_are_cut() -> None:
    text = str(of_status("m", 400, "x" * 1000, {}))
    assert text.endswith("x…")
    assert text.count("x") == MESSAGE_LIMIT - 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            {"code": "context_length_exceeded", "message": "too long"},
            "refuses the request (context_length_exceeded): too long",
        ),
        ({"type": "invalid_request_error", "message": "no"}, "refuses the request (invalid_request_error): no"),
        ({"code": 400, "message": "no"}, "400: the provider refuses the request: no"),
        ({"code": "404", "message": "no"}, "404: the provider knows no such model"),
    ],
)
def test_some_errors_inside_a_stream_are_final(error: object, words: str) -> None:
    failure = of_event("m", error)
    assert isinstance(failure, Refused)
    assert words in str(failure)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"code": "server_error", "message": "boom"}, "failed while it answered (server_error): boom"),
        ({"code": 502, "message": "upstream"}, "502: the provider failed: upstream"),
        ({"code": 7, "message": "odd"}, "failed while it answered (7): odd"),
        ({"message": "boom"}, "failed while it answered: boom"),
        ("overloaded", "failed while it answered: overloaded"),
        (None, "failed while it answered: it gave no reason"),
    ],
)
def test_other_errors_inside_a_stream_may_pass(error: object, words: str) -> None:
    failure = of_event("m", error)
    assert isinstance(failure, Unanswered)
    assert words in str(failure)


STREAM = (
    b": hello\r\nevent: skip\r\ndata: 1\r\n\r\n"
    b"event: keep\r\ndata:2\r\ndata:  3\r\nid: 9\r\n\r\n\r\n"
    b"data: \r\n\r\ndata: 4"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=6), st.booleans())
def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int], crlf: bool) -> None:
    stream = STREAM if crlf else STREAM.replace(b"\r\n", b"\n")
    edges = [0, *sorted(cuts), len(stream)]
    decoder = EventDecoder(frozenset({b"skip"}))
    data = [event for start, end in pairwise(edges) for event in decoder.feed(stream[start:end])]
    assert data == [b"2\n 3", b""]
