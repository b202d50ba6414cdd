"""What the server reads for itself: whether a conversation may be followed, a tenant's tasks. Nothing here writes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa
from pydantic_core import from_json

from ..agents import retrieval
from ..broker import counting, delays, deliveries, events, listing, rows, schedules, tenants, turns, views
from ..broker.connection import Connection
from ..broker.errors import ConversationNotFound, PreviousResponseNotFound, ResponseNotFound, TaskNotFound
from ..broker.inputs import Accepted
from ..broker.statements import Statement, p, table
from ..broker.tables import Conversation, LogRow
from ..broker.wakeups import Events
from .errors import ResponseExpired
from .item_views import shown_items

PAGE: Final = 100

conversation, log = table(Conversation), table(LogRow)

OF_TENANT: Statement = Statement(
    sa.select(conversation.c.stored, conversation.c.last_cursor).where(
        conversation.c.id == p("id"), tenants.of(conversation)
    )
)
FOLLOWING: Statement = Statement(
    sa.select(log.c.first)
    .where(
        log.c.conversation_id == p("id"),
        log.c.first + log.c.count > p("cursor") + 1,
        log.c.response_id == p("response_id"),
    )
    .limit(1)
)
STORED: Statement = Statement(sa.select(conversation.c.stored).where(conversation.c.id == p("id")))


def last_cursor(conn: Connection, conversation_id: str, tenant: str, chains: Collection[str]) -> int:
    """The log's last cursor of a conversation that this connection may follow. Raises ConversationNotFound."""
    row = conn.one(OF_TENANT, {"id": conversation_id, "tenant": tenant})
    if row is None or not (row[0] or conversation_id in chains):
        raise ConversationNotFound(conversation_id)
    return int(row[1])


def resumed(
    conn: Connection, conversation_id: str, cursor: int, limit: int, own: Collection[str]
) -> tuple[int, list[Events], bool]:
    """As `events.resume`; and whether the end of one of the client's own responses, which it has not been sent, is not
    there any more: it was deleted."""
    removed, found = events.resume(conn, conversation_id, cursor, limit)
    lost = any(_has_lost_its_end(conn, conversation_id, cursor, one) for one in own)
    return removed, found, lost


def _has_lost_its_end(conn: Connection, conversation_id: str, cursor: int, response_id: str) -> bool:
    turn = turns.read(conn, response_id)
    if turn is not None and turn["finished_at"] is None:
        return False
    return conn.one(FOLLOWING, {"id": conversation_id, "cursor": cursor, "response_id": response_id}) is None


def is_stored(conn: Connection, conversation_id: str) -> bool:
    row = conn.one(STORED, {"id": conversation_id})
    return row is not None and bool(row[0])


def check_chain(conn: Connection, previous_id: str, tenant: str, chains: Collection[str]) -> None:
    """A response that is not stored is continued on its own connection only. Raises PreviousResponseNotFound."""
    previous = tenants.owned(turns.read(conn, previous_id), tenant)
    if previous is None:
        raise PreviousResponseNotFound(previous_id)
    if not _is_there(conn, previous, chains):
        raise PreviousResponseNotFound(previous_id)


def check_followed(conn: Connection, response_id: str, tenant: str, chains: Collection[str]) -> None:
    """Whether this client may follow the conversation in which this is being answered. Raises ResponseNotFound."""
    found = tenants.owned(turns.read(conn, response_id), tenant)
    if found is None or not (found["conversation_id"] in chains or is_stored(conn, found["conversation_id"])):
        raise ResponseNotFound(response_id)


def response_of(conn: Connection, response_id: str, tenant: str, chains: Collection[str]) -> turns.TurnRow:
    """The turn of a response that this client may see. Raises ResponseNotFound."""
    found = tenants.owned(turns.read(conn, response_id), tenant)
    if found is None:
        raise ResponseNotFound(response_id)
    if not _is_there(conn, found, chains):
        raise ResponseNotFound(response_id)
    return found


def _is_there(conn: Connection, turn: turns.TurnRow, chains: Collection[str]) -> bool:
    """Whether a response is kept for everybody, or is one of this client's own. What is said in a conversation is kept
    there; a response that is not to be stored is not, wherever it was given."""
    if turn["conversation_id"] in chains or turn["id"] in chains:
        return True
    return is_stored(conn, turn["conversation_id"]) and from_json(turn["request"]).get("store") is not False


def response(conn: Connection, response_id: str, tenant: str, chains: Collection[str]) -> dict[str, Any]:
    """A response as it is now. Raises ResponseNotFound."""
    return retrieval.body_of(conn, response_of(conn, response_id, tenant, chains))


def last_event(conn: Connection, response_id: str, tenant: str, chains: Collection[str]) -> str | None:
    """As `retrieval.last_event`. Raises ResponseNotFound."""
    return retrieval.last_event(conn, response_of(conn, response_id, tenant, chains))


def history(conn: Connection, response_id: str, tenant: str, chains: Collection[str]) -> list[dict[str, Any]]:
    """Everything up to a response, as it is kept. Raises PreviousResponseNotFound."""
    try:
        found = response_of(conn, response_id, tenant, chains)
    except ResponseNotFound:
        raise PreviousResponseNotFound(response_id) from None
    return [one.body for one in retrieval.history_of(conn, found)]


def input_items(conn: Connection, response_id: str, tenant: str, chains: Collection[str]) -> list[dict[str, Any]]:
    """What a response was asked with, as it is shown, the oldest first. Raises ResponseNotFound."""
    return shown_items(retrieval.input_of(conn, response_of(conn, response_id, tenant, chains)))


def check_kept(conn: Connection, found: Accepted) -> None:
    """A response that has ended is repeated from the log. Raises ResponseExpired when retention has removed that."""
    if found.cursor < events.removed_until(conn, found.conversation_id):
        response = turns.read(conn, found.response_id)
        if response is not None and response["finished_at"] is not None:
            raise ResponseExpired(found.response_id)


def tasks(
    conn: Connection,
    tenant: str,
    *,
    conversation_id: str = "",
    status: str = "",
    after: str = "",
    limit: int = PAGE,
) -> list[dict[str, Any]]:
    """Tasks as they are shown, newest first; ``status``, ``after`` as in `listing.page`. Raises TaskNotFound."""
    found = listing.page(
        conn, tenant, conversation_id=conversation_id, status=status, after=after, limit=min(limit, PAGE + 1)
    )
    why = delays.delays(conn, found)
    return [{**shown(row), "waits_for": why[row["id"]]} if row["id"] in why else shown(row) for row in found]


def task_of(conn: Connection, task_id: str, tenant: str) -> dict[str, Any]:
    """One task as it is shown, with what its webhook was told. Raises TaskNotFound, also for another tenant's and for
    turns."""
    row = listing.one(conn, task_id, tenant)
    if row is None:
        raise TaskNotFound(task_id)
    told, why = deliveries.of_task(conn, task_id), delays.delays(conn, [row])
    return {
        **shown(row),
        **({"deliveries": told} if told else {}),
        **({"waits_for": why[row["id"]]} if why else {}),
    }


def stats(conn: Connection, tenant: str) -> dict[str, Any]:
    """The tenant's tasks, counted, as they are shown."""
    return {"object": "frontdesk.stats", **asdict(counting.count(conn, tenant))}


def scheduled(conn: Connection) -> list[dict[str, Any]]:
    """Every schedule as it is shown, by name; times in seconds since 1970."""
    return [
        {
            "object": "frontdesk.schedule", "name": row["name"], "cron": row["expression"], "timezone": row["timezone"],
            "missed": row["missed"], "paused": bool(row["paused"]), "next_at": row["next_at"],
            "last_at": row["last_at"],
        }
        for row in schedules.all_schedules(conn)
    ]  # fmt: skip


def shown(row: rows.TaskRow) -> dict[str, Any]:
    """A task with what only its list says: the API's ``object``, the conversation that owns it, whose retry it is."""
    owner = {"object": "frontdesk.task", "conversation": row["conversation_id"]}
    return {**owner, **views.view(row), "queue": row["queue"], "retry_of": row["retry_of"]}
