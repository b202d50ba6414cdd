"""Results that are kept for a time, on both engines."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from frontdesk.agents.task_retry import again, retry_task
from frontdesk.broker import deliveries, lifetimes, views
from frontdesk.broker.database import Database
from frontdesk.broker.durable import record_wait
from frontdesk.broker.lifetimes import clear_expired
from frontdesk.broker.outcomes import Outcome
from frontdesk.broker.rows import Claim, task
from frontdesk.broker.statements import Statement, p
from frontdesk.tasks.context import TaskOutcome
from frontdesk.tasks.errors import ToolError
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import Action
from frontdesk.tests.store import Store

HOOK = "https://example.org/hook"
END: Statement = Statement(sa.update(task).where(task.c.id == p("id")).values(result_until=p("at")))


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def ended(store: Store, **options: Any) -> Claim:
    given: dict[str, Any] = {"keep_result": 60.0, **options}
    claim = store.started(**given)
    store.finish(claim, result='"the result"')
    return claim


def be_over(store: Store, claim: Claim) -> None:
    """The time for which the result is kept is over."""
    store.do(lambda conn: conn.run(END, {"id": claim.task_id, "at": conn.now() - 1}))


def result(store: Store, claim: Claim) -> Any:
    return store.row(claim.task_id)["result"]


def test_a_result_is_cleared_when_its_time_is_over_and_the_task_says_so(store: Store) -> None:
    claim, other, kept = ended(store), ended(store), ended(store, keep_result=None)
    store.sweep()
    assert "result_expired" not in views.view(store.row(claim.task_id))
    be_over(store, claim)
    store.sweep()
    assert [result(store, one) for one in (claim, other, kept)] == [None, '"the result"', '"the result"']
    row = store.row(claim.task_id)
    shown = views.view(row)
    assert (shown["result_expired"], shown["result"], shown["status"]) == (True, None, "succeeded")
    assert '"result_expired":true' in views.view_text(row)
    assert store.do(clear_expired) == 0


def test_the_time_begins_with_the_end(store: Store) -> None:
    claim = store.started(keep_result=60.0)
    assert store.row(claim.task_id)["result_until"] is None
    store.finish(claim, result="1")
    left = store.row(claim.task_id)["result_until"] - store.see(lambda conn: conn.now())
    assert 0 < left <= 60.0


def test_a_task_without_a_result_has_none_that_expires(store: Store) -> None:
    claim = store.started(keep_result=60.0)
    store.finish(claim, Action.FAIL, error="no")
    row = store.row(claim.task_id)
    assert row["result_until"] is None
    assert "result_expired" not in views.view(row)


def test_a_sweep_clears_so_many_at_once(store: Store) -> None:
    claims = [ended(store) for _ in range(5)]
    for claim in claims:
        be_over(store, claim)
    assert [store.do(clear_expired, 2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_result_stays_for_as_long_as_who_filed_the_task_goes_on(store: Store) -> None:
    parent = store.started(name="parent")
    child = ended(store, parent=parent)
    be_over(store, child)
    assert store.do(clear_expired) == 0
    assert store.row(child.task_id)["result_until"] > store.see(lambda conn: conn.now()), "it is looked at again later"
    store.finish(parent)
    be_over(store, child)
    assert store.do(clear_expired) == 1


def test_a_result_stays_until_its_webhook_was_told_and_then_goes_with_the_copy(store: Store) -> None:
    claim = ended(store, webhook=HOOK)
    be_over(store, claim)
    assert store.do(clear_expired) == 0
    (one,) = store.do(deliveries.claim_deliveries, 8, 60.0)
    store.do(deliveries.settle_delivery, one, Outcome("delivered", 200))
    be_over(store, claim)
    assert store.do(clear_expired) == 1
    (body,) = store.see(lambda conn: conn.all(Statement(sa.select(lifetimes.delivery.c.body))))
    assert body[0] == ""


def test_a_task_that_is_retried_keeps_its_webhook_and_its_lifetime(store: Store) -> None:
    claim = store.started(keep_result=60.0, webhook=HOOK)
    store.finish(claim, Action.FAIL, error="no")
    request = again(store.row(claim.task_id))
    assert (request.keep_result, request.webhook) == (60.0, HOOK)
    new, _ = store.do(retry_task, claim.task_id, "")
    assert (new["keep_result"], new["webhook"], new["result_until"]) == (60.0, HOOK, None)


def test_a_function_that_waits_for_one_whose_result_is_gone_is_told_so(store: Store) -> None:
    claim = ended(store)
    be_over(store, claim)
    store.sweep()
    waiter = store.started(name="waiter")
    found = store.do(record_wait, waiter, 0, "key", [claim.task_id], None)
    assert found is not None
    with pytest.raises(ToolError, match="its result is gone"):
        TaskOutcome(**found[0]).unwrap()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e12])
def test_a_lifetime_is_a_number_of_seconds_above_zero(seconds: float) -> None:
    with pytest.raises(ValidationError, match="keep_result"):
        TaskRequest(name="work", keep_result=seconds)
