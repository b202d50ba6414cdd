"""How much there is to do and how much was done: tasks counted. Only reads, and never all that have ever ended."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from . import rows, tenants
from .connection import Connection
from .rows import task
from .statements import Statement, p, word

MINUTES: Final = 60  # that are looked back

IS_TURN: Final = task.c.kind == word("turn")
OF_TENANT: Final = tenants.of_some(task)
LIVE: Statement = Statement(
    sa.select(IS_TURN, task.c.status, task.c.queue, task.c.name, sa.func.count(), sa.func.min(task.c.ready))
    .where(rows.IS_LIVE, OF_TENANT)
    .group_by(IS_TURN, task.c.status, task.c.queue, task.c.name)
)
ALL_LIVE: Statement = Statement(
    sa.select(IS_TURN, task.c.status, sa.func.count()).where(rows.IS_LIVE).group_by(IS_TURN, task.c.status)
)
BY_QUEUE: Statement = Statement(
    sa.select(IS_TURN, task.c.queue, task.c.status, sa.func.count())
    .where(rows.IS_LIVE)
    .group_by(IS_TURN, task.c.queue, task.c.status)
    .order_by(IS_TURN, task.c.queue, task.c.status)
)
RUNNING: Statement = Statement(
    sa.select(task.c.owner, IS_TURN, sa.func.count())
    .where(task.c.status == word("running"), OF_TENANT)
    .group_by(task.c.owner, IS_TURN)
)
ENDED: Statement = Statement(
    sa.select(task.c.status, sa.func.count())
    .where(
        tenants.of(task),
        task.c.kind != word("turn"),
        task.c.finished_at >= p("since"),
        task.c.finished_at < p("until"),
    )
    .group_by(task.c.status)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """A tenant's tasks, counted; turns are counted apart. States are keys where there is something to count."""

    status: Mapping[str, int]  # live tasks
    queues: Mapping[str, Mapping[str, int]]  # live tasks by queue and state
    names: Mapping[str, Mapping[str, int]]  # live tasks by name and state
    turns: Mapping[str, int]  # live turns
    oldest_queued_seconds: float | None  # how long the first in line could have been running; None: nobody waits
    workers: Mapping[str, Mapping[str, int]]  # what runs, by the worker's owner text: tasks, turns
    last_hour: Mapping[str, int]  # tasks that ended
    per_minute: tuple[int, ...]  # tasks that ended, for each of the last 60 minutes, the oldest first


def count(conn: Connection, tenant: str) -> Counts:
    """Counts the tenant's tasks. It looks at those that are live and those that ended within the hour."""
    status: Counter[str] = Counter()
    queues: defaultdict[str, Counter[str]] = defaultdict(Counter)
    names: defaultdict[str, Counter[str]] = defaultdict(Counter)
    turns: Counter[str] = Counter()
    ready: list[float] = []
    for is_turn, state, queue, name, number, first in conn.all(LIVE, {"tenant": tenant}):
        if is_turn:
            turns[state] += number
            continue
        for one in (status, queues[queue], names[name]):
            one[state] += number
        if state == "queued":
            ready.append(first)
    waited = conn.now() - min(ready) if ready else -1.0
    workers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for owner, is_turn, number in conn.all(RUNNING, {"tenant": tenant}):
        workers[owner]["turns" if is_turn else "tasks"] += number
    now = conn.wall()
    minutes = [_ended(conn, tenant, now - 60.0 * ago) for ago in reversed(range(MINUTES))]
    return Counts(
        status=dict(status),
        queues={queue: dict(found) for queue, found in queues.items()},
        names={name: dict(found) for name, found in names.items()},
        turns=dict(turns),
        oldest_queued_seconds=waited if waited >= 0 else None,
        workers={owner: dict(found) for owner, found in workers.items()},
        last_hour=dict(sum(minutes, Counter[str]())),
        per_minute=tuple(found.total() for found in minutes),
    )


def live_work(conn: Connection) -> dict[str, dict[str, int]]:
    """All tenants' live tasks and turns by state. It asks for nothing that the first schema had not."""
    found: dict[str, dict[str, int]] = {"tasks": {}, "turns": {}}
    for is_turn, state, number in conn.all(ALL_LIVE):
        found["turns" if is_turn else "tasks"][state] = number
    return found


@dataclass(frozen=True, slots=True)
class Live:
    """So many live turns or tasks of all tenants have this state."""

    kind: str  # turn | task
    queue: str
    state: str
    number: int


def live_by_queue(conn: Connection) -> list[Live]:
    """All tenants' live work."""
    return [
        Live("turn" if found[0] else "task", str(found[1]), str(found[2]), int(found[3]))
        for found in conn.all(BY_QUEUE)
    ]


def _ended(conn: Connection, tenant: str, until: float) -> Counter[str]:
    """What ended within the minute before ``until``, in wall time."""
    found = conn.all(ENDED, {"tenant": tenant, "since": until - 60.0, "until": until})
    return Counter({str(state): int(number) for state, number in found})
