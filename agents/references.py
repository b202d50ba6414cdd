"""Items that an input names instead of holding them (``item_reference``): found, or told that they are not there.
Storage functions that only read.

One of another conversation of the same tenant is put in as it is there, without its id. What the input's conversation
has already is seen there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from pydantic_core import from_json

from ..broker import tenants
from ..broker.connection import Connection
from ..broker.errors import ItemNotFound
from ..broker.statements import Statement, p, table
from ..broker.tables import Conversation
from .errors import TooMuchNamed
from .model import JSON
from .table import Item

item, conversation = table(Item), table(Conversation)

KIND: Final = "item_reference"
MOST: Final = 16 * 1024 * 1024  # characters of JSON that are put into one input: as many as a message may have
FORKS: Final = 20  # that are looked at, of those that hold an item
TOGETHER: Final = 100  # ids that are looked up before one that is missing is told

PLACES: Statement = Statement(  # in the input's conversation before all others, and of forks in the oldest
    sa.select(item.c.conversation_id, sa.func.length(item.c.body), conversation.c.stored)
    .join(conversation, conversation.c.id == item.c.conversation_id)
    .where(item.c.id == p("id"), tenants.of(conversation))
    .order_by(
        sa.case((item.c.conversation_id == p("target"), 0), else_=1),
        conversation.c.stored.desc(),
        conversation.c.created_at,
    )
    .limit(FORKS)
)
BODY: Statement = Statement(
    sa.select(item.c.body).where(item.c.id == p("id"), item.c.conversation_id == p("conversation_id"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Whose input it is, and where it goes; ``mine``: the conversations that are not stored and that its client sees
    all the same."""

    tenant: str
    target: str = ""  # empty: nowhere, or into a conversation that is yet to be made
    mine: Collection[str] = ()


def is_reference(one: JSON) -> bool:
    return one.get("type") == KIND


def resolved(conn: Connection, given: Sequence[JSON], reader: Reader, param: str = "input") -> tuple[JSON, ...]:
    """An input with the items that it names, but for references to what its conversation has. Raises ItemNotFound,
    TooMuchNamed."""
    named: dict[str, str] = {}
    for place, one in enumerate(given):
        if is_reference(one):
            named.setdefault(one["id"], f"{param}[{place}].id")
    places = _places(conn, named, reader)
    elsewhere = {one: found for one, found in places.items() if found[0] != reader.target}
    size = sum(elsewhere[one["id"]][1] for one in given if is_reference(one) and one["id"] in elsewhere)
    if size > MOST:
        raise TooMuchNamed(size, MOST, param)
    bodies = {one: _body(conn, one, found[0]) for one, found in elsewhere.items()}
    return tuple(bodies.get(one["id"], one) if is_reference(one) else one for one in given)


def _places(conn: Connection, named: Mapping[str, str], reader: Reader) -> dict[str, tuple[str, int]]:
    """For each id the conversation that it is found in, and its length."""
    ids, found = list(named), dict[str, tuple[str, int]]()
    for first in range(0, len(ids), TOGETHER):
        some = ids[first : first + TOGETHER]
        asked = [conn.ask(PLACES, {"id": one, "target": reader.target, "tenant": reader.tenant}) for one in some]
        for one, answer in zip(some, asked, strict=True):
            seen = [row for row in answer.rows() if row[2] or row[0] == reader.target or row[0] in reader.mine]
            if not seen:
                raise ItemNotFound(one, named[one])
            found[one] = str(seen[0][0]), int(seen[0][1])
    return found


def _body(conn: Connection, item_id: str, conversation_id: str) -> JSON:
    row = conn.one(BODY, {"id": item_id, "conversation_id": conversation_id})
    assert row is not None, "it was found just now"
    body: JSON = from_json(row[0])
    return {key: value for key, value in body.items() if key != "id" and not key.startswith("frontdesk:")}
