"""Where a journal's batches go: into the database, or nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

import anyio

from ..broker.connection import Connection
from ..broker.runs import Run
from . import result_storage, storage
from .batch import Batch, Ref
from .response import Outcome, Verdict
from .results import Piece

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
        try:  # the journal has shielded it
            verdict = await self._run.database.write_first(storage.finish_turn, self.ref, batch, outcome)
        finally:
            self._run.over = verdict != "on"
        return verdict

    async def read_kept(self, call_id: str, offset: int, count: int) -> Piece | None:
        read = self._run.database.read
        return await read(result_storage.read, self.ref.conversation_id, call_id, offset, count)

    async def known_kept(self) -> list[tuple[str, int]]:
        return await self._run.database.read(result_storage.known, self.ref.conversation_id)


class MemoryStore:
    """For a turn that lives and ends with its process. The journal's own items are its result; ``kept`` holds the
    whole results of its calls.
    """

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.kept: dict[str, str] = {}

    async def save(self, what: str, batch: Batch) -> None:
        """The journal holds the items."""
        self.kept |= {one.call_id: one.text for one in batch.kept}

    async def read_kept(self, call_id: str, offset: int, count: int) -> Piece | None:
        text = self.kept.get(call_id)
        return None if text is None else Piece(text[offset : offset + count], len(text))

    async def known_kept(self) -> list[tuple[str, int]]:
        return [(call_id, len(text)) for call_id, text in reversed(self.kept.items())]

    async def finish(self, batch: Batch, outcome: Outcome) -> Verdict:
        self.outcome = outcome
        return "ended"
