"""The database server goes away: stopped without warning, connection by connection, or cut off from its workers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from frontdesk.broker.database import Database
from frontdesk.tests.chaos import works
from frontdesk.tests.chaos.history import History
from frontdesk.tests.chaos.processes import Fleet
from frontdesk.tests.chaos.scale import LONG, SEED, chance, scaled
from frontdesk.tests.chaos.server import OwnServer
from frontdesk.tests.chaos.waiting import until
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store

STOPS, TERMINATIONS = scaled((3, 10), (50, 200))
P99_SECONDS = 15.0  # generous: what is aimed at is 5, on a machine that does nothing else


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    server = OwnServer()
    yield server
    server.stop()


class Load:
    """Tasks that are filed one after the other by a process, for as long as a test wants, and workers that run them."""

    def __init__(self, own: OwnServer, folder: Path, count: int) -> None:
        self.own, self.folder = own, folder
        self.url = own.create()
        self.name = self.url.split("/")[3].split("?")[0]
        self.database = Database.open(self.url)
        self.store, self.history = Store(self.database), History(self.url)
        self.history.begin()
        self.fleet = Fleet(self.url, folder)
        conversations = [self.store.conversation(unattended_limit=0) for _ in range(1 + count // 100)]
        self.workers = [self.fleet.worker(task_slots=4) for _ in range(2)]
        self.filing = self.fleet.filing("again", conversations, count, SEED)
        self.count = count

    def begun(self) -> int:
        return works.noted(self.folder, works.STARTS)

    def goes_on(self) -> float:
        """Seconds until another task has begun, all of whose database work is still to come."""
        before = self.begun() + 2  # one per worker may have been between its claim and its first line
        return until(lambda: self.begun() > before or self.is_over(), self.fleet.logs)

    def is_over(self) -> bool:
        """Whether everything has been filed and has ended."""
        if self.filing.exit_code not in (None, 0):
            self.filing.again()  # it gives up when the server is away for too long; the next one goes on
        try:
            return self.filing.exit_code == 0 and self.history.live() == 0
        except psycopg.Error:
            return False

    def check(self) -> None:
        until(self.is_over, self.fleet.logs)
        for one in self.workers:
            assert one.end() == 0, self.fleet.logs()
        rows = self.store.tasks()
        assert Counter(row["status"] for row in rows) == {"succeeded": len(rows)}, f"seed {SEED}"
        assert sum(row["parent_id"] is None for row in rows) == self.count, f"seed {SEED}"
        steps = self.history.steps()
        assert {row["id"]: row["result"] for row in rows if row["name"] == "again"} == steps, f"seed {SEED}"
        assert self.history.twice() == [], f"seed {SEED}"
        assert broken(self.store) == [], f"seed {SEED}"

    def stop(self) -> None:
        self.fleet.stop()
        self.database.close()


@pytest.fixture
def load(own: OwnServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Load]:
    found = Load(own, tmp_path, request.param)
    yield found
    found.stop()


def told(what: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{what}: {len(ordered)}, work went on after {ordered[len(ordered) // 2]:.2f} s (median), {p99:.2f} s (p99)")
    if LONG:
        assert p99 < P99_SECONDS


@pytest.mark.parametrize("load", [scaled(300, 10_000)], indirect=True)
def test_a_server_that_is_stopped_without_warning_loses_no_task(own: OwnServer, load: Load) -> None:
    dice = chance("immediate stops")
    seconds: list[float] = []
    for _ in range(STOPS):
        load.goes_on()
        time.sleep(dice.uniform(0, 0.05))  # somewhere in the middle
        own.stop_immediately()
        time.sleep(dice.uniform(0, 0.5))
        own.start()
        seconds.append(load.goes_on())
    load.check()
    told("immediate stops", seconds)


@pytest.mark.parametrize("load", [scaled(300, 10_000)], indirect=True)
def test_connections_that_are_ended_lose_no_task(own: OwnServer, load: Load) -> None:
    dice = chance("terminated connections")
    seconds: list[float] = []
    while len(seconds) < TERMINATIONS:
        time.sleep(dice.uniform(0, 0.05))  # somewhere in the middle
        if own.terminate(load.name, dice.random()):
            seconds.append(load.goes_on())
    load.check()
    told("terminated connections", seconds)
