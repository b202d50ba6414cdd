"""Nothing of a conversation stays in any table when it is gone, whichever way it goes.

The tables are taken from the schema, so one that is added later has to be cleared as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
import sqlalchemy as sa

from frontdesk.agents import removal
from frontdesk.agents.deletion import delete_conversation
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.statements import Statement, p
from frontdesk.tasks.table import Base
from frontdesk.tests.store import Store

TASK, RESPONSE = "task_that_goes", "resp_that_goes"
OF_NOBODY: Final = {
    "frontdesk_meta", "frontdesk_worker", "frontdesk_queue", "frontdesk_limit", "frontdesk_schedule",
    "frontdesk_quota", "frontdesk_token",
    "frontdesk_wait", "frontdesk_durable_call",  # they go when their task ends, and what is live is not removed
}  # fmt: skip


def plain(column: sa.Column[Any]) -> Any:
    return 1 if isinstance(column.type, sa.Integer | sa.Float) else "{}"


def row_of(table: sa.Table, conversation: str) -> dict[str, Any]:
    """A row of this table that belongs to the conversation, to its task or to its response."""
    own = {
        "conversation_id": conversation, "owner": f"conversation:{conversation}", "status": "completed",
        "finished_at": 1.0, "task_id": TASK, "label": "T1",
        "id": {"frontdesk_task": TASK, "frontdesk_turn": RESPONSE}.get(table.name, f"row_of_{conversation}"),
    }  # fmt: skip
    if table.name == "frontdesk_task":
        own["status"] = "succeeded"
    return {column.name: own.get(column.name, None if column.nullable else plain(column)) for column in table.columns}


def fill(conn: Connection, conversation: str) -> list[str]:
    """A row in every table that can have one; their names."""
    found = [one for one in Base.metadata.sorted_tables if one.name not in OF_NOBODY | {"frontdesk_conversation"}]
    for one in found:
        values = {column.name: p(column.name) for column in one.columns}
        conn.run(Statement(sa.insert(one).values(values)), row_of(one, conversation))
    return [one.name for one in found]


def mentions(conn: Connection, *ids: str) -> dict[str, int]:
    """How many rows of which tables hold one of these ids, wherever they hold it."""
    found = {
        one.name: sum(
            any(name in str(value) for name in ids for value in row) for row in conn.all(Statement(sa.select(one)))
        )
        for one in Base.metadata.sorted_tables
    }
    return {name: count for name, count in found.items() if count}


def remove(store: Store, conversation: str) -> None:
    over = sa.update(removal.conversation).values(kept_until=p("at"))
    store.do(lambda conn: conn.run(Statement(over), {"at": conn.now() - 1}))
    while store.do(removal.remove_conversation, conversation):
        pass


def delete(store: Store, conversation: str) -> None:
    store.do(delete_conversation, conversation, "")


@pytest.mark.parametrize(("stored", "go"), [(0, remove), (1, delete)], ids=["not stored", "deleted"])
def test_nothing_of_it_stays_in_any_table(database: Database, stored: int, go: Callable[[Store, str], None]) -> None:
    store = Store(database)
    conversation = store.conversation(stored=stored)
    names = store.do(fill, conversation)
    assert len(names) >= 10
    assert set(store.see(mentions, conversation, TASK, RESPONSE)) == {*names, "frontdesk_conversation"}
    go(store, conversation)
    assert store.see(mentions, conversation, TASK, RESPONSE) == {}
