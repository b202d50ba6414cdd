"""A conversation that is deleted while something of it is live: it is given up, and its tasks outlive it.

Nobody reaches it from then on; what is live is cancelled; what ends later tells nobody and starts nothing; and when the
last of it has stopped, nothing of it stays.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from frontdesk.agents import Agent, Desk, removal, tool
from frontdesk.agents.clearing import Clearing
from frontdesk.agents.conversation_items import about
from frontdesk.agents.deletion import delete_conversation
from frontdesk.agents.models.scripted import Gate, ScriptedModel, call, say, wait
from frontdesk.agents.task_retry import retry_task
from frontdesk.agents.task_storage import delegate
from frontdesk.broker import rows
from frontdesk.broker.connection import Connection
from frontdesk.broker.conversations import create_conversation
from frontdesk.broker.database import Database
from frontdesk.broker.errors import ConversationBusy, ConversationNotFound, PreviousResponseNotFound
from frontdesk.broker.statements import Statement, p
from frontdesk.tasks import TaskContext, task
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.table import Base
from frontdesk.tests.fakes.office import Office, filed, office
from frontdesk.tests.store import Store

OF_ITS_OWN = {  # what tenants have used is no conversation's
    "frontdesk_meta", "frontdesk_worker", "frontdesk_queue", "frontdesk_usage"
}  # fmt: skip
LIVE = Statement(sa.select(removal.task.c.id).where(removal.task.c.finished_at.is_(None)))
BE_DUE = Statement(
    sa.update(removal.conversation).where(removal.conversation.c.kept_until.is_not(None)).values(kept_until=p("at"))
)


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def be_due(conn: Connection) -> None:
    conn.run(BE_DUE, {"at": conn.now() - 1})


def clear(store: Store) -> None:
    """Has what is due removed, as a worker does, at a time when all of it is."""
    store.do(be_due)
    while found := store.see(removal.expired):
        for one in found:
            while store.do(removal.remove_conversation, one):
                pass


def left(conn: Connection) -> dict[str, int]:
    """How many rows are in which tables."""
    found = {
        one.name: int(conn.all(Statement(sa.select(sa.func.count()).select_from(one)))[0][0])
        for one in Base.metadata.sorted_tables
    }
    return {name: count for name, count in found.items() if count and name not in OF_ITS_OWN}


def test_what_runs_nowhere_ends_at_once_and_what_runs_is_asked_to(store: Store) -> None:
    conversation = store.conversation()
    running = store.started(conversation)
    queued = store.enqueue(conversation, name="later")
    with pytest.raises(ConversationBusy, match="cancel=true"):
        store.do(delete_conversation, conversation, "")
    assert store.do(delete_conversation, conversation, "", cancel=True) is False
    assert (store.status(queued), store.status(running)) == ("cancelled", "running")
    assert store.row(running.task_id)["cancel_requested"] == 1
    clear(store)
    assert store.status(running) == "running", "what is live is never removed"
    store.finish(running, result='"late"')
    assert store.status(running) == "succeeded"
    assert store.claim(slot="turn", names=["desk"]) == [], "nobody answers its end"
    clear(store)
    assert store.see(left) == {}


def test_nobody_reaches_it_from_then_on(store: Store) -> None:
    accepted = store.create()
    store.begin(store.claim_turn())
    store.do(delete_conversation, accepted.conversation_id, "", cancel=True)
    for again in (False, True):
        with pytest.raises(ConversationNotFound):
            store.do(delete_conversation, accepted.conversation_id, "", cancel=again)
    with pytest.raises(ConversationNotFound):
        store.see(about, accepted.conversation_id, "")


def test_what_was_cancelled_with_it_is_not_retried(store: Store) -> None:
    conversation = store.conversation()
    store.started(conversation)
    queued = store.enqueue(conversation, name="later")
    store.do(delete_conversation, conversation, "", cancel=True)
    with pytest.raises(ConversationNotFound):
        store.do(retry_task, queued["id"], "")


def test_one_that_is_idle_is_removed_at_once(store: Store) -> None:
    conversation = store.conversation()
    store.finish(store.started(conversation, announce="none"))
    assert store.do(delete_conversation, conversation, "", cancel=True) is True
    assert store.see(left) == {}


def test_everything_below_is_cancelled_and_goes_too(store: Store) -> None:
    conversation = store.conversation()
    run = store.enqueue(conversation, kind="agent", arguments={"input": "go"})
    store.do(delegate, run, TaskRequest(name="work", kind="agent", arguments={"input": "go"}))
    claim = store.claim_one()
    child = store.see(lambda conn: conn.all(removal.DELEGATED, {"id": run["id"]}))[0][0]
    below = store.enqueue(child, name="below", parent=claim)
    assert store.do(delete_conversation, conversation, "", cancel=True) is False
    assert store.status(below) == "cancelled"
    filed_since = store.enqueue(child, name="since", parent=claim)
    clear(store)
    assert store.status(filed_since) == "cancelled", "what is filed later is cancelled too"
    assert store.status(claim) == "running"
    store.finish(claim)
    clear(store)
    assert store.see(left) == {}


def test_a_task_whose_conversation_is_missing_is_claimed_and_ends(store: Store) -> None:
    conversation = store.conversation()
    row = store.enqueue(conversation)
    store.forget(conversation)
    claim = store.claim_one()
    assert claim.task_id == row["id"]
    store.finish(claim)
    assert store.status(row) == "succeeded"


def test_a_conversation_that_others_hold_is_passed_over_still(postgresql_url: str) -> None:
    database, other = (Database.open(postgresql_url, durable=False) for _ in range(2))
    store, holding, over = Store(database), threading.Event(), threading.Event()
    held = store.conversation()
    store.enqueue(held)
    row = store.enqueue(store.conversation())

    def hold(conn: Connection) -> None:
        rows.lock_conversations(conn, [held])
        conn.now()  # it has come back, so the lock is there
        holding.set()
        over.wait()

    holder = threading.Thread(target=other.write_blocking, args=(hold,))
    holder.start()
    holding.wait()
    try:
        assert [one.task_id for one in store.claim(2)] == [row["id"]]
    finally:
        over.set()
        holder.join()
        other.close()
    assert len(store.claim(2)) == 1
    database.close()


async def clear_up(at: Office) -> dict[str, int]:
    """Clears as a worker does, once everything has stopped; what stays."""
    await at.until(lambda conn: True if not conn.all(LIVE) else None)
    for _ in range(3):  # a run's conversation is due when the one that it worked for is gone
        await at.database.write(be_due)
        await Clearing(at.database).look(asyncio.Event())
    return await at.database.read(left)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_desk_at_work_is_given_up_and_what_ignores_that_outlives_it(
    tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    url = request.getfixturevalue("postgresql_url") if engine == "postgresql" else None
    release, reached, looking = threading.Event(), threading.Event(), [Gate(), Gate()]
    ended: list[str] = []

    @task
    def stubborn(context: TaskContext) -> str:
        """Works without looking up."""
        reached.set()
        release.wait()
        ended.append("stubborn")
        return "done"

    @tool
    async def look(place: int) -> str:
        """Looks for a long time."""
        await looking[place].wait()
        return "looked"

    research = ScriptedModel([call("look", {"place": 0})])
    expert = Agent("research", "You research.", model=research, tools=[look])
    file_both = filed("stubborn") + filed_run("Whales?")
    triage = ScriptedModel([file_both, call("look", {"place": 1}), say("never said")])
    desk = Desk(Agent("triage", "You help.", delegates=[expert], tasks=[stubborn], tools=[look], model=triage))
    async with office(desk, tmp_path, url=url) as at:
        first = await at.create("Whales?")
        for one in looking:
            await one.reached()
        await asyncio.to_thread(reached.wait)
        second = await at.create("And dolphins?", first.conversation_id)
        assert await at.database.write(delete_conversation, first.conversation_id, "", cancel=True) is False
        with pytest.raises(ConversationNotFound):
            await at.create("Still there?", first.conversation_id)
        with pytest.raises(ConversationNotFound):
            await at.steer(first.response_id)
        with pytest.raises(PreviousResponseNotFound):
            await at.create("Still there?", previous_response_id=first.response_id)
        assert (await at.ended(first))["status"] == "cancelled"
        assert (await at.ended(second))["status"] == "cancelled", "what waits is told too"
        await at.quiet(first.conversation_id)
        assert len(triage.requests) == 2, "no end of a task has started a turn"
        release.set()
        assert await clear_up(at) == {}
    assert ended == ["stubborn"]


def filed_run(text: str) -> Any:
    return filed("research", input=text)


async def test_a_worker_does_all_of_it_by_itself(tmp_path: Path) -> None:
    gate = Gate()
    triage = ScriptedModel([wait(gate) + say("never said")])
    async with office(Desk(Agent("triage", "You help.", model=triage)), tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        other = await at.database.write(lambda conn: create_conversation(conn, tenant="", desk="triage"))
        await at.database.write(delete_conversation, accepted.conversation_id, "", cancel=True)
        assert (await at.ended(accepted))["status"] == "cancelled"

        def gone(conn: Connection) -> bool | None:
            return True if left(conn) == {"frontdesk_conversation": 1} else None

        await at.until(gone)
        assert (await at.database.read(about, other, "")).id == other
