"""What a turn, a conversation and a tenant may use. Values; who looks at them is ``loop``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ..broker.spending import Spending, Window
from ..tasks.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOWS: Final = ("hour", "day", "month")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one turn may use; None: no limit. A turn that has used it ends with an answer that says so.

    Args:
        model_calls: Requests to the model, a repeated one too.
        tool_calls: Calls of the model, whatever became of them. Those of one reply that are too many are not run.
        tokens: Input and output tokens of all its requests.
        seconds: Time at work; waiting for tasks does not count. A model that is still talking then is cut off; a tool
            that runs then comes to its end.
        cost: What its requests cost, by the prices of the desk.

    Raises:
        InvalidOption: a limit that is not above zero.
    """

    model_calls: int = 32
    tool_calls: int = 128
    tokens: int | None = None
    seconds: float | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        check_amounts(self, ("model_calls", "tool_calls", "tokens", "seconds", "cost"))

    def reached(self, spent: Spending) -> str:
        """Which limit is reached, in words; empty when none is. A turn asks its model once, whatever the limits are."""
        if not spent.model_calls:
            return ""
        return _first_reached(
            (
                (self.model_calls, spent.model_calls, "model calls"),
                (self.tool_calls, spent.tool_calls, "tool calls"),
                (self.tokens, spent.tokens, "tokens"),
                (self.seconds, spent.seconds, "seconds"),
                (self.cost, spent.cost, "of cost"),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a conversation may use in all, or a tenant within a window of time; None: no limit. When it is used up, a
    turn ends with an answer that says so, before its model is asked.

    Args:
        turns: Turns that have ended.
        model_calls, tool_calls, tokens, seconds, cost: As of `Limits`.
        window: Of a tenant: the hour, the day or the month of the calendar (UTC) after which it begins anew.

    Raises:
        InvalidOption: an amount that is not above zero, or another window.
    """

    turns: int | None = None
    model_calls: int | None = None
    tool_calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    cost: float | None = None
    window: Window = "day"

    def __post_init__(self) -> None:
        check_amounts(self, ("turns", "model_calls", "tool_calls", "tokens", "seconds", "cost"))
        if self.window not in WINDOWS:
            raise InvalidOption(f"window is one of {', '.join(WINDOWS)}, not {self.window!r}")

    def reached(self, spent: Spending) -> str:
        """Which amount is used up, in words; empty when none is."""
        return _first_reached(
            (
                (self.turns, spent.turns, "turns"),
                (self.model_calls, spent.model_calls, "model calls"),
                (self.tool_calls, spent.tool_calls, "tool calls"),
                (self.tokens, spent.tokens, "tokens"),
                (self.seconds, spent.seconds, "seconds"),
                (self.cost, spent.cost, "of cost"),
            )
        )


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that ends a turn: its name on the wire, and what the person is told."""

    name: str
    text: str


def of_turn(words: str) -> Reached:
    """A turn has used one of its limits."""
    return Reached(
        words, f"I stopped here: this turn has used its {words}. Say how to go on, or ask for less at a time."
    )


def too_many(most: int) -> str:
    """What a model is told of a call that is not run."""
    return f"Not run: this turn may make {most} calls, and has made them. Answer with what you have."


def of_conversation(words: str) -> Reached:
    """A conversation has used its budget."""
    return Reached(
        f"conversation: {words}", f"I cannot go on: this conversation has used its {words}. Begin a new one."
    )


def of_tenant(words: str, window: Window, until: float) -> Reached:
    """A tenant has used its budget; ``until`` is when it begins anew (seconds since 1970)."""
    moment = datetime.fromtimestamp(until, UTC)
    text = f"I cannot go on: the {words} of this {window} are used up. Ask again after {moment:%Y-%m-%d %H:%M} UTC."
    return Reached(f"tenant: {words} a {window}", text)


def check_amounts(of: object, names: Sequence[str]) -> None:
    """Raises InvalidOption for an amount that is not above zero."""
    for name in names:
        value = getattr(of, name)
        if value is not None and not value > 0:
            raise InvalidOption(f"{name} is a number above zero, not {value!r}")


def _first_reached(amounts: Sequence[tuple[float | None, float, str]]) -> str:
    for most, used, what in amounts:
        if most is not None and used >= most:
            return f"{most:g} {what}" if isinstance(most, float) else f"{most} {what}"
    return ""
