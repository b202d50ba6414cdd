"""Responses read back from the database: the body as it is now, what came in and what went out, the event that ended
it. Only reads.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from pydantic_core import from_json

from ..broker import turns
from ..broker.connection import Connection
from ..broker.statements import Statement, p, table
from ..broker.turns import TurnRow
from . import items
from .events import encoded, wire_item
from .history import StoredItem
from .items import PAGE
from .model import JSON, Usage
from .response import INPUT_STEP, About, Outcome, response_body
from .table import Item

item = table(Item)

OF_RESPONSE: Statement = Statement(
    sa.select(item.c.position, item.c.id, item.c.response_id, item.c.step, item.c.status, item.c.agent, item.c.body)
    .where(
        item.c.response_id == p("response_id"),
        item.c.conversation_id == p("conversation_id"),
        item.c.position > p("after"),
    )
    .order_by(item.c.position)
    .limit(PAGE)
)
ENDED: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})


def items_of(conn: Connection, turn: TurnRow) -> list[StoredItem]:
    """Everything that entered the conversation with a response, in its order."""
    found: list[StoredItem] = []
    after, more = 0, True
    while more:
        given = {"response_id": turn["id"], "conversation_id": turn["conversation_id"], "after": after}
        rows = conn.all(OF_RESPONSE, given)
        found += [StoredItem(row[1], row[2], row[3], row[4], row[5], from_json(row[6])) for row in rows]
        more = len(rows) == PAGE
        after = int(rows[-1][0]) if rows else 0
    return found


def history_of(conn: Connection, turn: TurnRow) -> list[StoredItem]:
    """The conversation up to a response, with that response."""
    own = items_of(conn, turn)
    last = own[-1].id if own else ""
    found: list[StoredItem] = []
    page = items.after(conn, turn["conversation_id"], 0)
    while page.items:
        found += page.items
        page = items.after(conn, turn["conversation_id"], page.last)
    ends = [place for place, one in enumerate(found) if one.id == last]
    return found[: ends[0] + 1] if ends else found


def input_of(conn: Connection, turn: TurnRow) -> list[StoredItem]:
    """What a response was asked with; empty before its turn has begun."""
    return [one for one in items_of(conn, turn) if one.step == INPUT_STEP]


def body_of(conn: Connection, turn: TurnRow) -> JSON:
    """A response as it is now: of one that is in progress, what has been committed of its output."""
    request: JSON = from_json(turn["request"])
    about = About(
        turn["id"], turn["conversation_id"], turn["tenant"], turn["created_at"], request,
        model=request.get("model") or _desk(conn, turn), previous_id=turn["previous_id"], triggers=turn["triggers"],
    )  # fmt: skip
    output = [
        wire_item(one.id, one.body, one.status, one.agent) for one in items_of(conn, turn) if one.step > INPUT_STEP
    ]
    body = response_body(about, _outcome(turn), output, Usage(**from_json(turn["usage"])))
    if turn["status"] == "queued":  # asked to be cancelled, it says nothing when its turn comes
        body["status"] = "cancelled" if turn["cancel_requested"] else "queued"
    return body


def last_event(conn: Connection, turn: TurnRow) -> str | None:
    """The event that ended a response, for a reader whose log does not hold it any more; None while it is live."""
    if turn["status"] not in ENDED:
        return None
    kind = turn["status"] if turn["status"] in ("completed", "failed") else "incomplete"
    return encoded(
        {
            "type": f"response.{kind}", "sequence_number": max(0, turn["next_sequence"] - 1),
            "response_id": turn["id"], "conversation": turn["conversation_id"], "response": body_of(conn, turn),
        }
    )  # fmt: skip


def _desk(conn: Connection, turn: TurnRow) -> str:
    about = conn.one(turns.CONVERSATION, {"id": turn["conversation_id"]})
    return "" if about is None else str(about[1])


def _outcome(turn: TurnRow) -> Outcome | None:
    if turn["status"] not in ENDED:
        return None
    ended, _, limit = str(turn["ended"]).partition(": ")
    given: Any = turn["status"]
    return Outcome(status=given, ended=ended, error=turn["error"], limit=limit, at=turn["finished_at"] or 0.0)
