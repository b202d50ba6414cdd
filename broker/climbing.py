"""What a delegated run that is over would have been told goes up: into the inbox of the conversation that its task
belongs to. There the task is called by the way to it, such as ``T1.T3``: task T3 of the run that is T1.

Only `turns.advance` calls this. A run that was cancelled took everything below it along, and nothing of that is told.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from ..tasks.states import Status
from .connection import Connection
from .events import count_on
from .rows import TaskRow
from .statements import Statement, p, table, word
from .tables import Conversation, InboxEntry

conversation, entry = table(Conversation), table(InboxEntry)

UNREAD: Statement = Statement(
    sa.select(entry.c.number, entry.c.payload)
    .where(
        entry.c.conversation_id == p("id"),
        entry.c.taken_by.is_(None),
        entry.c.kind.in_([word("notice"), word("note")]),
    )
    .order_by(sa.literal_column("number + 0"))
)
LOCK_ABOVE: Statement = Statement(  # a conversation and a task are locked by now that may come after it
    sa.select(conversation.c.id).where(conversation.c.id == p("id")).with_for_update(nowait=True)
)
MOVE: Statement = Statement(
    sa.update(entry)
    .where(entry.c.conversation_id == p("id"), entry.c.number == p("number"))
    .values(conversation_id=p("above"), number=p("counted"), payload=p("payload"))
)
BETWEEN: Final = "."  # the labels on the way


def climb(conn: Connection, conversation_id: str, run: TaskRow) -> str | None:
    """Moves the unread notices of a run that is over one conversation up; which that is, when there were any."""
    above = run["conversation_id"]
    if above is None or run["status"] == Status.CANCELLED:
        return None
    unread = conn.all(UNREAD, {"id": conversation_id})
    if not unread or conn.one(LOCK_ABOVE, {"id": above}) is None:
        return None
    for number, payload in unread:
        counted = count_on(conn, above, inputs=1)
        assert counted is not None, "it was locked just now"
        told = to_json(_named(run, from_json(payload))).decode()
        conn.run(
            MOVE,
            {"id": conversation_id, "number": number, "above": above, "counted": counted[2], "payload": told},
        )
    return str(above)


def _named(run: TaskRow, payload: dict[str, Any]) -> dict[str, Any]:
    task: dict[str, Any] = payload["task"]
    label = f"{run['label'] or run['id']}{BETWEEN}{task['label'] or task['id']}"
    return {**payload, "task": {**task, "label": label}}
