"""A turn in the database: begin, save, park, finish. Plain functions of a connection, each one commit when it is written by itself.

What a crash leaves: before a commit, the turn as it was at the last one, and the next run goes on from there; after it, the same, one step
further. Nothing here decides what a turn does next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from ..broker import events, inbox, queue, rows, turns, waits
from ..broker.connection import Connection
from ..broker.endings import end
from ..broker.errors import LeaseLost
from ..broker.events import Event
from ..broker.failpoints import operation
from ..broker.inbox import Entry
from ..broker.rows import Claim, TaskRow
from ..broker.statements import Statement, insert_row, p, table
from ..broker.tables import Conversation, Turn
from ..broker.turns import TurnRow
from ..tasks.states import Action
from ..tasks.table import TaskRequest
from .history import StoredItem
from .table import Item

item, turn, conversation = table(Item), table(Turn), table(Conversation)

COUNT_ITEMS: Statement = Statement(
    sa.update(conversation)
    .where(conversation.c.id == p("id"))
    .values(last_item=conversation.c.last_item + p("count"))
    .returning(conversation.c.last_item)
)
INSERT_ITEM: Statement = Statement(insert_row(Item))
UPDATE_ITEM: Statement = Statement(
    sa.update(item)
    .where(item.c.conversation_id == p("conversation_id"), item.c.id == p("id"))
    .values(status=p("status"), body=p("body"))
)
ITEMS: Statement = Statement(
    sa.select(item.c.id, item.c.response_id, item.c.step, item.c.status, item.c.agent, item.c.body)
    .where(item.c.conversation_id == p("conversation_id"))
    .order_by(item.c.position)
)
TURN_SAVED: Statement = Statement(
    sa.update(turn)
    .where(turn.c.id == p("id"))
    .values(next_sequence=p("next_sequence"), state=p("state"), usage=p("usage"), agent=p("agent"))
)
TURN_BEGUN: Statement = Statement(
    sa.update(turn)
    .where(turn.c.id == p("id"))
    .values(status="in_progress", started_at=sa.func.coalesce(turn.c.started_at, p("started_at")),
            first_cursor=p("first_cursor"), triggers=p("triggers"))
)  # fmt: skip
TURN_ENDED: Statement = Statement(
    sa.update(turn)
    .where(turn.c.id == p("id"))
    .values(status=p("status"), ended=p("ended"), error=p("error"), finished_at=p("finished_at"))
)
SET_AGENT: Statement = Statement(sa.update(conversation).where(conversation.c.id == p("id")).values(agent=p("agent")))
SET_HEAD: Statement = Statement(sa.update(conversation).where(conversation.c.id == p("id")).values(head=p("head")))
AGENT: Statement = Statement(sa.select(conversation.c.agent).where(conversation.c.id == p("id")))
META: Statement = Statement(sa.select(conversation.c.meta).where(conversation.c.id == p("id")))

Ended = Literal["completed", "incomplete", "failed", "cancelled"]


@dataclass(slots=True)
class Batch:
    """What one commit of a turn writes. Built by the journal, written once, never changed after."""

    events: list[Event] = field(default_factory=list[Event])
    added: list[StoredItem] = field(default_factory=list[StoredItem])
    changed: list[StoredItem] = field(default_factory=list[StoredItem])
    closed: list[str] = field(default_factory=list[str])  # items whose deltas may go
    agent: str | None = None  # the conversation moves to this agent
    next_sequence: int = 0
    state: str = "{}"
    usage: str = "{}"
    current: str = ""  # the agent that is answering


@dataclass(frozen=True, slots=True)
class Ref:
    """Which turn is written: its response, its conversation, and the claim that allows it."""

    claim: Claim
    response_id: str
    conversation_id: str


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn as its run finds it."""

    turn: TurnRow
    agent: str  # the conversation's current agent
    items: list[StoredItem]
    entries: list[Entry]  # what enters the conversation with this turn, taken just now
    deltas: dict[str, list[str]]  # of items that a crash left half streamed
    first: bool  # nothing of it has been emitted yet


def load_items(conn: Connection, conversation_id: str) -> list[StoredItem]:
    """The conversation's history, oldest first."""
    found = conn.all(ITEMS, {"conversation_id": conversation_id})
    return [StoredItem(row[0], row[1], row[2], row[3], row[4], from_json(row[5])) for row in found]


@operation
def begin_turn(conn: Connection, claim: Claim) -> Begun:
    """Starts a claimed turn, or goes on with one: takes its input and reads its history. Raises LeaseLost."""
    found = turns.of_task(conn, claim.task_id)
    if found is None:
        raise LeaseLost(claim.task_id, claim.epoch)
    conversation_id = found["conversation_id"]
    queue.held_row(conn, claim, conversation_id)
    first = found["status"] == "queued"
    entries = inbox.take(conn, conversation_id, found["id"])
    if first:
        triggers = [entry.target_id or "" for entry in entries if entry.kind in ("notice", "note")]
        if found["started_by"] == "notice":
            found["triggers"] = ",".join(dict.fromkeys(triggers or [found["triggers"]]))
        cursor = events.last_cursor(conn, conversation_id) or 0
        conn.run(
            TURN_BEGUN,
            {"id": found["id"], "started_at": conn.wall(), "first_cursor": cursor, "triggers": found["triggers"]},
        )
        found["status"], found["first_cursor"] = "in_progress", cursor
    items = load_items(conn, conversation_id)
    half = [one.id for one in items if one.response_id == found["id"] and one.status == "in_progress"]
    agent = conn.one(AGENT, {"id": conversation_id})
    return Begun(
        found,
        "" if agent is None else str(agent[0]),
        items,
        entries,
        {one: events.deltas(conn, conversation_id, one) for one in half},
        first and found["next_sequence"] == 0,
    )


def _save(conn: Connection, ref: Ref, batch: Batch) -> None:
    """Writes a batch under the fence. Raises LeaseLost, and then nothing of it is kept."""
    queue.held_row(conn, ref.claim, ref.conversation_id)
    insert_items(conn, ref.conversation_id, batch.added)
    for one in batch.changed:
        values = {"status": one.status, "body": to_json(one.body).decode()}
        conn.run(UPDATE_ITEM, {"conversation_id": ref.conversation_id, "id": one.id, **values})
    for one_id in batch.closed:
        events.drop_deltas(conn, ref.conversation_id, one_id)
    if batch.events:
        events.append(conn, ref.conversation_id, batch.events)
    if batch.agent is not None:
        conn.run(SET_AGENT, {"id": ref.conversation_id, "agent": batch.agent})
    conn.run(
        TURN_SAVED,
        {"id": ref.response_id, "next_sequence": batch.next_sequence, "state": batch.state, "usage": batch.usage,
         "agent": batch.current},
    )  # fmt: skip


def insert_items(conn: Connection, conversation_id: str, items: Sequence[StoredItem]) -> None:
    """Appends items to the history, in their order. Locks the conversation."""
    if not items:
        return
    row = conn.one(COUNT_ITEMS, {"id": conversation_id, "count": len(items)})
    position = 0 if row is None else int(row[0]) - len(items)
    for one in items:
        position += 1
        conn.run(
            INSERT_ITEM,
            {
                "conversation_id": conversation_id, "position": position, "id": one.id, "step": one.step,
                "response_id": one.response_id, "status": one.status, "agent": one.agent,
                "body": to_json(one.body).decode(),
            },
        )  # fmt: skip


@operation
def save_events(conn: Connection, ref: Ref, batch: Batch) -> None:
    """What has been streamed meanwhile."""
    _save(conn, ref, batch)


@operation
def save_reply(conn: Connection, ref: Ref, batch: Batch) -> None:
    """A model's whole reply: its calls are committed before any of them is run."""
    _save(conn, ref, batch)


@operation
def save_output(conn: Connection, ref: Ref, batch: Batch) -> None:
    """The output of one call."""
    _save(conn, ref, batch)


@operation
def save_handoff(conn: Connection, ref: Ref, batch: Batch) -> None:
    """The conversation moves: output of the call, current agent and event in one commit."""
    _save(conn, ref, batch)


@operation
def save_input(conn: Connection, ref: Ref, batch: Batch) -> None:
    """Items that enter the conversation: the turn's own input, notices, messages."""
    _save(conn, ref, batch)


@dataclass(frozen=True, slots=True)
class Arrived:
    """What a boundary between two replies finds."""

    entries: list[Entry]
    steered: bool


@operation
def take_input(conn: Connection, ref: Ref) -> Arrived:
    """At a boundary: takes notices and messages, and looks whether the response is steered. Raises LeaseLost."""
    queue.held_row(conn, ref.claim, ref.conversation_id)
    steered = inbox.has_steer(conn, ref.conversation_id, ref.response_id)
    return Arrived(inbox.take(conn, ref.conversation_id, ref.response_id), steered)


def something_waits(conn: Connection, ref: Ref) -> bool:
    """Whether a boundary would find anything; a read, so that most boundaries write nothing."""
    return any(
        row[2] == ref.response_id or row[1] not in ("create", "steer") or row[3] == ref.response_id
        for row in conn.all(inbox.WAITING, {"id": ref.conversation_id})
    )


@operation
def finish_turn(
    conn: Connection, ref: Ref, batch: Batch, status: Ended, *, ended: str = "", error: str | None = None,
    result: str | None = None,
) -> None:  # fmt: skip
    """Ends the turn: its last events, its task, and the conversation's next turn, in one commit. Raises LeaseLost."""
    _save(conn, ref, batch)
    conn.run(
        TURN_ENDED,
        {"id": ref.response_id, "status": status, "ended": ended, "error": error, "finished_at": conn.wall()},
    )
    conn.run(SET_HEAD, {"id": ref.conversation_id, "head": ref.response_id})
    row = queue.held_row(conn, ref.claim, ref.conversation_id)
    end(conn, row, ENDINGS[status], result=result, error=error, error_kind=ended if status != "completed" else "")


ENDINGS: Final[dict[Ended, Action]] = {
    "completed": Action.SUCCEED,
    "incomplete": Action.SUCCEED,
    "failed": Action.FAIL,
    "cancelled": Action.CANCEL,
}


@dataclass(frozen=True, slots=True)
class Waited:
    """What became of a wait: the tasks as they are, and why it ended; ``parked``: it has not, and the run is over."""

    why: Literal["done", "timeout", "interrupted", "parked"]
    tasks: list[TaskRow]


@operation
def wait_or_park(
    conn: Connection, ref: Ref, batch: Batch, awaited: Sequence[str], *, need: int | None, deadline: float | None,
    resumed: bool,
) -> Waited:  # fmt: skip
    """Waits for tasks: says that it is over, or parks the turn, in one commit.

    ``deadline`` is on the database's clock. A person's input ends a wait. Raises CircularWait, TaskNotFound, LeaseLost.
    """
    row = queue.held_row(conn, ref.claim, ref.conversation_id)
    timer = None if deadline is None else max(deadline - conn.now(), 0.0)
    if resumed and timer is not None and timer <= 0:
        why: Literal["done", "timeout", "interrupted", "parked"] = "timeout"
    elif inbox.has_input(conn, ref.conversation_id):
        why = "interrupted"
    elif waits.park(conn, ref.claim, row, awaited=awaited, need=need, seconds=timer):
        why = "parked"
    else:
        why = "done"
    if why == "parked":
        _save_parked(conn, ref, batch)
    found = [rows.read(conn, one) for one in awaited]
    return Waited(why, [one for one in found if one is not None])


def _save_parked(conn: Connection, ref: Ref, batch: Batch) -> None:
    if batch.events:
        events.append(conn, ref.conversation_id, batch.events)
    conn.run(
        TURN_SAVED,
        {"id": ref.response_id, "next_sequence": batch.next_sequence, "state": batch.state, "usage": batch.usage,
         "agent": batch.current},
    )  # fmt: skip


@operation
def create_task(
    conn: Connection, ref: Ref, request: TaskRequest, *, created_by: str, again: bool, agent: str, depth: int,
    child: bool,
) -> tuple[TaskRow, bool]:  # fmt: skip
    """Files a task from a turn; the task, and whether it is a live twin that was there already. Raises LeaseLost.

    ``child``: the task is a delegated run of an agent, with a conversation and a turn of its own.
    """
    queue.held_row(conn, ref.claim, ref.conversation_id)
    found = rows.by_creator(conn, created_by)
    if found is not None:
        return found, False
    if not again:
        twin = rows.live_twin(conn, ref.conversation_id, queue.fingerprint(request.name, request.arguments))
        if twin is not None:
            return twin, True
    origin = queue.Origin(
        tenant=ref.claim.tenant, conversation_id=ref.conversation_id, agent=agent, parent_id=ref.claim.task_id,
        depth=depth, created_by=created_by,
    )  # fmt: skip
    row = queue.enqueue(conn, request, origin)
    if child:
        delegate(conn, row, request)
    return row, False


def delegate(conn: Connection, row: TaskRow, request: TaskRequest) -> None:
    """Gives a delegated run its conversation and its turn."""
    about = conn.one(turns.CONVERSATION, {"id": row["conversation_id"]})
    desk = "" if about is None else str(about[1])
    conversation_id = inbox.create_conversation(
        conn, tenant=row["tenant"], desk=desk, agent=request.name, parent_task=row["id"]
    )
    turns.add(
        conn,
        {
            "id": "resp_" + row["id"].removeprefix("task_"), "conversation_id": conversation_id,
            "tenant": row["tenant"], "task_id": row["id"], "started_by": "delegate", "agent": request.name,
            "request": to_json({"model": request.name, "input": request.arguments.get("input", "")}).decode(),
        },
    )  # fmt: skip


def conversation_of(conn: Connection, task_id: str) -> str | None:
    """The conversation of a delegated run."""
    found = turns.of_task(conn, task_id)
    return None if found is None else str(found["conversation_id"])


def metadata(conn: Connection, conversation_id: str) -> dict[str, Any]:
    """What the client wrote on the conversation."""
    row = conn.one(META, {"id": conversation_id})
    return {} if row is None else dict(from_json(row[0]))
