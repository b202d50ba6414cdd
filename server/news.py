"""What a person is shown of a conversation, piece by piece. Values; what makes them is in ``dialog``, how they look in
``render``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
    """A call waits for the person's approval. ``request_id`` is what the answer names."""

    agent: str
    tool: str
    arguments: str
    request_id: str = field(default="", compare=False)


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
    """A response has ended; ``problem`` says why when it did not complete. ``response`` is the whole of it, ``inputs``
    what it has answered of what was said here."""

    response_id: str
    status: str
    problem: str = ""
    response: JSON = field(default_factory=dict[str, Any], compare=False, repr=False)
    inputs: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that was asked for was not accepted; ``input_id`` is empty unless it was an input."""

    input_id: str
    message: str
    code: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Remark:
    """A word of the client itself."""

    text: str


News: TypeAlias = Said | Called | Asked | Moved | TaskNews | Ended | Refused | Remark
