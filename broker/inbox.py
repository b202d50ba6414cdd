"""The inbox: what waits to enter a conversation. Durable, bounded, ordered; accepted once per input id, and never blocking.

Accepting commits the input, its response (queued), and, when the conversation is idle, its turn. A full inbox refuses. Nothing here looks into a
payload: what an input means is the agents' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from ..tasks.table import new_id
from . import turns
from .cancel import ask_turn
from .connection import Connection
from .errors import (
    ConversationBusy,
    ConversationNotFound,
    IdempotencyMismatch,
    InboxFull,
    PreviousResponseNotFound,
    ResponseNotActive,
    ResponseNotFound,
)
from .failpoints import operation
from .statements import Statement, insert_row, p, table
from .tables import Conversation, InboxEntry, Turn

INBOX_LIMIT: Final = 64
conversation, entry, turn = table(Conversation), table(InboxEntry), table(Turn)

READ_CONVERSATION: Statement = Statement(
    sa.select(conversation.c.id, conversation.c.last_cursor, conversation.c.head).where(
        conversation.c.id == p("id"), conversation.c.tenant == p("tenant")
    )
)
INSERT_CONVERSATION: Statement = Statement(insert_row(Conversation))
COUNT_INPUT: Statement = Statement(
    sa.update(conversation)
    .where(conversation.c.id == p("id"))
    .values(last_input=conversation.c.last_input + 1, waiting_inputs=conversation.c.waiting_inputs + p("from_client"))
    .returning(conversation.c.last_input, conversation.c.waiting_inputs, conversation.c.last_cursor)
)
INPUTS_TAKEN: Statement = Statement(
    sa.update(conversation)
    .where(conversation.c.id == p("id"))
    .values(waiting_inputs=conversation.c.waiting_inputs - p("count"))
)
INSERT: Statement = Statement(insert_row(InboxEntry))
BY_INPUT_ID: Statement = Statement(
    sa.select(turn).where(turn.c.tenant == p("tenant"), turn.c.input_id == p("input_id"))
)
CONTINUED: Statement = Statement(
    sa.select(turn.c.id)
    .where(turn.c.previous_id == p("previous_id"), turn.c.started_by == "create", turn.c.conversation_id == p("id"))
    .limit(1)
)
WAITING: Statement = Statement(
    sa.select(entry.c.number, entry.c.kind, entry.c.response_id, entry.c.target_id, entry.c.payload)
    .where(entry.c.conversation_id == p("id"), entry.c.taken_by.is_(None))
    .order_by(entry.c.number)
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
        entry.c.kind == "steer",
        entry.c.target_id == p("target_id"),
    )
    .order_by(entry.c.number)
)
CONVERSATION_DEFAULTS: Final = Conversation(id="").model_dump()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCreate:
    """A validated ``response.create``. ``request`` is kept as JSON with the response; ``input`` enters the conversation with its turn."""

    tenant: str
    desk: str
    input: Sequence[dict[str, Any]]
    request: dict[str, Any]
    digest: str = ""
    agent: str = ""  # named by the client; empty: whoever the conversation's agent is then
    conversation_id: str | None = None
    previous_response_id: str | None = None
    input_id: str | None = None
    when_busy: str = "enqueue"  # enqueue | interrupt | reject
    stored: bool = True
    metadata: dict[str, str] | None = None  # of a conversation that this creates
    unattended_limit: int = 8
    limit: int = INBOX_LIMIT


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of an input. ``position`` 0: its turn is next; ``cursor``: its response's events come after it."""

    response_id: str
    conversation_id: str
    input_id: str | None
    position: int
    cursor: int
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSteer:
    """A validated ``response.steer``."""

    tenant: str
    response_id: str
    input: Sequence[dict[str, Any]]
    digest: str = ""
    input_id: str | None = None
    limit: int = INBOX_LIMIT


@dataclass(frozen=True, slots=True)
class SteerAccepted:
    """A steer that is committed. ``response_id`` is the successor's; ``sequence_number`` the steered response's next."""

    steer_id: str
    response_id: str
    conversation_id: str
    sequence_number: int
    cursor: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An input that a turn has taken."""

    number: int
    kind: str
    response_id: str | None
    target_id: str | None
    payload: dict[str, Any]


def create_conversation(
    conn: Connection, *, tenant: str, desk: str, metadata: dict[str, str] | None = None, **values: Any
) -> str:
    """Inserts a conversation and returns its id."""
    conversation_id = new_id("conv")
    row = {**CONVERSATION_DEFAULTS, "id": conversation_id, "tenant": tenant, "desk": desk, "created_at": conn.wall()}
    conn.run(INSERT_CONVERSATION, {**row, "meta": to_json(metadata or {}).decode(), **values})
    return conversation_id


@operation
def accept_create(conn: Connection, new: NewCreate) -> Accepted:
    """Commits an input to its conversation's inbox, and its response.

    Raises InboxFull, ConversationBusy (``when_busy="reject"``), ConversationNotFound, PreviousResponseNotFound, IdempotencyMismatch.
    """
    found = repeat(conn, new)
    if found is not None:
        return found
    conversation_id, previous = _conversation_for(conn, new)
    number, waiting, cursor = _count(conn, conversation_id, from_client=1)
    if waiting > new.limit:
        raise InboxFull(new.limit)
    busy = turns.live(conn, conversation_id)
    if busy is not None and new.when_busy == "reject":
        raise ConversationBusy(conversation_id)
    if busy is not None and new.when_busy == "interrupt":
        ask_turn(conn, busy)
    response_id = new_id("resp")
    turns.add(
        conn,
        {
            "id": response_id, "conversation_id": conversation_id, "tenant": new.tenant, "agent": new.agent,
            "started_by": "create", "input_id": new.input_id, "input_digest": new.digest, "previous_id": previous,
            "request": to_json(new.request).decode(), "first_cursor": cursor,
        },
    )  # fmt: skip
    _put(conn, conversation_id, number, "create", {"input": list(new.input)}, response_id=response_id)
    turns.advance(conn, conversation_id)
    ahead = waiting - 1 + (busy is not None)
    return Accepted(response_id, conversation_id, new.input_id, ahead, cursor)


def repeat(conn: Connection, new: NewCreate | NewSteer) -> Accepted | None:
    """The first outcome of this input id, if there was one."""
    if new.input_id is None:
        return None
    row = conn.one(BY_INPUT_ID, {"tenant": new.tenant, "input_id": new.input_id})
    if row is None:
        return None
    found = turns.as_turn(row)
    if found["input_digest"] != new.digest:
        raise IdempotencyMismatch(new.input_id)
    return Accepted(found["id"], found["conversation_id"], new.input_id, 0, found["first_cursor"], repeated=True)


def _conversation_for(conn: Connection, new: NewCreate) -> tuple[str, str | None]:
    """The conversation that the input goes to, locked, and the response that it continues."""
    if new.conversation_id is not None:
        row = conn.one(READ_CONVERSATION, {"id": new.conversation_id, "tenant": new.tenant})
        if row is None:
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


def continue_from(conn: Connection, response_id: str, tenant: str) -> str:
    """The conversation in which a response is continued. Raises PreviousResponseNotFound."""
    previous = turns.read(conn, response_id)
    if previous is None or previous["tenant"] != tenant:
        raise PreviousResponseNotFound(response_id)
    return str(previous["conversation_id"])


def is_continued(conn: Connection, response_id: str, conversation_id: str) -> bool:
    """Whether a response that a client created continues this one already: then continuing it again forks."""
    return conn.one(CONTINUED, {"previous_id": response_id, "id": conversation_id}) is not None


def _count(conn: Connection, conversation_id: str, *, from_client: int) -> tuple[int, int, int]:
    """The entry's number, how many clients' inputs wait now, the log's last cursor. Locks the conversation."""
    row = conn.one(COUNT_INPUT, {"id": conversation_id, "from_client": from_client})
    if row is None:
        raise ConversationNotFound(conversation_id)
    return int(row[0]), int(row[1]), int(row[2])


def _put(
    conn: Connection,
    conversation_id: str,
    number: int,
    kind: str,
    payload: dict[str, Any],
    *,
    response_id: str | None = None,
    target_id: str | None = None,
) -> None:
    conn.run(
        INSERT,
        {
            "conversation_id": conversation_id, "number": number, "kind": kind, "response_id": response_id,
            "target_id": target_id, "payload": to_json(payload).decode(), "taken_by": None, "created_at": conn.wall(),
        },
    )  # fmt: skip


@operation
def accept_steer(conn: Connection, new: NewSteer) -> SteerAccepted:
    """Commits input for a response that is running; its successor is a response of its own, which further steers join.

    Raises ResponseNotFound, ResponseNotActive, InboxFull, IdempotencyMismatch.
    """
    target = turns.read(conn, new.response_id)
    if target is None or target["tenant"] != new.tenant:
        raise ResponseNotFound(new.response_id)
    conversation_id = str(target["conversation_id"])
    repeated = repeat(conn, new)
    if repeated is not None:
        steer = f"steer_{repeated.response_id.removeprefix('resp_')}"
        return SteerAccepted(steer, repeated.response_id, conversation_id, target["next_sequence"], 0, repeated=True)
    number, waiting, cursor = _count(conn, conversation_id, from_client=1)
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
                "previous_id": new.response_id, "request": target["request"], "first_cursor": cursor,
            },
        )  # fmt: skip
    payload = {"input": list(new.input)}
    _put(conn, conversation_id, number, "steer", payload, response_id=successor, target_id=new.response_id)
    turns.advance(conn, conversation_id)
    return SteerAccepted(new_id("steer"), successor, conversation_id, target["next_sequence"], cursor)


def has_steer(conn: Connection, conversation_id: str, response_id: str) -> bool:
    """Whether input waits that steers this response."""
    return conn.one(STEERS, {"id": conversation_id, "target_id": response_id}) is not None


def has_input(conn: Connection, conversation_id: str) -> bool:
    """Whether a person's input waits."""
    rows = conn.all(WAITING, {"id": conversation_id})
    return any(row[1] in ("create", "steer", "message") for row in rows)


def take(conn: Connection, conversation_id: str, response_id: str) -> list[Entry]:
    """Takes what enters the conversation with this turn now: its own inputs once, and all notices and messages, in their order."""
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
