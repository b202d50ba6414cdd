"""What clients delete: responses. Storage functions only; what is live is never deleted."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ..broker import rows, turns
from ..broker.connection import Connection
from ..broker.errors import ConversationBusy, ResponseNotFound
from ..broker.failpoints import operation
from ..broker.statements import Statement, p, table
from ..broker.tables import LogRow, Turn

turn, log_row = table(Turn), table(LogRow)

DELETE_TURN: Statement = Statement(sa.delete(turn).where(turn.c.id == p("id")))
DELETE_EVENTS: Statement = Statement(
    sa.delete(log_row).where(log_row.c.conversation_id == p("conversation_id"), log_row.c.response_id == p("id"))
)
LIVE: Final = frozenset({"queued", "in_progress"})


@operation
def delete_response(conn: Connection, response_id: str, tenant: str) -> None:
    """Forgets a response that has ended, and its events; its items stay in the conversation, as in the API. Raises
    ResponseNotFound, ConversationBusy."""
    found = turns.read(conn, response_id)
    if found is None or found["tenant"] != tenant:
        raise ResponseNotFound(response_id)
    rows.lock_conversations(conn, [found["conversation_id"]])
    found = turns.read(conn, response_id)  # again, now that nobody changes it
    if found is None:
        raise ResponseNotFound(response_id)
    if found["status"] in LIVE:
        raise ConversationBusy(found["conversation_id"], "cancel the response, or wait for its end, to delete it")
    conn.run(DELETE_EVENTS, {"conversation_id": found["conversation_id"], "id": response_id})
    conn.run(DELETE_TURN, {"id": response_id})
