"""The queue against a model of it: whatever is done in whatever order, each task is where the model says, ends once, is
announced once, and nobody sleeps whose children are done. The clock is moved by hand."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from frontdesk.broker import leases, queue
from frontdesk.broker.database import Database
from frontdesk.broker.errors import CircularWait, LeaseLost
from frontdesk.broker.rows import Claim
from frontdesk.broker.sqlite import SQLite
from frontdesk.tasks.states import TERMINAL, Action
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store

LEASE = 30.0
ENDS = {
    Action.SUCCEED: "succeeded",
    Action.FAIL: "failed",
    Action.CANCEL: "cancelled",
    Action.HOLD: "held",
}


@dataclass
class Model:
    """What a task must be."""

    id: str
    parent: str | None
    on_crash: str
    max_attempts: int
    ready: float
    status: str = "queued"
    epoch: int = 0
    attempt: int = 1
    lease: float = 0.0
    cancelled: bool = False
    awaits: set[str] = field(default_factory=set[str])
    left: int = 0
    wake: float | None = None

    @property
    def live(self) -> bool:
        return self.status not in TERMINAL


class Machine(RuleBasedStateMachine):
    tasks = Bundle("tasks")
    claims = Bundle("claims")

    @initialize(target=tasks, running=st.integers(1, 3), families=st.integers(0, 2))
    def begin(self, running: int, families: int) -> Any:
        """A database in which something is under way already."""
        self.open()
        ids = [self.filed(None, "retry", 2, 0.0, True) for _ in range(running + families)]
        self.claim(running + families)
        for number in range(families):
            children = [self.filed(self.claimed[number], "fail", 1, 0.0, True) for _ in range(number + 1)]
            self.park(self.claimed[number], children, None, False)
            self.claim(len(children))
            ids += children
        return multiple(*ids)

    def open(self) -> None:
        place = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.folder = tempfile.TemporaryDirectory(prefix="frontdesk-", dir=place)
        self.database = Database.open(f"sqlite:///{self.folder.name}/desk.db", durable=False, exclusive=True)
        assert isinstance(self.database.engine, SQLite)
        self.engine = self.database.engine
        self.store = Store(self.database)
        self.conversation = self.store.conversation(unattended_limit=0)
        self.model: dict[str, Model] = {}
        self.offset = 0.0
        self.ended: dict[str, str] = {}
        self.claimed: list[Claim] = []

    def teardown(self) -> None:
        try:
            assert broken(self.store) == []
        finally:
            self.database.close()
            self.folder.cleanup()

    # --- the model's own moves

    def valid(self, claim: Claim) -> Model | None:
        """The task, if the claim holds."""
        found = self.model[claim.task_id]
        return found if found.status == "running" and found.epoch == claim.epoch else None

    def end(self, task: Model, status: str) -> None:
        task.status, task.awaits, task.wake = status, set(), None
        for other in self.model.values():
            if task.id in other.awaits:
                other.awaits.discard(task.id)
                other.left -= 1
                if other.left <= 0:
                    self.wake(other)

    def wake(self, task: Model) -> None:
        task.status, task.awaits, task.wake = "queued", set(), None
        task.ready = self.offset

    def requeue(self, task: Model, *, attempt: int, delay: float = 0.0) -> None:
        if task.cancelled:
            self.end(task, "cancelled")
        else:
            task.status, task.ready, task.attempt = "queued", self.offset + delay, task.attempt + attempt

    def reaches(self, start: str, goals: set[str]) -> bool:
        seen, to_see = set[str](), [start]
        while to_see:
            one = to_see.pop()
            if one in goals:
                return True
            if one not in seen:
                seen.add(one)
                to_see += self.model[one].awaits
        return False

    # --- what is done

    @rule(
        target=tasks,
        on_crash=st.sampled_from(["retry", "fail"]),
        max_attempts=st.integers(1, 2),
        delay=st.sampled_from([0.0, 0.0, 20.0]),
        mine=st.booleans(),
    )
    def file(self, on_crash: str, max_attempts: int, delay: float, mine: bool) -> str:
        return self.filed(None, on_crash, max_attempts, delay, mine)

    @rule(target=tasks, parent=claims, on_crash=st.sampled_from(["retry", "fail"]))
    def file_child(self, parent: Claim, on_crash: str) -> str:
        return self.filed(parent, on_crash, 2, 0.0, True)

    def filed(self, parent: Claim | None, on_crash: str, max_attempts: int, delay: float, mine: bool) -> str:
        row = self.store.enqueue(
            self.conversation if mine else None,
            id=f"task_{len(self.model):04}",  # a random one would decide who of two that wake together goes first
            parent=parent,
            on_crash=on_crash,
            max_attempts=max_attempts,
            delay=delay,
        )
        above = None if parent is None else parent.task_id
        task = Model(row["id"], above, on_crash, max_attempts, self.offset + delay)
        self.model[task.id] = task
        return task.id

    @rule(target=claims, limit=st.integers(1, 4))
    def claim_some(self, limit: int) -> Any:
        return multiple(*self.claim(limit))

    def claim(self, limit: int) -> list[Claim]:
        claimable = [one for one in self.model.values() if one.status == "queued" and one.ready <= self.offset]
        found = self.store.claim(limit, lease=LEASE)
        assert len(found) == min(limit, len(claimable))
        for claim in found:
            task = self.model[claim.task_id]
            assert task in claimable
            task.status, task.epoch, task.lease = "running", task.epoch + 1, self.offset + LEASE
            assert (claim.epoch, claim.attempt) == (task.epoch, task.attempt)
        self.claimed += found
        return found

    @rule(claim=claims, action=st.sampled_from(list(ENDS)))
    def finish_as(self, claim: Claim, action: Action) -> None:
        self.finish(claim, action)

    def finish(self, claim: Claim, action: Action) -> None:
        task = self.valid(claim)
        if self.accepted(task, lambda: self.store.finish(claim, action)):
            self.end(self.model[claim.task_id], ENDS[action])

    @rule(claim=claims)
    def renew(self, claim: Claim) -> None:
        task = self.valid(claim)
        lost, _ = self.store.do(queue.renew, [(claim.task_id, claim.epoch)], LEASE)
        assert bool(lost) is (task is None)
        if task is not None:
            task.lease = self.offset + LEASE

    @rule(claim=claims)
    def release(self, claim: Claim) -> None:
        task = self.valid(claim)
        self.store.do(queue.release, [claim])
        if task is not None:
            self.requeue(task, attempt=0)

    @rule(claim=claims, delay=st.sampled_from([0.0, 20.0]))
    def retry(self, claim: Claim, delay: float) -> None:
        task = self.valid(claim)
        if self.accepted(task, lambda: self.store.do(queue.retry_later, claim, delay=delay, error="")):
            self.requeue(self.model[claim.task_id], attempt=1, delay=delay)

    @rule(
        target=tasks,
        children=st.integers(1, 3),
        again=st.booleans(),
        need=st.sampled_from([None, 1, 2]),
        timed=st.booleans(),
    )
    def delegate(self, children: int, again: bool, need: int | None, timed: bool) -> Any:
        """Somebody who runs files children and waits for them."""
        ids: list[str] = []
        for claim in self.claimed:
            if self.valid(claim):
                ids += [self.filed(claim, "fail", 1, 0.0, True) for _ in range(children)]
                self.park(claim, ids + ids[:1] if again else ids, need, timed)
                break
        return multiple(*ids)

    @rule(target=claims, newest=st.booleans(), action=st.sampled_from(list(ENDS)))
    def work(self, newest: bool, action: Action) -> Any:
        """Somebody who runs ends, and the next one is claimed."""
        for claim in reversed(self.claimed) if newest else self.claimed:
            if self.valid(claim):
                self.finish(claim, action)
                break
        return multiple(*self.claim(1))

    @rule(claim=claims, awaited=st.lists(tasks, max_size=3), need=st.sampled_from([None, 1, 2]), timed=st.booleans())
    def park_for(self, claim: Claim, awaited: list[str], need: int | None, timed: bool) -> None:
        self.park(claim, awaited, need, timed)

    def park(self, claim: Claim, awaited: list[str], need: int | None, timed: bool) -> None:
        task = self.valid(claim)
        seconds = 20.0 if timed else None
        above, forbidden = self.model[claim.task_id].parent, {claim.task_id}
        while above is not None:
            forbidden.add(above)
            above = self.model[above].parent
        circle = any(self.reaches(one, forbidden) for one in awaited)
        try:
            parked = self.store.park(claim, *awaited, need=need, seconds=seconds)
        except LeaseLost:
            assert task is None
            return
        except CircularWait:
            assert circle
            return
        assert task is not None
        assert not circle
        ids = set(awaited)
        live = {one for one in ids if self.model[one].live}
        left = min(len(ids) if need is None else need, len(ids)) - (len(ids) - len(live))
        sleeps = left > 0 if ids else timed
        assert parked is (sleeps and not task.cancelled)
        if parked:
            task.status, task.awaits, task.left = "waiting", live, left
            task.wake = None if seconds is None else self.offset + seconds

    @rule(task=tasks)
    def cancel(self, task: str) -> None:
        self.cancelling(task)

    @rule()
    def cancel_a_run(self) -> None:
        for claim in self.claimed:
            if self.valid(claim):
                self.cancelling(claim.task_id)
                return

    def cancelling(self, task: str) -> None:
        self.store.cancel(task)
        below = [task]
        for one in below:
            below += [other.id for other in self.model.values() if other.parent == one and other.live]
        for one in below:
            found = self.model[one]
            if found.status == "running":
                found.cancelled = True
            elif found.live:
                found.cancelled = True
                self.end(found, "cancelled")

    @rule(seconds=st.sampled_from([5.0, 25.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.offset += seconds
        self.engine.set_clock(self.offset)
        for _ in range(len(self.model)):
            self.store.do(leases.sweep)
        for task in self.model.values():
            if task.status == "waiting" and task.wake is not None and task.wake <= self.offset:
                self.wake(task)
        for task in self.model.values():
            if task.status == "running" and task.lease <= self.offset:
                self.lose(task)

    def lose(self, task: Model) -> None:
        if task.cancelled:
            self.end(task, "cancelled")
        elif task.on_crash == "fail":
            self.end(task, "failed")
        elif task.attempt < task.max_attempts:
            self.requeue(task, attempt=1)
        else:
            self.end(task, "held")

    def accepted(self, task: Model | None, write: Any) -> bool:
        """Whether a write was accepted, as it must be when the claim holds."""
        try:
            write()
        except LeaseLost:
            assert task is None
            return False
        assert task is not None
        return True

    # --- what must hold

    @invariant()
    def everything_is_where_the_model_says(self) -> None:
        rows = {row["id"]: row for row in self.store.tasks() if row["kind"] != "turn"}
        assert {id: (row["status"], row["epoch"], row["attempt"]) for id, row in rows.items()} == {
            id: (one.status, one.epoch, one.attempt) for id, one in self.model.items()
        }
        for id, status in self.ended.items():
            assert rows[id]["status"] == status, "it has ended twice"
        self.ended = {id: row["status"] for id, row in rows.items() if row["status"] in TERMINAL}


TestQueueAgainstItsModel = Machine.TestCase
TestQueueAgainstItsModel.settings = settings(
    max_examples=80, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
