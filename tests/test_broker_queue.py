"""The queue, on every engine: enqueue, claim, renew, release, retry, finish, report, cancel; leases that end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic_core import to_json

from frontdesk.broker import cancel, leases, listing, queue, rows, views
from frontdesk.broker.clock import Owner
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.endings import end
from frontdesk.broker.errors import LeaseLost, ResponseNotFound, TaskNotFound
from frontdesk.broker.rows import Claim
from frontdesk.broker.wakeups import Hint, TasksReady
from frontdesk.tasks.errors import InvalidTransition
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import TERMINAL, Action
from frontdesk.tests.store import Store, at_once


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


# --- enqueue


def test_a_task_waits_in_the_queue_with_what_was_asked_for(store: Store) -> None:
    row = store.enqueue(
        name="report", title="A report", arguments={"month": "May"}, priority=5, timeout=7.5, max_attempts=2,
        on_crash="retry", announce="note", tenant="acme",
    )  # fmt: skip
    assert store.row(row["id"]) == row
    assert row["id"].startswith("task_")
    wanted = {
        "name": "report", "title": "A report", "arguments": '{"month":"May"}', "priority": 5, "timeout": 7.5,
        "max_attempts": 2, "on_crash": "retry", "announce": "note", "tenant": "acme", "status": "queued", "epoch": 0,
        "attempt": 1, "label": "", "conversation_id": None,
    }  # fmt: skip
    assert {key: row[key] for key in wanted} == wanted


def test_the_same_creation_finds_the_task_that_it_made(store: Store) -> None:
    first = store.enqueue(created_by="call 1")
    store.finish(store.claim_one())
    again = store.enqueue(created_by="call 1")
    assert again["id"] == first["id"]
    assert again["status"] == "succeeded", "as it is now"
    assert len(store.tasks()) == 1


def test_fifty_repeats_of_a_creation_at_once_make_one_task(opened: Callable[..., Database]) -> None:
    stores = [Store(opened()) for _ in range(2)]
    conversation = stores[0].conversation()
    found = at_once(50, lambda n: stores[n % 2].enqueue(conversation, created_by="once"))
    assert len({row["id"] for row in found}) == 1
    assert stores[0].about(conversation)["last_label"] == 1


def test_labels_count_in_each_conversation(store: Store) -> None:
    one, two = store.conversation(), store.conversation()
    assert [store.enqueue(one)["label"] for _ in range(3)] == ["T1", "T2", "T3"]
    assert store.enqueue(two)["label"] == "T1"
    found = store.see(listing.find, one, " t2 ")
    assert found is not None
    assert found["label"] == "T2"
    assert store.see(listing.find, two, found["id"]) is None, "another conversation's"
    assert store.see(listing.find, one, found["id"]) == found


def test_labels_have_no_gaps_and_no_doubles_when_many_file_at_once(opened: Callable[..., Database]) -> None:
    stores = [Store(opened()) for _ in range(2)]
    conversation = stores[0].conversation()
    found = at_once(40, lambda n: int(stores[n % 2].enqueue(conversation)["label"][1:]))
    assert sorted(found) == list(range(1, 41))


def test_a_live_twin_is_found_until_it_has_ended(store: Store) -> None:
    conversation = store.conversation()
    row = store.enqueue(conversation, arguments={"n": 1}, created_by="me")
    prints = [queue.fingerprint("work", {"n": number}) for number in (1, 2)]
    assert store.see(rows.made_or_twin, "another", conversation, prints[0]) == (None, row)
    assert store.see(rows.made_or_twin, "another", conversation, prints[1]) == (None, None)
    assert store.see(rows.made_or_twin, "another", conversation, None) == (None, None)
    assert store.see(rows.made_or_twin, "me", conversation, prints[0]) == (row, None)
    store.finish(store.claim_one())
    assert store.see(rows.made_or_twin, "another", conversation, prints[0]) == (None, None)


def test_what_one_function_files_is_claimed_in_that_order(store: Store) -> None:
    def many(conn: Connection) -> list[str]:
        request = TaskRequest(name="work")
        return [queue.enqueue(conn, request)["id"] for _ in range(50)]

    ids = store.do(many)
    assert [claim.task_id for claim in store.claim(50)] == ids


# --- claim


def test_the_most_urgent_and_oldest_are_claimed_first(store: Store) -> None:
    filed = [store.enqueue(priority=priority)["id"] for priority in (0, 5, 0, -3, 5)]
    assert [claim.task_id for claim in store.claim(5)] == [filed[at] for at in (1, 4, 0, 2, 3)]


def test_a_claim_says_everything_that_a_run_needs(store: Store) -> None:
    conversation = store.conversation(tenant="acme")
    parent = store.started(conversation, tenant="acme")
    row = store.enqueue(conversation, parent=parent, tenant="acme", arguments={"n": 1}, timeout=3, on_crash="retry")
    claim = store.claim_one(owner="someone")
    assert claim == Claim(
        task_id=row["id"], epoch=1, kind="function", name="work", conversation_id=conversation, tenant="acme",
        label="T2", title="work", agent="", arguments='{"n":1}', attempt=1, max_attempts=3, on_crash="retry",
        timeout=3.0, parent_id=parent.task_id, depth=1, cancel_requested=False,
        announce="respond", created_at=row["created_at"], started_at=claim.started_at, concurrency_key=None,
    )  # fmt: skip
    after = store.row(row["id"])
    assert (after["status"], after["owner"], after["epoch"]) == ("running", "someone", 1)
    assert after["started_at"] is not None


def test_only_known_names_and_the_own_slot_are_claimed(store: Store) -> None:
    store.enqueue(name="other")
    work = store.enqueue()
    assert store.claim(10, slot="turn") == []
    assert [claim.task_id for claim in store.claim(10)] == [work["id"]]
    assert len(store.claim(10, names=["other", "third"])) == 1


def test_a_delayed_task_is_not_claimed_early(store: Store) -> None:
    late = store.enqueue(delay=3600)
    soon = store.enqueue()
    assert [claim.task_id for claim in store.claim(10)] == [soon["id"]]
    assert store.status(late) == "queued"


def test_no_task_is_claimed_twice_however_many_claim_at_once(opened: Callable[..., Database]) -> None:
    stores = [Store(opened()) for _ in range(4)]
    conversations = [None, *(stores[0].conversation() for _ in range(3))]
    ids = {stores[0].enqueue(conversations[n % 4])["id"] for n in range(60)}
    taken: list[str] = []

    def worker(number: int) -> None:
        while len(taken) < len(ids):
            taken.extend(claim.task_id for claim in stores[number % 4].claim(3, owner=f"worker {number}"))

    at_once(8, worker)
    assert sorted(taken) == sorted(ids)


# --- renew, release, retry


def test_renewing_tells_which_claims_are_over_and_which_are_to_be_cancelled(store: Store) -> None:
    kept, ended, again, cancelled = (store.started() for _ in range(4))
    store.finish(ended)
    store.do(queue.release, [again])
    newer = store.claim_one(names=["started"])
    assert newer.task_id == again.task_id
    store.cancel(cancelled.task_id)
    held = [(claim.task_id, claim.epoch) for claim in (kept, ended, again, cancelled, newer)]
    lost, cancels = store.do(queue.renew, held, 5.0)
    assert lost == {(ended.task_id, ended.epoch), (again.task_id, again.epoch)}
    assert cancels == {(cancelled.task_id, cancelled.epoch)}
    left = store.do(lambda conn: store_lease(conn, kept) - conn.now())
    assert 0 < left <= 5


def store_lease(conn: Connection, claim: Claim) -> float:
    row = rows.read(conn, claim.task_id)
    assert row is not None
    return float(row["lease_until"])


def test_a_released_claim_counts_no_attempt_and_is_claimable_at_once(store: Store) -> None:
    conversation = store.conversation()
    claims = [store.started(conversation), store.started(store.conversation()), store.started()]
    store.do(queue.release, claims)
    again = store.claim(3, names=["started"])
    assert {claim.task_id for claim in again} == {claim.task_id for claim in claims}
    assert {claim.attempt for claim in again} == {1}
    assert {claim.epoch for claim in again} == {2}
    store.do(queue.release, claims)  # of the first claims: nothing happens
    assert {store.status(claim) for claim in claims} == {"running"}
    assert store.told(conversation) == ["created queued", "updated running", "updated queued", "updated running"]


def test_a_retry_counts_an_attempt_and_waits_for_its_delay(store: Store) -> None:
    claim = store.started()
    store.do(queue.retry_later, claim, delay=3600, error="ValueError: no")
    row = store.row(claim.task_id)
    assert (row["status"], row["attempt"], row["error"], row["owner"]) == ("queued", 2, "ValueError: no", "")
    assert store.claim(names=["started"]) == []
    with pytest.raises(LeaseLost):
        store.do(queue.retry_later, claim, delay=0, error="")


@pytest.mark.parametrize("how", ["release", "retry"])
def test_a_function_that_is_to_be_cancelled_does_not_go_back_to_the_queue(store: Store, how: str) -> None:
    claim = store.started()
    store.cancel(claim.task_id)
    if how == "release":
        store.do(queue.release, [claim])
    else:
        store.do(queue.retry_later, claim, delay=3600, error="no")
    assert store.status(claim) == "cancelled"


# --- finish


@pytest.mark.parametrize(
    ("action", "status"),
    [
        (Action.SUCCEED, "succeeded"),
        (Action.FAIL, "failed"),
        (Action.CANCEL, "cancelled"),
        (Action.HOLD, "held"),
    ],
)
def test_finishing_ends_the_task_once_with_its_notice_and_event_in_the_same_commit(
    store: Store, action: Action, status: str
) -> None:
    conversation = store.conversation()
    claim = store.started(conversation)
    store.finish(claim, action, result='{"total":12}', error="because", error_kind="ValueError")
    row = store.row(claim.task_id)
    assert row["status"] == status
    assert row["finished_at"] is not None
    assert (row["owner"], row["lease_until"]) == ("", None)
    (notice,) = store.inbox(conversation, "notice")
    assert notice.target_id == claim.task_id
    assert notice.payload["task"]["status"] == status
    assert notice.payload["task"]["result"] == {"total": 12}
    last = store.log(conversation)[-1]
    assert last["type"] == "frontdesk:task.finished"
    assert last["task"] == notice.payload["task"] == views.view(row)
    with pytest.raises(LeaseLost):
        store.finish(claim, action)
    assert len(store.inbox(conversation, "notice")) == 1


def test_a_finish_that_is_not_committed_leaves_nothing_behind(store: Store) -> None:
    conversation = store.conversation()
    claim = store.started(conversation)
    before = store.log(conversation)

    def fails(conn: Connection) -> None:
        queue.finish(conn, claim, Action.SUCCEED)
        raise ValueError("crash")

    with pytest.raises(ValueError, match="crash"):
        store.do(fails)
    assert store.status(claim) == "running"
    assert store.inbox(conversation) == []
    assert store.log(conversation) == before


def test_a_zombie_can_write_nothing_after_another_claim(store: Store) -> None:
    conversation = store.conversation()
    zombie = store.started(conversation, on_crash="retry")
    store.expire(zombie)
    assert store.sweep() == 1
    newer = store.claim_one(names=["started"])
    writes: list[Callable[[], Any]] = [
        lambda: store.finish(zombie),
        lambda: store.do(queue.report, zombie, progress=1.0, message="", log_tail=()),
        lambda: store.do(queue.retry_later, zombie, delay=0, error=""),
        lambda: store.park(zombie, seconds=1),
        lambda: store.do(leases.give_up, zombie),
    ]
    for write in writes:
        with pytest.raises(LeaseLost, match="is rejected"):
            write()
    row = store.row(zombie.task_id)
    assert (row["status"], row["epoch"], row["progress"]) == ("running", newer.epoch, None)
    store.finish(newer)
    assert store.status(newer) == "succeeded"


def test_a_task_ends_once_however_many_finish_it_at_once(opened: Callable[..., Database]) -> None:
    stores = [Store(opened()) for _ in range(2)]
    conversation = stores[0].conversation()
    claim = stores[0].started(conversation)

    def finish(number: int) -> bool:
        try:
            stores[number % 2].finish(claim, (Action.SUCCEED, Action.FAIL, Action.CANCEL)[number % 3])
        except LeaseLost:
            return False
        return True

    assert sum(at_once(24, finish)) == 1
    assert len(stores[0].inbox(conversation, "notice")) == 1
    assert [one["type"] for one in stores[0].log(conversation)].count("frontdesk:task.finished") == 1


def test_a_queued_task_whose_conversation_is_gone_is_claimed_and_wakes_nobody_again(store: Store) -> None:
    conversation = store.conversation()
    left = store.enqueue(conversation)
    store.forget(conversation)
    other = store.enqueue()

    def claiming(conn: Connection) -> tuple[list[Claim], list[Hint]]:
        return queue.claim(conn, "task", ["work"], "tests", 1e6, 5), conn.hints

    claimed, hints = store.do(claiming)
    assert {claim.task_id for claim in claimed} == {left["id"], other["id"]}
    assert TasksReady("task") not in hints
    store.finish(claimed[0])
    store.finish(claimed[1])
    assert store.status(left) == "succeeded"


def test_a_task_outlives_its_conversation(store: Store) -> None:
    conversation = store.conversation()
    claim = store.started(conversation)
    store.forget(conversation)
    store.finish(claim)
    assert store.status(claim) == "succeeded"


@pytest.mark.parametrize(("announce", "kinds"), [("respond", ["notice"]), ("note", ["note"]), ("none", [])])
def test_how_an_end_is_announced_is_the_tasks_choice(store: Store, announce: str, kinds: list[str]) -> None:
    conversation = store.conversation()
    store.finish(store.started(conversation, announce=announce))
    assert [one.kind for one in store.inbox(conversation)] == kinds
    assert len(store.claim(slot="turn", names=["desk"])) == (announce == "respond"), "only a notice starts a turn"


def test_a_long_result_is_kept_whole_and_shown_by_its_size(store: Store) -> None:
    conversation = store.conversation()
    claim = store.started(conversation)
    text = to_json("x" * 50_000).decode()
    store.finish(claim, result=text)
    assert store.row(claim.task_id)["result"] == text
    shown = store.log(conversation)[-1]["task"]
    assert (shown["result"], shown["result_size"]) == (None, 50_002)


# --- report


def test_progress_is_written_told_and_forgotten_when_the_task_is_done(store: Store) -> None:
    conversation = store.conversation()
    claim = store.started(conversation)
    store.do(queue.report, claim, progress=0.5, message="half", log_tail=("one", "two"))
    row = store.row(claim.task_id)
    assert (row["progress"], row["message"], row["log_tail"]) == (0.5, "half", '["one","two"]')
    told = store.log(conversation)[-1]
    assert (told["type"], told["task"]["progress"]) == ("frontdesk:task.updated", 0.5)
    store.do(queue.report, claim, progress=0.5, message="half", log_tail=("two", "three"))
    assert store.log(conversation)[-1] == told, "a log line alone is no event"
    store.finish(claim)
    assert store.told(conversation) == ["created queued", "updated running", "finished succeeded"]
    assert store.row(claim.task_id)["progress"] == 1.0


def test_a_failed_task_keeps_how_far_it_came(store: Store) -> None:
    claim = store.started()
    store.do(queue.report, claim, progress=0.25, message="a quarter", log_tail=())
    store.finish(claim, Action.FAIL, error="no")
    row = store.row(claim.task_id)
    assert (row["progress"], row["message"]) == (0.25, "a quarter")


# --- cancel


def test_a_queued_or_waiting_function_is_cancelled_at_once(store: Store) -> None:
    conversation = store.conversation()
    queued = store.enqueue(conversation)
    parked = store.started(conversation)
    assert store.park(parked, seconds=3600)
    for task_id in (queued["id"], parked.task_id):
        assert store.cancel(task_id)["status"] == "cancelled"
    assert store.claim(10) == []
    assert {one.target_id for one in store.inbox(conversation, "notice")} == {queued["id"], parked.task_id}


def test_a_running_task_is_asked_to_stop_and_ends_as_cancelled_by_its_worker(store: Store) -> None:
    claim = store.started(store.conversation())
    asked = store.cancel(claim.task_id)
    assert (asked["status"], asked["cancel_requested"]) == ("running", 1)
    assert store.see(leases.cancels_asked) == {(claim.task_id, claim.epoch)}
    store.finish(claim, Action.CANCEL, abandoned=True)
    row = store.row(claim.task_id)
    assert (row["status"], row["abandoned"]) == ("cancelled", 1)


def test_cancelling_what_has_ended_changes_nothing(store: Store) -> None:
    claim = store.started()
    store.finish(claim)
    before = store.row(claim.task_id)
    assert store.cancel(claim.task_id) == before
    assert store.row(claim.task_id) == before


def test_a_cancel_reaches_everything_below_and_nothing_beside(store: Store) -> None:
    conversation = store.conversation()
    top = store.started(conversation)
    child = store.started(conversation, parent=top)
    grandchild = store.enqueue(conversation, parent=child)
    done = store.started(conversation, parent=top)
    store.finish(done)
    beside = store.enqueue(conversation)
    assert store.park(child, grandchild["id"])
    assert store.park(top, child.task_id)
    store.cancel(top.task_id)
    statuses = [store.status(one) for one in (top, child, grandchild, done, beside)]
    assert statuses == ["cancelled", "cancelled", "cancelled", "succeeded", "queued"]
    assert store.edges() == []


def test_another_tenants_task_and_a_turn_are_not_found(store: Store) -> None:
    row = store.enqueue(tenant="acme")
    accepted = store.create()
    turn = store.turn(accepted.response_id)["task_id"]
    for task_id in (row["id"], turn, "task_none"):
        with pytest.raises(TaskNotFound):
            store.cancel(task_id, "")
    with pytest.raises(ResponseNotFound):
        store.do(cancel.cancel_response, accepted.response_id, "acme")
    assert store.status(row) == "queued"


def test_a_delegated_run_is_woken_to_end_itself(store: Store) -> None:
    claim = store.started(kind="agent")
    assert store.park(claim, seconds=3600)
    assert store.cancel(claim.task_id)["status"] == "queued"
    assert store.claim_one(names=["started"]).cancel_requested


def test_cancelling_a_response_asks_its_turn_wherever_it_stands(store: Store) -> None:
    conversation = store.conversation()
    first = store.create(conversation)
    second = store.create(conversation)
    for accepted in (first, second):
        store.do(cancel.cancel_response, accepted.response_id, "")
    claim = store.claim_turn()
    assert claim.cancel_requested
    store.end_turn(claim, Action.CANCEL)
    assert store.turn(second.response_id)["cancel_requested"] == 1
    assert not store.claim_turn().cancel_requested, "the turn itself says that it is to be cancelled"


def test_a_cancel_that_meets_new_children_gets_them_all(opened: Callable[..., Database]) -> None:
    """A running parent files children while somebody cancels it: what it filed before is cancelled with it."""
    one, two = Store(opened()), Store(opened())
    conversation = one.conversation()
    parent = one.started(conversation)

    def child(conn: Connection) -> None:
        if not queue.held_row(conn, parent)["cancel_requested"]:
            origin = queue.Origin(conversation_id=conversation, parent_id=parent.task_id)
            queue.enqueue(conn, TaskRequest(name="work"), origin)

    def act(number: int) -> None:
        if number:
            two.cancel(parent.task_id)
        else:
            for _ in range(20):
                one.do(child)

    at_once(2, act)
    statuses = {row["status"] for row in one.tasks() if row["parent_id"] == parent.task_id}
    assert statuses <= {"cancelled"}


# --- leases that end


@pytest.mark.parametrize(
    ("on_crash", "attempt", "status"),
    [("retry", 1, "queued"), ("retry", 2, "held"), ("fail", 1, "failed")],
)
def test_a_lost_function_ends_as_it_has_chosen(store: Store, on_crash: str, attempt: int, status: str) -> None:
    conversation = store.conversation()
    claim = store.started(conversation, on_crash=on_crash, max_attempts=2)
    for _ in range(attempt - 1):
        store.expire(claim)
        assert store.sweep() == 1
        claim = store.claim_one(names=["started"])
    store.expire(claim)
    assert store.sweep() == 1
    assert store.sweep() == 0
    row = store.row(claim.task_id)
    assert row["status"] == status
    assert "worker lost" in row["error"]
    if status in TERMINAL:
        assert row["error_kind"] == "worker lost"
        assert len(store.inbox(conversation, "notice")) == 1
    else:
        assert row["attempt"] == attempt + 1


def test_a_lease_that_has_not_ended_is_left_alone(store: Store) -> None:
    claim = store.started()
    assert store.sweep() == 0
    assert store.status(claim) == "running"


def test_a_lost_turn_is_always_run_again(store: Store) -> None:
    store.create()
    for attempt in range(1, 6):
        claim = store.claim_turn()
        assert claim.attempt == attempt
        store.expire(claim)
        assert store.sweep() == 1


def test_a_lost_function_that_was_to_be_cancelled_is_cancelled(store: Store) -> None:
    claim = store.started(on_crash="retry")
    store.cancel(claim.task_id)
    store.expire(claim)
    assert store.sweep() == 1
    assert store.status(claim) == "cancelled"


DEAD = "from frontdesk.broker.clock import Owner; print(Owner.here().text)"


def test_the_leases_of_a_dead_process_of_this_machine_are_released_at_once(opened: Callable[..., Database]) -> None:
    store = Store(opened())
    dead = subprocess.run([sys.executable, "-c", DEAD], check=True, capture_output=True, text=True).stdout.strip()
    here = Owner.here()
    reused = f"{here.boot}/{here.pid}/1/other"  # a process with our number, started at another time
    elsewhere = f"other-boot/{here.pid}/1/other"
    claims = {
        owner: store.started(on_crash="retry") for owner in (dead, f"{dead}.7", reused, elsewhere, here.text, "what?")
    }
    for owner, claim in claims.items():
        store.give(claim, owner)
    assert store.do(leases.recover) == 3
    assert {owner for owner, claim in claims.items() if store.status(claim) == "running"} == {
        elsewhere,
        here.text,
        "what?",
    }


def test_who_has_the_file_alone_knows_that_every_other_process_is_gone(sqlite_url: str) -> None:
    """A container that is started again has other process ids in another space: nothing else would tell."""
    database = Database.open(sqlite_url, durable=False, exclusive=True)
    store = Store(database)
    here = Owner.here().text
    claims = {owner: store.started(on_crash="retry") for owner in (f"boot:x/{os.getpid()}/1/a", here)}
    for owner, claim in claims.items():
        store.give(claim, owner)
    assert store.do(leases.recover) == 1
    assert store.status(claims[here]) == "running"
    database.close()


def test_claims_that_never_arrived_are_released_by_their_owner_text(store: Store) -> None:
    store.enqueue()
    store.enqueue()
    store.claim(1, owner="me.1")
    received = store.claim_one(owner="me.2")
    assert store.do(leases.release_all, ["me.1", "me.3"]) == 1
    assert store.status(received) == "running"
    assert store.claim_one().attempt == 1


@pytest.mark.parametrize(("on_crash", "status"), [("retry", "queued"), ("fail", "failed")])
def test_a_run_that_a_drain_cuts_off_is_given_back_unless_it_must_not_be_run_twice(
    store: Store, on_crash: str, status: str
) -> None:
    claim = store.started(on_crash=on_crash)
    store.do(leases.give_up, claim)
    row = store.row(claim.task_id)
    assert (row["status"], row["attempt"]) == (status, 1)


def test_an_action_that_the_state_does_not_allow_is_refused(store: Store) -> None:
    row = store.enqueue()
    with pytest.raises(InvalidTransition, match="queued cannot succeed"):
        store.do(lambda conn: end(conn, row, Action.SUCCEED))


# --- reading


def test_a_tenant_sees_its_own_tasks_newest_first_and_no_turns(store: Store) -> None:
    conversation = store.conversation(tenant="acme")
    store.create(conversation, tenant="acme")
    ids = [store.enqueue(conversation, tenant="acme")["id"] for _ in range(3)]
    store.enqueue(tenant="other")
    found = [row["id"] for row in store.see(listing.of_tenant, "acme")]
    assert sorted(found) == sorted(ids)
    created = [store.row(one)["created_at"] for one in found]
    assert created == sorted(created, reverse=True)
    assert [row["label"] for row in store.see(listing.of_conversation, conversation)] == ["T1", "T2", "T3"]
    assert store.see(listing.live_count, conversation) == 4
    assert store.see(listing.one, ids[0], "acme") == store.row(ids[0])
    assert store.see(listing.one, ids[0], "other") is None
