"""What a language model is to the rest: a request in, a stream of events out, a reply at the end.

These are values and one protocol. How a provider is spoken to is in ``models/``; what is done with a reply is in
``step``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

JSON: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One function as the model sees it.

    ``name`` is the name on the model's wire (letters, digits, ``_`` and ``-``, at most 64). ``parameters`` is a JSON
    schema of an object. ``keywords`` (words of any language that hint at this tool) and ``kind`` are read by the
    ``offline`` model only.
    """

    name: str
    description: str
    parameters: JSON
    strict: bool = True
    keywords: tuple[str, ...] = ()
    kind: Literal["tool", "task", "handoff", "client"] = "tool"


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Settings of one request; None leaves the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    parallel_tool_calls: bool | None = None
    tool_choice: str | None = None  # "auto", "required", "none", or the name of one tool
    reasoning_effort: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])  # further body fields, passed through as they are


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Everything that a model is asked with. ``items`` are input items of the Responses API (see ``history``).

    ``purpose`` is read by stand-ins for a model only: what a language model is to do is in ``instructions``.
    """

    instructions: str
    items: tuple[JSON, ...]
    tools: tuple[ToolSpec, ...] = ()
    settings: ModelSettings = ModelSettings()
    agent: str = ""
    text: JSON = field(default_factory=dict[str, Any])  # of the Responses API: the form of the answer, its verbosity
    purpose: Literal["reply", "summary"] = "reply"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more replies, and what they cost by the desk's prices."""

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cost + other.cost,
        )


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the text that the model is saying. Pieces of one message are contiguous."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the summary of what the model is thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """A finished message of the model. It closes the text deltas before it."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A finished reasoning item, in the provider's own form: it is sent back to the same model and to no other."""

    body: JSON  # a Responses API `reasoning` item (id, summary, encrypted_content)


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A finished call. ``arguments`` is the model's own text: it may not be valid JSON."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """The end of a reply; the last event of every stream that did not raise.

    ``finish``: ``stop`` (said all it wanted, or calls), ``length`` (token limit), ``content_filter``.
    """

    usage: Usage = Usage()
    finish: Literal["stop", "length", "content_filter"] = "stop"


ModelEvent: TypeAlias = TextDelta | ReasoningDelta | Message | Reasoning | FunctionCall | ReplyDone


class Model(Protocol):
    """A language model, or something that stands in for one.

    ``name`` identifies it in reasoning items, usage and errors. ``stream`` yields finished items (`Message`,
    `Reasoning`, `FunctionCall`) in the order of the reply, deltas before the item that they belong to, and `ReplyDone`
    last. It holds no task group or cancel scope across a yield; the caller closes it (``contextlib.aclosing``).

    Raises `ModelError` (``errors``) for everything that a provider can do wrong, after its own retries.
    """

    @property
    def name(self) -> str: ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]: ...
