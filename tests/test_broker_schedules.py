"""Schedules, on every engine: one task for each tick, whoever looks, whatever is killed, however clocks jump."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.models.scripted import ScriptedModel, call
from frontdesk.broker import clock, line
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.schedules import (
    Schedules,
    all_schedules,
    fire_schedules,
    pause_schedule,
    register_schedules,
    schedule,
)
from frontdesk.broker.statements import Statement, p
from frontdesk.broker.worker import Worker
from frontdesk.tasks.cron import MOST
from frontdesk.tasks.registry import TaskFunction, task
from frontdesk.tests import forked
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store, at_once
from frontdesk.tests.works import Works, until

NINE = datetime(2026, 11, 21, 9, tzinfo=UTC).timestamp()
MINUTE, HOUR = 60.0, 3600.0

BE_DUE: Statement = Statement(sa.update(schedule).values(next_at=p("at")))
MOVE_TO: Statement = Statement(sa.update(schedule).where(schedule.c.name == p("name")).values(timezone=p("zone")))


@task(cron="*/5 * * * *")
async def report() -> str:
    """Every five minutes."""
    return "reported"


@task(cron="0 9 * * *", cron_arguments={"month": "May"}, queue="slow", priority=7)
async def monthly(month: str) -> str:
    """With arguments and options."""
    return month


@task
async def by_hand() -> None:
    """Has no schedule."""


class WallClock:
    """The module ``time``, with a wall clock that a test sets."""

    def __init__(self) -> None:
        self.at = NINE - 1

    def time(self) -> float:
        return self.at

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    found = WallClock()
    monkeypatch.setattr(clock, "time", found)
    return found


@pytest.fixture
def store(database: Database) -> Iterator[Store]:
    made = Store(database)
    yield made
    assert broken(made) == []


class Looker:
    """One worker's looks at its schedules."""

    def __init__(self, database: Database, *functions: TaskFunction[..., Any]) -> None:
        self.database = database
        self.schedules = Schedules(database, functions)
        asyncio.run(self.schedules.register())

    def look(self) -> list[str]:
        """Files what is due; the ticks that were filed so far, by their time of day."""
        asyncio.run(self.schedules.fire())
        return filed(self.database)


def filed(database: Database) -> list[str]:
    found = sorted(str(one["created_by"]) for one in Store(database).tasks())
    assert all(one.startswith("cron/") and one.endswith("Z") for one in found)
    return [one[-9:-4] for one in found]


def noted(database: Database, name: str = "report") -> dict[str, Any]:
    found = {one["name"]: one for one in database.read_blocking(all_schedules)}
    return found[name]


# --- exactly once


def test_a_tick_files_one_task_however_often_one_looks(store: Store, wall: WallClock) -> None:
    looker = Looker(store.database, report, by_hand)
    assert looker.look() == [], "nine o'clock is still to come"
    wall.at = NINE + 0.3
    assert looker.look() == looker.look() == ["09:00"]
    wall.at = NINE + 5 * MINUTE
    assert looker.look() == ["09:00", "09:05"]
    assert (noted(store.database)["next_at"], noted(store.database)["last_at"]) == (NINE + 600, NINE + 300)
    with pytest.raises(KeyError):
        noted(store.database, "by_hand")


def test_a_tick_that_is_due_again_finds_its_task(store: Store, wall: WallClock) -> None:
    """As after a restored row, or a clock that was wrong when the schedule was first noted."""
    looker = Looker(store.database, report)
    wall.at = NINE
    looker.look()
    store.do(lambda conn: conn.run(BE_DUE, {"at": NINE}))
    wall.at = NINE + 1
    assert looker.look() == ["09:00"]
    assert noted(store.database)["next_at"] == NINE + 5 * MINUTE


def test_the_task_has_the_function_s_options_and_arguments(store: Store, wall: WallClock) -> None:
    looker = Looker(store.database, monthly)
    wall.at = NINE
    assert looker.look() == ["09:00"]
    (row,) = store.tasks()
    assert (row["name"], row["queue"], row["priority"], row["arguments"]) == ("monthly", "slow", 7, '{"month":"May"}')
    assert (row["conversation_id"], row["tenant"], row["status"]) == (None, "", "queued")
    assert row["created_by"] == "cron/monthly/2026-11-21T09:00:00Z"


def test_of_many_workers_that_look_at_once_one_files_each_tick(
    opened: Callable[..., Database], wall: WallClock
) -> None:
    databases = [opened() for _ in range(3)]
    daily = task(name="daily", cron="0 9 * * *")(_nothing)

    def look(number: int) -> int:
        database = databases[number % 3]
        known = Schedules(database, [report, daily])
        asyncio.run(known.register())
        fired = database.write_blocking(fire_schedules, ["daily", "report"])
        return sum(len(one.ticks) for one in fired)

    expected = 0
    for run in range(51):
        wall.at = NINE - 1 + 5 * MINUTE * run
        found = at_once(6, look)
        new = 0 if run == 0 else 2 if run == 1 else 1
        assert sum(found) == new, f"look {run}: {found}"
        expected += new
        assert len(filed(databases[0])) == expected
    assert broken(Store(databases[0])) == []


async def _nothing() -> None: ...


def test_a_worker_files_only_what_it_knows(store: Store, wall: WallClock) -> None:
    Looker(store.database, report, monthly)
    other = Looker(store.database, monthly)
    wall.at = NINE
    assert other.look() == ["09:00"]
    assert [one["name"] for one in store.tasks()] == ["monthly"]
    assert Looker(store.database, by_hand).look() == ["09:00"], "who knows none files none"
    wall.at = NINE + 6 * MINUTE
    assert Looker(store.database, report).look() == ["09:00", "09:05"], "who knows it finds what was missed"


# --- killed at a commit

DIE = """
import sys
from frontdesk.tests import test_broker_schedules as tests
tests.die(*sys.argv[1:])
"""


def die(url: str, failpoint: str) -> None:
    """What a worker writes, one after the other, until it is killed."""
    database = Database.open(url, durable=False, exclusive=False, failpoint=failpoint)
    Looker(database, report)
    database.write_blocking(lambda conn: conn.run(BE_DUE, {"at": NINE}))
    assert Looker(database, report).look() == ["09:00"]
    database.write_blocking(pause_schedule, "report", paused=True)
    database.close()


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("operation", [register_schedules, fire_schedules, pause_schedule])
def test_killed_at_a_commit_a_tick_is_filed_once(
    url: str, opened: Callable[..., Database], side: str, operation: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", FIXED + DIE, url, f"{side}:{operation.__name__}"]
    done = forked.run(command, timeout=60, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    fixed = WallClock()
    monkeypatch.setattr(clock, "time", fixed)
    fixed.at = NINE + 1
    database = opened()
    begun = Store(database)
    kept = operation is pause_schedule or (operation is fire_schedules and side == "after")
    assert filed(database) == (["09:00"] if kept else [])
    names = [one["name"] for one in database.read_blocking(all_schedules)]
    assert names == ([] if (operation, side) == (register_schedules, "before") else ["report"])
    again = Looker(database, report)
    paused = (operation, side) == (pause_schedule, "after")
    assert bool(noted(database)["paused"]) == paused
    database.write_blocking(pause_schedule, "report", paused=False)
    missed = kept or operation is fire_schedules
    assert again.look() == (["09:00"] if missed else []), "the tick that was due, once"
    fixed.at = NINE + 5 * MINUTE
    assert again.look()[-1:] == ["09:05"]
    assert len(filed(database)) == (2 if missed else 1)
    assert broken(begun) == []


# The killed process lives at one second past nine.
FIXED = """
from frontdesk.broker import clock
from frontdesk.tests.test_broker_schedules import NINE, WallClock
clock.time = WallClock()
clock.time.at = NINE + 1
"""


# --- missed ticks


@pytest.mark.parametrize(
    ("missed", "expected"),
    [("once", ["09:15"]), ("skip", []), ("all", ["09:00", "09:05", "09:10", "09:15"])],
)
def test_ticks_that_passed_while_everything_was_down(
    store: Store, wall: WallClock, missed: Any, expected: list[str]
) -> None:
    function = replace(report, schedule=replace(_schedule(report), missed=missed))
    Looker(store.database, function)
    wall.at = NINE + 17 * MINUTE
    after = Looker(store.database, function)
    assert after.look() == after.look() == expected
    wall.at = NINE + 20 * MINUTE
    assert after.look() == [*expected, "09:20"]


def _schedule(function: TaskFunction[..., Any]) -> Any:
    assert function.schedule is not None
    return function.schedule


def test_more_than_a_hundred_missed_ticks_are_not_made_up_for(
    store: Store, wall: WallClock, caplog: pytest.LogCaptureFixture
) -> None:
    function = replace(report, schedule=replace(_schedule(report), missed="all"))
    looker = Looker(store.database, function)
    wall.at = NINE + (MOST + 2) * 5 * MINUTE
    assert len(looker.look()) == len(looker.look()) == MOST
    assert min(str(one["created_by"]) for one in store.tasks()) == "cron/report/2026-11-21T09:15:00Z"
    assert caplog.messages == ["report: more than 100 ticks were missed; only the last ones are made up for"]


# --- clocks that jump


def test_a_clock_that_is_put_back_files_nothing_twice(store: Store, wall: WallClock) -> None:
    looker = Looker(store.database, report)
    wall.at = NINE
    assert looker.look() == ["09:00"]
    for back in (1, HOUR, 24 * HOUR):
        wall.at = NINE - back
        assert looker.look() == ["09:00"]
        looker = Looker(store.database, report)  # a worker that starts meanwhile
        assert looker.look() == ["09:00"]
    changed = Looker(store.database, task(name="report", cron="0 * * * *")(_nothing))
    assert noted(store.database)["next_at"] == NINE + HOUR, "also a changed expression waits for what was not filed yet"
    wall.at = NINE + HOUR - 1
    assert changed.look() == ["09:00"]
    wall.at = NINE + HOUR
    assert changed.look() == ["09:00", "10:00"]


def test_a_clock_that_is_put_forward_has_missed_ticks(store: Store, wall: WallClock) -> None:
    looker = Looker(store.database, report)
    wall.at = NINE
    looker.look()
    wall.at = NINE + 26 * MINUTE
    assert looker.look() == ["09:00", "09:25"]
    wall.at = NINE + 2 * MINUTE  # and back again
    assert looker.look() == ["09:00", "09:25"]
    wall.at = NINE + 30 * MINUTE
    assert looker.look() == ["09:00", "09:25", "09:30"]


# --- schedules that change


def test_a_changed_expression_or_zone_begins_anew(store: Store, wall: WallClock) -> None:
    Looker(store.database, report)
    wall.at = NINE + 7 * MINUTE
    hourly = task(name="report", cron="30 * * * *")(_nothing)
    looker = Looker(store.database, hourly)
    assert (looker.look(), noted(store.database)["next_at"]) == ([], NINE + 30 * MINUTE)
    wall.at = NINE + 31 * MINUTE
    assert looker.look() == ["09:30"]
    Looker(store.database, task(name="report", cron="30 * * * *", timezone="Asia/Kathmandu")(_nothing))
    assert noted(store.database)["next_at"] == NINE + 45 * MINUTE, "half past three in Kathmandu"


def test_other_changes_keep_the_next_tick(store: Store, wall: WallClock) -> None:
    Looker(store.database, report)
    wall.at = NINE + MINUTE
    looker = Looker(store.database, task(name="report", cron="*/5 * * * *", missed="all", queue="slow")(_nothing))
    assert noted(store.database)["missed"] == "all"
    assert looker.look() == ["09:00"]
    assert store.tasks()[0]["queue"] == "slow"


def test_registering_again_writes_nothing(store: Store, wall: WallClock) -> None:
    def wrote(conn: Connection) -> bool:
        before = conn.all(Statement(sa.select(schedule)))
        conn.written = False
        register_schedules(conn, Schedules(store.database, [report])._declared)  # pyright: ignore[reportPrivateUsage]
        assert conn.all(Statement(sa.select(schedule))) == before
        return conn.written

    Looker(store.database, report)
    assert store.do(wrote) is False


def test_a_paused_schedule_goes_on_with_the_first_tick_from_now_on(store: Store, wall: WallClock) -> None:
    looker = Looker(store.database, report)
    assert store.do(pause_schedule, "report", paused=True) is True
    wall.at = NINE + 11 * MINUTE
    assert looker.look() == []
    looker = Looker(store.database, report)
    assert looker.look() == [], "a worker that starts lets it rest"
    store.do(pause_schedule, "report", paused=False)
    assert looker.look() == []
    store.do(pause_schedule, "report", paused=False)
    wall.at = NINE + 15 * MINUTE
    assert looker.look() == ["09:15"]
    assert store.do(pause_schedule, "nothing", paused=True) is False


def test_what_a_paused_queue_holds_back_is_filed_all_the_same(store: Store, wall: WallClock) -> None:
    looker = Looker(store.database, monthly)
    store.do(line.set_paused, "slow", paused=True)
    wall.at = NINE
    assert looker.look() == ["09:00"]
    assert store.claim(names=["monthly"]) == []
    wall.at = NINE + 24 * HOUR
    assert len(looker.look()) == 2
    store.do(line.set_paused, "slow", paused=False)
    assert len(store.claim(5, names=["monthly"])) == 2


def test_a_schedule_that_cannot_be_read_here_is_left_and_holds_up_nobody(
    store: Store, wall: WallClock, caplog: pytest.LogCaptureFixture
) -> None:
    looker = Looker(store.database, report, monthly)
    store.do(lambda conn: conn.run(MOVE_TO, {"name": "monthly", "zone": "Mars/Olympus"}))
    wall.at = NINE
    assert looker.look() == looker.look() == ["09:00"]
    assert [one["name"] for one in store.tasks()] == ["report"]
    (message,) = caplog.messages
    assert message.startswith("monthly is due, but this worker cannot read its schedule: timezone='Mars/Olympus'")
    assert noted(store.database, "monthly")["next_at"] == NINE


def test_where_clocks_are_put_forward_and_back_a_daily_task_comes_once_a_day(store: Store, wall: WallClock) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for first, days in ((datetime(2026, 3, 28, tzinfo=berlin), 3), (datetime(2026, 10, 24, tzinfo=berlin), 3)):
        begin = first.timestamp()
        wall.at = begin
        name = f"daily_{first.month}"
        looker = Looker(store.database, task(name=name, cron="30 2 * * *", timezone="Europe/Berlin")(_nothing))
        while wall.at < begin + days * 24 * HOUR:
            wall.at += 10 * MINUTE
            looker.look()
    found = sorted(str(one["created_by"]) for one in store.tasks())
    assert [one.partition("/")[2] for one in found] == [
        "daily_10/2026-10-24T00:30:00Z",
        "daily_10/2026-10-25T00:30:00Z",  # the first of two 02:30
        "daily_10/2026-10-26T01:30:00Z",
        "daily_3/2026-03-28T01:30:00Z",
        "daily_3/2026-03-29T01:00:00Z",  # there is no 02:30: 03:00
        "daily_3/2026-03-30T00:30:00Z",
    ]


# --- in a worker


async def test_a_worker_files_and_runs_what_is_due(opened: Callable[..., Database], wall: WallClock) -> None:
    works = Works(opened())
    other = Works(opened())
    try:
        works.work(report, schedules=[report])
        other.work(report, schedules=[report])
        for number, at in enumerate((NINE, NINE + 5 * MINUTE), 1):
            wall.at = at
            await _ended(works.store, number)
    finally:
        for one in (*works.workers, *other.workers):
            one.stop_blocking(0.0)
    assert filed(works.database) == ["09:00", "09:05"]
    assert {one["result"] for one in works.store.tasks()} == {'"reported"'}
    assert broken(works.store) == []


async def _ended(store: Store, number: int) -> None:
    """Waits until so many tasks have succeeded."""
    await until(lambda: [one["status"] for one in store.tasks()] == ["succeeded"] * number)


async def test_a_desk_s_worker_knows_the_desk_s_schedules(opened: Callable[..., Database], wall: WallClock) -> None:
    desk = Desk(Agent("triage", "Answers."), tasks=[report, by_hand])
    for schedules, expected in ((False, []), (True, ["report"])):
        database = opened()
        worker = desk.worker(database, schedules=schedules)
        worker.start()
        await worker.stop(0.0)
        assert [one["name"] for one in database.read_blocking(all_schedules)] == expected


class Open(Desk[None]):
    """A desk whose database can be looked into while it is asked."""

    database: Database

    def worker(self, database: Database, **options: Any) -> Worker:
        self.database = database
        return super().worker(database, **options)


async def test_a_desk_that_is_asked_once_files_nothing_by_itself() -> None:
    seen: list[Any] = []

    @tool
    async def look() -> str:
        """Looks which schedules its worker has noted."""
        seen.append(await desk.database.read(all_schedules))
        return "looked"

    model = ScriptedModel([call("look", {}), "Looked."])
    desk = Open(Agent("triage", "Answers.", tools=[look], tasks=[report]), model=model)
    assert (await desk.run("look", timeout=60)).text == "Looked."
    assert seen == [[]]
