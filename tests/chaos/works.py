"""The task functions of the chaos tests. Each start of one is noted in a file, outside of every transaction."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, Final

import anyio.lowlevel

from frontdesk.tasks.context import TaskContext
from frontdesk.tasks.registry import TaskFunction, task
from frontdesk.tasks.retry import RetryPolicy

STARTS: Final = "starts"
POLICY: Final = RetryPolicy(max_attempts=10_000, initial=0.01, maximum=0.5)
LINE: Final = 24  # bytes of a line, so that counting lines needs no reading


def note(folder: Path, name: str, text: str) -> None:
    """Appends a line; what is written is there whatever happens to the process afterwards."""
    assert len(text) < LINE, text
    opened = os.open(folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(opened, f"{text:<{LINE - 1}}\n".encode())
    finally:
        os.close(opened)


def notes(folder: Path, name: str) -> list[str]:
    path = folder / name
    return path.read_text().split() if path.exists() else []


def noted(folder: Path, name: str) -> int:
    """How many lines there are."""
    path = folder / name
    return path.stat().st_size // LINE if path.exists() else 0


async def effects(context: TaskContext[Path], number: int) -> str:
    """A durable step, whose first outcome must be the result, however often the function is run."""
    note(context.dependencies, STARTS, str(number))
    kept = await context.step("effect", lambda: f"{secrets.token_hex(4)}-{number}")
    await anyio.lowlevel.checkpoint()
    return kept


again: TaskFunction[..., Any] = task(name="again", idempotent=True, retry=POLICY)(effects)
once: TaskFunction[..., Any] = task(name="once")(effects)


@task(idempotent=True, retry=POLICY)
async def family(context: TaskContext[Path], number: int) -> str:
    """Waits for two children, sleeps a moment."""
    note(context.dependencies, STARTS, str(number))
    children = [await context.create(again, number=number * 10 + one) for one in (1, 2)]
    outcomes = await context.wait(*children)
    await context.sleep(0.01)
    return " ".join(str(one.unwrap()) for one in outcomes)


FUNCTIONS: Final[dict[str, TaskFunction[..., Any]]] = {one.name: one for one in (again, once, family)}
