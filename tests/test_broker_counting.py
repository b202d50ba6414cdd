"""Tasks counted and listed: what is live, what runs where, what ended within the hour. On both engines."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from frontdesk.broker import listing
from frontdesk.broker.connection import Connection
from frontdesk.broker.counting import MINUTES, Counts, count
from frontdesk.broker.database import Database
from frontdesk.broker.statements import Statement, p
from frontdesk.tasks.states import Action
from frontdesk.tests.store import Store, task

ENDED_AGO: Statement = Statement(
    sa.update(task).where(task.c.id == p("id")).values(finished_at=task.c.finished_at - p("seconds"))
)


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def backdate(conn: Connection, task_id: str, seconds: float) -> None:
    conn.run(ENDED_AGO, {"id": task_id, "seconds": seconds})


def counted(store: Store, tenant: str = "") -> Counts:
    return store.see(count, tenant)


def test_nothing_is_counted_as_nothing(store: Store) -> None:
    found = counted(store)
    assert (found.status, found.queues, found.names, found.turns, found.workers) == ({}, {}, {}, {}, {})
    assert (found.oldest_queued_seconds, found.last_hour, found.per_minute) == (None, {}, (0,) * MINUTES)


def test_live_tasks_are_counted_by_state_queue_and_name_and_turns_apart(store: Store) -> None:
    store.create()
    store.park(store.started(name="sleeper"), seconds=1e6)
    store.started(name="runner", queue="slow")
    for _ in range(3):
        store.enqueue(name="runner", queue="slow")
    store.finish(store.started(name="done"))
    store.enqueue(tenant="acme")
    found = counted(store)
    assert found.status == {"waiting": 1, "running": 1, "queued": 3}
    assert found.queues == {"default": {"waiting": 1}, "slow": {"running": 1, "queued": 3}}
    assert found.names == {"sleeper": {"waiting": 1}, "runner": {"running": 1, "queued": 3}}
    assert found.turns == {"queued": 1}
    assert counted(store, "acme").status == {"queued": 1}


def test_running_tasks_and_turns_are_counted_by_their_worker(store: Store) -> None:
    store.create()
    store.claim_turn()
    for _ in range(3):
        store.enqueue()
    store.claim(2, owner="one")
    store.claim(1, owner="two")
    assert counted(store).workers == {"tests": {"turns": 1}, "one": {"tasks": 2}, "two": {"tasks": 1}}
    assert counted(store, "acme").workers == {}


def test_only_what_could_run_is_waiting_in_line(store: Store) -> None:
    store.enqueue(delay=600)
    assert counted(store).oldest_queued_seconds is None, "it waits for its time, not for a worker"
    row = store.enqueue()
    now = store.see(lambda conn: conn.now())
    waited = counted(store).oldest_queued_seconds
    assert waited is not None
    assert now - row["ready"] <= waited <= store.see(lambda conn: conn.now()) - row["ready"]


def test_what_ended_within_the_hour_is_counted_by_its_end_and_minute(store: Store) -> None:
    ended = {30.0: Action.SUCCEED, 90.0: Action.FAIL, 95.0: Action.SUCCEED, 3_630.0: Action.SUCCEED}
    for ago, action in ended.items():
        claim = store.started()
        store.finish(claim, action)
        store.do(backdate, claim.task_id, ago)
    store.create()
    store.run_turn()
    found = counted(store)
    assert found.last_hour == {"succeeded": 2, "failed": 1}, "no turn, and nothing older"
    assert found.per_minute[-2:] == (2, 1)
    assert sum(found.per_minute) == 3
    assert counted(store, "acme").last_hour == {}


@pytest.mark.parametrize("status", [listing.LIVE, "queued", ""])
def test_a_page_follows_the_one_before_it(store: Store, status: str) -> None:
    ids = [store.enqueue()["id"] for _ in range(5)]
    first = store.see(listing.page, "", status=status, limit=2)
    rest = store.see(listing.page, "", status=status, limit=9, after=first[-1]["id"])
    assert {row["id"] for row in (*first, *rest)} == set(ids)
    created = [(row["created_at"], row["id"]) for row in (*first, *rest)]
    assert created == sorted(created, reverse=True)


def test_live_tasks_are_those_that_have_not_ended(store: Store) -> None:
    conversation = store.conversation()
    store.create(conversation)
    store.finish(store.started(name="ended"))
    running = store.started(name="running")
    queued = store.enqueue(conversation)
    store.enqueue(tenant="acme")
    found = store.see(listing.page, "", status=listing.LIVE)
    assert [row["id"] for row in found] == [queued["id"], running.task_id]
    found = store.see(listing.page, "", status=listing.LIVE, conversation_id=conversation)
    assert [row["id"] for row in found] == [queued["id"]]
    assert [row["id"] for row in store.see(listing.page, "", status="running")] == [running.task_id]
