"""The journal of a turn: a transcript, and the commits that keep it. Each commit is one batch for a `Store`.

Every method that writes does so in the order of the calls. After a write that failed, nothing more is written: what is
committed is whole, and a new run goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import anyio

from ..broker.spending import Spending
from .batch import Batch, Slot, answered
from .calls import CallOutput
from .events import encoded
from .history import StoredItem
from .model import FunctionCall, Usage
from .past import Past
from .response import About, Outcome, Progress, Verdict, spent_by
from .results import KEPT, Piece, kept_of
from .summaries import Summary, visible, weight_of
from .transcript import Form, Transcript

log = logging.getLogger("frontdesk.journal")

T = TypeVar("T")


class Store(Protocol):
    """Keeps batches. Each method is one commit, or nothing; a cancelled caller still waits for it."""

    async def save(self, what: str, batch: Batch) -> None: ...
    async def finish(self, batch: Batch, outcome: Outcome) -> Verdict: ...
    async def read_kept(self, call_id: str, offset: int, count: int) -> Piece | None: ...
    async def known_kept(self) -> list[tuple[str, int]]: ...


class Journal(Transcript):
    """One turn's journal. ``spawn`` starts the flushing beside the run; without it, events wait for the next commit."""

    def __init__(
        self,
        about: About,
        store: Store,
        items: list[StoredItem],
        *,
        past: Past | None = None,
        sequence: int = 0,
        progress: Progress | None = None,
        usage: Usage = Usage(),  # noqa: B008 - frozen
        spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], None] | None = None,
    ) -> None:
        super().__init__(about, items, past=past, sequence=sequence, progress=progress or Progress(), usage=usage)
        self._store, self._spawn = store, spawn
        self._writing = asyncio.Lock()
        self._flushing = False
        self._flushed = "events"  # what is written beside the run
        self._failure: Exception | None = None
        self._clock = time.monotonic()
        self._counted = spent_by(self.progress, usage)
        self.summary: Summary | None = None  # of items of this response, and all before it

    @property
    def has_failed(self) -> bool:
        """Whether a write failed: what was made since the last commit is lost."""
        return self._failure is not None

    def say(self, agent: str, text: str) -> None:
        """A piece of text of the model; it is written soon, beside the run. Raises what such a write has raised."""
        if self._failure is not None:
            raise self._failure
        super().say(agent, text)
        if self._spawn is not None:
            self._start_flushing(self._spawn)

    def summarise(self, summary: Summary) -> None:
        """From now on models are shown this summary of what it stands for."""
        if summary.item_id in self._places:
            self.summary = summary
        else:
            self.past.summarise(summary)

    def shown(self) -> list[StoredItem]:
        """What models are shown of everything that was said."""
        if self.summary is None:
            return [*self.past.visible, *self.items]
        return visible([*self.past.items, *self.items], self.summary, self.about.response_id)

    def weight(self) -> int:
        """The bytes of what models are shown of everything that was said."""
        return self.past.weight + weight_of(self.items) if self.summary is None else weight_of(self.shown())

    def spent(self) -> Spending:
        """What this turn has used until now, the time since its last commit too."""
        return spent_by(self.progress, self.usage, more_seconds=self._since())

    def _since(self) -> float:
        return time.monotonic() - self._clock

    def waited(self, seconds: float) -> None:
        """So long the turn was not at work: it has waited for its turn."""
        self.progress.seconds -= seconds

    @property
    def unsaved(self) -> Spending:
        """What this turn has used since its last commit."""
        return spent_by(self.progress, self.usage) - self._counted

    async def reply(
        self,
        agent: str,
        calls: Sequence[tuple[FunctionCall, str, str, Form]],
        usage: Usage,
        *,
        with_output: bool = False,
        refused: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Commits a reply: what was said, and its calls (call, label, name, who runs it) before one
        runs. ``with_output``: they do nothing before the commit that makes their outputs, and are kept by that.
        ``refused``: calls that have their output already, by their ids.
        """
        self.end_reply(usage)
        for call, label, name, form in calls:
            self._call(agent, call, label, name, form)
            if call.call_id in refused:
                self.answer(CallOutput(call.call_id, refused[call.call_id], True, "error"))
        if not with_output:
            await self.commit("reply")

    async def output(self, given: CallOutput) -> None:
        """Has the output of one call written, as soon as it is there. The model may be asked meanwhile; what it calls
        is not run before both are committed.
        """
        self.answer(given)
        await self.soon("output")

    @property
    def has_kept(self) -> bool:
        """Whether a result in the history is longer than it is shown."""
        return self.past.has_kept or any(KEPT in one.body for one in self.items)

    def is_kept(self, call_id: str) -> bool:
        """Whether the whole result of a call that is still open is kept already."""
        item_id = self._open_calls.get(call_id)
        return item_id is not None and KEPT in self.items[self._places[item_id]].body

    async def keep(self, given: CallOutput) -> None:
        """Commits the whole result of a call whose output is still to be made of it."""
        item_id = self._open_calls.get(given.call_id)
        if item_id is not None and given.kept is not None:
            item = self.items[self._places[item_id]]
            self._change(replace(item, body={**item.body, KEPT: len(given.kept)}))
            self._batch.kept += kept_of(given)
            await self.commit("output")

    async def read_kept(self, call_id: str, offset: int, count: int) -> Piece | None:
        """A part of a result that is kept; None when it is not there."""
        await self.settle()
        return await self._store.read_kept(call_id, offset, count)

    async def known_kept(self) -> list[tuple[str, int]]:
        """The results that are kept, the newest first: call ids and characters."""
        return await self._store.known_kept()

    async def output_in(self, call_id: str, write: Callable[[Batch, Slot], Awaitable[CallOutput]]) -> CallOutput:
        """Lets a write make the output of an open call, in the commit that does what the call asks for."""
        async with self._writing:
            item = self.items[self._places[self._open_calls[call_id]]]
            index = self._index[item.id]
            slot = Slot(item, index, self.about.conversation_id, self.stream.reserve(2))
            output = await self._guarded(write(self._take(), slot))
            self.items[self._places[item.id]] = answered(item, output)
            del self._open_calls[call_id]
            self.progress.calls.setdefault(call_id, []).append(time.time())
            return output

    async def finish(self, outcome: Outcome) -> Verdict:
        """Ends the response and the turn with its last events. A delegated run may have to go on instead, or be
        parked.

        Who is cancelled while something else is being written still ends the turn: an answer that is whole must not be
        kept without the end that belongs to it, or whoever goes on with the turn would answer once more.
        """
        self.interrupt("incomplete" if outcome.status == "failed" else "completed")
        if outcome.status in ("failed", "cancelled"):
            self.withdraw_requests()
        kind = outcome.status if outcome.status in ("completed", "failed") else "incomplete"
        with anyio.CancelScope(shield=True):
            async with self._writing:
                outcome = replace(outcome, at=time.time())  # as its last event says, and whoever reads it later
                self.stream.lifecycle(kind, self.body(outcome))  # not before: what is written beside would take it
                verdict = await self._guarded(self._store.finish(self._take(), outcome))
                if verdict != "ended":
                    self.stream.sequence -= 1  # the last event was not said
                return verdict
        raise AssertionError("a shielded scope swallows nothing")

    async def commit(self, what: str) -> None:
        """Writes everything that has been made since the last commit."""
        async with self._writing:
            await self._guarded(self._store.save(what, self._take()))

    async def soon(self, what: str) -> None:
        """Has everything that has been made since the last commit written beside the run, by the next commit at the
        latest. Call `settle` before the run is left. Raises what such a write has raised.
        """
        if self._failure is not None:
            raise self._failure
        if self._spawn is None:
            await self.commit(what)
            return
        self._flushed = what
        self._start_flushing(self._spawn)

    @property
    def is_settled(self) -> bool:
        """Whether everything is written, or a write has failed."""
        return not self._writing.locked() and not self._is_unwritten()

    async def settle(self) -> None:
        """Waits until everything is written, or a write has failed."""
        if self.is_settled:
            return
        async with self._writing:
            if self._failure is None:
                await self._flush_once()

    async def commit_in(self, write: Callable[[Batch], Awaitable[T]]) -> T:
        """Hands what has been made since the last commit to a write of its own."""
        async with self._writing:
            return await self._guarded(write(self._take()))

    async def _guarded(self, write: Awaitable[T]) -> T:
        try:
            return await write
        except Exception as error:
            self._failure = error
            raise

    def _take(self) -> Batch:
        """The batch of a commit. Raises what an earlier one raised: its batch is lost, so nothing may follow it."""
        if self._failure is not None:
            raise self._failure
        batch, self._batch = self._batch, Batch()
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self._clock = now
        batch.events = self.stream.take()
        batch.next_sequence = self.stream.sequence
        batch.state = encoded(self.progress)
        batch.usage = encoded(self.usage)
        if not batch.is_empty():
            batch.spent = self.unsaved
            if batch.spent:  # time alone is counted with whatever is used next
                self._counted += batch.spent
        batch.current = self.progress.path[-1] if self.progress.path else ""
        return batch

    def _start_flushing(self, spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], None]) -> None:
        """Begins to write beside the run, unless the run has written all of it before it waits for anything."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush_if_needed, spawn)

    def _flush_if_needed(self, spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], None]) -> None:
        if self._is_unwritten():
            spawn(self._flush)
        else:
            self._flushing = False

    def _is_unwritten(self) -> bool:
        return bool(self.stream.pending or not self._batch.is_empty()) and self._failure is None

    async def _flush(self) -> None:
        """Writes what has accumulated, again and again while something is new: bursts become one row."""
        try:
            while self._is_unwritten():
                async with self._writing:
                    await self._flush_once()
        finally:
            self._flushing = False

    async def _flush_once(self) -> None:
        what, self._flushed = "begin" if self._batch.begins else self._flushed, "events"
        try:
            await self._guarded(self._store.save(what, self._take()))
        except Exception as error:
            log.info("what was made beside the run could not be written, the run will end: %s", error)
