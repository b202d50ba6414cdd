"""The journal of a turn: what is said and done becomes items and events, and each commit is one batch for a store.

The journal knows the wire's shapes and the order of things; a `Store` keeps them: in the database, or in memory only. What happens next in a turn is not decided
here. Every method that writes does so in the order of the calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from pydantic_core import to_json

from ..tasks.table import new_id
from .calls import CallOutput
from .events import ResponseStream, encoded, usage_body, wire_item
from .history import StoredItem
from .model import JSON, FunctionCall, Usage
from .storage import Batch, Ended

T = TypeVar("T")

INPUT_STEP = -1  # items that came in; everything from step 0 on is output


@dataclass(slots=True)
class Progress:
    """How far a turn is: kept with it, so that another worker goes on from there."""

    step: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    path: list[str] = field(default_factory=list[str])  # the agents that have had it
    checks: dict[str, int] = field(default_factory=dict[str, int])  # task id -> how often it was checked while live
    waits: dict[str, float] = field(default_factory=dict[str, float])  # call id -> deadline on the database's clock


@dataclass(frozen=True, slots=True)
class About:
    """What a turn is, for its response's body."""

    response_id: str
    conversation_id: str
    tenant: str
    created_at: float
    request: JSON
    previous_id: str | None = None
    triggers: str = ""


class Store(Protocol):
    """Keeps batches. Each method is one commit, or nothing."""

    async def save(self, what: str, batch: Batch) -> None: ...
    async def finish(self, batch: Batch, status: Ended, ended: str, error: str | None, result: str | None) -> None: ...


class Journal:
    """One turn's journal. ``spawn`` starts the flushing beside the run; without it, events wait for the next commit."""

    def __init__(
        self,
        about: About,
        store: Store,
        items: list[StoredItem],
        *,
        sequence: int = 0,
        progress: Progress | None = None,
        usage: Usage = Usage(),  # noqa: B008 - frozen
        spawn: Callable[[Callable[[], Awaitable[None]]], None] | None = None,
    ) -> None:
        self.about, self.items = about, items
        self.progress = progress or Progress()
        self.usage = usage
        self._store, self._spawn = store, spawn
        own = [one.id for one in items if one.response_id == about.response_id and one.step > INPUT_STEP]
        self._index = {one: number for number, one in enumerate(own)}
        self.stream = ResponseStream(about.response_id, about.conversation_id, sequence=sequence, items=len(own))
        self._batch = Batch()
        self._writing = asyncio.Lock()
        self._flushing = False
        self._open: StoredItem | None = None  # the message that is being streamed
        self._said: list[str] = []

    # What goes out while the model is talking

    def say(self, agent: str, text: str) -> None:
        """A piece of text of the model."""
        if self._open is None:
            body: JSON = {"type": "message", "role": "assistant", "content": []}
            self._open = self._add(StoredItem(new_id("msg"), *self._place(), "in_progress", agent, body))
            self.stream.text_begins(self._open.id, self._index[self._open.id])
        self._said.append(text)
        self.stream.text_delta(self._open.id, self._index[self._open.id], text)
        self._flush_soon()

    def think(self, agent: str, body: JSON, model: str) -> StoredItem:
        """A finished reasoning item of the model."""
        kept = {**body, "type": "reasoning", "frontdesk:model": model}
        kept.setdefault("summary", [])
        return self._add(StoredItem(str(body.get("id") or new_id("rs")), *self._place(), "in_progress", agent, kept))

    def _place(self) -> tuple[str, int]:
        return self.about.response_id, self.progress.step

    def _add(self, item: StoredItem) -> StoredItem:
        self._index[item.id] = self.stream.added(wire_item(item.id, item.body, item.status, item.agent))
        self.items.append(item)
        self._batch.added.append(item)
        return item

    def _change(self, item: StoredItem, *, status: str, body: JSON | None = None) -> StoredItem:
        changed = replace(item, status=status, body=item.body if body is None else body)
        place = next(number for number in range(len(self.items) - 1, -1, -1) if self.items[number].id == item.id)
        self.items[place] = changed
        for number, one in enumerate(self._batch.added):
            if one.id == item.id:
                self._batch.added[number] = changed
                return changed
        self._batch.changed.append(changed)
        return changed

    def _done(self, item: StoredItem) -> None:
        self.stream.done(self._index[item.id], wire_item(item.id, item.body, item.status, item.agent))

    def end_message(self, agent: str, text: str) -> None:
        """The message of the model is complete. It closes the pieces before it, or stands alone."""
        if self._open is None:
            self.say(agent, text)
        assert self._open is not None
        self._close(self._open, text, "completed")
        self._open, self._said = None, []

    def _close(self, item: StoredItem, text: str, status: str) -> None:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        closed = self._change(item, status=status, body={**item.body, "content": content})
        self.stream.text_ends(item.id, self._index[item.id], text)
        self._batch.closed.append(item.id)
        self._done(closed)

    # Commits

    async def begin(self, entered: list[StoredItem], *, first: bool, half: dict[str, str]) -> None:
        """Starts the response, or goes on with it: what a crash left half streamed is closed as incomplete."""
        self.items += entered
        self._batch.added += entered
        if first:
            self.stream.lifecycle("created", self.body("in_progress"))
            self.stream.lifecycle("in_progress", self.body("in_progress"))
        for item_id, text in half.items():
            item = self._find(item_id)
            if item.body["type"] == "message":
                self._close(item, text, "incomplete")
            else:
                self._done(self._change(item, status="incomplete"))
        await self.commit("input")

    def _find(self, item_id: str) -> StoredItem:
        return next(one for one in reversed(self.items) if one.id == item_id)

    async def enter(self, entered: list[StoredItem], shown: list[StoredItem]) -> None:
        """Items that enter at a boundary; ``shown`` are notices, which are output items too."""
        self.items += entered
        self._batch.added += entered
        for one in shown:
            self._done(self._add(one))
        if entered or shown:
            await self.commit("input")

    async def reply(
        self, agent: str, thoughts: list[StoredItem], calls: list[tuple[FunctionCall, str, str, bool]], usage: Usage
    ) -> None:
        """Commits a reply: what was said, and its calls (call, label, name, whether the client runs it) before any of them is run."""
        self.finish_reply(thoughts, usage)
        for call, label, name, by_client in calls:
            self._call(agent, call, label, name, by_client)
        await self.commit("reply")

    def finish_reply(self, thoughts: list[StoredItem], usage: Usage) -> None:
        """The reply is whole: what it thought counts, and what it used."""
        for thought in thoughts:
            self._done(self._change(thought, status="completed"))
        self.usage += usage

    def _call(self, agent: str, call: FunctionCall, label: str, name: str, by_client: bool) -> None:
        body: JSON
        if by_client:
            body = {"type": "function_call", "call_id": call.call_id, "name": name, "arguments": call.arguments}
            item = self._add(StoredItem(new_id("fc"), *self._place(), "completed", agent, body))
            self.stream.arguments_done(item.id, self._index[item.id], name, call.arguments)
            self._done(item)
            return
        body = {
            "type": "mcp_call", "server_label": label, "name": name, "arguments": call.arguments,
            "frontdesk:call_id": call.call_id,
        }  # fmt: skip
        item = self._add(StoredItem(new_id("mcp"), *self._place(), "in_progress", agent, body))
        self.stream.call_begins(item.id, self._index[item.id], call.arguments)

    async def output(self, given: CallOutput) -> None:
        """Commits the output of one call, as soon as it is there."""
        self.answer(given)
        await self.commit("output")

    def answer(self, given: CallOutput) -> None:
        """Gives a call its output; it is committed with what comes next."""
        item = self.open_call(given.call_id)
        if item is None:
            return
        body = dict(item.body)
        if given.error:
            body["output"] = None
            body["error"] = {
                "type": "mcp_tool_execution_error",
                "content": [{"type": "text", "text": given.output}],
            }
        else:
            body["output"] = given.output
        changed = self._change(item, status="completed", body=body)
        self.stream.call_ends(item.id, self._index[item.id], failed=given.error)
        self._done(changed)

    def open_call(self, call_id: str) -> StoredItem | None:
        """The call that waits for its output under this id."""
        for one in reversed(self.items):
            if (
                one.response_id == self.about.response_id
                and one.status == "in_progress"
                and one.body.get("frontdesk:call_id") == call_id
            ):
                return one
        return None

    async def move(self, given: CallOutput, before: str, agent: str) -> None:
        """The conversation moves to another agent, in one commit with the output of the handoff."""
        self.answer(given)
        self.progress.path.append(agent)
        self._batch.agent = agent
        self.stream.own("agent.changed", **{"from": before, "to": agent})
        await self.commit("handoff")

    async def finish(
        self, status: Ended, *, ended: str = "", error: str | None = None, limit: str = "", result: str | None = None
    ) -> None:
        """Ends the response and the turn with its last events."""
        self.interrupt()
        kind = {"completed": "completed", "failed": "failed"}.get(status, "incomplete")
        self.stream.lifecycle(kind, self.body(status, ended=ended, error=error, limit=limit))
        async with self._writing:
            await self._store.finish(self._take(), status, ended, error, result)

    def interrupt(self) -> None:
        """Closes whatever is still open: half a message stays visible as incomplete, a call without output is answered."""
        if self._open is not None:
            self._close(self._open, "".join(self._said), "incomplete")
            self._open, self._said = None, []
        for one in list(self.items):
            if one.response_id != self.about.response_id or one.status != "in_progress":
                continue
            if one.body.get("type") == "mcp_call":
                call_id = str(one.body.get("frontdesk:call_id"))
                self.answer(CallOutput(call_id, "interrupted, outcome unknown", True, "interrupted"))
            else:
                self._done(self._change(one, status="incomplete"))

    def is_talking(self) -> bool:
        """Whether a message is half said."""
        return self._open is not None

    async def parking(self, write: Callable[[Batch], Awaitable[T]]) -> T:
        """Hands what has been made since the last commit to a write of its own (one that may park the turn)."""
        async with self._writing:
            await self._store.save("events", self._take())
            return await write(self.batch())

    async def commit(self, what: str) -> None:
        """Writes everything that has been made since the last commit."""
        async with self._writing:
            await self._store.save(what, self._take())

    def _take(self) -> Batch:
        batch, self._batch = self.batch(), Batch()
        return batch

    def batch(self) -> Batch:
        """What a commit would write now."""
        batch = self._batch
        batch.events += self.stream.take()
        batch.next_sequence = self.stream.sequence
        batch.state = encoded(self.progress)
        batch.usage = to_json(self.usage).decode()
        batch.current = self.progress.path[-1] if self.progress.path else ""
        return batch

    def _flush_soon(self) -> None:
        if self._spawn is not None and not self._flushing:
            self._flushing = True
            self._spawn(self._flush)

    async def _flush(self) -> None:
        """Writes what has accumulated, again and again while something is new: bursts become one row."""
        try:
            while self.stream.pending:
                await self.commit("events")
        finally:
            self._flushing = False

    def body(self, status: str, *, ended: str = "", error: str | None = None, limit: str = "") -> JSON:
        """The response as it is now."""
        about, request = self.about, self.about.request
        metadata: dict[str, Any] = dict(request.get("metadata") or {})
        if about.triggers:
            metadata["frontdesk:trigger"] = about.triggers[:512]
        if limit:
            metadata["frontdesk:limit"] = limit
        own = (one for one in self.items if one.id in self._index and one.response_id == about.response_id)
        over = status != "in_progress"
        return {
            "id": about.response_id,
            "object": "response",
            "created_at": about.created_at,
            "status": status,
            "background": bool(request.get("background")),
            "error": None if error is None or status != "failed" else {"code": "server_error", "message": error},
            "incomplete_details": {"reason": "steered" if ended == "steered" else "max_output_tokens"}
            if status == "incomplete"
            else None,
            "instructions": request.get("instructions"),
            "max_output_tokens": request.get("max_output_tokens"),
            "metadata": metadata,
            "model": request.get("model") or "desk",
            "output": [wire_item(one.id, one.body, one.status, one.agent) for one in own] if over else [],
            "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
            "previous_response_id": about.previous_id,
            "conversation": {"id": about.conversation_id},
            "temperature": request.get("temperature"),
            "top_p": request.get("top_p"),
            "tool_choice": request.get("tool_choice") or "auto",
            "tools": request.get("tools") or [],
            "usage": usage_body(self.usage) if over else None,
        }
