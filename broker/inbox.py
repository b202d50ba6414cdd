"""The inbox: what waits to enter a conversation. Durable, bounded, ordered; accepted once per input id, and never
blocking.

Accepting commits the input, its response (queued), and, when the conversation is idle, its turn. A full inbox refuses.
Nothing here looks into a payload: what an input means is the agents' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from ..tasks.request import new_id
from . import tenants, turns
from .cancel import ask_turn
from .connection import Answer, Connection
from .conversations import READ_CONVERSATION, continue_from, create_conversation
from .errors import (
    ConversationBusy,
    ConversationNotFound,
    IdempotencyMismatch,
    InboxFull,
    ResponseNotActive,
    ResponseNotFound,
)
from .failpoints import operation
from .inputs import Accepted as Accepted
from .inputs import Entry as Entry
from .inputs import NewCreate as NewCreate
from .inputs import NewSteer as NewSteer
from .inputs import SteerAccepted as SteerAccepted
from .inputs import inherited
from .openings import WAITING as WAITING
from .statements import Statement, defaults, insert_row, p, table, word
from .tables import Conversation, InboxEntry, Turn

conversation, entry, turn = table(Conversation), table(InboxEntry), table(Turn)

COUNT_INPUT: Statement = Statement(
    sa.update(conversation)
    .where(conversation.c.id == p("id"), conversation.c.unattended_limit >= 0)  # it was not given up
    .values(last_input=conversation.c.last_input + 1, waiting_inputs=conversation.c.waiting_inputs + 1)
    .returning(
        conversation.c.last_input,
        conversation.c.waiting_inputs,
        conversation.c.last_cursor,
        conversation.c.desk,
        conversation.c.unattended,
    )
)
INPUTS_TAKEN: Statement = Statement(
    sa.update(conversation)
    .where(conversation.c.id == p("id"))
    .values(waiting_inputs=conversation.c.waiting_inputs - p("count"))
)
INSERT: Statement = Statement(insert_row(InboxEntry))
BY_INPUT_ID: Statement = Statement(sa.select(turn).where(tenants.of(turn), turn.c.input_id == p("input_id")))
STEER_BY_INPUT_ID: Statement = Statement(
    sa.select(entry.c.conversation_id, entry.c.number, entry.c.response_id, entry.c.input_digest).where(
        tenants.of(entry), entry.c.input_id.is_not(None), entry.c.input_id == p("input_id")
    )
)
TAKE: Statement = Statement(
    sa.update(entry)
    .where(entry.c.conversation_id == p("id"), entry.c.number == p("number"), entry.c.taken_by.is_(None))
    .values(taken_by=p("by"))
)
STEERS: Statement = Statement(
    sa.select(entry.c.number, entry.c.response_id)
    .where(
        entry.c.conversation_id == p("id"),
        entry.c.taken_by.is_(None),
        entry.c.kind == word("steer"),
        entry.c.target_id == p("target_id"),
    )
    .order_by(entry.c.number)
    .limit(1)
)
FROM_PEOPLE: Statement = Statement(
    sa.select(entry.c.number)
    .where(
        entry.c.conversation_id == p("id"),
        entry.c.taken_by.is_(None),
        entry.c.kind.in_([word("create"), word("steer"), word("message")]),
    )
    .limit(1)
)
ENTRY_DEFAULTS: Final = defaults(InboxEntry)


@operation
def accept_create(conn: Connection, new: NewCreate) -> Accepted:
    """Commits an input to its conversation's inbox, and its response.

    Raises InboxFull, ConversationBusy (``when_busy="reject"``), ConversationNotFound, PreviousResponseNotFound,
    IdempotencyMismatch.
    """
    found = repeat(conn, new)
    if found is not None:
        return found
    conversation_id, previous = _conversation_for(conn, new)
    counting, living = conn.ask(COUNT_INPUT, {"id": conversation_id}), turns.foresee_live(conn, conversation_id)
    number, waiting, cursor, desk, unattended = _counted(conversation_id, counting)
    if waiting > new.limit:
        raise InboxFull(new.limit)
    busy = living()
    if busy is not None and new.when_busy == "reject":
        raise ConversationBusy(conversation_id)
    if busy is not None and new.when_busy == "interrupt":
        ask_turn(conn, busy)
    response_id = new_id("resp")
    values = {
        "id": response_id, "conversation_id": conversation_id, "tenant": new.tenant, "agent": new.agent,
        "started_by": "create", "input_id": new.input_id, "input_digest": new.digest, "previous_id": previous,
        "request": to_json(new.request).decode(), "first_cursor": cursor, "dialog": new.dialog,
    }  # fmt: skip
    if busy is None and waiting == 1:
        turns.add_next(conn, values, desk, unattended)
        _put(conn, conversation_id, number, "create", new.input, response_id=response_id)
    else:
        turns.add(conn, values)
        _put(conn, conversation_id, number, "create", new.input, response_id=response_id)
        turns.advance(conn, conversation_id, idle=busy is None)
    ahead = waiting - 1 + (busy is not None and not _waits_itself(conn, busy["id"]))
    return Accepted(response_id, conversation_id, new.input_id, ahead, cursor)


def _waits_itself(conn: Connection, task_id: str) -> bool:
    """Whether the live turn has not begun, so that its own input is among those that wait."""
    found = turns.of_task(conn, task_id)
    return found is not None and found["status"] == "queued" and found["started_by"] in ("create", "steer")


def repeat(conn: Connection, new: NewCreate | NewSteer) -> Accepted | None:
    """The first outcome of this input id, if there was one."""
    if new.input_id is None:
        return None
    row = conn.one(BY_INPUT_ID, {"tenant": new.tenant, "input_id": new.input_id})
    if row is None:
        if isinstance(new, NewCreate) and conn.one(STEER_BY_INPUT_ID, {"tenant": new.tenant, "input_id": new.input_id}):
            raise IdempotencyMismatch(new.input_id)
        return None
    found = turns.as_turn(row)
    if found["input_digest"] != new.digest:
        raise IdempotencyMismatch(new.input_id)
    return Accepted(found["id"], found["conversation_id"], new.input_id, 0, found["first_cursor"], repeated=True)


def _conversation_for(conn: Connection, new: NewCreate) -> tuple[str, str | None]:
    """The conversation that the input goes to, and the response that it continues."""
    if new.conversation_id is not None:
        if conn.one(READ_CONVERSATION, {"id": new.conversation_id, "tenant": new.tenant}) is None:
            raise ConversationNotFound(new.conversation_id)
        return new.conversation_id, new.previous_response_id
    if new.previous_response_id is not None:
        return continue_from(conn, new.previous_response_id, new.tenant), new.previous_response_id
    created = create_conversation(
        conn,
        tenant=new.tenant,
        desk=new.desk,
        metadata=new.metadata,
        stored=int(new.stored),
        unattended_limit=new.unattended_limit,
    )
    return created, None


def _count(conn: Connection, conversation_id: str) -> tuple[int, int, int, str, int]:
    """As `_counted`, of an input that is counted now. Locks the conversation."""
    return _counted(conversation_id, conn.ask(COUNT_INPUT, {"id": conversation_id}))


def _counted(conversation_id: str, answer: Answer) -> tuple[int, int, int, str, int]:
    """The entry's number, how many clients' inputs wait now, the log's last cursor; whose turns these are, and how many
    in a row no person has started."""
    for row in answer.rows():
        return int(row[0]), int(row[1]), int(row[2]), str(row[3]), int(row[4])
    raise ConversationNotFound(conversation_id)


def _put(
    conn: Connection, conversation_id: str, number: int, kind: str, given: Sequence[dict[str, Any]], **values: Any
) -> None:
    payload = to_json({"input": list(given)}).decode()
    row = {"conversation_id": conversation_id, "number": number, "kind": kind, "payload": payload}
    conn.run(INSERT, {**ENTRY_DEFAULTS, **row, "created_at": conn.wall(), **values})


@operation
def accept_steer(conn: Connection, new: NewSteer) -> SteerAccepted:
    """Commits input for a response that is running; its successor is a response of its own, which further steers join.

    Raises ResponseNotFound, ResponseNotActive, InboxFull, IdempotencyMismatch.
    """
    target = tenants.owned(turns.read(conn, new.response_id), new.tenant)
    if target is None:
        raise ResponseNotFound(new.response_id)
    conversation_id = str(target["conversation_id"])
    repeated = _repeated_steer(conn, new, target["next_sequence"])
    if repeated is not None:
        return repeated
    number, waiting, cursor, *_ = _count(conn, conversation_id)
    target = turns.read(conn, new.response_id)  # again, now that the conversation is locked
    if target is None or target["status"] not in ("queued", "in_progress"):
        raise ResponseNotActive(new.response_id, "gone" if target is None else str(target["status"]))
    if waiting > new.limit:
        raise InboxFull(new.limit)
    pending = conn.one(STEERS, {"id": conversation_id, "target_id": new.response_id})
    successor = new_id("resp") if pending is None else str(pending[1])
    if pending is None:
        turns.add(
            conn,
            {
                "id": successor, "conversation_id": conversation_id, "tenant": new.tenant, "agent": "",
                "started_by": "steer", "input_id": new.input_id, "input_digest": new.digest,
                "previous_id": new.response_id, "request": inherited(target["request"], new), "first_cursor": cursor,
            },
        )  # fmt: skip
    _put(
        conn, conversation_id, number, "steer", new.input, response_id=successor, target_id=new.response_id,
        tenant=new.tenant, input_id=new.input_id, input_digest=new.digest,
    )  # fmt: skip
    turns.advance(conn, conversation_id)
    return SteerAccepted(steer_id(conversation_id, number), successor, conversation_id, target["next_sequence"], cursor)


def _repeated_steer(conn: Connection, new: NewSteer, sequence: int) -> SteerAccepted | None:
    """The first outcome of a steer's input id, if there was one."""
    if new.input_id is None:
        return None
    row = conn.one(STEER_BY_INPUT_ID, {"tenant": new.tenant, "input_id": new.input_id})
    if row is None:
        repeat(conn, new)  # a create's id
        return None
    conversation_id, number, successor, digest = row
    if digest != new.digest:
        raise IdempotencyMismatch(new.input_id)
    found = turns.read(conn, str(successor))
    cursor = 0 if found is None else int(found["first_cursor"])
    return SteerAccepted(
        steer_id(str(conversation_id), int(number)),
        str(successor),
        str(conversation_id),
        sequence,
        cursor,
        repeated=True,
    )


def steer_id(conversation_id: str, number: int) -> str:
    """The same for every repeat of a steer."""
    return f"steer_{conversation_id.removeprefix('conv_')}{number:04x}"


def has_steer(conn: Connection, conversation_id: str, response_id: str) -> bool:
    """Whether input waits that steers this response."""
    return conn.one(STEERS, {"id": conversation_id, "target_id": response_id}) is not None


def has_input(conn: Connection, conversation_id: str) -> bool:
    """Whether a person's input waits."""
    return conn.one(FROM_PEOPLE, {"id": conversation_id}) is not None


def take(conn: Connection, conversation_id: str, response_id: str) -> list[Entry]:
    """Takes what enters the conversation with this turn now: its own inputs once, and all notices and messages, in
    their order."""
    taken: list[Entry] = []
    from_clients = 0
    for number, kind, of_response, target_id, payload in conn.all(WAITING, {"id": conversation_id}):
        if kind in ("create", "steer") and of_response != response_id:
            continue
        conn.run(TAKE, {"id": conversation_id, "number": number, "by": response_id})
        from_clients += kind in ("create", "steer")
        taken.append(Entry(int(number), str(kind), of_response, target_id, from_json(payload)))
    if from_clients:
        conn.run(INPUTS_TAKEN, {"id": conversation_id, "count": from_clients})
    return taken
