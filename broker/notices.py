"""Notices: how a conversation learns that one of its tasks has ended or asks something. Data for the agent, never
instructions."""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import to_json

from . import turns
from .connection import Connection
from .events import count_on, insert_one
from .statements import Statement, defaults, insert_row, table
from .tables import InboxEntry
from .views import TaskRow, told, view_text

INSERT: Statement = Statement(insert_row(InboxEntry))
DEFAULTS: Final = defaults(InboxEntry)
COLUMNS: Final = tuple(column.name for column in table(InboxEntry).columns)
KINDS: Final = {"respond": "notice", "note": "note"}  # by how a task is announced


def finished(conn: Connection, row: TaskRow) -> None:
    """Tells the conversation that owns the task, if there (still) is one, that it has ended: by an event, and by a
    notice in its inbox, which an idle conversation answers, unless it is a note."""
    conversation_id = row["conversation_id"]
    if conversation_id is None:
        return
    kind = KINDS.get(row["announce"])
    counted = count_on(conn, conversation_id, events=1, inputs=int(kind is not None))
    if counted is None:
        return  # it was deleted; the task outlives it
    view = view_text(row)
    insert_one(conn, conversation_id, counted[0], told(row, "finished", view))
    if kind is not None:
        _put(conn, conversation_id, counted[2], row["id"], f'{{"task":{view}}}', kind)


def asked(conn: Connection, row: TaskRow) -> None:
    """Puts a task's question into the inbox of its conversation: a notice, whatever becomes of its end."""
    if row["conversation_id"] is not None:
        _count_and_put(conn, row["conversation_id"], row["id"], f'{{"task":{view_text(row)}}}', "notice")


def put(conn: Connection, conversation_id: str, about: str, payload: dict[str, Any], kind: str) -> None:
    """Puts a notice, a note, or a message to a delegated agent into an inbox. It always fits."""
    _count_and_put(conn, conversation_id, about, to_json(payload).decode(), kind)


def _count_and_put(conn: Connection, conversation_id: str, about: str, payload: str, kind: str) -> None:
    counted = count_on(conn, conversation_id, inputs=1)
    if counted is not None:
        _put(conn, conversation_id, counted[2], about, payload, kind)


def _put(conn: Connection, conversation_id: str, number: int, about: str, payload: str, kind: str) -> None:
    conn.run(INSERT, row_of(conn, conversation_id, number, about, payload, kind))
    turns.advance(conn, conversation_id)


def row_of(conn: Connection, conversation_id: str, number: int, about: str, payload: str, kind: str) -> TaskRow:
    """An entry of the inbox, with all its columns."""
    row = {"conversation_id": conversation_id, "number": number, "kind": kind, "target_id": about}
    return {**DEFAULTS, **row, "payload": payload, "created_at": conn.wall()}
