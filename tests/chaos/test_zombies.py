"""Workers that are thought dead and are not: stopped past their lease, or with an event loop that stands still."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from typing import Any

from frontdesk.broker.queue import Origin, enqueue
from frontdesk.tests.chaos import poison, works
from frontdesk.tests.chaos.history import History
from frontdesk.tests.chaos.processes import Fleet, Process
from frontdesk.tests.chaos.scale import scaled
from frontdesk.tests.chaos.waiting import until
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store

LEASE = scaled(0.5, 5.0)
COUNT = scaled(4, 16)  # processes, each with up to five connections; PostgreSQL takes a hundred


def file(store: Store, conversation: str, name: str, **arguments: Any) -> str:
    request = poison.FUNCTIONS[name].request(arguments, announce="note", max_attempts=100)
    return str(store.do(enqueue, request, Origin(conversation_id=conversation))["id"])


def holds_lock(url: str) -> bool:
    """Whether somebody stands in the middle of a transaction that writes to this SQLite file."""
    if not url.startswith("sqlite"):
        return False
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0.1, isolation_level=None)) as raw:
        try:
            raw.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        raw.execute("ROLLBACK")
        return False


def stop(process: Process, url: str) -> None:
    """SIGSTOP, at a moment in which it does not keep all others from the file."""
    process.send(signal.SIGSTOP)
    while holds_lock(url):
        process.send(signal.SIGCONT)
        process.send(signal.SIGSTOP)


def test_everything_that_a_zombie_still_writes_is_rejected(store: Store, history: History, fleet: Fleet) -> None:
    conversation = store.conversation(unattended_limit=0)
    zombies = [fleet.worker(lease=LEASE) for _ in range(COUNT)]
    tasks = [file(store, conversation, "late", go="go") for _ in range(COUNT)]
    until(lambda: works.noted(fleet.folder, "late") == COUNT, fleet.logs)
    for one in zombies:
        stop(one, fleet.url)
    survivor = fleet.worker(lease=30.0)
    until(lambda: history.live() == 0, fleet.logs)
    rows, told = store.tasks(), store.log(conversation)
    assert {(row["result"], row["attempt"]) for row in rows} == {('"in time"', 2)}
    assert survivor.end() == 0
    (fleet.folder / "go").touch()
    for one in zombies:
        one.send(signal.SIGCONT)
    until(lambda: works.noted(fleet.folder, "late") == 5 * COUNT, fleet.logs)
    for one in zombies:
        assert one.end() == 0, fleet.logs()
    rejected = [f"{what}:LeaseLost" for what in ("step", "create", "sleep", "ask")]
    assert sorted(works.notes(fleet.folder, "late")) == sorted(["waits", *rejected] * COUNT)
    assert (store.tasks(), store.log(conversation)) == (rows, told), "no result, no child, no progress, no event"
    assert {row["id"] for row in rows} == set(tasks)
    assert history.twice() == []
    assert broken(store) == []


def test_a_blocked_thread_keeps_its_task_and_a_blocked_loop_loses_it(
    store: Store, history: History, fleet: Fleet
) -> None:
    conversation = store.conversation(unattended_limit=0)
    seconds = 3 * LEASE
    first = fleet.worker(lease=LEASE, task_slots=COUNT)
    patient = [file(store, conversation, "blocks_thread", seconds=seconds) for _ in range(COUNT)]
    until(lambda: history.live() == 0, fleet.logs)
    assert {(row["result"], row["epoch"]) for row in store.tasks()} == {('"attempt 1"', 1)}
    blocking = file(store, conversation, "blocks_loop", seconds=seconds)
    until(lambda: works.noted(fleet.folder, "starts") == COUNT + 1, fleet.logs)
    other = fleet.worker(lease=30.0)
    until(lambda: history.live() == 0, fleet.logs)
    row = store.row(blocking)
    assert (row["result"], row["attempt"], row["epoch"]) == ('"attempt 2"', 2, 2)
    told = store.log(conversation)
    after = file(store, conversation, "blocks_thread", seconds=0)
    assert other.end() == 0
    until(lambda: store.status(after) == "succeeded", fleet.logs)
    assert first.end() == 0, "it goes on when its loop does"
    assert store.row(blocking) == row
    assert [one for one in store.log(conversation) if one.get("task", {}).get("id") == blocking] == [
        one for one in told if one.get("task", {}).get("id") == blocking
    ]
    assert len(store.tasks()) == len(patient) + 2
    assert history.twice() == []
    assert broken(store) == []
