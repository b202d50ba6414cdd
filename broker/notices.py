"""Notices: how a conversation learns that one of its tasks has ended or asks something. Data for the agent, never instructions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from pydantic_core import to_json

from ..tasks.table import Task
from . import turns
from .connection import Connection
from .rows import TaskRow, view
from .statements import Statement, insert_row, p, table
from .tables import Conversation, InboxEntry

task, conversation = table(Task), table(Conversation)

COUNT: Statement = Statement(
    sa.update(conversation)
    .where(conversation.c.id == p("id"))
    .values(last_input=conversation.c.last_input + 1)
    .returning(conversation.c.last_input)
)
INSERT: Statement = Statement(insert_row(InboxEntry))


def announce(conn: Connection, row: TaskRow) -> None:
    """Puts the task's notice into the inbox of the conversation that owns it; an idle conversation answers it, unless it is a note."""
    if row["conversation_id"] is None or row["announce"] == "none":
        return
    put(
        conn,
        row["conversation_id"],
        row["id"],
        {"task": view(row)},
        "notice" if row["announce"] == "respond" else "note",
    )


def put(conn: Connection, conversation_id: str, about: str, payload: dict[str, Any], kind: str) -> None:
    """Puts a notice, a note, or a message to a delegated agent into an inbox. It always fits. Locks the conversation."""
    counted = conn.one(COUNT, {"id": conversation_id})
    if counted is None:
        return  # the conversation was deleted; the task outlives it
    conn.run(
        INSERT,
        {
            "conversation_id": conversation_id, "number": counted[0], "kind": kind, "response_id": None,
            "target_id": about, "payload": to_json(payload).decode(), "taken_by": None, "created_at": conn.wall(),
        },
    )  # fmt: skip
    turns.advance(conn, conversation_id)
