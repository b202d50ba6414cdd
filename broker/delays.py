"""Why a queued task waits, in words for people. Reads only; nothing is decided by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..tasks.states import Status
from . import line, presence
from .connection import Connection
from .line import OVER_LIMIT, TIME
from .presence import Presence
from .rows import TaskRow

IN_LINE: Final = "its turn in the line: every slot is taken, or it is being claimed"


def delays(conn: Connection, rows: Iterable[TaskRow]) -> dict[str, str]:
    """What each of these tasks that is queued waits for, by its id. Reads only."""
    queued = [row for row in rows if row["status"] == Status.QUEUED]
    if not queued:
        return {}
    paused, workers = line.all_queues(conn), presence.present(conn)
    now, wall = conn.now(), conn.wall()
    return {
        row["id"]: reason(row, now=now, wall=wall, is_paused=paused.get(row["queue"], False), workers=workers)
        for row in queued
    }


def reason(row: TaskRow, *, now: float, wall: float, is_paused: bool, workers: Iterable[Presence]) -> str:
    """What a queued task waits for. What a person has to do something about comes first. Pure."""
    slot, name, queue = str(row["slot"]), str(row["name"]), str(row["queue"])
    workers = list(workers)
    able = [one for one in workers if one.runs(slot, name)]
    if not workers:
        return "no worker is running: start one with `frontdesk worker`, or a server with its own"
    if not able:
        return f"no worker that is running knows {name!r}: start one of the desk that has it"
    if not any(one.takes_from(slot, queue) for one in able):
        return f"no worker that is running takes tasks from the queue {queue!r}: start one with --queues {queue}"
    if is_paused and slot == "task":
        return f"the queue {queue!r} is paused: `frontdesk queues resume {queue}` lets it go on"
    if row["held"] == TIME:
        seconds = row["run_at"] - wall if row["run_at"] is not None else row["ready"] - now
        return f"its time has not come: in {max(0.0, seconds):,.0f} s"
    if row["held"] == OVER_LIMIT:
        return f"others of the key {row['concurrency_key']!r} are running, {row['concurrency_limit']} at once"
    return IN_LINE
