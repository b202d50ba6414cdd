"""Conversations that are not stored: they go with all that belongs to them, ten minutes after nobody keeps them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from frontdesk.agents import removal
from frontdesk.agents.clearing import Clearing
from frontdesk.agents.history import StoredItem
from frontdesk.agents.items import insert
from frontdesk.agents.removal import expired, remove_conversation
from frontdesk.agents.task_storage import delegate
from frontdesk.broker.conversations import UNSTORED_SECONDS, keep_unstored
from frontdesk.broker.database import Database
from frontdesk.broker.retention import Keep, shorten_log
from frontdesk.broker.statements import Statement, p
from frontdesk.tasks.request import TaskRequest
from frontdesk.tests.playback.process import CONTEXT
from frontdesk.tests.store import Store

BE_OVER: Statement = Statement(
    sa.update(removal.conversation).where(removal.conversation.c.kept_until.is_not(None)).values(kept_until=p("at"))
)
TABLES = (
    removal.conversation, removal.log, removal.item, removal.turn, removal.entry, removal.task, removal.call,
    removal.wait, removal.delivery,
)  # fmt: skip


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def be_over(store: Store) -> None:
    store.do(lambda conn: conn.run(BE_OVER, {"at": conn.now() - 1}))


def counts(store: Store) -> list[int]:
    """How many rows each table has."""
    statements = [Statement(sa.select(sa.func.count()).select_from(one)) for one in TABLES]
    return store.see(lambda conn: [int(conn.all(one)[0][0]) for one in statements])


def talked(store: Store, *, stored: bool = False) -> str:
    """A conversation with everything that one can have: a turn, items, a task with records, a delegated run."""
    accepted = store.create(stored=stored)
    conversation = accepted.conversation_id
    store.run_turn()
    insert_items = [StoredItem(f"msg_{conversation}_{number}", accepted.response_id, 1, "completed", "a",
                               {"type": "message"}) for number in range(3)]  # fmt: skip
    store.do(insert, conversation, 0, insert_items)
    store.finish(store.started(conversation, announce="none"), result="1")
    row = store.enqueue(conversation, kind="agent", arguments={"input": "go"}, announce="none")
    store.do(delegate, row, TaskRequest(name="work", kind="agent", arguments={"input": "go"}))
    store.finish(store.claim_one(), result="2")
    return conversation


def remove_all(store: Store) -> int:
    """Removes what is due; in how many commits."""
    commits = 0
    while found := store.see(expired):
        for one in found:
            while store.do(remove_conversation, one):
                commits += 1
    return commits


def test_it_goes_with_all_that_belongs_to_it_and_nothing_else_does(store: Store) -> None:
    talked(store, stored=True)
    before = counts(store)
    assert all(before[:6]), before
    gone = talked(store)
    assert all(after > one for after, one in zip(counts(store)[:6], before[:6], strict=True))
    be_over(store)
    assert store.see(expired) == [gone]
    assert remove_all(store) > 4, "in several commits"
    assert counts(store) == before


def test_what_is_stored_stays(store: Store) -> None:
    talked(store, stored=True)
    before = counts(store)
    be_over(store)
    assert store.see(expired) == []
    assert counts(store) == before


def test_it_is_kept_as_long_as_its_connection_says_so(store: Store) -> None:
    conversation = talked(store)
    left = store.about(conversation)["kept_until"] - store.see(lambda conn: conn.now())
    assert 0 < left <= UNSTORED_SECONDS
    be_over(store)
    store.do(keep_unstored, [conversation])
    assert store.see(expired) == []
    assert store.do(remove_conversation, conversation) is False, "also when it was seen as due just before"


def test_what_is_live_gets_another_ten_minutes(store: Store) -> None:
    conversation = talked(store)
    claim = store.started(conversation, announce="none")
    before = counts(store)
    be_over(store)
    assert store.do(remove_conversation, conversation) is False
    assert store.see(expired) == []
    assert counts(store) == before
    store.finish(claim)
    be_over(store)
    remove_all(store)
    assert counts(store)[0] == 0


def test_a_webhook_is_told_before(store: Store) -> None:
    conversation = talked(store)
    store.finish(store.started(conversation, announce="none", webhook="https://example.org/hook"), result="1")
    be_over(store)
    assert store.do(remove_conversation, conversation) is False
    assert store.see(expired) == []


async def test_a_worker_does_it_beside_its_work(store: Store) -> None:
    talked(store)
    be_over(store)
    clearing = Clearing(store.database, Keep())
    for _ in range(2):  # the delegated run's own conversation is due after the other
        await clearing.look(asyncio.Event())
    assert counts(store)[0] == 0


def die(url: str, point: str) -> None:
    """A worker that clears away, killed at a commit."""
    database = Database.open(url, durable=False, exclusive=False, failpoint=point)
    due = database.read_blocking(expired)
    if point.endswith("keep_unstored"):
        database.write_blocking(keep_unstored, due)
    for one in due:
        database.write_blocking(shorten_log, one, Keep(seconds=0, events=1))
        while database.write_blocking(remove_conversation, one):
            pass


def killed(url: str, point: str) -> int | None:
    """How that process has ended."""
    process = CONTEXT.Process(target=die, args=(url, point))
    process.start()
    process.join(60)
    return process.exitcode


def test_killed_between_any_two_commits_the_rest_goes_the_next_time(opened: Callable[..., Database], url: str) -> None:
    store = Store(opened())
    talked(store)
    be_over(store)
    before = counts(store)
    points = ["before:keep_unstored", "before:shorten_log", "after:shorten_log", "before:remove_conversation"]
    points += [f"after:remove_conversation:{number}" for number in (1, 2, 3)]
    for point in points:
        assert killed(url, point) == -signal.SIGKILL
        assert counts(store)[0] > 0, "the conversation goes last"
    assert counts(store) < before
    assert killed(url, "after:keep_unstored") == -signal.SIGKILL
    assert store.see(expired) == [], "it is kept for another ten minutes"
    be_over(store)
    remove_all(store)
    assert counts(store)[:6] == [0] * 6
