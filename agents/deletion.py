"""What clients delete: responses, and whole conversations. Storage functions only.

What is live is not deleted. A conversation may be given up with what is live: nobody reaches it from then on, all of it
is cancelled, and when the last of it has stopped, a worker removes the rest (``removal``).
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ..broker import listing, rows, tenants, turns, usage
from ..broker.connection import Connection
from ..broker.errors import ConversationBusy, ResponseNotFound
from ..broker.failpoints import operation
from ..broker.statements import Statement, p, table, word
from ..broker.tables import Conversation, Delivery, InboxEntry, LogRow, Turn
from ..tasks.table import Task
from . import removal
from .conversation_items import about
from .table import Item, RequiredInput, Result, StoredSummary

turn, log_row, conversation, task = table(Turn), table(LogRow), table(Conversation), table(Task)

HISTORY: Final = tuple(table(one) for one in (Item, StoredSummary, RequiredInput, Result))

DELETE_TURN: Statement = Statement(sa.delete(turn).where(turn.c.id == p("id")))
DELETE_EVENTS: Statement = Statement(
    sa.delete(log_row).where(log_row.c.conversation_id == p("conversation_id"), log_row.c.response_id == p("id"))
)
DELEGATED: Statement = Statement(
    sa.select(conversation.c.id)
    .join(task, task.c.id == conversation.c.parent_task)
    .where(task.c.conversation_id == p("id"))
)
_TASKS: Final = sa.select(task.c.id).where(task.c.conversation_id == p("id"))
DELETE_DELIVERIES: Statement = Statement(  # what is still to be told is told
    sa.delete(table(Delivery)).where(table(Delivery).c.task_id.in_(_TASKS), table(Delivery).c.status != word("pending"))
)
DELETE_ALL: Final = (
    DELETE_DELIVERIES,
    *(
        Statement(sa.delete(one).where(one.c.conversation_id == p("id")))
        for one in (*HISTORY, table(InboxEntry), log_row, turn, task)
    ),
    Statement(sa.delete(conversation).where(conversation.c.id == p("id"))),
)
LIVE: Final = frozenset({"queued", "in_progress"})
LIVE_TASKS: Final = (
    "cancel its tasks and responses, or wait for their ends, to delete it; cancel=true has all of them cancelled"
)


@operation
def delete_response(conn: Connection, response_id: str, tenant: str) -> None:
    """Forgets a response that has ended, and its events; its items stay in the conversation, as in the API. Raises
    ResponseNotFound, ConversationBusy."""
    found = tenants.owned(turns.read(conn, response_id), tenant)
    if found is None:
        raise ResponseNotFound(response_id)
    rows.lock_conversations(conn, [found["conversation_id"]])
    found = turns.read(conn, response_id)  # again, now that nobody changes it
    if found is None:
        raise ResponseNotFound(response_id)
    if found["status"] in LIVE:
        raise ConversationBusy(found["conversation_id"], "cancel the response, or wait for its end, to delete it")
    conn.run(DELETE_EVENTS, {"conversation_id": found["conversation_id"], "id": response_id})
    conn.run(DELETE_TURN, {"id": response_id})


@operation
def delete_conversation(conn: Connection, conversation_id: str, tenant: str, *, cancel: bool = False) -> bool:
    """Removes a conversation with its items, responses, events and tasks, and those of the agents that worked for it;
    False: something of it is live, so it is given up first, and removed when that has stopped. Raises
    ConversationNotFound, ConversationBusy (something of it is live, and ``cancel`` was not said)."""
    about(conn, conversation_id, tenant)
    family = _family(conn, conversation_id)
    rows.lock_conversations(conn, family)
    about(conn, conversation_id, tenant)  # again, now that nobody changes it
    if any(listing.live_count(conn, one) for one in family):
        if not cancel:
            raise ConversationBusy(conversation_id, LIVE_TASKS)
        removal.give_up(conn, conversation_id)
        return False
    for one in reversed(family):
        for statement in DELETE_ALL:
            conn.run(statement, {"id": one})
        usage.forget(conn, one)
    return True


def _family(conn: Connection, conversation_id: str) -> list[str]:
    """The conversation, and those of all runs below it."""
    family = [conversation_id]
    for one in family:
        family += [str(row[0]) for row in conn.all(DELEGATED, {"id": one})]
    return family
