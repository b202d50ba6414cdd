"""A process killed just before and just after a commit that holds many calls: all of them are there, or none is."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable

import pytest

from frontdesk.broker import leases
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.tests.fakes.merged_calls import COUNT, die, filing
from frontdesk.tests.invariants import broken
from frontdesk.tests.playback.process import CONTEXT
from frontdesk.tests.store import Store
from frontdesk.tests.works import PATIENCE

MORE = 2  # tasks that wait for a slot


@pytest.fixture
def store(opened: Callable[..., Database]) -> Store:
    return Store(opened())


def killed(url: str, failpoint: str, conversation: str) -> None:
    process = CONTEXT.Process(target=die, args=(url, failpoint, conversation), daemon=True)
    process.start()
    process.join(4 * PATIENCE)  # it may have to wait until everything is imported
    assert process.exitcode == -signal.SIGKILL


def statuses(store: Store) -> Counter[str]:
    return Counter(row["status"] for row in store.tasks())


def commits(store: Store) -> int:
    """In how many transactions the tasks as they are were written; PostgreSQL alone can tell."""

    def count(conn: Connection) -> int:
        return int(conn.script("SELECT count(DISTINCT xmin::text) FROM frontdesk_task")[0][0])

    return 1 if store.database.engine.dialect == "sqlite" else store.see(count)


@pytest.mark.parametrize("side", ["before", "after"])
def test_runs_that_end_in_one_commit_have_all_ended_or_none_has(store: Store, url: str, side: str) -> None:
    conversation = store.conversation(unattended_limit=0)
    for _ in range(COUNT + MORE):
        store.enqueue(conversation, on_crash="retry", announce="note")
    killed(url, f"{side}:finish", conversation)
    if side == "before":
        assert statuses(store) == {"running": COUNT, "queued": MORE}
        assert store.inbox(conversation) == []
    else:
        assert statuses(store) == {"succeeded": COUNT, "running": MORE}, "what was claimed with it is kept, too"
        assert len(store.inbox(conversation)) == COUNT
        assert commits(store) == 1
    assert store.do(leases.recover) == (COUNT if side == "before" else MORE)
    for claim in store.claim(COUNT + MORE):
        store.finish(claim)
    assert statuses(store) == {"succeeded": COUNT + MORE}
    assert len(store.inbox(conversation)) == COUNT + MORE
    assert broken(store) == []


@pytest.mark.parametrize("side", ["before", "after"])
async def test_tasks_that_are_filed_in_one_commit_are_all_there_or_none_is(store: Store, url: str, side: str) -> None:
    conversation = store.conversation()
    killed(url, f"{side}:file_task", conversation)
    assert len(store.tasks()) == (COUNT if side == "after" else 0)
    if side == "after":
        assert commits(store) == 1
    found = [await filing(store.database, conversation, number)() for number in range(COUNT)]
    assert {one.row["id"] for one in found} == {row["id"] for row in store.tasks()}
    assert len(store.tasks()) == COUNT, "asked again, they are the same ones"
    assert {row["label"] for row in store.tasks()} == {f"T{number + 1}" for number in range(COUNT)}
    assert broken(store) == []
