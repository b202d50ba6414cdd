"""Quotas hold in the commit that would go beyond them, on both engines, and a repeat is never refused."""

from __future__ import annotations

import signal
import sys

import pytest

from frontdesk.broker import inbox, quotas, turns, usage
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.errors import QuotaExceeded
from frontdesk.broker.inbox import Accepted, NewCreate
from frontdesk.broker.quotas import Quota
from frontdesk.broker.spending import Spending
from frontdesk.tests import forked
from frontdesk.tests.store import Store


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def accept(conn: Connection, new: NewCreate) -> Accepted:
    quotas.check_input(conn, new)
    return inbox.accept_create(conn, new)


def create(tenant: str = "acme", input_id: str | None = None) -> NewCreate:
    return NewCreate(tenant=tenant, desk="desk", input=({"role": "user", "content": "x"},), request={},
                     input_id=input_id)  # fmt: skip


def test_a_tenant_has_so_many_turns_at_once_and_others_have_theirs(store: Store) -> None:
    store.do(quotas.set_quota, "acme", Quota(turns=2))
    first, _ = store.do(accept, create(input_id="one")), store.do(accept, create())
    with pytest.raises(QuotaExceeded, match="2 turns at once") as caught:
        store.do(accept, create())
    assert (caught.value.status, caught.value.code, caught.value.retry_after > 0) == (429, "quota_exceeded", True)
    assert store.do(accept, create(input_id="one")).response_id == first.response_id, "it was accepted already"
    claim = store.claim_one(slot="turn", names=["desk"])
    turn = store.see(turns.of_task, claim.task_id)
    assert turn is not None
    store.do(inbox.take, turn["conversation_id"], turn["id"])
    store.finish(claim)
    store.do(accept, create())
    store.do(accept, create("other"))


def test_a_tenant_uses_so_many_tokens_a_day(store: Store) -> None:
    store.do(quotas.set_quota, "*", Quota(tokens=100))
    store.do(usage.count, "acme", "conv_x", Spending(input_tokens=60, output_tokens=39))
    store.do(accept, create())
    store.do(usage.count, "acme", "conv_x", Spending(output_tokens=1))
    with pytest.raises(QuotaExceeded, match="100 tokens a day") as caught:
        store.do(accept, create())
    assert 0 < caught.value.retry_after <= 86_400
    store.do(accept, create("other"))
    store.do(quotas.set_quota, "acme", Quota(tokens=1_000))
    store.do(accept, create())


def test_a_tenant_has_so_many_queued_tasks(store: Store) -> None:
    store.do(quotas.set_quota, "acme", Quota(tasks=1))
    store.do(quotas.check_task, "acme")
    store.enqueue(tenant="acme")
    with pytest.raises(QuotaExceeded, match="1 queued tasks"):
        store.do(quotas.check_task, "acme")
    store.do(quotas.check_task, "other")
    store.claim_one()
    store.do(quotas.check_task, "acme")


def test_a_quota_is_replaced_and_taken_away(store: Store) -> None:
    store.do(quotas.set_quota, "*", Quota(tasks=0))
    store.do(quotas.set_quota, "acme", Quota(turns=1, tasks=2, tokens=3))
    shown = {"object": "frontdesk.quota", "tenant": "acme", "turns": 1, "tasks": 2, "tokens": 3}
    assert store.see(quotas.listed)[1] == shown
    assert store.do(quotas.of, "acme") == Quota(1, 2, 3)
    store.do(quotas.set_quota, "acme", Quota())
    assert store.do(quotas.of, "acme") == Quota(tasks=0), "everybody's"
    assert len(store.see(quotas.listed)) == 1


KILLED = """
import sys
from frontdesk.broker import quotas
from frontdesk.broker.database import Database
database = Database.open(sys.argv[1], durable=False, failpoint=sys.argv[2])
database.write_blocking(quotas.set_quota, "acme", quotas.Quota(turns=2))
"""


@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_at_its_commit_a_quota_is_the_old_one_or_the_new_one(url: str, side: str) -> None:
    database = Database.open(url, durable=False)
    database.write_blocking(quotas.set_quota, "acme", Quota(turns=1))
    database.close()
    command = [sys.executable, "-c", KILLED, url, f"{side}:set_quota"]
    assert forked.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
    database = Database.open(url, durable=False)
    assert [one["turns"] for one in database.read_blocking(quotas.listed)] == [1 if side == "before" else 2]
    database.close()
