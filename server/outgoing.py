"""What the server itself says over a WebSocket: errors, acknowledgements, notices about the connection. Pure.

The events of responses and tasks are not made here: they are in the event log, and `prefix` only adds where they go.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from pydantic_core import to_json

from ..broker.inbox import Accepted, SteerAccepted
from .errors import SteerFailed, WireError
from .protocol import OURS, Lane

TERMINAL: Final = frozenset({"response.completed", "response.failed", "response.incomplete"})
_TYPE: Final = '"type":"'


def lane_of(conversation: str) -> str:
    """The lane of a conversation's subscription."""
    return f"{OURS}{conversation}"


@lru_cache(4_096)
def prefix(lane: Lane) -> str:
    """What the text of an event on this lane begins with, in place of its brace."""
    return "{" if lane is None else f'{{"stream_id":{to_json(lane).decode()},'


def kind_of(text: str) -> str:
    """The type of an event of the log, whose texts have it first or after the cursor."""
    start = text.find(_TYPE) + len(_TYPE)
    return text[start : text.find('"', start)]


def _text(lane: Lane, event: dict[str, Any]) -> str:
    return prefix(lane) + to_json(event).decode()[1:]


def error(problem: WireError, lane: Lane = None, input_id: str | None = None) -> str:
    """An ``error`` event in the nested form of the WebSocket."""
    event: dict[str, Any] = {"type": "error", "status": problem.status, "error": problem.body()}
    if input_id is not None:
        event["input_id"] = input_id
    return _text(lane, event)


def accepted(found: Accepted, lane: Lane) -> str:
    """A create that has to wait for its turn."""
    return _text(
        lane,
        {
            "type": "frontdesk:accepted", "input_id": found.input_id, "response_id": found.response_id,
            "conversation": found.conversation_id, "position": found.position,
        },
    )  # fmt: skip


def steer_accepted(found: SteerAccepted, target: str, lane: Lane, input_id: str | None = None) -> str:
    """Its successor's ``response.created`` is the moment the input enters the conversation."""
    event: dict[str, Any] = {
        "type": "response.steer.accepted", "sequence_number": found.sequence_number,
        "steer": {"id": found.steer_id, "previous_response_id": target},
        "response_id": found.response_id, "conversation": found.conversation_id,
    }  # fmt: skip
    return _text(lane, event if input_id is None else {**event, "input_id": input_id})


def steer_failed(problem: SteerFailed, lane: Lane, input_id: str | None = None, number: int = 0) -> str:
    """Returns the input to its sender; ``number`` is the target's next, 0 when it is not known."""
    steer = {"previous_response_id": problem.previous_response_id, "input": problem.input}
    told = {"type": "invalid_request_error", "code": problem.code, "message": problem.message}
    event: dict[str, Any] = {"type": "response.steer.failed", "sequence_number": number, "steer": steer, "error": told}
    return _text(lane, event if input_id is None else {**event, "input_id": input_id})


def subscribed(conversation: str, cursor: int) -> str:
    """Everything after ``cursor`` follows."""
    event = {"type": "frontdesk:subscribed", "conversation": conversation, "cursor": str(cursor)}
    return _text(lane_of(conversation), event)


def gap(conversation: str, after: int, resumes_at: int) -> str:
    """Retention has removed what lay between the cursor and the event that comes next."""
    event = {
        "type": "frontdesk:gap", "conversation": conversation, "after": str(after), "resumes_at": str(resumes_at),
    }  # fmt: skip
    return _text(lane_of(conversation), event)


def draining(seconds: float) -> str:
    return _text(None, {"type": "frontdesk:draining", "closes_in_seconds": seconds})
