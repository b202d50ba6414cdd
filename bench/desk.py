"""The desks that are measured: one agent, one tool or task, a model that answers at once. Nothing is measured here.

``frontdesk serve frontdesk.bench.desk:filing`` serves the one that files a task for each message.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from pydantic_core import to_json

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.model import FunctionCall, Message, ModelEvent, ModelRequest, ReplyDone, TextDelta
from frontdesk.tasks import task

INSTRUCTIONS = "You are a triage agent. Use tools."
WORDS = tuple(f"word{number:02} " for number in range(20))
ANSWER = "".join(WORDS)


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
async def slow(i: int) -> int:
    """Sleep."""
    await asyncio.sleep(0.2)
    return i


@task
async def noop(number: int) -> int:
    """Does nothing."""
    return number


class Instant:
    """A model that takes no time: what it says is a function of the request."""

    name = "instant"

    def __init__(self, reply: Callable[[ModelRequest], Iterable[ModelEvent]]) -> None:
        self._reply = reply

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        for event in self._reply(request):
            yield event
        yield ReplyDone()


def _text(item: dict[str, Any]) -> str | None:
    """What the person says, when it is the person who speaks."""
    if item.get("role") != "user":
        return None
    content: Any = item["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _call(name: str, **arguments: Any) -> tuple[ModelEvent, ...]:
    return (FunctionCall(f"call_{secrets.token_hex(8)}", name, to_json(arguments).decode()),)


def file_or_answer(request: ModelRequest) -> Iterable[ModelEvent]:
    """A number files a task with it as its title; a notice is answered with ``announced``, all else with ``filed``."""
    last = request.items[-1]
    text = _text(last)
    if text is not None and text.isdigit():
        return _call("create_task", task={"name": "noop", "arguments": {"number": int(text)}}, title=text, again=None)
    word = "announced" if str(last.get("call_id", "")).startswith("notice") else "filed"
    return TextDelta(word), Message(word)


def add_then_answer(request: ModelRequest) -> Iterable[ModelEvent]:
    """One tool call, then twenty words, each a delta."""
    if _text(request.items[-1]) is not None:
        return _call("add", a=1, b=2)
    return *(TextDelta(word) for word in WORDS), Message(ANSWER)


filing: Desk[None] = Desk(Agent("triage", INSTRUCTIONS, tasks=[noop]), name="filing", model=Instant(file_or_answer))
adding: Desk[None] = Desk(Agent("triage", INSTRUCTIONS, tools=[add]), name="adding", model=Instant(add_then_answer))
