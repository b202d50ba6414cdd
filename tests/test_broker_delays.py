"""Why a queued task waits, as people are told: from what workers have said of themselves. On both engines."""

from __future__ import annotations

import time
from typing import Any

import pytest

from frontdesk.broker import leases, line, rows
from frontdesk.broker.clock import Owner
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.delays import IN_LINE, delays
from frontdesk.broker.filing import Origin
from frontdesk.broker.presence import Presence, present
from frontdesk.broker.queue import enqueue
from frontdesk.broker.worker import Worker
from frontdesk.tasks.request import TaskRequest
from frontdesk.tests.store import Store


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def filed(store: Store, **options: Any) -> str:
    return str(store.do(enqueue, TaskRequest(name="report", **options), Origin())["id"])


def why(store: Store, task_id: str) -> str:
    def look(conn: Connection) -> dict[str, str]:
        row = rows.read(conn, task_id)
        assert row is not None
        return delays(conn, [row])

    return store.see(look)[task_id]


def come(store: Store, *names: str, queues: list[str] | None = None, seconds: float = 60.0) -> str:
    owner = Owner.here().text
    store.do(leases.recover, Presence(owner, {"task": names}, queues, seconds))
    return owner


def test_without_a_worker_it_is_said_how_to_start_one(store: Store) -> None:
    assert "no worker is running: start one" in why(store, filed(store))


def test_a_name_that_no_worker_knows_stays_queued_and_is_said(store: Store) -> None:
    come(store, "other", "another")
    task_id = filed(store)
    assert why(store, task_id).startswith("no worker that is running knows 'report'")
    come(store, "report")
    assert why(store, task_id) == IN_LINE


def test_a_queue_that_nobody_serves_or_that_is_paused_is_said(store: Store) -> None:
    come(store, "report", queues=["fast"])
    task_id = filed(store, queue="slow")
    assert "takes tasks from the queue 'slow'" in why(store, task_id)
    come(store, "report")
    store.do(line.set_paused, "slow", paused=True)
    assert "frontdesk queues resume slow" in why(store, task_id)


def test_a_time_that_has_not_come_and_a_key_that_is_taken_are_said(store: Store) -> None:
    come(store, "report")
    assert why(store, filed(store, delay=7_200)).startswith("its time has not come: in 7,")
    assert why(store, filed(store, run_at=time.time() + 3_600)).startswith("its time has not come: in 3,")
    first = filed(store, concurrency_key="customer 7", concurrency_limit=1)
    second = filed(store, concurrency_key="customer 7", concurrency_limit=1)
    assert (why(store, first), why(store, second)) == (
        IN_LINE,
        "others of the key 'customer 7' are running, 1 at once",
    )


def test_a_worker_that_has_said_nothing_for_too_long_is_not_there_any_more(store: Store) -> None:
    gone = come(store, "report", seconds=-1.0)
    here = come(store, "other")
    assert {one.owner for one in store.see(present)} == {here}
    come(store, "other")
    assert gone not in {one.owner for one in store.see(present)}


def test_a_worker_whose_process_has_died_on_this_machine_is_not_there_any_more(store: Store) -> None:
    boot, _, started, worker = Owner.here().text.split("/")
    store.do(leases.recover, Presence(f"{boot}/4194303/{started}/{worker}", {"task": ["report"]}))
    assert store.see(present) == []


async def test_a_worker_says_what_it_runs_when_it_starts(database: Database) -> None:
    handler: Any = None
    worker = Worker(database, {"desk": handler}, {"report": handler}, turn_slots=0, queues=["slow"])
    worker.start()
    try:
        (found,) = await database.read(present)
    finally:
        await worker.stop(0)
    assert found.runs("task", "report")
    assert not found.runs("turn", "desk"), "it has no slots for turns"
    assert (found.takes_from("task", "slow"), found.takes_from("task", "fast")) == (True, False)
    assert found.seconds > 0


def test_only_queued_tasks_wait(store: Store) -> None:
    assert store.see(delays, []) == {}
