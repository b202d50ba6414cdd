"""Notices: how a conversation learns that one of its tasks has ended or asks something. Data for the agent, never
instructions."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from pydantic_core import to_json

from ..tasks.table import Task
from . import turns
from .connection import Connection
from .rows import TaskRow, view_text
from .statements import Statement, defaults, insert_row, p, table
from .tables import Conversation, InboxEntry

task, conversation = table(Task), table(Conversation)

COUNT: Statement = Statement(
    sa.update(conversation)
    .where(conversation.c.id == p("id"))
    .values(last_input=conversation.c.last_input + 1)
    .returning(conversation.c.last_input)
)
INSERT: Statement = Statement(insert_row(InboxEntry))
DEFAULTS: Final = defaults(InboxEntry)


def announce(conn: Connection, row: TaskRow) -> None:
    """Puts the task's notice into the inbox of the conversation that owns it; an idle conversation answers it, unless
    it is a note. A question is always for the conversation, also when the end of the task is not."""
    if row["conversation_id"] is None:
        return
    kind = "notice" if row["announce"] == "respond" or row["question"] is not None else "note"
    if kind == "notice" or row["announce"] == "note":
        _put(conn, row["conversation_id"], row["id"], f'{{"task":{view_text(row)}}}', kind)


def put(conn: Connection, conversation_id: str, about: str, payload: dict[str, Any], kind: str) -> None:
    """Puts a notice, a note, or a message to a delegated agent into an inbox. It always fits."""
    _put(conn, conversation_id, about, to_json(payload).decode(), kind)


def _put(conn: Connection, conversation_id: str, about: str, payload: str, kind: str) -> None:
    counted = conn.one(COUNT, {"id": conversation_id})
    if counted is None:
        return  # the conversation was deleted; the task outlives it
    row = {"conversation_id": conversation_id, "number": counted[0], "kind": kind, "target_id": about}
    conn.run(INSERT, {**DEFAULTS, **row, "payload": payload, "created_at": conn.wall()})
    turns.advance(conn, conversation_id)
