"""Retrying a task: once, as a new task that points to the old one, on both engines, however often it is asked."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_core import from_json

from frontdesk.agents.task_retry import retry_task
from frontdesk.agents.task_storage import delegate
from frontdesk.broker import queue, turns
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.errors import TaskNotFound, TaskNotRetryable
from frontdesk.broker.rows import TaskRow
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import Action
from frontdesk.tests import forked
from frontdesk.tests.store import Store, at_once


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def failed(store: Store, action: Action = Action.FAIL, **options: Any) -> TaskRow:
    """A task that has ended."""
    claim = store.started(**options)
    store.finish(claim, action, error="it broke")
    return store.row(claim.task_id)


def count(store: Store) -> int:
    return sum(row["kind"] != "turn" for row in store.tasks())


OPTIONS: dict[str, Any] = {
    "title": "Work", "arguments": {"number": 4}, "queue": "slow", "priority": 7, "timeout": 12.5, "max_attempts": 9,
    "on_crash": "retry", "announce": "note",
}  # fmt: skip


@pytest.mark.parametrize("action", [Action.FAIL, Action.CANCEL, Action.HOLD])
def test_a_retry_is_a_new_task_with_the_same_work(store: Store, action: Action) -> None:
    conversation = store.conversation()
    old = failed(store, action, conversation_id=conversation, **OPTIONS)
    new, repeated = store.do(retry_task, old["id"], "")
    assert (new["status"], new["retry_of"], new["attempt"], repeated) == ("queued", old["id"], 1, False)
    assert {name: new[name] for name in OPTIONS if name != "arguments"} == {
        name: value for name, value in OPTIONS.items() if name != "arguments"
    }
    assert from_json(new["arguments"]) == OPTIONS["arguments"]
    assert (old["label"], new["label"], new["conversation_id"]) == ("T1", "T2", conversation)
    assert store.row(old["id"]) == old, "what has ended stays as it is"
    created = [event["task"]["id"] for event in store.log(conversation) if event["type"] == "frontdesk:task.created"]
    assert created == [old["id"], new["id"]]
    assert store.claim_one(names=[new["name"]]).task_id == new["id"]


def test_a_task_of_no_conversation_is_retried_and_waits_no_longer_than_others(store: Store) -> None:
    old = failed(store)
    new, _ = store.do(retry_task, old["id"], "")
    assert (new["conversation_id"], new["label"], new["parent_id"]) == (None, "", None)


@pytest.mark.parametrize("unique_for", [None, 3600.0])
def test_a_unique_key_and_a_limit_go_over_to_the_new_task(store: Store, unique_for: float | None) -> None:
    old = failed(store, unique_key="one", unique_for=unique_for, concurrency_key="shop", concurrency_limit=2)
    new, repeated = store.do(retry_task, old["id"], "")
    assert (new["retry_of"], new["unique_key"], repeated) == (old["id"], "one", False)
    assert (new["concurrency_key"], new["concurrency_limit"]) == ("shop", 2)
    assert store.enqueue(unique_key="one")["id"] == new["id"], "it is the one that has the key"
    again, repeated = store.do(retry_task, old["id"], "")
    assert (again["id"], repeated) == (new["id"], True)


def test_a_key_that_another_task_has_got_meanwhile_stays_with_that(store: Store) -> None:
    old = failed(store, unique_key="one")
    other = store.enqueue(unique_key="one")
    new, _ = store.do(retry_task, old["id"], "")
    assert (new["retry_of"], new["unique_key"]) == (old["id"], None)
    assert store.row(other["id"])["unique_key"] == "one"


def test_a_task_of_the_first_schema_that_waited_for_its_hour_is_retried_at_once(store: Store) -> None:
    row = store.enqueue(run_at=datetime(2100, 1, 1, tzinfo=UTC))
    store.do(lambda conn: conn.script("UPDATE frontdesk_task SET concurrency_limit = 0"))
    store.cancel(row["id"])
    new, _ = store.do(retry_task, row["id"], "")
    assert (new["run_at"], new["concurrency_limit"]) == (None, 1)
    assert store.claim_one(names=[new["name"]]).task_id == new["id"]


def test_asked_again_a_retry_is_the_task_that_is_there(store: Store) -> None:
    old = failed(store, name="one")
    first, _ = store.do(retry_task, old["id"], "")
    claim = store.claim_one(names=["one"])
    again, repeated = store.do(retry_task, old["id"], "")
    assert (again["id"], again["status"], repeated) == (first["id"], "running", True)
    store.finish(claim, Action.FAIL)
    third, repeated = store.do(retry_task, first["id"], "")
    assert (third["retry_of"], repeated) == (first["id"], False), "what came of it can be retried in its turn"
    assert count(store) == 3


@pytest.mark.parametrize("owned", [True, False])
def test_asked_by_many_at_once_a_retry_is_one_task(
    store: Store, opened: Callable[..., Database], *, owned: bool
) -> None:
    old = failed(store, conversation_id=store.conversation() if owned else None)
    several = [store, Store(opened()) if store.database.engine.dialect == "postgresql" else store]
    found = at_once(8, lambda number: several[number % 2].do(retry_task, old["id"], ""))
    assert len({row["id"] for row, _ in found}) == 1
    assert sorted(repeated for _, repeated in found) == [False] + [True] * 7
    assert count(store) == 2


def test_a_live_task_or_one_that_succeeded_is_not_retried(store: Store) -> None:
    conversation = store.conversation()
    row = store.enqueue(conversation)
    with pytest.raises(TaskNotRetryable, match=r"task T1 is queued: .* cancel it, or wait for its end"):
        store.do(retry_task, row["id"], "")
    claim = store.claim_one()
    with pytest.raises(TaskNotRetryable, match="is running"):
        store.do(retry_task, row["id"], "")
    store.park(claim, seconds=1e6)
    with pytest.raises(TaskNotRetryable, match="is waiting"):
        store.do(retry_task, row["id"], "")
    done = failed(store, Action.SUCCEED)
    with pytest.raises(TaskNotRetryable, match=f"task {done['id']} is succeeded: .* file a new one"):
        store.do(retry_task, done["id"], "")
    assert count(store) == 2


def test_a_task_that_is_not_there_is_not_found(store: Store) -> None:
    theirs = failed(store, tenant="acme")
    store.create()
    (turn,) = [row for row in store.tasks() if row["kind"] == "turn"]
    for wanted in ("task_x", theirs["id"], turn["id"]):
        with pytest.raises(TaskNotFound):
            store.do(retry_task, wanted, "")


def test_a_delegated_run_gets_a_conversation_and_a_turn_of_its_own_again(store: Store) -> None:
    conversation = store.conversation()
    request = TaskRequest(kind="agent", name="helper", arguments={"input": "dig"}, on_crash="retry")

    def file(conn: Connection) -> TaskRow:
        row = queue.enqueue(conn, request, queue.Origin(conversation_id=conversation))
        delegate(conn, row, request)
        return row

    old = store.do(file)
    store.finish(store.claim_one(names=["helper"]), Action.FAIL)
    new, _ = store.do(retry_task, old["id"], "")
    first, second = (store.see(turns.of_task, one["id"]) for one in (old, new))
    assert first is not None
    assert second is not None
    assert second["conversation_id"] not in (first["conversation_id"], conversation)
    assert from_json(second["request"])["input"] == "dig"
    assert store.about(second["conversation_id"])["parent_task"] == new["id"]


KILLED = """
import sys
from frontdesk.agents.task_retry import retry_task
from frontdesk.broker.database import Database
database = Database.open(sys.argv[1], durable=False, failpoint=sys.argv[2])
database.write_blocking(retry_task, sys.argv[3], "")
"""


@pytest.fixture
def closed(url: str) -> Callable[[Callable[[Store], Any]], Any]:
    """Does something with a database that is open only meanwhile."""

    def with_store(act: Callable[[Store], Any]) -> Any:
        database = Database.open(url, durable=False)
        try:
            return act(Store(database))
        finally:
            database.close()

    return with_store


@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_at_its_commit_and_asked_again_a_retry_is_one_task(
    url: str, closed: Callable[[Callable[[Store], Any]], Any], side: str
) -> None:
    old = closed(lambda store: failed(store, conversation_id=store.conversation()))
    command = [sys.executable, "-c", KILLED, url, f"{side}:retry_task", old["id"]]
    assert forked.run(command, timeout=60, check=False).returncode == -signal.SIGKILL

    def again(store: Store) -> None:
        before = count(store)
        _, repeated = store.do(retry_task, old["id"], "")
        assert (before, repeated) == ((1, False) if side == "before" else (2, True))
        assert count(store) == 2

    closed(again)
