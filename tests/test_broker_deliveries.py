"""Deliveries in the database, on both engines: filed with a task's end, claimed once, settled by who holds them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic_core import from_json

from frontdesk.broker import deliveries
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.deliveries import Claimed, claim_deliveries, give_back_deliveries, settle_delivery
from frontdesk.broker.endings import end
from frontdesk.broker.outcomes import BACKOFF, ERROR_LIMIT, Answer, Outcome, outcome_of, retry_after
from frontdesk.broker.queue import held_row
from frontdesk.broker.rows import Claim
from frontdesk.broker.statements import Statement, p
from frontdesk.tasks.states import Action
from frontdesk.tests.store import Store, at_once

HOOK = "https://example.org/hook"
ALL: Statement = Statement(sa.select(deliveries.delivery).order_by(deliveries.delivery.c.created_at))
BE_DUE: Statement = Statement(
    sa.update(deliveries.delivery).where(deliveries.delivery.c.id == p("id")).values(next_at=p("at"))
)


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def rows(store: Store) -> list[dict[str, Any]]:
    names = [column.name for column in deliveries.delivery.columns]
    return [dict(zip(names, row, strict=True)) for row in store.see(lambda conn: conn.all(ALL))]


def be_due(store: Store, delivery_id: str) -> None:
    store.do(lambda conn: conn.run(BE_DUE, {"id": delivery_id, "at": conn.now() - 1}))


def claimed(store: Store) -> Claimed:
    (found,) = store.do(claim_deliveries, 8, 1e6)
    return found


# --- filed


def succeed(store: Store) -> str:
    claim = store.started(webhook=HOOK)
    store.finish(claim, result='{"sum":3}')
    return claim.task_id


def fail(store: Store) -> str:
    claim = store.started(webhook=HOOK)
    store.finish(claim, Action.FAIL, error="no")
    return claim.task_id


def cancel_queued(store: Store) -> str:
    row = store.enqueue(webhook=HOOK)
    store.cancel(row["id"])
    return str(row["id"])


def lose_worker(store: Store) -> str:
    claim = store.started(webhook=HOOK)
    store.expire(claim)
    store.sweep()
    return claim.task_id


def hold(store: Store) -> str:
    claim = store.started(webhook=HOOK, on_crash="retry", max_attempts=1)
    store.expire(claim)
    store.sweep()
    return claim.task_id


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (succeed, "succeeded"),
        (fail, "failed"),
        (cancel_queued, "cancelled"),
        (lose_worker, "failed"),
        (hold, "held"),
    ],
)
def test_however_a_task_ends_its_webhook_is_to_be_told_once(
    store: Store, ending: Callable[[Store], str], status: str
) -> None:
    task_id = ending(store)
    (row,) = rows(store)
    assert (row["task_id"], row["url"], row["status"], row["attempts"]) == (task_id, HOOK, "pending", 0)
    body = from_json(row["body"])
    assert (body["type"], body["data"]["id"], body["data"]["status"]) == ("task.finished", task_id, status)
    assert datetime.fromisoformat(body["timestamp"]).timestamp() == pytest.approx(body["data"]["finished_at"])
    store.sweep()
    assert len(rows(store)) == 1


def test_the_body_has_the_result_as_it_was_stored(store: Store) -> None:
    succeed(store)
    assert from_json(rows(store)[0]["body"])["data"]["result"] == {"sum": 3}


def test_without_a_webhook_there_is_nothing_to_tell(store: Store) -> None:
    store.finish(store.started())
    assert rows(store) == []
    assert store.see(deliveries.is_due) is False


def test_a_task_and_its_delivery_are_one_commit(store: Store) -> None:
    claim = store.started(webhook=HOOK)

    def end_and_fall(conn: Connection, claim: Claim) -> None:
        end(conn, held_row(conn, claim), Action.SUCCEED)
        raise ValueError("after the end, before the commit")

    with pytest.raises(ValueError, match="after the end"):
        store.do(end_and_fall, claim)
    assert (rows(store), store.status(claim)) == ([], "running")


# --- claimed and settled


def test_what_is_claimed_is_not_claimed_again_until_its_lease_ends(store: Store) -> None:
    succeed(store)
    first = claimed(store)
    assert first.attempt == 1
    assert store.do(claim_deliveries, 8, 1e6) == []
    be_due(store, first.id)
    second = claimed(store)
    assert (second.id, second.body, second.attempt) == (first.id, first.body, 2)


def test_who_has_lost_the_lease_settles_nothing(store: Store) -> None:
    succeed(store)
    first = claimed(store)
    be_due(store, first.id)
    second = claimed(store)
    assert store.do(settle_delivery, first, Outcome("failed", 410, "gone")) is False
    store.do(give_back_deliveries, [first])
    assert store.see(deliveries.is_due) is False, "the second still has it"
    assert store.do(settle_delivery, second, Outcome("delivered", 200)) is True
    assert store.do(settle_delivery, second, Outcome("failed", 410, "gone")) is False, "it has ended"
    (row,) = rows(store)
    assert (row["status"], row["last_status"], row["attempts"], row["last_error"]) == ("delivered", 200, 2, "")
    assert row["finished_at"] is not None
    be_due(store, second.id)
    assert store.do(claim_deliveries, 8, 1e6) == []


def test_one_that_is_to_be_tried_again_waits_for_its_time(store: Store) -> None:
    succeed(store)
    first = claimed(store)
    store.do(settle_delivery, first, Outcome("pending", 500, "answered 500", 30.0))
    (row,) = rows(store)
    assert (row["status"], row["last_error"], row["finished_at"]) == ("pending", "answered 500", None)
    left = row["next_at"] - store.see(Connection.now)
    assert 0 < left <= 30.0
    assert store.do(claim_deliveries, 8, 1e6) == []


def test_what_is_given_back_is_due_at_once(store: Store) -> None:
    succeed(store)
    store.do(give_back_deliveries, [claimed(store)])
    assert claimed(store).attempt == 2


def test_workers_that_claim_at_once_never_claim_the_same(opened: Callable[..., Database]) -> None:
    first = Store(opened())
    stores = [first, *(Store(opened()) for _ in range(3))]
    for _ in range(40):
        succeed(first)
    found = at_once(4, lambda number: [one.id for _ in range(10) for one in stores[number].do(claim_deliveries, 3, 60)])
    ids = [one for some in found for one in some]
    ids += [one.id for one in first.do(claim_deliveries, 40, 60)]
    assert sorted(ids) == sorted({row["id"] for row in rows(first)})


def test_a_task_shows_its_deliveries(store: Store) -> None:
    task_id = succeed(store)
    (one,) = store.see(deliveries.of_task, task_id)
    assert (one["status"], one["url"], one["next_in_seconds"]) == ("pending", HOOK, 0.0)
    store.do(settle_delivery, claimed(store), Outcome("delivered", 200))
    (one,) = store.see(deliveries.of_task, task_id)
    assert (one["status"], one["attempts"], one["next_in_seconds"]) == ("delivered", 1, None)
    assert store.see(deliveries.of_task, "task_other") == []


# --- what becomes of an attempt


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_what_is_accepted_is_delivered(status: int) -> None:
    assert outcome_of(1, Answer(status, "thanks"), 0.0) == Outcome("delivered", status)


def test_a_receiver_that_is_gone_is_told_nothing_more() -> None:
    found = outcome_of(1, Answer(410), 0.0)
    assert (found.status, found.error) == ("failed", "the receiver wants no more (410)")


@pytest.mark.parametrize("status", [None, 301, 400, 404, 429, 500, 503])
def test_what_is_not_accepted_is_tried_again_ever_later_and_then_given_up(status: int | None) -> None:
    found = [outcome_of(attempt, Answer(status, "sorry"), 0.0) for attempt in range(1, 9)]
    assert [one.delay for one in found] == [5.0, 30.0, 120.0, 600.0, 3_600.0, 21_600.0, 0.0, 0.0]
    assert [one.status for one in found] == ["pending"] * len(BACKOFF) + ["failed"] * 2
    assert found[6].error.startswith("given up after 7 attempts: ")
    assert found[6].error.endswith("sorry")


def test_a_redirect_says_what_to_do() -> None:
    assert outcome_of(1, Answer(307), 0.0).error == "answered 307: redirects are not followed, change the URL"


@pytest.mark.parametrize(
    ("asked", "delay"),
    [("60", 60.0), ("1", 5.0), ("999999999999999999999", 3_600.0), ("", 5.0), ("soon", 5.0), ("-5", 5.0), ("²", 5.0)],
)
def test_a_receiver_may_ask_for_a_longer_pause_of_an_hour_at_most(asked: str, delay: float) -> None:
    assert outcome_of(1, Answer(503, asked=asked), 0.0).delay == delay


def test_a_pause_may_be_asked_for_by_its_date() -> None:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    text = format_datetime(at, usegmt=True)
    assert retry_after(text, at.timestamp() - 90) == 90.0
    assert retry_after(text, at.timestamp() + 90) == 0.0
    assert retry_after("Thu, 01 Jan 2026 12:00:00 -0000", at.timestamp() - 90) == 90.0


def test_what_is_kept_of_an_error_is_one_short_line_that_every_database_takes() -> None:
    found = outcome_of(1, Answer(500, "a\x00b\x1b[31m\nc\ud800" + "x" * 2_000), 0.0).error
    assert len(found) == ERROR_LIMIT
    assert found.startswith("answered 500: a b [31m c x")
