"""A model that polls is parked, not punished: how long each check of a live task waits. Pure.

The first check in a turn answers at once. The second waits until something happens, or for as long as the first has
said. Every later one waits until something happens: the task ends or asks, or the person says something. So polling
takes three requests to a model for each task and turn, however long the task runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

FIRST_POLL: Final = 5.0
LONGEST_POLL: Final = 300.0
PATIENT: Final = 2  # checks after which time alone ends no further one
SPOKEN: Final = "the person has said something meanwhile: end this turn, it is answered next"


def poll_after(checks: int) -> float:
    """Seconds after which a live task is worth another look, when it has been looked at so often in this turn."""
    return min(FIRST_POLL * 2.0 ** min(max(checks - 1, 0), 10), LONGEST_POLL)


def longest_wait(checks: int) -> float | None:
    """Seconds that the next check of a task waits at most, after so many in this turn; None: until there is news."""
    return poll_after(checks) if checks < PATIENT else None


def question_of(task: Mapping[str, Any]) -> str:
    """A question of a task, as it is remembered that the model was told; empty: it asks nothing."""
    return f"{task['id']}: {task['question']}" if task["waiting_for"] == "answer" else ""
