"""Conversations as rows: made, found, continued. What enters one is the inbox's business."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import sqlalchemy as sa
from pydantic_core import to_json

from ..tasks.request import new_id
from . import tenants, turns
from .connection import Connection
from .errors import PreviousResponseNotFound
from .failpoints import operation
from .statements import Statement, defaults, insert_row, p, table
from .tables import Conversation, Turn

conversation, turn = table(Conversation), table(Turn)

GIVEN_UP: Final = -1  # the limit of unattended turns of a conversation that was deleted while something of it was live
UNSTORED_SECONDS: Final = 600.0  # that a conversation which is not stored outlives its connection
READ_CONVERSATION: Statement = Statement(
    sa.select(conversation.c.id).where(
        conversation.c.id == p("id"),
        tenants.of(conversation),
        conversation.c.parent_task.is_(None),
        conversation.c.unattended_limit >= 0,  # it was not given up
    )
)
IS_GIVEN_UP: Statement = Statement(
    sa.select(conversation.c.id).where(conversation.c.id == p("id"), conversation.c.unattended_limit == GIVEN_UP)
)
INSERT_CONVERSATION: Statement = Statement(insert_row(Conversation))
CONTINUED: Statement = Statement(
    sa.select(turn.c.id)
    .where(turn.c.previous_id == p("previous_id"), turn.c.started_by == "create", turn.c.conversation_id == p("id"))
    .limit(1)
)
SET_EXPIRY: Statement = Statement(
    sa.update(conversation)
    .where(conversation.c.id == p("id"), conversation.c.kept_until.is_not(None))
    .values(kept_until=p("at"))
)
CONVERSATION_DEFAULTS: Final = defaults(Conversation)


def create_conversation(
    conn: Connection, *, tenant: str, desk: str, metadata: dict[str, str] | None = None, **values: Any
) -> str:
    """Inserts a conversation and returns its id. One that is not stored lives as long as `keep_unstored` is called."""
    conversation_id = new_id("conv")
    row = {**CONVERSATION_DEFAULTS, "id": conversation_id, "tenant": tenant, "desk": desk, "created_at": conn.wall()}
    if not values.get("stored", 1):
        row["kept_until"] = conn.now() + UNSTORED_SECONDS
    conn.run(INSERT_CONVERSATION, {**row, "meta": to_json(metadata or {}).decode(), **values})
    return conversation_id


@operation
def keep_unstored(conn: Connection, ids: Collection[str]) -> None:
    """Conversations that are not stored are kept for ten minutes from now: their connection is there, or ends now."""
    for one in sorted(ids):
        conn.run(SET_EXPIRY, {"id": one, "at": conn.now() + UNSTORED_SECONDS})


def continue_from(conn: Connection, response_id: str, tenant: str) -> str:
    """The conversation in which a response is continued. Raises PreviousResponseNotFound, also for a delegated run's:
    that conversation has only this run."""
    previous = tenants.owned(turns.read(conn, response_id), tenant)
    if previous is None or conn.one(READ_CONVERSATION, {"id": previous["conversation_id"], "tenant": tenant}) is None:
        raise PreviousResponseNotFound(response_id)
    return str(previous["conversation_id"])


def is_continued(conn: Connection, response_id: str, conversation_id: str) -> bool:
    """Whether a response that a client created continues this one already: then continuing it again forks."""
    return conn.one(CONTINUED, {"previous_id": response_id, "id": conversation_id}) is not None
