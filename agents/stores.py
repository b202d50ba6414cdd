"""Where a journal's batches go: into the database, or nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

import anyio

from ..broker.connection import Connection
from ..broker.runs import Run
from . import storage
from .batch import Batch, Ref
from .response import Outcome, Verdict

T = TypeVar("T")
P = ParamSpec("P")

_OPERATIONS: Final[dict[str, Callable[[Connection, Ref, Batch], None]]] = {
    "begin": storage.begin_turn,
    "events": storage.save_events,
    "reply": storage.save_reply,
    "output": storage.save_output,
    "handoff": storage.save_handoff,
    "input": storage.save_input,
}


class DurableStore:
    """Writes batches through the database, under the run's claim.

    A cancelled run waits until a write that has been asked for is committed: a batch that was taken is never lost.
    """

    def __init__(self, run: Run, ref: Ref) -> None:
        self._run, self.ref = run, ref

    async def write(
        self,
        operation: Callable[Concatenate[Connection, Ref, Batch, P], T],
        batch: Batch,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs an operation of ``storage`` on a batch. Raises what it raises, and a DatabaseError."""
        with anyio.CancelScope(shield=True):
            return await self._run.database.write(operation, self.ref, batch, *args, **kwargs)
        raise AssertionError("a shielded scope swallows nothing")

    async def save(self, what: str, batch: Batch) -> None:
        if not batch.is_empty():
            await self.write(_OPERATIONS[what], batch)

    async def finish(self, batch: Batch, outcome: Outcome) -> Verdict:
        self._run.over = True
        verdict: Verdict = "on"
        try:
            with anyio.CancelScope(shield=True):
                verdict = await self._run.database.write_first(storage.finish_turn, self.ref, batch, outcome)
        finally:
            self._run.over = verdict != "on"
        return verdict


class MemoryStore:
    """Keeps nothing: for a turn that lives and ends with its process. The journal's own items are its result."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None

    async def save(self, what: str, batch: Batch) -> None:
        """The journal holds the items; there is nothing to do."""

    async def finish(self, batch: Batch, outcome: Outcome) -> Verdict:
        self.outcome = outcome
        return "ended"
