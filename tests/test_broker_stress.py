"""Many threads do everything at once to one database, in two or three processes' stead; afterwards nobody sleeps whose
children are done, nothing has ended twice, and no input is forgotten. The seeds decide what is done, not when."""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from frontdesk.broker import leases, queue, rows
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.errors import CircularWait, InboxFull, LeaseLost, ResponseNotActive
from frontdesk.broker.rows import Claim
from frontdesk.tasks.states import TERMINAL, Action
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import DESK, Store, at_once

THREADS = 6
ROUNDS = 60
NAMES = ("parent", "child")
ENDS = (Action.SUCCEED, Action.SUCCEED, Action.FAIL, Action.CANCEL, Action.HOLD)


class Crowd:
    """What the threads share: conversations, ids, claims that a dead worker has left behind."""

    def __init__(self, stores: list[Store], seed: int) -> None:
        self.stores, self.seed = stores, seed
        self.conversations = [stores[0].conversation(unattended_limit=3) for _ in range(3)]
        self.lock = threading.Lock()
        self.tasks: list[str] = []
        self.responses: list[str] = []
        self.zombies: list[Claim] = []

    def note(self, where: list[Any], what: Any) -> Any:
        with self.lock:
            where.append(what)
        return what

    def some(self, chance: random.Random, where: list[Any]) -> Any:
        with self.lock:
            return chance.choice(where) if where else None


class Actor:
    """One thread of the crowd."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.crowd, self.store = crowd, crowd.stores[number % len(crowd.stores)]
        self.chance = random.Random(f"{crowd.seed}/{number}")
        self.name = f"worker {number}"

    def run(self, rounds: int) -> None:
        moves: list[Callable[[], object]] = [
            self.file, self.work, self.work, self.work, self.turn, self.turn, self.say, self.steer, self.cancel,
            self.haunt, self.tidy,
        ]  # fmt: skip
        for _ in range(rounds):
            try:
                self.chance.choice(moves)()
            except (LeaseLost, CircularWait, InboxFull, ResponseNotActive):
                continue

    def file(self, parent: Claim | None = None) -> str:
        conversation = parent.conversation_id if parent else self.chance.choice([None, *self.crowd.conversations])
        row = self.store.enqueue(
            conversation,
            name=self.chance.choice(NAMES),
            parent=parent,
            created_by=None if self.chance.random() < 0.5 else secrets.token_hex(8),
            priority=self.chance.randrange(3),
            on_crash=self.chance.choice(["retry", "fail"]),
            announce=self.chance.choice(["respond", "note", "none"]),
            max_attempts=2,
            concurrency_key=self.chance.choice([None, None, "narrow", "wide"]),
            concurrency_limit=2,
            delay=self.chance.choice([0, 0, 0, 3600]),
        )
        return str(self.crowd.note(self.crowd.tasks, row["id"]))

    def work(self) -> None:
        for claim in self.store.claim(self.chance.randrange(1, 4), names=NAMES, owner=self.name):
            try:
                self.act(claim)
            except (LeaseLost, CircularWait):
                continue

    def act(self, claim: Claim) -> None:
        what = self.chance.random()
        if what < 0.35 and claim.depth < 3:
            children = [self.file(claim) for _ in range(self.chance.randrange(1, 4))]
            if self.chance.random() < 0.2:
                children.append(self.crowd.some(self.chance, self.crowd.tasks))
            need = self.chance.choice([None, None, 1])
            seconds = self.chance.choice([None, None, 3600.0])
            if not self.store.park(claim, *children, need=need, seconds=seconds):
                self.store.finish(claim)
        elif what < 0.40:
            self.store.park(claim, seconds=3600)
        elif what < 0.50:
            self.store.do(queue.release, [claim])
        elif what < 0.58:
            self.store.do(queue.retry_later, claim, delay=0, error="again")
        elif what < 0.66:
            self.crowd.note(self.crowd.zombies, claim)
            self.store.expire(claim)
        else:
            if what < 0.75:
                self.store.do(queue.report, claim, progress=0.5, message="half", log_tail=())
            self.store.finish(claim, self.chance.choice(ENDS))

    def haunt(self) -> None:
        """A worker that was thought dead finishes after all."""
        claim = self.crowd.some(self.chance, self.crowd.zombies)
        if claim is not None and claim.kind == "turn":
            self.store.begin(claim)
            self.store.end_turn(claim)
        elif claim is not None:
            self.store.finish(claim)

    def turn(self) -> None:
        for claim in self.store.claim(1, slot="turn", names=[DESK], owner=self.name):
            what = self.chance.random()
            if what < 0.2:
                self.crowd.note(self.crowd.zombies, claim)
                self.store.expire(claim)
                continue
            self.store.begin(claim)
            if what < 0.5:
                tasks = [self.file(claim) for _ in range(2)]
                if self.store.park(claim, *tasks, seconds=self.chance.choice([None, 3600.0])):
                    continue
            self.store.end_turn(claim)

    def say(self) -> None:
        conversation = self.chance.choice([None, *self.crowd.conversations])
        accepted = self.store.create(
            conversation,
            input_id=f"input {self.chance.randrange(40)}" if self.chance.random() < 0.3 else None,
            when_busy=self.chance.choice(["enqueue", "enqueue", "interrupt"]),
            limit=20,
        )
        self.crowd.note(self.crowd.responses, accepted.response_id)

    def steer(self) -> None:
        response = self.crowd.some(self.chance, self.crowd.responses)
        if response is not None:
            self.store.steer(response)

    def cancel(self) -> None:
        task = self.crowd.some(self.chance, self.crowd.tasks)
        if task is not None:
            self.store.cancel(task)

    def tidy(self) -> None:
        """Timers ring, leases end."""
        for task in (self.crowd.some(self.chance, self.crowd.tasks) for _ in range(3)):
            if task is not None and self.store.row(task)["waiting_for"] == "timer":
                self.store.ring(task)
            elif task is not None:
                self.store.be_due(task)
        self.store.do(leases.sweep)


def lose(conn: Connection, task_id: str) -> None:
    row = rows.lock_one(conn, task_id)
    assert row is not None
    leases.lose(conn, row)


def drain(store: Store) -> None:
    """Runs everything to its end: each turn and task is claimed and finished."""
    live: list[rows.TaskRow] = []
    for _ in range(10_000):
        live = [row for row in store.tasks() if row["status"] not in TERMINAL]
        if not live:
            return
        for row in live:
            if row["status"] == "waiting" and row["wake"] is not None:
                store.ring(row["id"])
            if row["held"] == "time":
                store.be_due(row["id"])
            if row["status"] == "running":  # its worker is not there any more
                store.do(lose, row["id"])
        store.sweep()
        for claim in store.claim(100, names=NAMES):
            store.finish(claim)
        for claim in store.claim(100, slot="turn", names=[DESK]):
            store.begin(claim)
            store.end_turn(claim)
    pytest.fail(f"tasks that never end: {[(row['label'], row['status']) for row in live]}")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_crowd_leaves_everything_in_order(opened: Callable[..., Database], url: str, seed: int) -> None:
    before = deadlocks([], url)  # tests share databases, and one of them makes a deadlock
    databases = [opened() for _ in range(3)]
    crowd = Crowd([Store(one) for one in databases], seed)
    at_once(THREADS, lambda number: Actor(crowd, number).run(ROUNDS))
    store = crowd.stores[0]
    assert broken(store) == [], f"seed {seed}"
    drain(store)
    assert broken(store) == [], f"seed {seed}, after everything has ended"
    for conversation in crowd.conversations:
        waiting = [one for one in store.inbox(conversation, "create", "steer") if one.taken_by is None]
        assert waiting == [], f"seed {seed}"
    assert {one["status"] for one in store.turns()} == {"completed"}
    assert deadlocks(databases, url) == before, f"seed {seed}: locks are taken in two orders"


def deadlocks(databases: list[Database], url: str) -> int:
    """How many the server has had to break; it knows when the connections have been closed."""
    for one in databases:
        one.close()
    if not url.startswith("postgresql"):
        return 0
    with psycopg.connect(url, autocommit=True) as raw:
        row = raw.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])
