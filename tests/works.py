"""A database with workers, for tests that run task functions: file, wait until something is so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.functions import FunctionRuns
from frontdesk.broker.queue import Origin, enqueue
from frontdesk.broker.worker import Worker
from frontdesk.tasks.registry import TaskFunction
from frontdesk.tasks.states import TERMINAL
from frontdesk.tests.store import Store

PATIENCE = 30.0
POLL = 0.02


@dataclass
class Works:
    """A database with workers, and what a test asks of them."""

    database: Database
    workers: list[Worker] = field(default_factory=list[Worker])

    def __post_init__(self) -> None:
        self.store = Store(self.database)
        self.conversation = self.store.conversation(unattended_limit=0)

    def work(self, *functions: TaskFunction[..., Any], start: bool = True, **options: Any) -> Worker:
        """Starts a worker for these functions."""
        runs = FunctionRuns({one.name: one for one in functions}, lambda: "dependencies")
        options = {"poll": POLL, "grace": PATIENCE, "task_slots": 4, **options}
        turns = options.pop("turns", {})
        found = Worker(self.database, turns, {one.name: runs for one in functions}, **options)
        self.workers.append(found)
        if start:
            found.start()
        return found

    def file(self, function: TaskFunction[..., Any], arguments: dict[str, Any] | None = None, **options: Any) -> str:
        """Files a task; its id."""
        request = function.request(arguments or {}, **options)
        row = self.store.do(enqueue, request, Origin(conversation_id=self.conversation))
        return str(row["id"])

    async def until(self, task_id: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The task's row, as soon as something is so; every change of a task is an event of its conversation."""
        news = asyncio.Event()
        listening = self.database.hub.listen("events", self.conversation, news.set)
        try:
            with anyio.fail_after(PATIENCE):
                while not is_so(row := self.store.row(task_id)):
                    await news.wait()
                    news.clear()
            return row
        finally:
            listening.stop()

    async def ended(self, task_id: str) -> dict[str, Any]:
        return await self.until(task_id, lambda row: row["status"] in TERMINAL)

    async def reached(self, task_id: str, *statuses: str) -> dict[str, Any]:
        return await self.until(task_id, lambda row: row["status"] in statuses)

    async def run(self, function: TaskFunction[..., Any], **arguments: Any) -> dict[str, Any]:
        """Files a task, waits for its end."""
        return await self.ended(self.file(function, arguments))


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Waits until something has been logged; nobody is woken for that."""
    await until(lambda: text in caplog.text)


async def until(is_so: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
    """Looks again and again, where no event tells."""
    with anyio.fail_after(seconds):
        while not is_so():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(POLL)


async def happened(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, PATIENCE)


async def together(database: Database, *calls: Callable[[], Coroutine[Any, Any, Any]]) -> list[Any]:
    """What the calls came to that all waited while the writer was busy; an error is a result."""
    begun, go = threading.Event(), threading.Event()

    def busy(conn: Connection) -> None:
        begun.set()
        go.wait(PATIENCE)

    first = asyncio.create_task(database.write(busy))
    await asyncio.to_thread(begun.wait, PATIENCE)
    waiting = [asyncio.create_task(call()) for call in calls]
    await asyncio.sleep(0)  # each has put its call in line
    go.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


class Stop:
    """Where a function stands still until the test lets it go on."""

    def __init__(self) -> None:
        self.here, self.go = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.here.set()
        assert self.go.wait(PATIENCE)
