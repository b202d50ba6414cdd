"""The line: which queued tasks may be claimed now, and in what order.

A queued task that may not be claimed yet is held: until its time has come, or until one of those that share its
concurrency key has stopped. Held tasks are in no index that a claim reads, however many there are.

The order is fair between owners (conversations, and tenants above them), by virtual time: a task's place is behind the
last place of its owner's, and never before the place of the task that is claimed next. So an owner who files a hundred
thousand tasks takes places far ahead, and the one task of another goes before nearly all of them. A conversation of a
tenant that has many with queued tasks takes larger steps, so that tenants too come in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from ..tasks.table import Limit, Queue, Task
from . import tenants
from .connection import Connection
from .failpoints import operation
from .statements import Statement, p, table, word
from .wakeups import TasksReady

task, limits, queues = table(Task), table(Limit), table(Queue)

TIME, OVER_LIMIT = "time", "limit"  # why a task is held
FLOWS: Final = 1024  # more conversations than this are not counted
KEPT_SECONDS: Final = 1.0  # how long a count of conversations is kept, at most
KEPT_COUNTS: Final = 10_000
# In the words of the partial indexes, which SQLite compares with the query's.
IN_LINE: Final = (task.c.status == word("queued"), task.c.held == word(""))

HEAD: Statement = Statement(
    sa.select(task.c.place)
    .where(task.c.slot == p("slot"), task.c.queue == p("queue"), task.c.priority == p("priority"), *IN_LINE)
    .order_by(task.c.place)
    .limit(1)
)
_OWNED = (task.c.slot == p("slot"), task.c.queue == p("queue"), tenants.of(task))
LAST: Statement = Statement(sa.select(sa.func.max(task.c.place)).where(*_OWNED, task.c.flow == p("flow"), *IN_LINE))


_FIRST_FLOW: Any = sa.func.min(task.c.flow)


def _flows() -> Any:
    """How many conversations of a tenant have tasks in line: one look into the index for each, not one for each
    task."""
    select: Any = sa.select  # SQLAlchemy does not type the columns of a recursive query
    first = select(_FIRST_FLOW.label("one"), sa.literal_column("1").label("number"))
    found = first.where(*_OWNED, *IN_LINE).cte("found", recursive=True)
    following = select(_FIRST_FLOW).where(*_OWNED, task.c.flow > found.c.one, *IN_LINE).scalar_subquery()
    found = found.union_all(
        select(following, found.c.number + 1).where(found.c.one.is_not(None), found.c.number <= FLOWS)
    )
    return select(sa.func.count(found.c.one))


COUNT_FLOWS: Statement = Statement(_flows())
KNOWN: Statement = Statement(sa.select(queues.c.paused).where(queues.c.name == p("name")))
MAKE_KNOWN: Statement = Statement(queues.insert().values(name=p("name"), paused=0))
SET_PAUSED: Statement = Statement(
    sa.update(queues).where(queues.c.name == p("name")).values(paused=p("paused")).returning(queues.c.name)
)
ALL: Statement = Statement(sa.select(queues.c.name, queues.c.paused).order_by(queues.c.name))
OPEN: Statement = Statement(sa.select(queues.c.name).where(queues.c.paused == word("0")).order_by(queues.c.name))
TAKE_ONE: Statement = Statement(
    sa.update(limits)
    .where(limits.c.key == p("key"), limits.c.active < p("size"))
    .values(active=limits.c.active + 1)
    .returning(limits.c.active)
)
FIRST: Statement = Statement(limits.insert().values(key=p("key"), active=1))
ACTIVE: Statement = Statement(sa.select(limits.c.active).where(limits.c.key == p("key")).with_for_update())
ACTIVE_NOW: Statement = Statement(
    sa.select(limits.c.active).where(limits.c.key == p("key")).with_for_update(nowait=True)
)
GIVE_ONE: Statement = Statement(sa.update(limits).where(limits.c.key == p("key")).values(active=limits.c.active - 1))
FORGET_LIMIT: Statement = Statement(sa.delete(limits).where(limits.c.key == p("key"), limits.c.active <= word("0")))
NEXT_OF: Statement = Statement(
    sa.select(
        task.c.id, task.c.slot, task.c.queue, task.c.priority, task.c.tenant, task.c.flow,
        task.c.concurrency_limit,
    )
    .where(task.c.concurrency_key == p("key"), task.c.held == word("limit"))
    .order_by(task.c.priority.desc(), task.c.ready, task.c.id)
    .limit(1)
    .with_for_update(nowait=True)  # passed over, it would be forgotten: who leaves is run again
)  # fmt: skip
_TIMED = sa.select(
    task.c.id, task.c.slot, task.c.queue, task.c.priority, task.c.tenant, task.c.flow, task.c.concurrency_key,
    task.c.concurrency_limit,
).where(task.c.held == word("time")).limit(p("limit")).with_for_update(skip_locked=True)  # fmt: skip
DUE: Statement = Statement(_TIMED.where(task.c.run_at.is_(None), task.c.ready <= p("now")).order_by(task.c.ready))
DUE_AT: Statement = Statement(
    _TIMED.where(task.c.run_at.is_not(None), task.c.run_at <= p("now")).order_by(task.c.run_at)
)
JOIN: Statement = Statement(sa.update(task).where(task.c.id == p("id")).values(held=p("held"), place=p("place")))
UNHOLD: Statement = Statement(sa.update(task).where(task.c.id == p("id"), task.c.held != "").values(held=""))
ANY_HELD: Statement = Statement(
    sa.select(task.c.id).where(task.c.concurrency_key == p("key"), task.c.held == word("limit")).limit(1)
)


def join(conn: Connection, row: dict[str, Any]) -> dict[str, Any]:
    """Decides where a task stands that is queued from now on: its columns ``held`` and ``place``.

    ``row`` has ``slot``, ``queue``, ``priority``, ``tenant``, ``flow``, ``concurrency_key``,
    ``concurrency_limit``, and ``ready`` and ``run_at`` as they will be.
    """
    if row["ready"] > conn.now() + 1e-3 or (row["run_at"] is not None and row["run_at"] > conn.wall()):
        return {"held": TIME, "place": 0}
    if row["concurrency_key"] is not None and not _take_one(conn, row["concurrency_key"], row["concurrency_limit"]):
        return {"held": OVER_LIMIT, "place": 0}
    return {"held": "", "place": place_of(conn, row)}


def place_of(conn: Connection, row: dict[str, Any]) -> int:
    """The place of a task that joins the line; a task that is there already keeps its own."""
    heads, lasts, make_known = conn.ask(HEAD, row), conn.foresee(LAST, row), ask_known(conn, row["queue"])
    head = next(iter(heads.rows()), None)
    last = None if head is None else next(iter(lasts.rows()), None)
    if head is None:
        make_known()
    else:
        ask_flows(conn, row["slot"], row["queue"], row["tenant"])()
    return place_behind(conn, row, None if head is None else int(head[0]), None if last is None else last[0])


def place_behind(conn: Connection, row: dict[str, Any], head: int | None, last: int | None) -> int:
    """The place of a task that joins the line whose first place is ``head``, where its owner's last one is ``last``."""
    if head is None:  # nobody is there: time itself is never behind the places that were given
        return int(conn.now() * 1e6)
    if last is None:
        return head + _flows_of(conn, row) + 1
    return max(head, last) + max(1, _flows_of(conn, row))


def ask_known(conn: Connection, queue: str) -> Callable[[], None]:
    """Asks whether the queue is known; what is returned waits for that, and makes it known."""
    if not queue:
        return lambda: None
    answer = conn.foresee(KNOWN, {"name": queue})

    def make_known() -> None:
        if not answer.rows():
            conn.run(MAKE_KNOWN, {"name": queue})

    return make_known


def ask_flows(conn: Connection, slot: str, queue: str, tenant: str) -> Callable[[], None]:
    """Asks how many conversations of the tenant have tasks in line; what is returned waits for that. Counting takes
    longer the more there are, so a count is kept for a second and the longer used the greater it is."""
    key = (slot, queue, tenant)
    _, until, uses = conn.estimates.get(key, (0, 0.0, 0))
    if uses > 0 and time.monotonic() <= until:
        return lambda: None
    answer = conn.ask(COUNT_FLOWS, {"slot": slot, "queue": queue, "tenant": tenant})

    def note() -> None:
        flows = int(answer.rows()[0][0])
        if len(conn.estimates) >= KEPT_COUNTS:
            conn.estimates.clear()
        conn.estimates[key] = flows, time.monotonic() + KEPT_SECONDS, 8 + flows

    return note


def _flows_of(conn: Connection, row: dict[str, Any]) -> int:
    """How many conversations of the tenant have tasks in line, as last counted."""
    key = (row["slot"], row["queue"], row["tenant"])
    if key not in conn.estimates or conn.estimates[key][2] <= 0:
        ask_flows(conn, *key)()
    flows, until, uses = conn.estimates[key]
    conn.estimates[key] = flows, until, uses - 1
    return int(flows)


def leave(conn: Connection, key: str | None) -> None:
    """A task with this concurrency key has stopped (ended, parked, or waits for its time): the next one may begin."""
    if key is None:
        return
    _hold(conn, key)
    active = conn.one(ACTIVE, {"key": key})
    following = conn.one(NEXT_OF, {"key": key})
    while following is None and conn.dialect != "sqlite" and conn.one(ANY_HELD, {"key": key}) is not None:
        following = conn.one(NEXT_OF, {"key": key})  # the first one was changed between being seen and being locked
    if following is not None and active is not None and active[0] <= following[6]:
        _let_in(conn, following)
        return
    conn.run(GIVE_ONE, {"key": key})
    conn.run(FORGET_LIMIT, {"key": key})


def _hold(conn: Connection, key: str) -> None:
    """Keys have no order among them: who holds one waits for no other. Its function is run again instead."""
    if conn.keyed:
        conn.one(ACTIVE_NOW, {"key": key})
    conn.keyed = conn.dialect != "sqlite"


def _take_one(conn: Connection, key: str, size: int) -> bool:
    _hold(conn, key)
    if conn.one(TAKE_ONE, {"key": key, "size": size}) is not None:
        return True
    active = conn.one(ACTIVE, {"key": key})  # locked: whoever leaves from here on sees what this commit holds
    if active is not None:
        return active[0] < size and conn.one(TAKE_ONE, {"key": key, "size": size}) is not None
    conn.run(FIRST, {"key": key})  # when two do this at once, one of them is run again
    return True


def _let_in(conn: Connection, found: Any) -> None:
    row = {"slot": found[1], "queue": found[2], "priority": found[3], "tenant": found[4], "flow": found[5]}
    conn.run(JOIN, {"id": found[0], "held": "", "place": place_of(conn, row)})
    conn.publish(TasksReady(found[1]))


def let_in_due(conn: Connection, limit: int = 500) -> int:
    """Tasks whose time has come join the line; how many there were. What another transaction holds is passed over."""
    found = conn.all(DUE, {"now": conn.now(), "limit": limit})
    found += conn.all(DUE_AT, {"now": conn.wall(), "limit": limit})
    for one in found:
        if one[6] is None or _take_one(conn, one[6], one[7]):
            _let_in(conn, one)
        else:
            conn.run(JOIN, {"id": one[0], "held": OVER_LIMIT, "place": 0})
    return len(found)


def ask_open(conn: Connection) -> Callable[[], list[str]]:
    """Asks for the queues that are not paused; what is returned waits for them."""
    answer = conn.ask(OPEN)
    return lambda: [str(row[0]) for row in answer.rows()]


@operation
def set_paused(conn: Connection, name: str, *, paused: bool) -> None:
    """Pauses a queue, or lets it go on: from a paused one nothing is claimed; what runs goes on. A queue may be paused
    before it is first used. Turns are in no queue that can be paused."""
    if conn.one(SET_PAUSED, {"name": name, "paused": int(paused)}) is None:
        conn.run(MAKE_KNOWN, {"name": name})
        conn.one(SET_PAUSED, {"name": name, "paused": int(paused)})
    if not paused:
        conn.publish(TasksReady("task"))


def all_queues(conn: Connection) -> dict[str, bool]:
    """Every queue that has been used, and whether it is paused."""
    return {str(row[0]): bool(row[1]) for row in conn.all(ALL)}
