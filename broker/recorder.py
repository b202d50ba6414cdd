"""Records what a run reports: progress and log (coalesced), and its durable calls, each a commit of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from pydantic_core import from_json

from ..tasks.context import TaskHandle
from ..tasks.result import result_json
from ..tasks.table import TaskRequest
from . import durable, queue
from .runs import Run

INTERVAL: Final = 0.2  # seconds between two writes of progress
LOG_LINES: Final = 20
LINE_LENGTH: Final = 500
STEP_LIMIT: Final = 10_000_000


class RunRecorder:
    """Belongs to one run. ``report`` and ``log`` may be called from any thread and never wait."""

    def __init__(self, run: Run) -> None:
        self._run = run
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
            self._message = message[:LINE_LENGTH]
        self._touch()

    def log(self, line: str) -> None:
        self._lines.append(line[:LINE_LENGTH])
        self._touch()

    def _touch(self) -> None:
        if not self._dirty:
            self._dirty = True
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
                await asyncio.sleep(INTERVAL)
        finally:
            self._flusher = False
        if self._dirty:
            self._schedule()

    async def flush(self) -> None:
        """Writes what has not been written yet. Raises LeaseLost."""
        async with self._writing:
            if not self._dirty:
                return
            self._dirty = False
            await self._run.database.write(
                queue.report,
                self._run.claim,
                progress=self._fraction,
                message=self._message,
                log_tail=tuple(self._lines),
            )

    async def create(self, position: int, key: str, request: TaskRequest) -> TaskHandle:
        row = await self._run.database.write(durable.record_create, self._run.claim, position, key, request)
        return TaskHandle(row["id"], row["label"])

    async def wait(self, position: int, key: str, ids: Sequence[str], need: int | None) -> list[Any] | None:
        await self.flush()
        return await self._run.database.write(durable.record_wait, self._run.claim, position, key, ids, need)

    async def sleep(self, position: int, key: str, seconds: float) -> None:
        await self.flush()
        await self._run.database.write(durable.record_sleep, self._run.claim, position, key, seconds)

    async def resume_sleep(self, position: int, key: str, until: float) -> bool:
        return await self._run.database.write(durable.resume_sleep, self._run.claim, position, key, until)

    async def ask(self, position: int, key: str, question: str) -> None:
        await self.flush()
        await self._run.database.write(durable.record_ask, self._run.claim, position, key, question)

    async def step(self, position: int, key: str, value: Any) -> Any:
        stored = from_json(result_json(value, limit=STEP_LIMIT))
        await self._run.database.write(durable.record_step, self._run.claim, position, key, stored)
        return stored
