"""The same creation, and the same input, sent a thousand times at once: one of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from frontdesk.broker import inbox, queue
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.inbox import NewCreate
from frontdesk.broker.rows import TaskRow
from frontdesk.tasks.request import TaskRequest
from frontdesk.tests.chaos.scale import scaled
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import DESK, Store

TIMES = scaled(1_000, 10_000)
DATABASES = 4  # processes, as far as the database can tell


async def test_a_creation_that_is_sent_a_thousand_times_at_once_makes_one_task(
    opened: Callable[..., Database],
) -> None:
    databases = [opened() for _ in range(DATABASES)]
    store = Store(databases[0])
    request = TaskRequest(name="work", announce="note")
    origin = queue.Origin(conversation_id=store.conversation(), created_by="the same call")

    def file(conn: Connection) -> TaskRow:
        return queue.enqueue(conn, request, origin)

    rows = await asyncio.gather(*(databases[number % DATABASES].write(file) for number in range(TIMES)))
    (task,) = store.tasks()
    assert {row["id"] for row in rows} == {task["id"]}
    assert (task["label"], store.about(task["conversation_id"])["last_label"]) == ("T1", 1)
    assert store.told(task["conversation_id"]) == ["created queued"]
    assert broken(store) == []


async def test_an_input_that_is_sent_a_thousand_times_at_once_is_accepted_once(opened: Callable[..., Database]) -> None:
    databases = [opened() for _ in range(DATABASES)]
    store = Store(databases[0])
    conversation = store.conversation()
    new = NewCreate(
        tenant="", desk=DESK, input=[{"type": "message", "content": "hello"}], request={}, input_id="the same input",
        conversation_id=conversation,
    )  # fmt: skip
    accepted = await asyncio.gather(
        *(databases[number % DATABASES].write(inbox.accept_create, new) for number in range(TIMES))
    )
    assert len({one.response_id for one in accepted}) == 1
    assert len(store.inbox(conversation)) == 1
    assert len(store.turns()) == len(store.tasks()) == 1
    response, entries = store.run_turn()
    assert (response, len(entries)) == (accepted[0].response_id, 1)
    assert broken(store) == []
