"""The states of a task: everything that decides whether a task may change its state is in this table, and nothing
else is.

The table is data: a missing key is the error, and the diagram in the docs is generated from it (``diagram()``).
Nothing here reads a clock or a database.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from .errors import InvalidTransition


class Status(StrEnum):
    """Where a task stands. The last four are terminal: exactly one of them is ever reached, once."""

    QUEUED = "queued"  # waits for a worker, or for its time
    RUNNING = "running"  # claimed under a lease
    WAITING = "waiting"  # parked for tasks, a timer or an answer
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    HELD = "held"  # given up after its attempts


class Action(StrEnum):
    """What can happen to a task."""

    CLAIM = "be claimed"
    RELEASE = "be released"  # drained, or a claim nobody received: back to the queue, no attempt counted
    RETRY = "be retried"  # raised or lost its lease: back to the queue, one attempt more
    PARK = "be parked"
    WAKE = "be woken"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "be cancelled"
    HOLD = "be held"


TRANSITIONS: Final[dict[Status, dict[Action, Status]]] = {
    Status.QUEUED: {
        Action.CLAIM: Status.RUNNING,
        Action.CANCEL: Status.CANCELLED,
    },
    Status.RUNNING: {
        Action.RELEASE: Status.QUEUED,
        Action.RETRY: Status.QUEUED,
        Action.PARK: Status.WAITING,
        Action.SUCCEED: Status.SUCCEEDED,
        Action.FAIL: Status.FAILED,
        Action.CANCEL: Status.CANCELLED,
        Action.HOLD: Status.HELD,
    },
    Status.WAITING: {
        Action.WAKE: Status.QUEUED,
        Action.CANCEL: Status.CANCELLED,
    },
    Status.SUCCEEDED: {},
    Status.FAILED: {},
    Status.CANCELLED: {},
    Status.HELD: {},
}

TERMINAL: Final = frozenset(status for status, actions in TRANSITIONS.items() if not actions)
LIVE: Final = frozenset(Status) - TERMINAL


def apply(status: Status, action: Action) -> Status:
    """The state after ``action``. Raises InvalidTransition when the table has no such entry."""
    try:
        return TRANSITIONS[status][action]
    except KeyError:
        raise InvalidTransition(status, action) from None


def diagram() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    lines = ["stateDiagram-v2", f"    [*] --> {Status.QUEUED}"]
    for status, actions in TRANSITIONS.items():
        lines += [f"    {status} --> {after}: {action}" for action, after in actions.items()]
        if not actions:
            lines.append(f"    {status} --> [*]")
    return "\n".join(lines)
