"""The transcript of a turn: what is said and done becomes items and events, in their order. No I/O, and nothing is
decided here.

What is written, and when, is in ``journal``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from ..broker.inbox import Entry
from ..tasks.request import new_id
from .approvals import NOT_RUN, WITHDRAWN, Decision
from .batch import Asked, Batch, answered, tell_answer
from .calls import CallOutput
from .events import ResponseStream, clean, wire_item
from .history import INTERRUPTED, StoredItem, said
from .model import JSON, FunctionCall, Usage
from .past import Past
from .response import INPUT_STEP, About, Outcome, Progress, response_body
from .results import kept_of

Status = Literal["completed", "in_progress", "incomplete"]
Form = Literal["server", "client", "approval"]  # who runs a call: the server, the client, or the server once it may


class Transcript:
    """One turn's transcript: ``items`` are this response's, ``past`` is what the conversation held before."""

    def __init__(
        self,
        about: About,
        items: list[StoredItem],
        *,
        past: Past | None = None,
        sequence: int,
        progress: Progress,
        usage: Usage,
    ) -> None:
        self.about, self.items, self.past = about, items, past or Past()
        self.progress, self.usage, self.last_usage = progress, usage, Usage()  # the last one: of the newest reply
        self.owed = self.past.owed.copy()
        self.approved: set[str] = set()  # call ids that were approved in this run: they have never been started
        self._places: dict[str, int] = {}  # where an item of this response lies in ``items``
        self._index: dict[str, int] = {}  # the output index of an item of this response
        self._open_calls: dict[str, str] = {}  # call id -> item id, in the order of the calls
        for place, one in enumerate(items):
            self._know(one, place)
        outputs = len(self._index)
        self.stream = ResponseStream(about.response_id, about.conversation_id, sequence=sequence, items=outputs)
        self._batch = Batch()
        self._open: StoredItem | None = None  # the message that is being streamed
        self._said: list[str] = []
        self._whole: str | None = None  # the open message's text, once the model has said all of it

    def _know(self, item: StoredItem, place: int) -> None:
        self._places[item.id] = place
        self.owed.take(item)
        if item.step <= INPUT_STEP:
            return
        self._index[item.id] = len(self._index)
        kind = item.body.get("type")
        if kind == "mcp_call" and item.status == "in_progress":
            self._open_calls[str(item.body.get("frontdesk:call_id"))] = item.id

    # What goes out while the model is talking

    def say(self, agent: str, text: str) -> None:
        """A piece of text of the model."""
        if self._whole is not None:
            self._end_open()
        if self._open is None:
            body: JSON = {"type": "message", "role": "assistant", "content": []}
            self._open = self._add(StoredItem(new_id("msg"), *self._place(), "in_progress", agent, body))
            self.stream.text_begins(self._open.id, self._index[self._open.id])
        self._said.append(text)
        self.stream.text_delta(self._open.id, self._index[self._open.id], text)

    def end_message(self, agent: str, text: str) -> None:
        """The message of the model is complete. Until the reply has gone on or has ended, a crash
        leaves it half said.
        """
        if self._open is None or self._whole is not None:
            self.say(agent, text)
        self._whole = clean(text)

    def think(self, agent: str, body: JSON, model: str) -> None:
        """A finished reasoning item of the model."""
        self._end_open()
        kept: JSON = {"summary": [], **body, "type": "reasoning", "frontdesk:model": model}
        item_id = str(body.get("id") or "")
        if not item_id or item_id in self._places or item_id in self.past.by_id:
            item_id = new_id("rs")
            kept["frontdesk:model"] = ""  # two under one id would be refused: no model is shown this one
        self._done(self._add(StoredItem(item_id, *self._place(), "completed", agent, kept)))

    def is_talking(self) -> bool:
        """Whether a message is open."""
        return self._open is not None

    def _end_open(self, status: Status = "completed") -> None:
        """Closes the open message with what was said."""
        if self._open is not None:
            text = self._whole if self._whole is not None else clean("".join(self._said))
            self._close(self._open, text, status)
            self._open, self._said, self._whole = None, [], None

    def _close(self, item: StoredItem, text: str, status: Status) -> None:
        content: list[JSON] = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
        closed = self._change(replace(item, status=status, body={**item.body, "content": content}))
        self.stream.text_ends(item.id, self._index[item.id], text)
        self._batch.closed.append(item.id)
        self._done(closed)

    # Items

    def _place(self) -> tuple[str, int]:
        return self.about.response_id, self.progress.step

    def _add(self, item: StoredItem) -> StoredItem:
        self._know(item, len(self.items))
        self.stream.added(wire_item(item.id, item.body, item.status, item.agent))
        self.items.append(item)
        self._batch.added.append(item)
        return item

    def _change(self, changed: StoredItem) -> StoredItem:
        self.items[self._places[changed.id]] = changed
        for number, one in enumerate(self._batch.added):
            if one.id == changed.id:
                self._batch.added[number] = changed
                return changed
        self._batch.changed.append(changed)
        return changed

    def _done(self, item: StoredItem) -> None:
        self.stream.done(self._index[item.id], wire_item(item.id, item.body, item.status, item.agent))

    def enter(self, entries: Sequence[Entry], items: Iterable[StoredItem], notices: Sequence[StoredItem]) -> None:
        """What has come in, with the inbox entries that it came from; ``notices`` are output items too. Commit it
        next.
        """
        for one in items:
            self._know(one, len(self.items))
            self.items.append(one)
            self._batch.added.append(one)
        for one in notices:
            self._done(self._add(one))
        self._batch.taken += entries

    # The parts of a turn

    def begin(self, *, first: bool, half: dict[str, str]) -> None:
        """Starts the response, or goes on with it: what a crash left half said (item id, text) is closed as
        incomplete.
        """
        if first:
            self._batch.begins, self._batch.triggers = True, self.about.triggers
            self.stream.begins(self.body(None))
        for item_id, text in half.items():
            self._close(self.items[self._places[item_id]], text, "incomplete")

    def end_reply(self, usage: Usage) -> None:
        """The reply is whole: its last message counts, and what it used. It is committed with what comes next."""
        self._end_open()
        self.usage, self.last_usage = self.usage + usage, usage

    @property
    def asks_client(self) -> bool:
        """Whether the turn waits for its client: the response ends with it."""
        return self.owed.blocks

    def _call(self, agent: str, call: FunctionCall, label: str, name: str, form: Form) -> None:
        arguments = clean(call.arguments)
        body: JSON
        if form == "client":
            body = {"type": "function_call", "call_id": call.call_id, "name": name, "arguments": arguments}
            item = self._add(StoredItem(new_id("fc"), *self._place(), "completed", agent, body))
            self.stream.arguments_done(item.id, self._index[item.id], name, arguments)
            self._done(item)
            self._batch.asked.append(Asked(call.call_id, "output", item.id))
            return
        body = {"server_label": label, "name": name, "arguments": arguments, "frontdesk:call_id": call.call_id}
        if form == "approval":
            self.ask_approval(new_id("mcpr"), agent, body)
        else:
            self._begin_call(agent, body)

    def ask_approval(self, request_id: str, agent: str, call: JSON) -> None:
        """Asks the client whether a call may be run."""
        body = {"type": "mcp_approval_request", **call}
        self._done(self._add(StoredItem(request_id, *self._place(), "completed", agent, body)))
        self._batch.asked.append(Asked(request_id, "approval", request_id, str(call.get("frontdesk:task") or "")))

    def _begin_call(self, agent: str, call: JSON) -> str:
        body = {"type": "mcp_call", **call}
        item = self._add(StoredItem(new_id("mcp"), *self._place(), "in_progress", agent, body))
        self.stream.call_begins(item.id, self._index[item.id], str(body["arguments"]))
        call_id = str(body["frontdesk:call_id"])
        self.progress.calls[call_id] = [time.time()]
        return call_id

    def item(self, item_id: str) -> StoredItem | None:
        """An item of this response, or of what the conversation held before."""
        place = self._places.get(item_id)
        return self.past.by_id.get(item_id) if place is None else self.items[place]

    def settle_approvals(self, decisions: Sequence[Decision]) -> None:
        """What was decided about calls that were asked about: each is gone on with as a call of this response, which
        is open when it may run, and answered when it may not.
        """
        refused: list[CallOutput] = []
        for one in decisions:
            body = one.request.body
            call = {name: body[name] for name in ("server_label", "name", "arguments", "frontdesk:call_id")}
            call_id = self._begin_call(one.request.agent, {**call, "approval_request_id": one.request.id})
            if one.refusal is None:
                self.approved.add(call_id)
            else:
                refused.append(CallOutput(call_id, one.refusal, True, "error"))
        for output in refused:
            self.answer(output)

    def open_calls(self) -> list[tuple[str, StoredItem]]:
        """Calls that have no output yet, in their order: call id and item."""
        return [(call_id, self.items[self._places[one]]) for call_id, one in self._open_calls.items()]

    def answer(self, given: CallOutput) -> None:
        """Gives a call its output; it is committed with what comes next. A call that has one already keeps it."""
        item_id = self._open_calls.pop(given.call_id, None)
        if item_id is not None:
            self.progress.calls.setdefault(given.call_id, []).append(time.time())
            changed = self._change(answered(self.items[self._places[item_id]], given))
            self._batch.kept += kept_of(given)
            tell_answer(self.stream, self._index[item_id], changed)

    def output_of(self, call_id: str) -> str:
        """What a call of this response came to, as text; empty while it is open."""
        for item in reversed(self.items):
            if item.body.get("frontdesk:call_id") == call_id:
                error = item.body.get("error")
                return said(error["content"]) if error else str(item.body.get("output") or "")
        return ""

    def move(self, agent: str) -> None:
        """The conversation moves to another agent; commit it next."""
        before, self.progress.handoff = self.progress.path[-1], None
        self.progress.path.append(agent)
        self._batch.agent = agent
        self.stream.own("agent.changed", **{"from": before, "to": agent})

    def interrupt(self, status: Status = "incomplete") -> None:
        """Closes what is open: half a message stays visible as incomplete, a whole one has ``status``; calls are
        answered.
        """
        self._end_open(status if self._whole is not None else "incomplete")
        for call_id in list(self._open_calls):
            text = NOT_RUN if call_id in self.approved else INTERRUPTED
            self.answer(CallOutput(call_id, text, True, "interrupted"))

    def body(self, outcome: Outcome | None) -> JSON:
        """The response as it is now."""
        output: list[JSON] = []
        if outcome is not None:
            own = (self.items[self._places[one]] for one in self._index)
            output = [wire_item(one.id, one.body, one.status, one.agent) for one in own]
        return response_body(self.about, outcome, output, self.usage)

    def hand_over(self) -> None:
        """The response has ended, and all of it is stored: its items belong to the past."""
        self.past.take_over(self.items)
        self.items = []

    def required_input(self) -> tuple[JSON, ...]:
        """Stubs of what the client is to send: outputs of the calls that it runs, answers to what it was asked."""
        return tuple(self.owed.open.values())

    def withdraw_requests(self) -> None:
        """What this response has asked about is not to be run any more: whoever ended it has ended that too."""
        mine = [found for one in self.owed.open if (found := self.item(one)) is not None and one in self._index]
        own = [one for one in mine if one.body.get("type") == "mcp_approval_request"]
        self._batch.withdrawn += [one.id for one in own]
        self.settle_approvals([Decision(one, WITHDRAWN) for one in own if "frontdesk:task" not in one.body])

    def last_message(self) -> str:
        """The text of the response's last message; empty when it has none."""
        for item_id in reversed(self._index):
            item = self.items[self._places[item_id]]
            if item.body.get("type") == "message":
                return said(item.body["content"])
        return ""
