"""SIGKILL, again and again: of workers, and of a process that files tasks."""

from __future__ import annotations

import signal
import time
from collections import Counter
from functools import partial

from pydantic_core import from_json

from frontdesk.tests.chaos import works
from frontdesk.tests.chaos.history import History
from frontdesk.tests.chaos.processes import Fleet, Process
from frontdesk.tests.chaos.scale import SEED, chance, scaled
from frontdesk.tests.chaos.waiting import until
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store

LONG_FORM = (20_000, 500)  # tasks, kills
AGAIN = {"sqlite": scaled((1_000, 25), LONG_FORM), "postgresql": scaled((400, 25), LONG_FORM)}
ONCE = scaled((200, 8), LONG_FORM)
OF_A_CONVERSATION = 100
WORKERS = 3


class Slaughter:
    """Kills until so many have been killed, each when a certain part of the work has begun."""

    def __init__(self, fleet: Fleet, store: Store, name: str, tasks: int, kills: int) -> None:
        self.fleet, self.dice = fleet, chance(f"{tasks} tasks named {name}, {kills} kills")
        self.moments = sorted(self.dice.randrange(tasks) for _ in range(kills))
        self.conversations = [store.conversation(unattended_limit=0) for _ in range(tasks // OF_A_CONVERSATION)]
        self.workers = [fleet.worker() for _ in range(WORKERS)]
        self.filing = fleet.filing(name, self.conversations, tasks, SEED)
        self.kills = 0

    def run(self, history: History) -> None:
        for number, moment in enumerate(self.moments):
            until(partial(self._reached, moment, history), self._state)
            time.sleep(self.dice.uniform(0, 0.01))  # somewhere in the middle of what it does
            victim = self.filing if number % 5 == 0 and self.filing.exit_code is None else self._worker()
            self.kills += victim.kill() and victim is not self.filing
            victim.again()
        until(lambda: self._over(history), self._state)

    def _worker(self) -> Process:
        return self.dice.choice(self.workers)

    def _reached(self, moment: int, history: History) -> bool:
        return self._begun() >= moment or self._over(history)

    def _begun(self) -> int:
        return works.noted(self.fleet.folder, works.STARTS)

    def _over(self, history: History) -> bool:
        return self.filing.exit_code == 0 and history.live() == 0

    def _state(self) -> str:
        return f"{self._begun()} starts, {self.kills} kills\n{self.fleet.logs()}"

    def end(self) -> None:
        for one in self.workers:
            assert one.end() in (0, -signal.SIGTERM), self.fleet.logs()  # the last one may not have begun


def in_order(store: Store, history: History) -> None:
    assert history.twice() == [], f"seed {SEED}"
    assert broken(store) == [], f"seed {SEED}"


def test_nothing_is_lost_and_nothing_kept_happens_twice_however_many_are_killed(
    store: Store, history: History, fleet: Fleet
) -> None:
    tasks, kills = AGAIN[store.database.engine.dialect]
    slaughter = Slaughter(fleet, store, "again", tasks, kills)
    slaughter.run(history)
    slaughter.end()
    rows = store.tasks()
    assert Counter(row["status"] for row in rows) == {"succeeded": len(rows)}, f"seed {SEED}"
    filed = [row for row in rows if row["parent_id"] is None]
    assert sorted(from_json(row["arguments"])["number"] for row in filed) == list(range(tasks)), f"seed {SEED}"
    assert len(rows) == tasks + 2 * sum(row["name"] == "family" for row in filed), "every child is there once"
    steps = history.steps()
    assert {row["id"]: row["result"] for row in rows if row["name"] == "again"} == steps, f"seed {SEED}"
    moves = history.moves()
    assert history.claims() <= len(rows) + moves["waiting", "queued"] + slaughter.kills, f"seed {SEED}: {moves}"
    assert sum(row["attempt"] - 1 for row in rows) <= slaughter.kills, f"seed {SEED}"
    in_order(store, history)
    print(f"{len(rows)} tasks, {slaughter.kills} workers killed, filing {slaughter.filing.kills} times: {dict(moves)}")


def test_what_must_not_run_twice_ends_once_as_done_or_lost(store: Store, history: History, fleet: Fleet) -> None:
    slaughter = Slaughter(fleet, store, "once", *ONCE)
    slaughter.run(history)
    slaughter.end()
    rows = store.tasks()
    assert len(rows) == ONCE[0], f"seed {SEED}"
    ends = Counter((row["status"], row["error_kind"]) for row in rows)
    assert set(ends) <= {("succeeded", ""), ("failed", "worker lost")}, f"seed {SEED}: {ends}"
    assert ends["failed", "worker lost"] <= slaughter.kills, f"seed {SEED}: {ends}"
    starts = Counter(works.notes(fleet.folder, works.STARTS))
    assert set(starts.values()) == {1}, f"seed {SEED}: {starts.most_common(3)}"
    done = {str(from_json(row["arguments"])["number"]) for row in rows if row["status"] == "succeeded"}
    assert done <= set(starts), f"seed {SEED}"
    in_order(store, history)
    print(f"{dict(ends)}, {slaughter.kills} workers killed")
