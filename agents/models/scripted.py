"""A model that replays a script: for tests of desks, without a network and without chance.

    model = ScriptedModel([call("order_status", {"order_id": 7}), say("It is on its way.")])
    gate = Gate()
    slow = ScriptedModel([say("One moment", whole=False) + wait(gate) + fail(ModelUnavailable, "overloaded")])

A script is a list of replies, one for each request in the order of asking; a reply is made of parts with ``+``.
Nothing here looks at what was asked, except a reply that you write as a function.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias
from uuid import uuid4

import anyio
import anyio.lowlevel
from pydantic_core import to_json

from ..errors import ModelError, ModelRefused, ModelUnavailable
from ..model import (
    FunctionCall,
    Message,
    ModelEvent,
    ModelRequest,
    Reasoning,
    ReasoningDelta,
    ReplyDone,
    TextDelta,
    Usage,
)

_PIECES = re.compile(r"\S*\s*")


class Signal:
    """Something that happens once. `set` may be called from any thread, `wait` in any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._happened = False
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def is_set(self) -> bool:
        return self._happened

    def set(self) -> None:
        with self._lock:
            self._happened = True
            for event, loop in self._waiting.items():
                with suppress(RuntimeError):  # that loop has been closed, with everything that waited in it
                    loop.call_soon_threadsafe(event.set)

    async def wait(self) -> None:
        event = asyncio.Event()
        with self._lock:
            if self._happened:
                return
            self._waiting[event] = asyncio.get_running_loop()
        try:
            await event.wait()
        finally:
            with self._lock:
                del self._waiting[event]


class Gate:
    """Where a script stops until the test says go, in whatever thread and event loop either of them runs.

    ``await gate.reached()`` returns once a model stands at it; ``gate.open()`` lets it, and all that come later, pass.
    """

    def __init__(self) -> None:
        self._reached, self._open = Signal(), Signal()

    def open(self) -> None:
        self._open.set()

    async def reached(self) -> None:
        await self._reached.wait()

    async def wait(self) -> None:
        self._reached.set()
        await self._open.wait()


class AsyncEvent(Protocol):
    """`Gate`, `Signal`, ``anyio.Event`` or ``asyncio.Event``; the latter two only within their own event loop."""

    async def wait(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Pause:
    """A part of a reply that takes time."""

    wait: Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Failure:
    """A part of a reply that raises."""

    error: Callable[[str], Exception]  # from the model's name


Part: TypeAlias = ModelEvent | Pause | Failure


@dataclass(frozen=True, slots=True)
class ScriptedReply:
    """What a scripted model says to one request. ``a + b``: first a, then b, in the same reply."""

    parts: tuple[Part, ...] = ()

    def __add__(self, other: ScriptedReply) -> ScriptedReply:
        return ScriptedReply(self.parts + other.parts)


def say(text: str, *, pieces: int | None = None, whole: bool = True) -> ScriptedReply:
    """A message, streamed word by word, or in ``pieces`` of about equal length. ``whole=False``: it never ends."""
    deltas = tuple(TextDelta(piece) for piece in _split(text, pieces))
    return ScriptedReply((*deltas, Message(text)) if whole else deltas)


def think(summary: str, *, encrypted_content: str = "scripted") -> ScriptedReply:
    """A reasoning item with this summary."""
    body: dict[str, Any] = {
        "type": "reasoning",
        "id": f"rs_{uuid4().hex}",
        "summary": [{"type": "summary_text", "text": summary}],
        "encrypted_content": encrypted_content,
    }
    return ScriptedReply((*(ReasoningDelta(piece) for piece in _split(summary, None)), Reasoning(body)))


def call(name: str, arguments: Mapping[str, Any] | str = "{}", *, call_id: str = "") -> ScriptedReply:
    """A call of the tool ``name`` (its name on the model's wire). Text arguments are sent as they are, valid or not.

    Without ``call_id`` it gets a new one each time the reply is given.
    """
    text = arguments if isinstance(arguments, str) else to_json(arguments).decode()
    return ScriptedReply((FunctionCall(call_id, name, text),))


def calls(*replies: ScriptedReply) -> ScriptedReply:
    """Several calls in one reply: ``calls(call("a"), call("b"))``."""
    return sum(replies, ScriptedReply())


def fail(
    error: type[ModelRefused] | type[ModelUnavailable] | Exception = ModelUnavailable,
    message: str = "failed as the script says",
    *,
    status: int | None = None,
) -> ScriptedReply:
    """Raises ``error``; of a class, a new one about this model with ``message`` and ``status``."""

    def make(model: str) -> Exception:
        return error(model, message, status=status) if isinstance(error, type) else error

    return ScriptedReply((Failure(make),))


def wait(gate: AsyncEvent | threading.Event | Callable[[], Awaitable[object]]) -> ScriptedReply:
    """Waits for ``gate``: a `Gate`, an event (a ``threading.Event`` is polled), or a function that is awaited."""
    if isinstance(gate, threading.Event):
        return ScriptedReply((Pause(partial(_poll, gate)),))
    return ScriptedReply((Pause(gate if callable(gate) else gate.wait),))


async def _poll(event: threading.Event) -> None:
    while not event.is_set():  # noqa: ASYNC110 - set by another thread, which knows no event loop
        await anyio.sleep(0.005)


def delay(seconds: float) -> ScriptedReply:
    """Takes ``seconds``. For load; a test waits for a `Gate` instead."""
    return ScriptedReply((Pause(lambda: anyio.sleep(seconds)),))


def done(
    usage: Usage = Usage(),  # noqa: B008 - a frozen value
    *,
    finish: Literal["stop", "length", "content_filter"] = "stop",
) -> ScriptedReply:
    """How the reply ends: tokens used, and why. Without it: no tokens, ``stop``."""
    return ScriptedReply((ReplyDone(usage, finish),))


Scripted: TypeAlias = ScriptedReply | str
ReplyFunction: TypeAlias = Callable[[ModelRequest], Scripted]


class ScriptedModel:
    """Gives ``replies`` in their order; text is short for ``say(text)``, a function is called with the request.

    ``replies`` may be one function for all requests. ``requests`` holds what it was asked with, in order. It may be
    shared between threads and event loops: each request takes the next reply.

    Raises:
        ModelRefused: a request after the last reply; the text says which.
    """

    def __init__(self, replies: Iterable[Scripted | ReplyFunction] | ReplyFunction, *, name: str = "scripted") -> None:
        self._name = name
        self._every = replies if callable(replies) else None
        self._replies = [] if callable(replies) else list(replies)
        self._lock = threading.Lock()
        self.requests: list[ModelRequest] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def remaining(self) -> int:
        """How many replies have not been asked for; 0 when one function gives them all."""
        return max(0, len(self._replies) - len(self.requests))

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        reply = self._next(request)
        end = ReplyDone()
        await anyio.lowlevel.checkpoint()
        for part in (say(reply) if isinstance(reply, str) else reply).parts:
            match part:
                case Pause():
                    await part.wait()
                case Failure():
                    raise part.error(self._name)
                case FunctionCall(call_id=""):
                    yield replace(part, call_id=f"call_{uuid4().hex}")
                case ReplyDone():
                    end = part
                case _:
                    yield part
        yield end

    async def aclose(self) -> None:
        """Nothing to close; here because the models with a network have it."""

    def _next(self, request: ModelRequest) -> Scripted:
        with self._lock:
            self.requests.append(request)
            number = len(self.requests)
        if self._every is not None:
            return self._every(request)
        if number > len(self._replies):
            raise self._exhausted(number, request)
        reply = self._replies[number - 1]
        return reply(request) if callable(reply) else reply

    def _exhausted(self, number: int, request: ModelRequest) -> ModelError:
        agent = f" of agent {request.agent}" if request.agent else ""
        asked = _described(request.items[-1]) if request.items else "no items"
        return ModelRefused(
            self._name,
            f"the script has {len(self._replies)} replies, but request {number}{agent} came, ending with {asked}; "
            "add a reply for it",
        )


def _split(text: str, pieces: int | None) -> list[str]:
    if pieces is None:
        return [piece for piece in _PIECES.findall(text) if piece]
    size = max(1, -(-len(text) // pieces))
    return [text[start : start + size] for start in range(0, len(text), size)]


def _described(item: Mapping[str, Any]) -> str:
    kind = item.get("type", "message")
    detail = item.get("content") if kind == "message" else item.get("output", item.get("name", ""))
    return f"{item['role'] if kind == 'message' else kind} {str(detail)[:100]!r}"
