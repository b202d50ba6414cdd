"""Hooks: functions of the application that are told of every step of a turn. Telling them is all that happens here.

A hook sees frozen events and changes nothing. One that raises, or takes longer than `PATIENCE` seconds, is logged and
left behind. A turn that another worker goes on with may tell of a step again.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import anyio

from .model import Usage

log = logging.getLogger("frontdesk.hooks")

PATIENCE: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEvent:
    """What every event says: whose turn it is, and which agent has it."""

    conversation_id: str
    response_id: str
    tenant: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnBegan(HookEvent):
    """A worker has begun with a turn, or goes on with one (``resumed``)."""

    resumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAsked(HookEvent):
    """A model is asked. ``step`` numbers the requests of a turn."""

    model: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReplied(HookEvent):
    """A model's reply is complete. ``calls`` are the names of the tools that it calls."""

    model: str
    step: int
    usage: Usage
    seconds: float
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFailed(HookEvent):
    """A model has failed, after its own retries. It may be asked again, or another one in its place."""

    model: str
    step: int
    error: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBegan(HookEvent):
    """A call of a tool is run now."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(HookEvent):
    """A call has its output. ``kind``: result, error, timeout, interrupted, unknown_tool."""

    call_id: str
    name: str
    output: str
    kind: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver(HookEvent):
    """The conversation has moved to ``agent``."""

    before: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailTripped(HookEvent):
    """A guardrail has ended the turn."""

    guardrail: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnParked(HookEvent):
    """The turn waits for tasks and holds no worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnded(HookEvent):
    """The turn has ended. ``status`` as on the wire, ``ended`` why; what it has used, in all and in seconds at work."""

    status: str
    ended: str
    limit: str
    usage: Usage
    seconds: float


Hook: TypeAlias = Callable[[HookEvent], Awaitable[None] | None]


async def tell(hooks: Sequence[Hook], event: HookEvent) -> None:
    """Tells each hook in turn. Raises nothing but the caller's own cancellation."""
    for hook in hooks:
        try:
            told = hook(event)
            if inspect.isawaitable(told):
                with anyio.move_on_after(PATIENCE) as scope:
                    await told
                if scope.cancelled_caught:
                    log.warning("the hook %s took longer than %g s and was left", name_of(hook), PATIENCE)
        except Exception:
            log.exception("the hook %s failed at %s", name_of(hook), type(event).__name__)


def name_of(function: object) -> str:
    """What a function of the application is called in logs and on the wire."""
    return str(getattr(function, "__name__", type(function).__name__))
