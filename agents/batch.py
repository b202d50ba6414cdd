"""What one commit of a turn writes, for which turn; the slot of a call whose output is made inside a commit. Values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from ..broker.events import Event
from ..broker.inbox import Entry
from ..broker.rows import Claim
from ..broker.spending import Spending
from .calls import CallOutput
from .events import ResponseStream, clean, wire_item
from .history import StoredItem
from .results import KEPT, Kept


@dataclass(frozen=True, slots=True)
class Ref:
    """Which turn is written: its response, its conversation, and the claim that allows it."""

    claim: Claim
    response_id: str
    conversation_id: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What the client is asked for: the output of a call, or whether a call may be run (``task``: by that one)."""

    key: str  # call id, or the request's id
    kind: Literal["output", "approval"]
    item_id: str
    task: str = ""


@dataclass(slots=True)
class Batch:
    """Built by the journal, written once, never changed after."""

    begins: bool = False  # the response: nothing of it has been written before
    events: list[Event] = field(default_factory=list[Event])
    added: list[StoredItem] = field(default_factory=list[StoredItem])
    changed: list[StoredItem] = field(default_factory=list[StoredItem])
    closed: list[str] = field(default_factory=list[str])  # items whose deltas may go
    kept: list[Kept] = field(default_factory=list[Kept])  # whole results of calls
    taken: list[Entry] = field(default_factory=list[Entry])  # of the inbox: what has entered the conversation
    asked: list[Asked] = field(default_factory=list[Asked])
    withdrawn: list[str] = field(default_factory=list[str])  # requests that need no answer any more
    agent: str | None = None  # the conversation moves to this agent
    next_sequence: int = 0
    state: str = "{}"
    usage: str = "{}"
    current: str = ""  # the agent that is answering
    spent: Spending = Spending()  # noqa: RUF009 - frozen; since the last commit
    triggers: str = ""  # the tasks whose notices started it

    def is_empty(self) -> bool:
        """Whether nothing would be lost without it."""
        return not (self.events or self.added or self.changed or self.taken) and self.agent is None

    def written(self) -> Batch:
        """What is left of it when it has been written: where the turn is."""
        return Batch(next_sequence=self.next_sequence, state=self.state, usage=self.usage, current=self.current)

    def without_last_event(self) -> Batch:
        """The same, but the response has not said its last event."""
        return replace(self, events=self.events[:-1], next_sequence=self.next_sequence - 1)


@dataclass(frozen=True, slots=True)
class Slot:
    """An open call whose output only the commit itself knows; two numbers are kept free for its events."""

    item: StoredItem
    index: int
    conversation_id: str
    sequence: int

    def put_into(self, batch: Batch, output: CallOutput) -> Batch:
        """The batch with the call's output at its end."""
        changed = answered(self.item, output)
        stream = ResponseStream(self.item.response_id, self.conversation_id, sequence=self.sequence)
        tell_answer(stream, self.index, changed)
        events = batch.events + stream.take()
        if any(one.id == changed.id for one in batch.added):
            added = [changed if one.id == changed.id else one for one in batch.added]
            return replace(batch, added=added, events=events)
        return replace(batch, changed=[*batch.changed, changed], events=events)


def answered(item: StoredItem, given: CallOutput) -> StoredItem:
    """A call with its output. An error is an object, as the API has it."""
    body = dict(item.body)
    text = clean(given.output)
    if given.error:
        body["output"] = None
        body["error"] = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": text}]}
    else:
        body["output"] = text
    if given.kept is not None:
        body[KEPT] = len(given.kept)
    return replace(item, status="completed", body=body)


def tell_answer(stream: ResponseStream, index: int, item: StoredItem) -> None:
    """The two events of a call that has ended."""
    stream.call_ends(item.id, index, failed=item.body.get("error") is not None)
    stream.done(index, wire_item(item.id, item.body, item.status, item.agent))
