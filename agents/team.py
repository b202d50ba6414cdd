"""The agents of a desk as a turn needs them, and what one turn may use. Values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter

from ..tasks.errors import InvalidOption
from ..tasks.request import Announce
from .agent import Agent
from .catalog import Catalog
from .model import Model, Usage
from .places import Places

if TYPE_CHECKING:
    from .response import Progress


@dataclass(frozen=True, slots=True)
class Limits:
    """What one turn may use; None: no limit. A turn that has used it ends with an answer that says so.

    Args:
        model_calls: Requests to the model, a repeated one too.
        tool_calls: Calls of the model, whatever became of them.
        tokens: Input and output tokens of all its requests.
        seconds: Time at work; waiting for tasks does not count. Looked at between two requests.

    Raises:
        InvalidOption: a limit that is not above zero.
    """

    model_calls: int = 32
    tool_calls: int = 128
    tokens: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("model_calls", "tool_calls", "tokens", "seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidOption(f"{name} is a number above zero, not {value!r}")

    def reached(self, progress: Progress, usage: Usage) -> str:
        """Which limit is reached, in words; empty when none is. A turn asks its model once, whatever the limits are."""
        if not progress.model_calls:
            return ""
        if progress.model_calls >= self.model_calls:
            return f"{self.model_calls} model calls"
        if progress.tool_calls >= self.tool_calls:
            return f"{self.tool_calls} tool calls"
        if self.tokens is not None and usage.input_tokens + usage.output_tokens >= self.tokens:
            return f"{self.tokens} tokens"
        if self.seconds is not None and progress.seconds >= self.seconds:
            return f"{self.seconds:g} seconds"
        return ""


@dataclass(frozen=True, slots=True)
class Team:
    """The agents of a desk, by name, and what they share."""

    catalogs: Mapping[str, Catalog]
    model_of: Callable[[Agent], Model]
    dependencies: Callable[[], Any]
    limiter: CapacityLimiter | None = None
    limits: Limits = Limits()
    announce: Announce = "respond"
    places: Places = field(default_factory=Places)
