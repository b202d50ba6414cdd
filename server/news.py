"""What a person is shown of a conversation, piece by piece. Values; what makes them is in ``dialog``, how they look in
``render``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

JSON: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of what an agent says; ``begins`` a message of its own."""

    agent: str
    text: str
    begins: bool


@dataclass(frozen=True, slots=True)
class Called:
    """A tool was called, and has answered: ``error`` is empty when it went well."""

    agent: str
    tool: str
    arguments: str
    error: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A call waits for the person's approval."""

    agent: str
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The conversation has moved to another agent."""

    agent: str


@dataclass(frozen=True, slots=True)
class TaskNews:
    """Something about a task: ``what`` is created, updated or finished."""

    what: str
    task: JSON


@dataclass(frozen=True, slots=True)
class Ended:
    """A response has ended; ``problem`` says why when it did not complete."""

    response_id: str
    status: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that was asked for was not accepted; ``input_id`` is empty unless it was an input."""

    input_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A word of the client itself."""

    text: str


News: TypeAlias = Said | Called | Asked | Moved | TaskNews | Ended | Refused | Remark
