"""What is put into an inbox and what comes of it, as values. Nothing here is stored or read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json, to_json

INBOX_LIMIT: Final = 64
OF_ONE_INPUT: Final = frozenset({"frontdesk:input_id", "frontdesk:when_busy"})  # metadata that is about one input


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCreate:
    """A validated ``response.create``. ``request`` is kept as JSON with the response; ``input`` enters the conversation
    with its turn."""

    tenant: str
    desk: str
    input: Sequence[dict[str, Any]]
    request: dict[str, Any]
    digest: str = ""
    agent: str = ""  # named by the client; empty: whoever the conversation's agent is then
    conversation_id: str | None = None
    previous_response_id: str | None = None
    input_id: str | None = None
    when_busy: str = "enqueue"  # enqueue | interrupt | reject
    stored: bool = True
    dialog: str | None = None  # names the messages that the client will send again with its next request
    metadata: dict[str, str] | None = None  # of a conversation that this creates
    unattended_limit: int = 8
    limit: int = INBOX_LIMIT


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of an input. ``position`` 0: its turn is next; ``cursor``: its response's events come after it."""

    response_id: str
    conversation_id: str
    input_id: str | None
    position: int
    cursor: int
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSteer:
    """A validated ``response.steer``."""

    tenant: str
    response_id: str
    input: Sequence[dict[str, Any]]
    digest: str = ""
    input_id: str | None = None
    limit: int = INBOX_LIMIT


@dataclass(frozen=True, slots=True)
class SteerAccepted:
    """A steer that is committed. ``response_id`` is the successor's; ``sequence_number`` the steered response's
    next."""

    steer_id: str
    response_id: str
    conversation_id: str
    sequence_number: int
    cursor: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An input that a turn has taken."""

    number: int
    kind: str
    response_id: str | None
    target_id: str | None
    payload: dict[str, Any]


def inherited(request: str, new: NewSteer) -> str:
    """The settings that a steer's response takes over from the one that is steered, but for which input it answers."""
    settings: dict[str, Any] = from_json(request)
    given: dict[str, str] = settings.get("metadata") or {}
    metadata = {name: text for name, text in given.items() if name not in OF_ONE_INPUT}
    if new.input_id is not None:
        metadata["frontdesk:input_id"] = new.input_id
    return to_json({**settings, "metadata": metadata}).decode()
