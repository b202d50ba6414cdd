"""Which conversation a client means that sends the whole dialog with each request and knows no ids, as chat front ends
do. Only reads.

A request is named by a digest of its messages. The next request of the same dialog holds them again, then the answer
that it was given: so the response that answered those messages, with that text, is the one that it goes on from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import sqlalchemy as sa

from ..broker import conversations, tenants, turns
from ..broker.connection import Connection
from ..broker.statements import Statement, p, table, word
from ..broker.tables import Conversation, Turn
from .approvals import plain_decision
from .history import said
from .model import JSON
from .response import INPUT_STEP
from .retrieval import ENDED, items_of
from .table import RequiredInput

turn, conversation, required = table(Turn), table(Conversation), table(RequiredInput)

MOST: Final = 16  # responses to the same messages that are looked at, the newest first
BETWEEN: Final = "\n\n"  # two messages of one response, where a client is shown one

ONE: Final = 'Answer "yes" to have it run, or "no" and why.'
ALL: Final = 'Answer "yes" to have all of them run, or "no" and why to have none.'

OPEN: Statement = Statement(
    sa.select(required.c.key)
    .join(turn, sa.and_(turn.c.id == required.c.response_id, turn.c.conversation_id == required.c.conversation_id))
    .where(
        required.c.response_id == p("response_id"),
        required.c.kind == word("approval"),
        required.c.answered_by.is_(None),
    )
    .order_by(required.c.key)
)
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
    """What a response has said, as one text, and what it asks to be approved, in words: chat has no other place for
    that. `plain_answers` takes the answer.
    """
    found = list(bodies)
    asks = sum(body.get("type") == "mcp_approval_request" for body in found)
    how = {0: "", 1: ONE}.get(asks, ALL)
    return BETWEEN.join(text for text in (*map(_text, found), how) if text)


def _text(body: Mapping[str, Any]) -> str:
    match body.get("type"):
        case "message":
            return said(body.get("content") or "")
        case "mcp_approval_request":
            label = str(body.get("server_label") or "desk")
            name = body["name"] if label == "desk" else f"{label}.{body['name']}"
            return f"May this be run: {name}({body['arguments']})?"
        case _:
            return ""


def plain_answers(conn: Connection, response_id: str, given: Sequence[JSON]) -> Sequence[JSON]:
    """A person's "yes", or "no" and why, as the answer to what this response, the last one, asks to be approved; any
    other input as it is. A "yes, and …" is no answer: what follows may change what is agreed to.
    """
    decided = plain_decision(_only_text(given))
    if decided is None:
        return given
    keys = conn.all(OPEN, {"response_id": response_id})
    found = [{"type": "mcp_approval_response", "approval_request_id": str(key), **decided} for (key,) in keys]
    return found or given


def _only_text(given: Sequence[JSON]) -> str:
    """The text of an input that is one message of text, else nothing."""
    if len(given) != 1 or given[0].get("role") != "user":
        return ""
    content: Any = given[0].get("content")
    parts = cast("Sequence[Any]", content) if isinstance(content, list) else ()
    return said(parts) if parts and all(one.get("type") == "input_text" for one in parts) else ""


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
