"""Conversations: accepting input on top of the inbox, with forks. Storage functions only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from ..broker import events, inbox, rows
from ..broker.connection import Connection
from ..broker.failpoints import operation
from ..broker.inbox import Accepted, NewCreate
from ..broker.statements import Statement, p, table
from ..broker.tables import Conversation
from . import storage
from .table import Item

item, conversation = table(Item), table(Conversation)

LAST_POSITION: Statement = Statement(
    sa.select(sa.func.max(item.c.position)).where(item.c.response_id == p("response_id"))
)
COPY: Statement = Statement(
    sa.insert(item).from_select(
        [column.name for column in item.columns],
        sa.select(
            *[p("to").label(column.name) if column.name == "conversation_id" else column for column in item.columns]
        ).where(item.c.conversation_id == p("from"), item.c.position <= p("until"), item.c.status != "in_progress"),
    )
)
ORIGINAL: Statement = Statement(
    sa.select(conversation.c.agent, conversation.c.meta, conversation.c.last_label, conversation.c.stored).where(
        conversation.c.id == p("id")
    )
)
SET_COUNTERS: Statement = Statement(
    sa.update(conversation)
    .where(conversation.c.id == p("id"))
    .values(last_item=p("last_item"), last_label=p("last_label"), meta=p("meta"), stored=p("stored"))
)


@operation
def accept_create(conn: Connection, new: NewCreate) -> Accepted:
    """Accepts an input, as `inbox.accept_create`; continuing a response that is continued already forks its conversation.

    A fork holds the committed items up to that response; tasks stay with the original, labels go on.
    """
    if new.previous_response_id is None or new.conversation_id is not None:
        return inbox.accept_create(conn, new)
    repeated = inbox.repeat(conn, new)
    if repeated is not None:
        return repeated
    original = inbox.continue_from(conn, new.previous_response_id, new.tenant)
    rows.lock_conversations(conn, [original])
    if inbox.is_continued(conn, new.previous_response_id, original):
        return inbox.accept_create(conn, replace(new, conversation_id=_fork(conn, original, new)))
    return inbox.accept_create(conn, new)


def _fork(conn: Connection, original: str, new: NewCreate) -> str:
    """A conversation that goes on from a response of another; its id."""
    row = conn.one(ORIGINAL, {"id": original})
    assert row is not None  # its response was found
    agent, meta, labels, stored = row
    forked = inbox.create_conversation(
        conn, tenant=new.tenant, desk=new.desk, agent=agent, unattended_limit=new.unattended_limit
    )
    last = conn.one(LAST_POSITION, {"response_id": new.previous_response_id})
    until = 0 if last is None or last[0] is None else int(last[0])
    conn.run(COPY, {"to": forked, "from": original, "until": until})
    conn.run(SET_COUNTERS, {"id": forked, "last_item": until, "last_label": labels, "meta": meta, "stored": stored})
    return forked


def history(conn: Connection, conversation_id: str) -> dict[str, Any]:
    """A conversation's items and where its log stands."""
    return {
        "items": storage.load_items(conn, conversation_id),
        "cursor": events.last_cursor(conn, conversation_id) or 0,
    }
