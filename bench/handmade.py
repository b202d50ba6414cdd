"""A durable task queue by hand: plain sqlite3, one thread that writes, nothing of Frontdesk. A floor.

What it does, and ours does too: one thread takes every function that waits and commits them together
(``synchronous=FULL``); a task row as wide as ours with a random text id, a label counted in its conversation, a single
claim under an owner, a deadline and an epoch, a finish that is refused when the epoch is stale; an event with its
cursor for created, running and finished, and a notice in the conversation's inbox, each in the commit that it belongs
to.

What it does not: options, validation, cancels, waits, leases that anyone renews or recovers, attempts, tenants, retries
of a failed commit, savepoints, another engine. It has two indexes beside the keys, where ours has nine.
"""

from __future__ import annotations

import asyncio
import json
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

TABLES = """
CREATE TABLE conversation (id TEXT PRIMARY KEY, last_label INTEGER DEFAULT 0, last_cursor INTEGER DEFAULT 0,
    last_input INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE TABLE task (id TEXT PRIMARY KEY, kind TEXT DEFAULT 'function', name TEXT, slot TEXT DEFAULT 'task',
    queue TEXT DEFAULT 'default', tenant TEXT DEFAULT '', conversation_id TEXT, label TEXT, title TEXT,
    agent TEXT DEFAULT '', parent_id TEXT, depth INTEGER DEFAULT 0, created_by TEXT, fingerprint TEXT DEFAULT '',
    retry_of TEXT, announce TEXT DEFAULT 'respond', status TEXT DEFAULT 'queued', priority INTEGER DEFAULT 0,
    ready REAL DEFAULT 0, attempt INTEGER DEFAULT 1, max_attempts INTEGER DEFAULT 3, on_crash TEXT DEFAULT 'fail',
    timeout REAL, epoch INTEGER DEFAULT 0, owner TEXT DEFAULT '', lease_until REAL, cancel_requested INTEGER DEFAULT 0,
    abandoned INTEGER DEFAULT 0, waiting_for TEXT DEFAULT '', waits_left INTEGER DEFAULT 0, wake REAL, question TEXT,
    arguments TEXT, result TEXT, error TEXT, error_kind TEXT DEFAULT '', progress REAL, message TEXT DEFAULT '',
    log_tail TEXT DEFAULT '[]', created_at REAL, started_at REAL, finished_at REAL);
CREATE INDEX task_claim ON task (slot, priority DESC, ready, id) WHERE status = 'queued';
CREATE UNIQUE INDEX task_label ON task (conversation_id, label);
CREATE TABLE event (conversation_id TEXT, first INTEGER, body TEXT, created_at REAL,
    PRIMARY KEY (conversation_id, first));
CREATE TABLE inbox (conversation_id TEXT, number INTEGER, kind TEXT, target_id TEXT, payload TEXT, taken_by TEXT,
    created_at REAL, PRIMARY KEY (conversation_id, number));
"""
COUNT_LABEL = """UPDATE conversation SET last_label = last_label + 1, last_cursor = last_cursor + 1 WHERE id = ?
    RETURNING last_label, last_cursor"""
COUNT_EVENT = "UPDATE conversation SET last_cursor = last_cursor + 1 WHERE id = ? RETURNING last_cursor"
COUNT_NOTICE = """UPDATE conversation SET last_cursor = last_cursor + 1, last_input = last_input + 1 WHERE id = ?
    RETURNING last_cursor, last_input"""
INSERT = """INSERT INTO task (id, name, conversation_id, label, title, ready, arguments, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
EVENT = "INSERT INTO event VALUES (?, ?, ?, ?)"
NOTICE = "INSERT INTO inbox VALUES (?, ?, 'notice', ?, ?, NULL, ?)"
CLAIM = """UPDATE task SET status = 'running', epoch = epoch + 1, owner = ?, lease_until = ?, started_at = ?
    WHERE id = (SELECT id FROM task WHERE slot = 'task' AND status = 'queued' AND ready <= ?
    ORDER BY priority DESC, ready, id LIMIT 1)
    RETURNING id, epoch, conversation_id, label, name, title, arguments, created_at, started_at"""
FINISH = """UPDATE task SET status = 'succeeded', result = ?, progress = 1, owner = '', lease_until = NULL,
    finished_at = ? WHERE id = ? AND epoch = ? AND status = 'running'"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A task under a claim."""

    id: str
    epoch: int
    conversation_id: str
    label: str
    name: str
    title: str
    arguments: str
    created_at: float
    started_at: float


class StaleClaim(Exception):
    """The task has another epoch by now."""


def told(
    conversation_id: str,
    what: str,
    status: str,
    claimed: Claimed,
    *,
    result: str | None = None,
    at: float | None = None,
) -> str:
    """The event that clients see, with the fields of Frontdesk's protocol."""
    return json.dumps(
        {
            "type": f"task.{what}",
            "conversation": conversation_id,
            "task": {
                "id": claimed.id,
                "label": claimed.label,
                "name": claimed.name,
                "title": claimed.title,
                "agent": "",
                "status": status,
                "progress": None if at is None else 1.0,
                "message": "",
                "result": None if result is None else json.loads(result),
                "error": None,
                "attempt": 1,
                "created_at": claimed.created_at,
                "started_at": claimed.started_at or None,
                "finished_at": at,
            },
        }
    )


def create(cursor: sqlite3.Cursor, conversation_id: str, name: str, title: str, arguments: str) -> tuple[str, str]:
    """Files a task; its id, and the event that says so."""
    label, position = cursor.execute(COUNT_LABEL, (conversation_id,)).fetchone()
    now = time.time()
    task_id = f"task_{secrets.token_hex(16)}"
    cursor.execute(INSERT, (task_id, name, conversation_id, f"T{label}", title, time.monotonic(), arguments, now))
    row = Claimed(task_id, 0, conversation_id, f"T{label}", name, title, arguments, now, 0.0)
    event = told(conversation_id, "created", "queued", row)
    cursor.execute(EVENT, (conversation_id, position, event, now))
    return task_id, event


def claim(cursor: sqlite3.Cursor, owner: str) -> Claimed | None:
    """Claims the most urgent and oldest task for 30 seconds."""
    now, clock = time.time(), time.monotonic()
    row = cursor.execute(CLAIM, (owner, clock + 30.0, now, clock)).fetchone()
    if row is None:
        return None
    claimed = Claimed(*row)
    (position,) = cursor.execute(COUNT_EVENT, (claimed.conversation_id,)).fetchone()
    event = told(claimed.conversation_id, "updated", "running", claimed)
    cursor.execute(EVENT, (claimed.conversation_id, position, event, now))
    return claimed


def finish(cursor: sqlite3.Cursor, claimed: Claimed, result: str) -> str:
    """Ends a task under its claim; the event that says so. Raises StaleClaim."""
    now = time.time()
    cursor.execute(FINISH, (result, now, claimed.id, claimed.epoch))
    if cursor.rowcount != 1:
        raise StaleClaim(claimed.id)
    event = told(claimed.conversation_id, "finished", "succeeded", claimed, result=result, at=now)
    position, number = cursor.execute(COUNT_NOTICE, (claimed.conversation_id,)).fetchone()
    cursor.execute(EVENT, (claimed.conversation_id, position, event, now))
    cursor.execute(NOTICE, (claimed.conversation_id, number, claimed.id, event, now))
    return event


@dataclass(slots=True)
class _Call:
    function: Callable[..., Any]
    args: tuple[Any, ...]
    future: asyncio.Future[Any]
    result: Any = field(default=None)
    error: Exception | None = None


class GroupCommit:
    """One thread that owns the connection: whatever waits becomes one transaction, then its callers resume."""

    def __init__(self, path: Path) -> None:
        self._raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._raw.execute("PRAGMA journal_mode=WAL")
        self._raw.execute("PRAGMA synchronous=FULL")
        self._raw.execute("PRAGMA wal_autocheckpoint=2000")  # as ours
        self._raw.executescript(TABLES)
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Runs ``function(cursor, *args)``; returns its result after the commit."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put(_Call(function, args, future))
        return await future

    def close(self) -> None:
        self._calls.put(None)
        self._thread.join()
        self._raw.close()

    def _run(self) -> None:
        cursor = self._raw.cursor()
        while True:
            call = self._calls.get()
            group: list[_Call] = []
            cursor.execute("BEGIN IMMEDIATE")
            with suppress(queue.Empty):
                while call is not None:
                    group.append(call)
                    try:
                        call.result = call.function(cursor, *call.args)
                    except StaleClaim as error:
                        call.error = error
                    if len(group) == 500:
                        break
                    call = self._calls.get_nowait()
            cursor.execute("COMMIT")
            if group:
                self._loop.call_soon_threadsafe(_resume, group)
            if call is None:
                return


def _resume(group: list[_Call]) -> None:
    for call in group:
        if call.future.done():
            continue
        if call.error is not None:
            call.future.set_exception(call.error)
        else:
            call.future.set_result(call.result)


def open_conversation(cursor: sqlite3.Cursor) -> str:
    """A new conversation's id."""
    made = f"conv_{secrets.token_hex(16)}"
    cursor.execute("INSERT INTO conversation (id) VALUES (?)", (made,))
    return made
