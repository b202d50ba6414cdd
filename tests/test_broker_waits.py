"""Parking and durable calls, on every engine: for tasks, timers and answers; circles; records that outlive a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from frontdesk.broker import durable, queue
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.errors import CircularWait, LeaseLost, TaskNotFound
from frontdesk.broker.rows import Claim
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import Action
from frontdesk.tests.store import Store


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def family(store: Store, children: int, conversation: str | None = None) -> tuple[Claim, list[Claim]]:
    """A running parent and its running children."""
    parent = store.started(conversation)
    return parent, [store.started(conversation, parent=parent) for _ in range(children)]


# --- for tasks


def test_a_parked_task_holds_no_claim_and_wakes_with_the_last_that_it_awaits(store: Store) -> None:
    conversation = store.conversation()
    parent, (one, two) = family(store, 2, conversation)
    assert store.park(parent, one.task_id, two.task_id)
    row = store.row(parent.task_id)
    assert (row["status"], row["waiting_for"], row["waits_left"], row["owner"], row["lease_until"]) == (
        "waiting", "tasks", 2, "", None,
    )  # fmt: skip
    assert store.claim(10, names=["started"]) == []
    store.finish(one)
    assert store.status(parent) == "waiting"
    store.finish(two, Action.FAIL, error="no")
    row = store.row(parent.task_id)
    assert (row["status"], row["waiting_for"], row["attempt"]) == ("queued", "", 1)
    assert store.edges() == []
    assert store.claim_one(names=["started"]).task_id == parent.task_id


@pytest.mark.parametrize(("need", "finished"), [(1, 1), (2, 2), (None, 3), (9, 3)])
def test_a_parked_task_wakes_when_so_many_have_ended(store: Store, need: int | None, finished: int) -> None:
    parent, children = family(store, 3)
    assert store.park(parent, *(child.task_id for child in children), need=need)
    for child in children[:finished]:
        assert store.status(parent) == "waiting"
        store.finish(child)
    assert store.status(parent) == "queued"
    assert store.edges() == [], "it waits for the others no more"
    for child in children[finished:]:
        store.finish(child)
    assert store.status(parent) == "queued"


@pytest.mark.parametrize(("ended", "need", "parks"), [(2, None, False), (1, None, True), (1, 1, False), (0, 1, True)])
def test_what_has_ended_already_counts(store: Store, ended: int, need: int | None, parks: bool) -> None:
    parent, children = family(store, 2)
    for child in children[:ended]:
        store.finish(child)
    assert store.park(parent, *(child.task_id for child in children), need=need) is parks
    assert store.status(parent) == ("waiting" if parks else "running")
    for child in children[ended:]:
        store.finish(child)
    assert store.status(parent) == ("queued" if parks else "running")


def test_waiting_twice_for_one_task_is_waiting_for_it_once(store: Store) -> None:
    parent, (child,) = family(store, 1)
    assert store.park(parent, child.task_id, child.task_id, need=2)
    store.finish(child)
    assert store.status(parent) == "queued"


def test_waiting_for_nothing_does_not_sleep(store: Store) -> None:
    parent, _ = family(store, 0)
    assert not store.park(parent)
    assert store.status(parent) == "running"


def test_a_task_may_be_awaited_by_many(store: Store) -> None:
    awaited = store.started()
    waiters = [store.started() for _ in range(3)]
    for waiter in waiters:
        assert store.park(waiter, awaited.task_id)
    store.finish(awaited)
    assert {store.status(waiter) for waiter in waiters} == {"queued"}


@pytest.mark.parametrize("how", ["cancel", "lease"])
def test_a_waiter_wakes_however_its_child_ends(store: Store, how: str) -> None:
    parent, (child,) = family(store, 1)
    assert store.park(parent, child.task_id)
    if how == "cancel":
        store.cancel(child.task_id)
        assert store.status(parent) == "waiting", "a running child is only asked"
        store.finish(child, Action.CANCEL)
    else:
        store.expire(child)
        store.sweep()
    assert store.status(parent) == "queued"


def test_waiting_for_what_does_not_exist_is_an_error(store: Store) -> None:
    parent, _ = family(store, 0)
    with pytest.raises(TaskNotFound):
        store.park(parent, "task_none")
    assert store.status(parent) == "running"


# --- circles


def test_a_task_cannot_wait_for_itself_or_for_an_ancestor(store: Store) -> None:
    top = store.started()
    middle = store.started(parent=top)
    bottom = store.started(parent=middle)
    for awaited in (bottom, middle, top):
        with pytest.raises(CircularWait, match="neither could end"):
            store.park(bottom, awaited.task_id)
    assert store.status(bottom) == "running"
    assert store.park(top, bottom.task_id), "downwards is allowed"


def test_a_task_cannot_wait_for_one_that_waits_for_it_directly_or_not(store: Store) -> None:
    one, two, three = (store.started() for _ in range(3))
    assert store.park(one, two.task_id)
    assert store.park(two, three.task_id)
    with pytest.raises(CircularWait):
        store.park(three, one.task_id)
    with pytest.raises(CircularWait):
        store.park(three, two.task_id)
    store.finish(three)
    assert store.status(two) == "queued"


def test_siblings_may_wait_for_each_other_one_way(store: Store) -> None:
    parent, (one, two) = family(store, 2)
    assert store.park(one, two.task_id)
    assert store.park(parent, one.task_id)
    store.finish(two)
    store.finish(store.claim_one(names=["started"]))
    assert store.status(parent) == "queued"


# --- timers


def test_a_timer_wakes_a_task_when_its_time_has_come(store: Store) -> None:
    claim = store.started()
    assert store.park(claim, seconds=3600)
    assert store.row(claim.task_id)["waiting_for"] == "timer"
    assert store.sweep() == 0
    store.ring(claim.task_id)
    assert store.sweep() == 1
    assert store.status(claim) == "queued"
    assert store.sweep() == 0


def test_a_timer_also_ends_a_wait_for_tasks(store: Store) -> None:
    parent, (child,) = family(store, 1)
    assert store.park(parent, child.task_id, seconds=3600)
    store.ring(parent.task_id)
    assert store.sweep() == 1
    assert store.status(parent) == "queued"
    assert store.edges() == []
    store.finish(child)
    assert store.status(parent) == "queued"


# --- to be cancelled


def test_a_run_that_is_to_be_cancelled_does_not_park(store: Store) -> None:
    claim = store.started(kind="agent")
    store.cancel(claim.task_id)
    assert not store.park(claim, seconds=3600)
    assert store.status(claim) == "running", "its worker ends it"


@pytest.mark.parametrize("call", ["wait", "sleep", "ask", "resume"])
def test_a_function_that_would_go_to_sleep_ends_when_it_is_to_be_cancelled(store: Store, call: str) -> None:
    conversation = store.conversation()
    claim = store.started(conversation)
    child = store.started(conversation, parent=claim)
    sleeping: dict[str, Callable[[], Any]] = {
        "wait": lambda: store.do(durable.record_wait, claim, 0, "key", [child.task_id], None),
        "sleep": lambda: store.do(durable.record_sleep, claim, 0, "", 3600),
        "ask": lambda: store.do(durable.record_ask, claim, 0, "Which?", "Which?"),
        "resume": lambda: store.do(durable.resume_sleep, claim, 0, "", 1e18),
    }
    store.cancel(claim.task_id)
    assert not sleeping[call]()
    assert store.status(claim) == "cancelled"
    assert store.see(durable.records, claim.task_id) == []
    assert store.edges() == []


# --- durable calls


def woken(store: Store, claim: Claim) -> Claim:
    (found,) = store.claim(names=[claim.name])
    assert found.task_id == claim.task_id
    return found


def test_records_outlive_a_run_and_go_with_the_end_of_the_task(store: Store) -> None:
    claim = store.started()
    store.do(durable.record_step, claim, 0, "first", {"n": 1})
    store.do(durable.record_step, claim, 1, "second", [1, None])
    store.do(queue.release, [claim])
    again = woken(store, claim)
    assert store.see(durable.records, claim.task_id) == [
        durable.Record(0, "step", "first", True, {"n": 1}),
        durable.Record(1, "step", "second", True, [1, None]),
    ]
    with pytest.raises(LeaseLost):
        store.do(durable.record_step, claim, 2, "late", None)
    store.finish(again)
    assert store.see(durable.records, claim.task_id) == []


def test_a_child_is_created_once_however_often_its_call_is_made(store: Store) -> None:
    conversation = store.conversation()
    claim = store.started(conversation)
    request = TaskRequest(name="child", announce="none")
    one = store.do(durable.record_create, claim, 0, "child", request)
    two = store.do(durable.record_create, claim, 0, "child", request)
    other = store.do(durable.record_create, claim, 1, "child", request)
    assert one["id"] == two["id"] != other["id"]
    assert (one["parent_id"], one["depth"], one["label"], one["conversation_id"]) == (
        claim.task_id, 1, "T2", conversation,
    )  # fmt: skip
    assert [(one.position, one.value["label"]) for one in store.see(durable.records, claim.task_id)] == [
        (0, "T2"),
        (1, "T3"),
    ]


def test_a_wait_returns_the_results_when_it_is_made_again(store: Store) -> None:
    parent, (one, two) = family(store, 2, store.conversation())
    ids = [one.task_id, two.task_id]
    assert store.do(durable.record_wait, parent, 0, "all", ids, None) is None
    store.finish(one, result='{"n":1}')
    store.finish(two, Action.FAIL, error="no")
    again = woken(store, parent)
    (record,) = store.see(durable.records, parent.task_id)
    assert not record.done
    views = store.do(durable.record_wait, again, 0, "all", ids, None)
    assert views == [
        {"id": one.task_id, "label": "T2", "status": "succeeded", "result": {"n": 1}, "error": None},
        {"id": two.task_id, "label": "T3", "status": "failed", "result": None, "error": "no"},
    ]
    assert store.see(durable.records, parent.task_id) == [durable.Record(0, "wait", "all", True, views)]


def test_a_sleep_is_of_elapsed_time_and_is_over_once(store: Store) -> None:
    claim = store.started()
    store.do(durable.record_sleep, claim, 0, "", 3600)
    (record,) = store.see(durable.records, claim.task_id)
    assert store.row(claim.task_id)["wake"] == record.value
    store.ring(claim.task_id)
    store.sweep()
    early = woken(store, claim)
    assert not store.do(durable.resume_sleep, early, 0, "", record.value), "it was woken too early"
    assert store.row(claim.task_id)["wake"] == pytest.approx(record.value)
    store.ring(claim.task_id)
    store.sweep()
    assert store.do(durable.resume_sleep, woken(store, claim), 0, "", 0.0)
    (record,) = store.see(durable.records, claim.task_id)
    assert record.done


def test_a_question_is_announced_and_its_answer_wakes_the_task(store: Store) -> None:
    conversation = store.conversation()
    claim = store.started(conversation, announce="none")
    store.do(durable.record_ask, claim, 0, "Which colour?", "Which colour?")
    row = store.row(claim.task_id)
    assert (row["status"], row["waiting_for"], row["question"]) == ("waiting", "answer", "Which colour?")
    (notice,) = store.inbox(conversation)
    assert (notice.kind, notice.payload["task"]["question"]) == ("notice", "Which colour?")
    with pytest.raises(TaskNotFound):
        store.answer(claim.task_id, "blue", tenant="other")
    answered = store.answer(claim.task_id, {"colour": "blue"})
    assert (answered["status"], answered["question"]) == ("queued", None)
    assert store.row(claim.task_id)["question"] is None
    assert store.see(durable.records, claim.task_id) == [
        durable.Record(0, "ask", "Which colour?", True, {"colour": "blue"})
    ]
    assert store.answer(claim.task_id, "red")["status"] == "queued", "it asks nothing any more"
    assert store.see(durable.records, claim.task_id)[0].value == {"colour": "blue"}


def test_what_asks_nothing_takes_no_answer(store: Store) -> None:
    claim = store.started()
    assert store.park(claim, seconds=3600)
    assert store.answer(claim.task_id, "blue")["status"] == "waiting"
    with pytest.raises(TaskNotFound):
        store.answer("task_none", "blue")


def test_a_durable_call_and_what_it_does_are_one_commit(store: Store) -> None:
    parent, (child,) = family(store, 1)

    def fails(conn: Connection) -> None:
        durable.record_wait(conn, parent, 0, "all", [child.task_id], None)
        raise ValueError("crash")

    with pytest.raises(ValueError, match="crash"):
        store.do(fails)
    assert store.status(parent) == "running"
    assert store.edges() == []
    assert store.see(durable.records, parent.task_id) == []
