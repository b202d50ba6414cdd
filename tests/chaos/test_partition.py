"""No network between a worker and its database for much longer than a lease: at most one owner finishes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from frontdesk.broker.queue import Origin, enqueue
from frontdesk.tests.chaos import poison, works
from frontdesk.tests.chaos.link import Link
from frontdesk.tests.chaos.load import Load
from frontdesk.tests.chaos.scale import SEED, chance, scaled
from frontdesk.tests.chaos.waiting import until
from frontdesk.tests.databases import Server
from frontdesk.tests.invariants import broken

LEASE = scaled(0.5, 5.0)
SECONDS = scaled(1.5, 30.0)  # without a network
CUTS = scaled(2, 5)
TASKS = scaled(150, 10_000)


@pytest.fixture
def load(postgresql: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Load]:
    found = Load(postgresql, tmp_path, request.param)
    yield found
    found.fleet.stop()
    found.history.end()
    found.stop()
    postgresql.give_back(found.url)


@pytest.fixture
def link(postgresql: Server, load: Load) -> Iterator[Link]:
    found = Link(postgresql.socket_folder, load.name)
    yield found
    found.stop()


@pytest.mark.parametrize("load", [0], indirect=True)
def test_an_owner_behind_a_cut_finishes_nothing_that_another_has_taken_over(load: Load, link: Link) -> None:
    load.work(link.url, lease=LEASE)
    conversation = load.store.conversation(unattended_limit=0)
    request = poison.late.request({"go": "go"}, announce="note", max_attempts=100)
    row = load.store.do(enqueue, request, Origin(conversation_id=conversation))
    until(lambda: works.noted(load.folder, "late") == 1, load.fleet.logs)
    link.cut()
    (load.folder / "go").touch()  # it does its work, and cannot tell
    load.work(lease=30.0)
    until(lambda: load.store.status(row["id"]) == "succeeded", load.fleet.logs)
    kept, told = load.store.row(row["id"]), load.store.log(conversation)
    assert (kept["result"], kept["epoch"]) == ('"in time"', 2)
    link.mend()
    until(lambda: works.noted(load.folder, "late") == 5, load.fleet.logs)
    rejected = [f"{what}:LeaseLost" for what in ("step", "create", "sleep", "ask")]
    assert works.notes(load.folder, "late") == ["waits", *rejected]
    for one in load.workers:
        assert one.end() == 0, load.fleet.logs()
    assert (load.store.tasks(), load.store.log(conversation)) == ([kept], told)
    assert load.history.twice() == []
    assert broken(load.store) == []


@pytest.mark.parametrize("load", [TASKS], indirect=True)
def test_cuts_at_any_moment_lose_nothing_and_do_nothing_twice(load: Load, link: Link) -> None:
    dice = chance("cuts of the network")
    load.work(link.url, lease=LEASE, task_slots=4)
    load.work(lease=30.0)
    for _ in range(CUTS):
        load.goes_on()
        time.sleep(dice.uniform(0, 0.1))  # somewhere in the middle
        link.cut()
        time.sleep(dice.uniform(SECONDS / 2, SECONDS))
        link.mend()
    load.check()
    print(f"{CUTS} cuts of at most {SECONDS:g} s, lease {LEASE:g} s, seed {SEED}: {dict(load.history.moves())}")
