"""Steers that stay pending: the response that they steer has ended, waiting for an output of its client. Storage
functions.

Then no successor begins. The input is kept, the client is told, and it enters before the input of the next create
(https://platform.openai.com/docs/api-reference/responses: ``response.steer.pending``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from ..broker import inbox
from ..broker.connection import Connection
from ..broker.statements import Statement, p, table, word
from ..broker.tables import InboxEntry, Turn
from .batch import Batch
from .events import ResponseStream
from .model import JSON

HELD: Final = "held"  # the kind of an inbox entry that was a steer

entry, turn = table(InboxEntry), table(Turn)

HOLD: Statement = Statement(
    sa.update(entry)
    .where(
        entry.c.conversation_id == p("id"),
        entry.c.taken_by.is_(None),
        entry.c.kind == word("steer"),
        entry.c.target_id == p("target_id"),
    )
    .values(kind=HELD)
    .returning(entry.c.number, entry.c.response_id)
)
DROP_SUCCESSOR: Statement = Statement(sa.delete(turn).where(turn.c.id == p("id"), turn.c.status == "queued"))


def hold(conn: Connection, conversation_id: str, response_id: str, batch: Batch, required: Sequence[JSON]) -> Batch:
    """Keeps what steers a response that waits for its client (``required``); the batch, with the events that say so."""
    found = conn.all(HOLD, {"id": conversation_id, "target_id": response_id}) if required else []
    if not found:
        return batch
    stream = ResponseStream(response_id, conversation_id, sequence=batch.next_sequence)
    for number, successor in sorted((int(row[0]), str(row[1])) for row in found):
        conn.run(DROP_SUCCESSOR, {"id": successor})
        stream.add(
            "response.steer.pending",
            steer={"id": inbox.steer_id(conversation_id, number), "previous_response_id": response_id},
            reason="waiting_for_required_input",
            required_input=list(required),
        )
    return replace(batch, events=batch.events + stream.take(), next_sequence=stream.sequence)
