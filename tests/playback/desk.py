"""The desk of the crash tests. Its model holds no state: the last message of the person is a JSON list of steps, each
a list of calls or a text."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
from pydantic_core import from_json

from frontdesk.agents import Agent, Compaction, Context, Desk, tool
from frontdesk.agents.model import FunctionCall, Message, ModelEvent, ModelRequest, ReplyDone, TextDelta
from frontdesk.tasks import Retry, TaskContext, task

Script = list[Any]
SHORT = Compaction(tokens=400, keep=50)  # a session is summarised once or more


class PlaybackModel:
    """Plays the script in the last user message: how far it is, it counts from the calls that the history holds."""

    name = "playback"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        if request.purpose == "summary":
            yield Message("notes")
            yield ReplyDone()
            return
        said = 0
        after: list[dict[str, Any]] = []
        for number, item in enumerate(request.items):
            if item.get("type") == "message" and item["role"] == "user":
                said, after = number, []
            elif item.get("type") == "function_call" and not item["call_id"].startswith("notice_"):
                after.append(item)
        text = _text(request.items[said]) if request.items else ""
        if not text.startswith("["):
            notices = [one for one in request.items[said:] if one.get("type") == "function_call_output"]
            text = json.dumps([f"heard of {len(notices)}"])
        steps, calls = json.loads(text), len(after)
        for number, step in enumerate(steps):
            if isinstance(step, str):
                for piece in (step[:2], step[2:]):
                    yield TextDelta(piece)
                    await anyio.sleep(0.02)  # as a model does: what was said is written meanwhile
                yield Message(step)
                yield ReplyDone()
                return
            if calls < len(step):
                for place, (name, arguments) in enumerate(step):
                    yield FunctionCall(f"call_{len(request.items)}_{number}_{place}", name, json.dumps(arguments))
                yield ReplyDone()
                return
            calls -= len(step)
        yield Message("done")
        yield ReplyDone()


def _text(item: dict[str, Any]) -> str:
    content = item["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


@tool(idempotent=True)
async def note(text: str) -> str:
    """Says it again."""
    return f"noted {text}"


@tool(idempotent=True)
async def hold(name: str, context: Context[Path]) -> str:
    """Holds until the file of that name is there."""
    while not (context.dependencies / name).exists():  # noqa: ASYNC110 - made by another process
        await anyio.sleep(0.01)
    return f"held {name}"


@tool(idempotent=True, needs_approval=True)
async def pay(amount: int, context: Context[Path]) -> str:
    """Pays, once for each call, and writes down for which."""
    with (context.dependencies / "paid").open("a") as paid:
        paid.write(f"{amount} {context.call_id}\n")
    return f"paid {amount}"


@task(idempotent=True)
async def double(number: int) -> int:
    """Twice the number."""
    return number * 2


@task(idempotent=True)
async def family(context: TaskContext[Path], number: int) -> dict[str, Any]:
    """Every durable call, once."""
    children = [await context.create(double, number=number), await context.create(double, number=number + 1)]
    outcomes = await context.wait(*children)
    await context.progress(0.5, "children are done")
    await context.sleep(0.01)
    color = await context.ask("Which color?")
    step = await context.step("square", lambda: number * number)
    return {"children": [one.unwrap() for one in outcomes], "color": color, "step": step}


@task(idempotent=True)
async def second_try(context: TaskContext[Path]) -> str:
    """Fails at the first attempt."""
    if context.attempt == 1:
        raise Retry(0.01, "not yet")
    return "at last"


@task(idempotent=True)
async def forever(context: TaskContext[Path]) -> None:
    """Runs until it is cancelled."""
    await context.progress(0.1, "running")
    await anyio.sleep_forever()


@task(idempotent=True)
async def asking(context: TaskContext[Path]) -> str:
    """Asks once."""
    return f"answered {await context.ask('Really?')}"


TASKS = (double, family, second_try, forever, asking)


def build(folder: Path) -> Desk[Path]:
    """The desk; ``folder`` holds the files that ``hold`` waits for."""
    helper = Agent("helper", "", tools=[note, hold, pay])
    inner = Agent("inner", "", tools=[note]).as_tool()
    other = Agent("other", "", tools=[note, hold, pay, inner], tasks=TASKS, handoffs=["first"], delegates=[helper])
    first = Agent("first", "", tools=[note, hold, pay, inner], tasks=TASKS, handoffs=[other], delegates=[helper])
    return Desk(first, name="playback", dependencies=folder, model=PlaybackModel(), compaction=SHORT)


def decoded(text: str) -> Any:
    """JSON text as a value."""
    return from_json(text)
