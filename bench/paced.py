"""A desk whose model speaks at a pace, and whose task lasts: what a busy server carries. Nothing is measured here.

Asked ``stream 20 600`` it says 600 words, 20 in a second, each the time at which it was said (`time.perf_counter`,
which all processes of a Linux machine share). Asked ``task 60 …``, it files a task of 60 seconds before that.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncGenerator
from typing import Any, Final

from pydantic_core import to_json

from frontdesk.agents import Agent, Desk
from frontdesk.agents.model import FunctionCall, Message, ModelEvent, ModelRequest, ReplyDone, TextDelta
from frontdesk.tasks import task

DELTA: Final = b'"delta":"'


@task(idempotent=True)
async def lasting(seconds: float) -> float:
    """Takes its time."""
    await asyncio.sleep(seconds)
    return seconds


def text_of(item: dict[str, Any]) -> str:
    content: Any = item["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


class Paced:
    """Does what the person's last message says."""

    name = "paced"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        said = next(item for item in reversed(request.items) if item.get("role") == "user")
        words = text_of(said).split()
        if request.items[-1] is said and words[0] == "task":
            arguments = {"name": "lasting", "arguments": {"seconds": float(words[1])}}
            wanted = to_json({"task": arguments, "title": None, "again": None}).decode()
            yield FunctionCall(f"call_{secrets.token_hex(8)}", "create_task", wanted)
        elif "stream" in words:
            at = words.index("stream")
            async for event in _words(float(words[at + 1]), int(words[at + 2])):
                yield event
        else:
            yield TextDelta("well")
            yield Message("well")
        yield ReplyDone()


async def _words(rate: float, number: int) -> AsyncGenerator[ModelEvent, None]:
    due, said = time.perf_counter() + random.random() / rate, ""
    for _ in range(number):
        await asyncio.sleep(due - time.perf_counter())
        word = f"{time.perf_counter():.5f} "
        said += word
        yield TextDelta(word)
        due += 1 / rate
    yield Message(said)


def said_at(payload: bytes) -> float | None:
    """When the word of an event was said; None when it is no word."""
    at = payload.find(DELTA)
    return None if at < 0 else float(payload[at + len(DELTA) : payload.index(b" ", at)])


pacing: Desk[None] = Desk(Agent("triage", "You speak.", tasks=[lasting]), name="pacing", model=Paced())
