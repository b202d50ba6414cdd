"""Which workers are there, and what they run: written by each of them as often as it looks after leases.

It decides nothing. It only lets people be told why a task waits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from .clock import is_dead
from .connection import Connection
from .statements import Statement, p, table
from .tables import WorkerRow

worker = table(WorkerRow)

KEPT: Final = ("names", "queues", "until", "seen_at")
STAY: Statement = Statement(
    sa.update(worker)
    .where(worker.c.owner == p("owner"))
    .values(**{name: p(name) for name in KEPT})
    .returning(worker.c.owner)
)
COME: Statement = Statement(worker.insert().values(owner=p("owner"), **{name: p(name) for name in KEPT}))
FORGET: Statement = Statement(sa.delete(worker).where(worker.c.until <= p("now")))
ALL: Statement = Statement(sa.select(worker.c.owner, worker.c.names, worker.c.queues).where(worker.c.until > p("now")))


@dataclass(frozen=True, slots=True)
class Presence:
    """A worker: its owner text, the names of tasks that it runs by slot, the queues it takes tasks from (None: all),
    and for how many seconds that may be believed."""

    owner: str
    names: Mapping[str, Collection[str]]
    queues: Collection[str] | None = None
    seconds: float = 30.0

    def runs(self, slot: str, name: str) -> bool:
        return name in self.names.get(slot, ())

    def takes_from(self, slot: str, queue: str) -> bool:
        return slot != "task" or self.queues is None or queue in self.queues


def note(conn: Connection, here: Presence) -> None:
    """Writes that this worker is there; those that have not said so for too long are forgotten."""
    names = to_json({slot: sorted(found) for slot, found in here.names.items()}).decode()
    queues = None if here.queues is None else to_json(sorted(here.queues)).decode()
    row = {"owner": here.owner, "names": names, "queues": queues, "until": conn.now() + here.seconds,
           "seen_at": conn.wall()}  # fmt: skip
    conn.run(FORGET, {"now": conn.now()})
    if conn.one(STAY, row) is None:
        conn.run(COME, row)


def present(conn: Connection) -> list[Presence]:
    """The workers that are there. One whose process has died on this machine is not. Reads only."""
    found = [
        Presence(str(owner), from_json(names), None if queues is None else from_json(queues))
        for owner, names, queues in conn.all(ALL, {"now": conn.now()})
    ]
    return [one for one in found if not is_dead(one.owner)]
