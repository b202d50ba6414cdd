"""What a worker and a function's process say to each other."""

from __future__ import annotations

from typing import Any

import pytest

from frontdesk.broker.errors import CircularWait
from frontdesk.broker.messages import HEADER, error_heard, error_said, framed, length_of, message_of
from frontdesk.tasks.errors import ArgumentsError, ReplayMismatch, ResultTooLarge, Retry, ToolError


class Late(Retry):
    """Somebody's own."""


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("message", [{}, {"text": "half \ud800, \0, é\n", "value": [1.5, None, float("inf")]}])
def test_a_message_comes_back_as_it_was(message: dict[str, Any]) -> None:
    data = framed(message)
    assert length_of(data[: HEADER.size]) == len(data) - HEADER.size
    assert message_of(data[HEADER.size :]) == message


@pytest.mark.parametrize(
    "error",
    [
        ToolError("no"), ArgumentsError("no"), ReplayMismatch(1, "a", "b"), ResultTooLarge("x", 2, 1),
        CircularWait("task_1", "task_2"),
    ],
    ids=lambda one: type(one).__name__,
)  # fmt: skip
def test_an_error_of_ours_comes_back_as_it_was(error: Exception) -> None:
    heard = error_heard(message_of(framed(error_said(error))[HEADER.size :]))
    assert (type(heard), str(heard), set(vars(heard)) - {"__notes__"}) == (
        type(error), str(error), set(vars(error)),
    )  # fmt: skip


def test_an_error_of_somebody_elses_comes_back_with_its_name_and_as_what_it_is_to_us() -> None:
    heard = error_heard(error_said(Late(2.5, "later")))
    assert isinstance(heard, Retry)
    assert (type(heard).__name__, str(heard), heard.delay) == ("Late", "later", 2.5)
    heard = error_heard(error_said(KeyError("a")))
    assert (type(heard).__name__, str(heard)) == ("KeyError", "'a'")
    assert not isinstance(heard, KeyError), "its text is made already"


def test_an_error_that_cannot_word_itself_is_said_all_the_same() -> None:
    assert str(error_heard(error_said(Unsayable()))) == "its text cannot be made: RuntimeError"


def test_an_error_brings_its_traceback() -> None:
    try:
        raise ValueError("here")
    except ValueError as error:
        heard = error_heard(error_said(error))
    assert "test_an_error_brings_its_traceback" in heard.__notes__[0]
