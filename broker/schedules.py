"""Schedules: task functions that are filed by themselves, exactly once for each tick of their cron expression.

The clock on the wall decides, because that is what an expression means. A tick is filed under a name of its own and the
next one is noted in the same commit, so it is filed once, however many workers look at once and whatever is killed. A
clock that is put back files nothing twice: a schedule then stands still until the time is what it was. One that is put
forward has missed ticks. What the expression means is decided in ``tasks/cron.py``.

What a crash leaves: before the commit a tick that is still due; after it, the task and the next tick.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from pydantic import ValidationError

from ..tasks.cron import MOST, Schedule
from ..tasks.errors import InvalidOption
from ..tasks.registry import TaskFunction
from ..tasks.request import TaskRequest
from ..tasks.table import ScheduleRow
from .connection import Connection
from .database import Database
from .failpoints import operation
from .queue import Origin, file
from .statements import Statement, defaults, insert_row, p, table

log = logging.getLogger("frontdesk.schedules")

schedule = table(ScheduleRow)
COLUMNS: Final = tuple(column.name for column in schedule.columns)

ALL: Statement = Statement(sa.select(schedule).order_by(schedule.c.name))
LOCK: Statement = Statement(sa.select(schedule).where(schedule.c.name == p("name")).with_for_update())
INSERT: Statement = Statement(insert_row(ScheduleRow))
CHANGE: Statement = Statement(
    sa.update(schedule)
    .where(schedule.c.name == p("name"))
    .values({name: p(name) for name in ("expression", "timezone", "missed", "request", "next_at")})
)
GO_ON: Statement = Statement(
    sa.update(schedule).where(schedule.c.name == p("name")).values(next_at=p("next_at"), last_at=p("last_at"))
)
PAUSE: Statement = Statement(
    sa.update(schedule).where(schedule.c.name == p("name")).values(paused=p("paused"), next_at=p("next_at"))
)


@cache
def _due(names: int) -> Statement:
    """Schedules of so many names whose next tick has come, but for those that another transaction holds."""
    return Statement(
        sa.select(schedule)
        .where(
            schedule.c.name.in_([p(f"name_{number}") for number in range(names)]),
            schedule.c.next_at <= p("now"),
            schedule.c.paused == 0,
        )
        .order_by(schedule.c.name)
        .with_for_update(skip_locked=True)
    )


@dataclass(frozen=True, slots=True)
class Declared:
    """A schedule as a desk declares it."""

    name: str
    schedule: Schedule
    request: str  # JSON of the TaskRequest

    def row(self, next_at: float) -> dict[str, Any]:
        """Its columns."""
        return {
            "name": self.name, "expression": self.schedule.expression, "timezone": self.schedule.timezone,
            "missed": self.schedule.missed, "request": self.request, "next_at": next_at,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fired:
    """What became of a schedule that was due. ``problem``: why this process cannot deal with it; another one may."""

    name: str
    ticks: Sequence[float] = ()  # filed
    given_up: bool = False  # whether older ticks were missed and are not made up for
    problem: str = ""


class Schedules:
    """The schedules that one worker knows. A schedule that it does not know, it leaves to others."""

    def __init__(self, database: Database, functions: Iterable[TaskFunction[..., Any]]) -> None:
        self._database = database
        self._declared = [
            Declared(one.name, one.schedule, one.scheduled(one.schedule).model_dump_json())
            for one in sorted(functions, key=lambda one: one.name)
            if one.schedule is not None
        ]
        self._names = [one.name for one in self._declared]
        self._problems: dict[str, str] = {}  # that were logged

    async def register(self) -> None:
        """Notes the schedules in the database; what was noted before goes on where it was."""
        if self._declared:
            await self._database.write(register_schedules, self._declared)

    async def fire(self) -> None:
        """Files what is due."""
        if not self._names:
            return
        for one in await self._database.write(fire_schedules, self._names):
            if one.given_up:
                log.warning("%s: more than %d ticks were missed; only the last ones are made up for", one.name, MOST)
            if one.problem and self._problems.get(one.name) != one.problem:
                self._problems[one.name] = one.problem
                log.error("%s is due, but this worker cannot read its schedule: %s", one.name, one.problem)


@operation
def register_schedules(conn: Connection, declared: Sequence[Declared]) -> None:
    """Notes these schedules. One that is there already with the same expression and zone keeps its next tick, so that
    what was missed is known; with another one it begins anew, with the first tick from now on."""
    for one in declared:
        found = conn.one(LOCK, {"name": one.name})
        if found is None:  # where two do this at once, one of them is run again
            conn.run(INSERT, defaults(ScheduleRow) | one.row(one.schedule.next(conn.wall())))
            continue
        old = _as_dict(found)
        same = (old["expression"], old["timezone"]) == (one.schedule.expression, one.schedule.timezone)
        new = one.row(old["next_at"] if same else _next(conn, one.schedule, old["last_at"]))
        if any(old[name] != value for name, value in new.items()):
            conn.run(CHANGE, new)


@operation
def fire_schedules(conn: Connection, names: Sequence[str]) -> list[Fired]:
    """Files a task for each tick of these schedules that has come; what it did. It never waits: what another
    transaction holds is being dealt with."""
    given: dict[str, Any] = {f"name_{number}": name for number, name in enumerate(names)}
    now = conn.wall()
    return [_fire(conn, _as_dict(row), now) for row in conn.all(_due(len(names)), given | {"now": now})]


@operation
def pause_schedule(conn: Connection, name: str, *, paused: bool) -> bool:
    """Pauses a schedule, or lets it go on with the first tick from now on; whether there is one of that name. Ticks
    that pass meanwhile do not count as missed."""
    found = conn.one(LOCK, {"name": name})
    if found is None:
        return False
    row = _as_dict(found)
    if bool(row["paused"]) != paused:
        at = row["next_at"] if paused else _next(conn, Schedule(row["expression"], row["timezone"]), row["last_at"])
        conn.run(PAUSE, {"name": name, "paused": int(paused), "next_at": at})
    return True


def all_schedules(conn: Connection) -> list[dict[str, Any]]:
    """Every schedule that was ever declared, by name."""
    return [_as_dict(row) for row in conn.all(ALL)]


def _fire(conn: Connection, row: dict[str, Any], now: float) -> Fired:
    name = row["name"]
    try:
        declared = Schedule(row["expression"], row["timezone"], row["missed"])
        request = TaskRequest.model_validate_json(row["request"])
    except (InvalidOption, ValidationError) as error:  # written by another version, or where more zones are known
        return Fired(name, problem=str(error))
    ticks, given_up = declared.due(row["next_at"], now)
    for tick in ticks:
        file(conn, request, Origin(created_by=f"cron/{name}/{_text(tick)}"))
    last_at = ticks[-1] if ticks else row["last_at"]
    conn.run(GO_ON, {"name": name, "next_at": declared.next(now), "last_at": last_at})
    return Fired(name, ticks, given_up)


def _next(conn: Connection, declared: Schedule, last_at: float | None) -> float:
    """The first tick from now on, and after those that were dealt with, also where the clock was put back."""
    return declared.next(max(conn.wall(), last_at or 0.0))


def _text(tick: float) -> str:
    return datetime.fromtimestamp(tick, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_dict(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(COLUMNS, row, strict=True))
