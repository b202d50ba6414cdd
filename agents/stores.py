"""Where a journal's batches go: into the database, or nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..broker.connection import Connection
from ..broker.runs import Run
from . import storage
from .storage import Batch, Ended, Ref

_OPERATIONS: Final[dict[str, Callable[[Connection, Ref, Batch], None]]] = {
    "events": storage.save_events,
    "reply": storage.save_reply,
    "output": storage.save_output,
    "handoff": storage.save_handoff,
    "input": storage.save_input,
}


class DurableStore:
    """Writes batches through the database, under the run's claim."""

    def __init__(self, run: Run, ref: Ref) -> None:
        self._run, self._ref = run, ref

    async def save(self, what: str, batch: Batch) -> None:
        if batch.events or batch.added or batch.changed or batch.agent is not None:
            await self._run.database.write(_OPERATIONS[what], self._ref, batch)

    async def finish(self, batch: Batch, status: Ended, ended: str, error: str | None, result: str | None) -> None:
        self._run.over = True
        stored = None if result is None else _json(result)
        await self._run.database.write_first(
            storage.finish_turn, self._ref, batch, status, ended=ended, error=error, result=stored
        )


class MemoryStore:
    """Keeps nothing: for a turn that lives and ends with its process. The journal's own items are its result."""

    def __init__(self) -> None:
        self.status: Ended | None = None
        self.error: str | None = None

    async def save(self, what: str, batch: Batch) -> None:
        """The journal holds the items; there is nothing to do."""

    async def finish(self, batch: Batch, status: Ended, ended: str, error: str | None, result: str | None) -> None:
        self.status, self.error = status, error


def _json(value: Any) -> str:
    from .events import encoded

    return encoded(value)
