"""The embedded model: a rule-based stand-in for a language model. No network, no key, no cost; the same request
gets the same reply.

It plans over whatever tools it is given, for any desk, and never claims to be more than it is. What it decides is
in ``reply`` and the files below it; here a decision becomes a stream of events.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from datetime import date
from hashlib import blake2s
from threading import Lock
from typing import Final

import anyio
from pydantic_core import to_json

from ...model import FunctionCall, Message, ModelEvent, ModelRequest, ReplyDone, TextDelta, ToolSpec, Usage
from .plan import Desk
from .reply import Reply, next_reply
from .shorten import shortened

_PIECE: Final = re.compile(r"\s*\S+\s*")
_DESKS: Final = 64


class OfflineModel:
    """A model made of rules; see ``Model``.

    ``delay`` is the time in seconds before each piece of a reply, for demonstrations; with 0 nothing ever waits.
    ``today`` tells the date that words such as *tomorrow* refer to; without it they are passed on as they are, or
    asked about.
    """

    def __init__(self, *, delay: float = 0.0, today: Callable[[], date] | None = None) -> None:
        if delay < 0:
            raise ValueError(f"delay is a time in seconds, zero or more, not {delay!r}")
        self._delay = delay
        self._today = today
        self._desks: OrderedDict[tuple[int, ...], tuple[tuple[ToolSpec, ...], Desk]] = OrderedDict()
        self._lock = Lock()

    @property
    def name(self) -> str:
        return "offline"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The reply as events. It raises nothing: a request that it cannot make sense of gets a text that says so."""
        if request.purpose == "summary":
            reply = Reply(text=shortened(request))
        else:
            reply = next_reply(request, self._desk(request.tools), today=self._today() if self._today else None)
        for piece in _PIECE.findall(reply.text):
            await self._pause()
            yield TextDelta(piece)
        if reply.text:
            yield Message(reply.text)
        written = 0
        for position, (name, arguments) in enumerate(reply.calls):
            await self._pause()
            text = to_json(arguments).decode()
            written += len(text)
            yield FunctionCall(_call_id(request, position), name, text)
        yield ReplyDone(Usage(input_tokens=_tokens(request), output_tokens=(len(reply.text) + written) // 4 + 1))

    async def _pause(self) -> None:
        if self._delay:
            await anyio.sleep(self._delay)

    def _desk(self, tools: tuple[ToolSpec, ...]) -> Desk:
        """What can be called, read from the tools once: an agent's tools are the same objects from turn to turn."""
        key = tuple(map(id, tools))
        with self._lock:  # a worker and a test may share one model
            if (kept := self._desks.get(key)) is None:
                kept = (tools, Desk.of(tools))  # keeps the tools alive, so no other can have their ids
                self._desks[key] = kept
                if len(self._desks) > _DESKS:
                    self._desks.popitem(last=False)
        return kept[1]


def _call_id(request: ModelRequest, position: int) -> str:
    """An id from the place in the history, and from what was said last: other histories have other ids."""
    last = repr(request.items[-1:]).encode("utf-8", "backslashreplace")
    digest = blake2s(last, digest_size=5).hexdigest()
    taken = {str(item.get("call_id")) for item in request.items}
    call_id = f"call_{len(request.items)}_{position}_{digest}"
    while call_id in taken:
        call_id += "x"
    return call_id


def _tokens(request: ModelRequest) -> int:
    """Roughly what a language model would have counted: four characters each."""
    texts = len(request.instructions) + sum(
        len(str(item.get("content", item.get("output", "")))) for item in request.items
    )
    return (texts + sum(len(tool.description) + 80 for tool in request.tools)) // 4 + 1
