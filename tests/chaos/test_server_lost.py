"""The database server goes away: stopped without warning, connection by connection, or cut off from its workers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from frontdesk.broker.postgresql import PostgreSQL
from frontdesk.tests.chaos.load import Load
from frontdesk.tests.chaos.scale import LONG, chance, scaled
from frontdesk.tests.chaos.server import OwnServer

STOPS, TERMINATIONS = scaled((3, 10), (50, 200))
P99_SECONDS = 15.0  # generous: what is aimed at is 5, on a machine that does nothing else


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    server = OwnServer()
    yield server
    server.stop()


@pytest.fixture
def load(own: OwnServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Load]:
    found = Load(own, tmp_path, request.param)
    for _ in range(2):
        found.work(task_slots=4)
    yield found
    found.stop()


def told(what: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{what}: {len(ordered)}, work went on after {ordered[len(ordered) // 2]:.2f} s (median), {p99:.2f} s (p99)")
    if LONG:
        assert p99 < P99_SECONDS


@pytest.mark.parametrize("load", [scaled(150, 10_000)], indirect=True)
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


@pytest.mark.parametrize("load", [scaled(150, 10_000)], indirect=True)
def test_connections_that_are_ended_lose_no_task(own: OwnServer, load: Load) -> None:
    dice = chance("terminated connections")
    seconds: list[float] = []
    while len(seconds) < TERMINATIONS:
        time.sleep(dice.uniform(0, 0.05))  # somewhere in the middle
        if own.terminate(load.name, dice.random()):
            seconds.append(load.goes_on())
    load.check()
    told("terminated connections", seconds)


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("commits", [False, True])
@pytest.mark.parametrize("others", [False, True])
def test_what_became_of_a_commit_is_known_after_a_crash_that_gives_its_number_again(
    own: OwnServer, *, crashes: bool, commits: bool, others: bool
) -> None:
    """PostgreSQL forgets the numbers of transactions that had left nothing on its disk."""
    engine = PostgreSQL(own.url())
    with own.connect() as raw:
        raw.execute("CREATE TABLE IF NOT EXISTS chaos_marks (number INTEGER)")
        raw.execute("CHECKPOINT")
    with contextlib.closing(engine.open_writer()) as writer:
        begun = engine.begin(writer, engine.cursor(writer), write=True)
        writer.execute("INSERT INTO chaos_marks VALUES (1)")
        assert begun.mark is not None
        mark = begun.mark()
        if commits:
            writer.commit()
        if crashes:
            own.stop_immediately()
            own.start()
        elif not commits:
            writer.rollback()
    with own.connect() as raw:
        for _ in range(3 * others):
            raw.execute("INSERT INTO chaos_marks VALUES (2)")
        if others and not crashes:
            raw.execute("CHECKPOINT")
    with contextlib.closing(engine.open_writer()) as writer:
        assert engine.was_committed(writer, mark) is commits
