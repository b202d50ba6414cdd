"""Records what a run reports: progress and log (coalesced), and its durable calls, each a commit of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Container, Sequence
from typing import Any, Final, TypeVar

import anyio
from pydantic_core import from_json

from ..tasks.context import LINE_LENGTH, LOG_LINES, TaskHandle
from ..tasks.request import TaskRequest
from ..tasks.result import STEP_LIMIT, result_json, storable
from . import durable, queue
from .errors import LeaseLost
from .runs import Run

log = logging.getLogger("frontdesk.recorder")

T = TypeVar("T")

INTERVAL: Final = 0.2  # seconds between two writes of progress


class RunRecorder:
    """Belongs to one run. ``report`` and ``log`` may be called from any thread and never wait.

    ``functions``: the names of those that this worker runs.
    """

    def __init__(self, run: Run, functions: Container[str]) -> None:
        self._run, self._functions = run, functions
        self._loop = asyncio.get_running_loop()
        self._fraction: float | None = None
        self._message = ""
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self._dirty = False
        self._flusher = False
        self._writing = asyncio.Lock()

    def report(self, fraction: float | None, message: str | None) -> None:
        self._fraction = fraction
        if message is not None:
            self._message = storable(message[:LINE_LENGTH])
        self._touch()

    def log(self, line: str) -> None:
        self._lines.append(storable(line[:LINE_LENGTH]))
        self._touch()

    def _touch(self) -> None:
        if not self._dirty:
            self._dirty = True
            with contextlib.suppress(RuntimeError):  # the worker's loop has ended: this is an abandoned thread
                self._loop.call_soon_threadsafe(self._schedule)

    def _schedule(self) -> None:
        if not self._flusher and not self._run.over:
            self._flusher = True
            self._run.spawn(self._flush_soon)

    async def _flush_soon(self) -> None:
        """Writes at once, then at most once an interval for as long as there is something new."""
        try:
            while self._dirty and not self._run.over:
                await self.flush()
                with anyio.move_on_after(INTERVAL):
                    await self._run.gone.wait()
        finally:
            self._flusher = False

    @property
    def busy(self) -> bool:
        """Whether there is something that `flush` would wait for."""
        return self._dirty or self._writing.locked()

    async def flush(self) -> None:
        """Writes what has not been written yet; a run that has lost its lease has nothing to write any more."""
        async with self._writing:
            if not self._dirty:
                return
            self._dirty = False
            report = {"progress": self._fraction, "message": self._message, "log_tail": tuple(self._lines)}
            try:
                await self._write(queue.report, **report)
            except LeaseLost:
                log.info("progress of %s comes after the end of its claim", self._run.claim.task_id)

    async def _write(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Writes for the run's claim, as soon as the database can. Raises LeaseLost, a DatabaseError."""
        run = self._run
        return await run.persist(lambda: run.database.write(function, run.claim, *args, **kwargs))

    async def create(self, position: int, key: str, request: TaskRequest) -> TaskHandle:
        if request.kind == "function" and request.name not in self._functions:
            log.warning(
                "%s creates a task %s, which no worker of this desk runs; name it with Desk(…, tasks=[…])",
                self._run.claim.name,
                request.name,
            )
        row = await self._write(durable.record_create, position, key, request)
        return TaskHandle(row["id"], row["label"])

    async def wait(self, position: int, key: str, ids: Sequence[str], need: int | None) -> list[Any] | None:
        await self.flush()
        return await self._write(durable.record_wait, position, key, ids, need)

    async def sleep(self, position: int, key: str, seconds: float) -> None:
        await self.flush()
        await self._write(durable.record_sleep, position, key, seconds)

    async def resume_sleep(self, position: int, key: str, until: float) -> bool:
        return await self._write(durable.resume_sleep, position, key, until)

    async def ask(self, position: int, key: str, question: str) -> None:
        await self.flush()
        await self._write(durable.record_ask, position, key, question)

    async def step(self, position: int, key: str, value: Any) -> Any:
        stored = from_json(result_json(value, limit=STEP_LIMIT, name=f"step {key!r}"))
        await self._write(durable.record_step, position, key, stored)
        return stored
