"""Which conversation a client means that sends the whole dialog with each request and knows no ids, as chat front ends
do. Only reads.

A request is named by a digest of its messages. The next request of the same dialog holds them again, then the answer
that it was given: so the response that answered those messages, with that text, is the one that it goes on from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ..broker import conversations, tenants, turns
from ..broker.connection import Connection
from ..broker.statements import Statement, p, table
from ..broker.tables import Conversation, Turn
from .history import said
from .response import INPUT_STEP
from .retrieval import ENDED, items_of

turn, conversation = table(Turn), table(Conversation)

MOST: Final = 16  # responses to the same messages that are looked at, the newest first
BETWEEN: Final = "\n\n"  # two messages of one response, where a client is shown one

CANDIDATES: Statement = Statement(
    sa.select(turn)
    .join(conversation, conversation.c.id == turn.c.conversation_id)
    .where(turn.c.dialog.is_not(None), turn.c.dialog == p("dialog"), tenants.of(turn))
    .where(conversation.c.stored == 1)
    .order_by(turn.c.created_at.desc())
    .limit(MOST)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialog:
    """A dialog as it was sent. ``new``: how many of its items follow the last answer; the rest is known if that is."""

    now: str  # names all of its messages
    before: str | None = None  # names those before the last answer; None when it holds none
    said: str = ""  # the last answer's text
    call_ids: frozenset[str] = frozenset()  # of the functions that it asked the client to run
    new: int = 0


def whole_text(bodies: Iterable[Mapping[str, Any]]) -> str:
    """What a response has said, as one text, and for which approvals it waits: chat has no other place for that."""
    return BETWEEN.join(text for text in map(_text, bodies) if text)


def _text(body: Mapping[str, Any]) -> str:
    match body.get("type"):
        case "message":
            return said(body.get("content") or "")
        case "mcp_approval_request":
            return f"[waits for approval of {body['name']}({body['arguments']})]"
        case _:
            return ""


def answered_by(conn: Connection, tenant: str, dialog: Dialog) -> str | None:
    """The response that gave the dialog's last answer; of several the newest that nobody has gone on from."""
    if dialog.before is None:
        return None
    found = [turns.as_turn(row) for row in conn.all(CANDIDATES, {"dialog": dialog.before, "tenant": tenant})]
    fitting = [one for one in found if _gave(conn, one, dialog)]
    free = [one for one in fitting if not conversations.is_continued(conn, one["id"], one["conversation_id"])]
    chosen = (free or fitting)[:1]
    return str(chosen[0]["id"]) if chosen else None


def _gave(conn: Connection, found: turns.TurnRow, dialog: Dialog) -> bool:
    """Whether a response gave that answer. A person who stopped it in the middle has the beginning of it."""
    bodies = [one.body for one in items_of(conn, found) if one.step > INPUT_STEP]
    ids = frozenset(str(one["call_id"]) for one in bodies if one.get("type") == "function_call")
    if dialog.call_ids or ids:
        return dialog.call_ids == ids
    text = whole_text(bodies).strip()
    if found["status"] not in ENDED:
        return text.startswith(dialog.said) or dialog.said.startswith(text)
    return text == dialog.said or (bool(dialog.said) and text.startswith(dialog.said))
