"""The line, on every engine: what is held and why, who goes next, and that nobody is forgotten behind a limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from frontdesk.broker import leases, line, queue
from frontdesk.broker.database import Database
from frontdesk.broker.rows import Claim
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import Action
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store, at_once


@pytest.fixture
def store(database: Database) -> Any:
    made = Store(database)
    yield made
    assert broken(made) == []


def owners(claims: list[Claim]) -> Counter[str]:
    return Counter(claim.tenant or str(claim.conversation_id) for claim in claims)


# --- fairness


def test_one_task_of_a_tenant_goes_before_the_hundreds_of_another(store: Store) -> None:
    for _ in range(300):
        store.enqueue(tenant="many")
    few = [store.enqueue(tenant=f"few {number}")["id"] for number in range(10)]
    assert set(few) <= {claim.task_id for claim in store.claim(12)}


def test_one_task_of_a_conversation_goes_before_the_hundreds_of_another(store: Store) -> None:
    busy, quiet = store.conversation(), store.conversation()
    for _ in range(100):
        store.enqueue(busy)
    store.claim(20)
    wanted = store.enqueue(quiet)["id"]
    assert wanted in {claim.task_id for claim in store.claim(4)}


def test_tenants_come_in_turn_however_many_conversations_one_of_them_has(store: Store) -> None:
    conversations = [store.conversation(tenant="wide") for _ in range(20)]
    for _ in range(5):
        for conversation in conversations:
            store.enqueue(conversation, tenant="wide")
    for _ in range(40):
        store.enqueue(tenant="narrow")
    share = owners(store.claim(60))
    assert 20 <= share["narrow"] <= 40, share
    assert share["wide"] >= 20, share


def test_an_owner_who_was_served_much_has_no_debt_when_everything_is_done(store: Store) -> None:
    for _ in range(200):
        store.enqueue(tenant="first")
    assert len(store.claim(200)) == 200
    for _ in range(20):
        store.enqueue(tenant="second")
    wanted = store.enqueue(tenant="first")["id"]
    assert wanted in {claim.task_id for claim in store.claim(4)}


def test_tasks_of_one_owner_keep_their_order_and_urgent_ones_go_first(store: Store) -> None:
    ids = [store.enqueue()["id"] for _ in range(30)]
    urgent = store.enqueue(priority=1)["id"]
    assert [claim.task_id for claim in store.claim(40)] == [urgent, *ids]


def test_what_is_given_back_keeps_its_place(store: Store) -> None:
    ids = [store.enqueue()["id"] for _ in range(5)]
    store.do(queue.release, store.claim(2))
    assert [claim.task_id for claim in store.claim(9)] == ids


# --- time


def test_a_delayed_task_is_in_the_line_when_its_time_has_come(store: Store) -> None:
    row = store.enqueue(delay=3600)
    assert row["held"] == "time"
    assert store.claim() == []
    store.sweep()
    assert store.claim() == []
    store.be_due(row["id"])
    assert store.sweep() == 1
    assert [claim.task_id for claim in store.claim()] == [row["id"]]


def test_run_at_is_wall_time(store: Store) -> None:
    past = store.enqueue(run_at=datetime.now(UTC) - timedelta(days=1))
    later = store.enqueue(run_at=datetime.now(UTC) + timedelta(days=1))
    assert (past["held"], later["held"]) == ("", "time")
    assert [claim.task_id for claim in store.claim(9)] == [past["id"]]
    store.be_due(later["id"])
    store.sweep()
    assert [claim.task_id for claim in store.claim(9)] == [later["id"]]


def test_a_retry_comes_after_its_delay(store: Store) -> None:
    claim = store.started(max_attempts=3)
    store.do(queue.retry_later, claim, delay=60, error="no luck")
    assert store.claim(names=["started"]) == []
    store.be_due(claim.task_id)
    store.sweep()
    assert [again.attempt for again in store.claim(names=["started"])] == [2]


def test_a_delayed_task_can_be_cancelled(store: Store) -> None:
    row = store.enqueue(delay=3600)
    assert store.cancel(row["id"])["status"] == "cancelled"
    store.be_due(row["id"])
    assert store.sweep() == 0


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"delay": 5, "run_at": datetime.now(UTC)}, "either delay .* or run_at"),
        ({"run_at": datetime(2026, 1, 1)}, "timezone"),  # noqa: DTZ001 - that is the mistake
        ({"unique_for": 5}, "give unique_key too"),
        ({"concurrency_key": "x", "concurrency_limit": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_cannot_work_are_refused(store: Store, options: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        store.enqueue(**options)


# --- concurrency


def limited(store: Store, count: int, limit: int = 2, **options: Any) -> list[str]:
    return [
        store.enqueue(concurrency_key="one customer", concurrency_limit=limit, **options)["id"] for _ in range(count)
    ]


def test_no_more_than_the_limit_run_at_once_and_each_end_lets_the_next_in(store: Store) -> None:
    ids = limited(store, 7)
    other = store.enqueue()["id"]
    running = store.claim(9)
    assert [claim.task_id for claim in running] == [*ids[:2], other]
    for ended, following in enumerate(ids[2:]):
        assert store.claim(9) == []
        store.finish(running[ended] if ended < 2 else running[ended + 1])
        running += store.claim(9)
        assert running[-1].task_id == following
    for claim in store.claim(9) + running[-2:]:
        store.finish(claim)
    assert store.limits() == {}


@pytest.mark.parametrize("how", ["fail", "cancel", "park", "retry", "lose", "give up"])
def test_whatever_stops_a_task_lets_the_next_in(store: Store, how: str) -> None:
    first, second = limited(store, 2, limit=1)
    (claim,) = store.claim(9)
    assert claim.task_id == first
    match how:
        case "fail":
            store.finish(claim, Action.FAIL, error="no")
        case "cancel":
            store.finish(claim, Action.CANCEL)
        case "park":
            assert store.park(claim, seconds=3600)
        case "retry":
            store.do(queue.retry_later, claim, delay=60, error="later")
        case "lose":
            store.expire(claim)
            store.sweep()
        case _:
            store.do(leases.give_up, claim)
    assert [claim.task_id for claim in store.claim(9)] == [second]


def test_a_parked_task_that_is_woken_waits_for_its_limit_again(store: Store) -> None:
    first, second = limited(store, 2, limit=1)
    (claim,) = store.claim(9)
    assert store.park(claim, seconds=3600)
    (other,) = store.claim(9)
    store.ring(first)
    store.sweep()
    assert store.row(first)["held"] == "limit"
    assert store.claim(9) == []
    store.finish(other)
    assert [again.task_id for again in store.claim(9)] == [first]
    assert store.row(second)["status"] == "succeeded"


def test_a_task_that_waits_for_one_with_its_own_key_does_not_block_it(store: Store) -> None:
    (parent,) = limited(store, 1, limit=1)
    (claim,) = store.claim(9)
    child = store.enqueue(concurrency_key="one customer", parent=claim)["id"]
    assert store.park(claim, child)
    (other,) = store.claim(9)
    assert other.task_id == child
    store.finish(other)
    assert [again.task_id for again in store.claim(9)] == [parent]


def test_held_tasks_can_be_cancelled_and_take_nothing_with_them(store: Store) -> None:
    ids = limited(store, 3, limit=1)
    store.cancel(ids[1])
    store.cancel(ids[0])
    assert [claim.task_id for claim in store.claim(9)] == [ids[2]]


def test_a_family_with_one_key_is_cancelled_whole(store: Store) -> None:
    """Its first end lets in the next, which ends in the same commit."""
    (parent,) = limited(store, 1, limit=1)
    (claim,) = store.claim(9)
    for _ in range(3):
        store.enqueue(concurrency_key="one customer", parent=claim)
    assert store.park(claim, seconds=3600)
    store.cancel(parent)
    assert (store.limits(), {row["status"] for row in store.tasks()}) == ({}, {"cancelled"})


def test_a_delayed_task_takes_its_place_under_the_limit_when_it_joins_the_line(store: Store) -> None:
    (late,) = limited(store, 1, limit=1, delay=3600)
    (early,) = limited(store, 1, limit=1)
    (claim,) = store.claim(9)
    assert claim.task_id == early
    store.be_due(late)
    store.sweep()
    assert store.row(late)["held"] == "limit"
    store.finish(claim)
    assert [one.task_id for one in store.claim(9)] == [late]


def test_many_at_once_never_pass_the_limit(opened: Callable[..., Database]) -> None:
    stores = [Store(opened()) for _ in range(3)]
    at_once(30, lambda n: limited(stores[n % 3], 1, limit=3))

    def work(number: int) -> int:
        done = 0
        while done < 100:
            claims = stores[number % 3].claim(2)
            inside = stores[number % 3].limits().get("one customer", 0)
            assert inside <= 3
            if not claims and not inside:
                return done
            for claim in claims:
                stores[number % 3].finish(claim)
                done += 1
        raise AssertionError("more than there are")

    assert sum(at_once(6, work)) == 30
    assert broken(stores[0]) == []


# --- uniqueness


def test_a_unique_key_finds_the_live_task_and_is_free_when_it_has_ended(store: Store) -> None:
    first = store.enqueue(unique_key="may")
    again = store.enqueue(unique_key="may", arguments={"other": 1})
    assert again["id"] == first["id"]
    assert store.enqueue(unique_key="may", tenant="other")["id"] != first["id"]
    store.finish(store.claim_one())
    assert store.enqueue(unique_key="may")["id"] != first["id"]


def test_a_window_outlives_the_task(store: Store) -> None:
    first = store.enqueue(unique_key="may", unique_for=3600)
    store.finish(store.claim_one())
    again = store.do(queue.file, TaskRequest(name="work", unique_key="may"))
    assert (again.row["id"], again.repeated) == (first["id"], True)


def test_a_window_that_is_over_frees_the_key_though_the_task_lives(store: Store) -> None:
    first = store.enqueue(unique_key="may", unique_for=1e-6)
    assert store.enqueue(unique_key="may")["id"] != first["id"]


def test_a_hundred_at_once_make_one_task(opened: Callable[..., Database]) -> None:
    stores = [Store(opened()) for _ in range(2)]
    found = at_once(100, lambda n: stores[n % 2].enqueue(unique_key="once")["id"])
    assert len(set(found)) == 1
    assert len(stores[0].tasks()) == 1


# --- queues


def test_a_worker_may_serve_some_queues_only(store: Store) -> None:
    slow, fast = store.enqueue(queue="slow")["id"], store.enqueue(queue="fast")["id"]
    assert [claim.task_id for claim in store.claim(9, queues=frozenset({"fast", "unknown"}))] == [fast]
    assert [claim.task_id for claim in store.claim(9)] == [slow]


def test_from_a_paused_queue_nothing_is_claimed(store: Store) -> None:
    store.do(line.set_paused, "slow", paused=True)
    row = store.enqueue(queue="slow")
    other = store.enqueue()
    assert [claim.task_id for claim in store.claim(9)] == [other["id"]]
    assert store.see(line.all_queues) == {"default": False, "slow": True}
    store.do(line.set_paused, "slow", paused=False)
    assert [claim.task_id for claim in store.claim(9)] == [row["id"]]
