"""Conversations as clients keep them: made with a history, described, listed, added to, taken from. Storage functions
only.

While a turn is live, its conversation's history is the turn's: nobody else writes it. What changes here counts the
conversation's ``last_item`` on, by which a worker that knows an older history sees that it does (``past``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from ..broker import conversations, tenants, turns
from ..broker.connection import Connection, Row
from ..broker.errors import ConversationBusy, ConversationNotFound, ItemNotFound
from ..broker.failpoints import operation
from ..broker.statements import Statement, p, table
from ..broker.tables import Conversation
from . import items, references, required, result_storage, summary_storage
from .entries import given_items
from .history import StoredItem
from .model import JSON
from .references import Reader
from .table import Item

item, conversation = table(Item), table(Conversation)

BUSY: Final = "wait for its answer before its items are changed"

READ: Statement = Statement(
    sa.select(conversation.c.id, conversation.c.created_at, conversation.c.meta, conversation.c.last_item).where(
        conversation.c.id == p("id"),
        tenants.of(conversation),
        conversation.c.stored == 1,
        conversation.c.parent_task.is_(None),
    )
)
SET_META: Statement = Statement(sa.update(conversation).where(conversation.c.id == p("id")).values(meta=p("meta")))
COUNT_ON: Statement = Statement(
    sa.update(conversation)
    .where(conversation.c.id == p("id"))
    .values(last_item=conversation.c.last_item + p("count"))
    .returning(conversation.c.last_item)
)
_COLUMNS: Final = (
    item.c.position, item.c.id, item.c.response_id, item.c.step, item.c.status, item.c.agent, item.c.body,
)  # fmt: skip
_OF: Final = (
    item.c.conversation_id == p("conversation_id"),
    item.c.body.not_like('%"type":"item_reference"%'),  # it only names another item
)
ONE: Statement = Statement(
    sa.select(*_COLUMNS).where(item.c.id == p("id"), item.c.conversation_id == p("conversation_id"))
)
OLDEST: Statement = Statement(
    sa.select(*_COLUMNS).where(*_OF, item.c.position > p("from")).order_by(item.c.position).limit(p("limit"))
)
NEWEST: Statement = Statement(
    sa.select(*_COLUMNS).where(*_OF, item.c.position < p("from")).order_by(item.c.position.desc()).limit(p("limit"))
)
DELETE: Statement = Statement(
    sa.delete(item).where(item.c.id == p("id"), item.c.conversation_id == p("conversation_id"))
)
BEYOND: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class About:
    """What a client knows of a conversation besides its items."""

    id: str
    created_at: float
    metadata: dict[str, str]


def about(conn: Connection, conversation_id: str, tenant: str) -> About:
    """A stored conversation of this tenant. Raises ConversationNotFound."""
    row = conn.one(READ, {"id": conversation_id, "tenant": tenant})
    if row is None:
        raise ConversationNotFound(conversation_id)
    return About(str(row[0]), float(row[1]), from_json(row[2]))


@operation
def start_conversation(
    conn: Connection,
    tenant: str,
    desk: str,
    metadata: dict[str, str],
    given: Sequence[JSON],
    *,
    unattended_limit: int = 8,
) -> About:
    """Makes a conversation that begins with these items. Raises ItemNotFound, TooMuchNamed."""
    given = references.resolved(conn, given, Reader(tenant=tenant), "items")
    made = conversations.create_conversation(
        conn, tenant=tenant, desk=desk, metadata=metadata, unattended_limit=unattended_limit
    )
    _append(conn, made, given)
    return about(conn, made, tenant)


@operation
def update_conversation(conn: Connection, conversation_id: str, tenant: str, metadata: dict[str, str]) -> About:
    """Gives a conversation other metadata. Raises ConversationNotFound."""
    about(conn, conversation_id, tenant)
    conn.run(SET_META, {"id": conversation_id, "meta": to_json(metadata).decode()})
    return about(conn, conversation_id, tenant)


@operation
def add_items(conn: Connection, conversation_id: str, tenant: str, given: Sequence[JSON]) -> list[StoredItem]:
    """Appends items to a conversation that is not answering; they, and those that it has already and that are named.
    Raises ConversationNotFound, ConversationBusy, AnswerRefused, ItemNotFound, TooMuchNamed."""
    _lock(conn, conversation_id, tenant)
    given = references.resolved(conn, given, Reader(tenant=tenant, target=conversation_id), "items")
    required.settle_outputs(conn, conversation_id, given)
    there = dict.fromkeys(one["id"] for one in given if references.is_reference(one))
    added = _append(conn, conversation_id, [one for one in given if not references.is_reference(one)])
    return [*(_as_item(_one(conn, conversation_id, one)) for one in there), *added]


@operation
def delete_item(conn: Connection, conversation_id: str, tenant: str, item_id: str) -> About:
    """Removes an item from a conversation that is not answering: no model sees it any more. Raises
    ConversationNotFound, ItemNotFound, ConversationBusy."""
    found = _lock(conn, conversation_id, tenant)
    row = _one(conn, conversation_id, item_id)
    removed = _as_item(row)
    summary_storage.forget(conn, conversation_id, int(row[0]))
    conn.run(DELETE, {"conversation_id": conversation_id, "id": item_id})
    result_storage.forget(conn, conversation_id, removed)
    conn.one(COUNT_ON, {"id": conversation_id, "count": 1})
    return found


def one_item(conn: Connection, conversation_id: str, tenant: str, item_id: str) -> StoredItem:
    """An item of a conversation. Raises ConversationNotFound, ItemNotFound."""
    about(conn, conversation_id, tenant)
    return _as_item(_one(conn, conversation_id, item_id))


def page(
    conn: Connection, conversation_id: str, tenant: str, *, after: str, limit: int, newest_first: bool
) -> list[StoredItem]:
    """Items of a conversation, those that follow the item ``after``. Raises ConversationNotFound, ItemNotFound."""
    about(conn, conversation_id, tenant)
    start = BEYOND if newest_first else 0
    if after:
        start = int(_one(conn, conversation_id, after)[0])
    statement = NEWEST if newest_first else OLDEST
    rows = conn.all(statement, {"conversation_id": conversation_id, "from": start, "limit": limit})
    return [_as_item(row) for row in rows]


def _one(conn: Connection, conversation_id: str, item_id: str) -> Row:
    row = conn.one(ONE, {"conversation_id": conversation_id, "id": item_id})
    if row is None:
        raise ItemNotFound(item_id)
    return row


def _as_item(row: Row) -> StoredItem:
    return StoredItem(row[1], row[2], row[3], row[4], row[5], from_json(row[6]))


def _lock(conn: Connection, conversation_id: str, tenant: str) -> About:
    """Locks a conversation whose history nobody else is writing. Raises ConversationNotFound, ConversationBusy."""
    found = about(conn, conversation_id, tenant)
    conn.one(COUNT_ON, {"id": conversation_id, "count": 0})
    if turns.live_id(conn, conversation_id):
        raise ConversationBusy(conversation_id, BUSY)
    return found


def _append(conn: Connection, conversation_id: str, given: Sequence[JSON]) -> list[StoredItem]:
    ids = [one["id"] for one in given if isinstance(one.get("id"), str)]
    known = {one for one in ids if conn.one(ONE, {"conversation_id": conversation_id, "id": one}) is not None}
    added = given_items(given, known)
    counted = conn.one(COUNT_ON, {"id": conversation_id, "count": len(added)})
    if counted is None:
        raise ConversationNotFound(conversation_id)
    items.insert(conn, conversation_id, int(counted[0]) - len(added), added)
    return added
