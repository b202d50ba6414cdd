"""Items that an input names instead of holding them (``item_reference``): found, or told that they are not there.

One that the conversation has already stays as it is: the agents know it by its id. One of another conversation of the
same tenant is put in as it is there, without its id.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa
from pydantic_core import from_json

from ..agents.table import Item
from ..broker import inbox, tenants, turns
from ..broker.connection import Connection
from ..broker.inbox import NewCreate
from ..broker.statements import Statement, p, table
from ..broker.tables import Conversation
from .checks import JSON
from .errors import ItemMissing

item, conversation = table(Item), table(Conversation)

KIND: Final = "item_reference"
NAMED: Statement = Statement(
    sa.select(item.c.conversation_id, item.c.body, conversation.c.stored)
    .join(conversation, conversation.c.id == item.c.conversation_id)
    .where(item.c.id == p("id"), tenants.of(conversation))
    .order_by(conversation.c.created_at)
)


def resolved(conn: Connection, new: NewCreate, chains: Collection[str]) -> NewCreate:
    """The input with the items that it names. Raises ItemMissing."""
    if all(one["type"] != KIND for one in new.input) or inbox.repeat(conn, new) is not None:
        return new
    target = new.conversation_id
    if new.previous_response_id is not None:
        previous = turns.read(conn, new.previous_response_id)
        target = None if previous is None else str(previous["conversation_id"])
    found = [
        one if one["type"] != KIND else _item(conn, new, one, f"input[{place}].id", target, chains)
        for place, one in enumerate(new.input)
    ]
    return replace(new, input=tuple(found))


def _item(
    conn: Connection, new: NewCreate, reference: JSON, param: str, target: str | None, chains: Collection[str]
) -> JSON:
    rows: Sequence[Any] = [
        row for row in conn.all(NAMED, {"id": reference["id"], "tenant": new.tenant}) if row[2] or row[0] in chains
    ]
    if not rows:
        raise ItemMissing(str(reference["id"]), param)
    # Without a conversation, what is named says which it is, unless nothing is to be stored there.
    if target in [row[0] for row in rows] or (target is None and new.stored):
        return reference
    body: JSON = from_json(rows[0][1])
    return {key: value for key, value in body.items() if key != "id" and not key.startswith("frontdesk:")}
