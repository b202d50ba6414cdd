"""The database server goes away: stopped without warning, connection by connection, or cut off from its workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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
