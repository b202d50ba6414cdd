"""Deliveries: what webhooks are to be told, and what became of it. Nothing is sent here.

A delivery is filed in the commit that ends its task. A claim of it is a lease that `next_at` holds, named by the number
of the attempt: several workers send each delivery once, and one whose worker was killed is sent again. What a crash
leaves: before the commit of a claim, a delivery that is due; after it, one that is due again when the lease has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from ..tasks.request import new_id
from . import views
from .connection import Connection
from .failpoints import operation
from .outcomes import Outcome
from .statements import Statement, defaults, insert_row, p, table, word
from .tables import Delivery
from .views import TaskRow

delivery = table(Delivery)
IS_PENDING = delivery.c.status == word("pending")

INSERT: Statement = Statement(insert_row(Delivery))
IS_DUE: Statement = Statement(sa.select(delivery.c.id).where(IS_PENDING, delivery.c.next_at <= p("now")).limit(1))
DUE: Statement = Statement(
    sa.select(delivery.c.id, delivery.c.url, delivery.c.body, delivery.c.attempts)
    .where(IS_PENDING, delivery.c.next_at <= p("now"))
    .order_by(delivery.c.next_at)
    .limit(p("limit"))
    .with_for_update(skip_locked=True)
)
TAKE: Statement = Statement(
    sa.update(delivery).where(delivery.c.id == p("id")).values(attempts=p("attempts"), next_at=p("next_at"))
)
_CLAIMED = (delivery.c.id == p("id"), IS_PENDING, delivery.c.attempts == p("attempts"))
SETTLE: Statement = Statement(
    sa.update(delivery)
    .where(*_CLAIMED)
    .values(
        status=p("status"), next_at=p("next_at"), last_status=p("last_status"), last_error=p("last_error"),
        finished_at=p("finished_at"),
    )
    .returning(delivery.c.id)
)  # fmt: skip
GIVE_BACK: Statement = Statement(sa.update(delivery).where(*_CLAIMED).values(next_at=p("next_at")))
OF_TASK: Statement = Statement(
    sa.select(delivery).where(delivery.c.task_id == p("task_id")).order_by(delivery.c.created_at, delivery.c.id)
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker is to send now."""

    id: str
    url: str
    body: str
    attempt: int


def file(conn: Connection, row: TaskRow) -> None:
    """Files the delivery of a task that has ended, in the same commit."""
    ended = datetime.fromtimestamp(row["finished_at"], UTC).isoformat()
    body = f'{{"type":"task.finished","timestamp":"{ended}","data":{views.view_text(row)}}}'
    about = {"task_id": row["id"], "tenant": row["tenant"], "url": row["webhook"], "body": body}
    conn.run(
        INSERT,
        {**defaults(Delivery), **about, "id": new_id("hook"), "next_at": conn.now(), "created_at": conn.wall()},
    )


def is_due(conn: Connection) -> bool:
    """Whether something is to be sent now."""
    return conn.one(IS_DUE, {"now": conn.now()}) is not None


@operation
def claim_deliveries(conn: Connection, limit: int, lease: float) -> list[Claimed]:
    """Claims at most ``limit`` deliveries that are due, for ``lease`` seconds. It never waits: what others hold is
    passed over. Whoever does not send them gives them back."""
    now = conn.now()
    claimed = [
        Claimed(str(id), str(url), str(body), int(attempts) + 1)
        for id, url, body, attempts in conn.all(DUE, {"now": now, "limit": limit})
    ]
    conn.run_each(TAKE, [{"id": one.id, "attempts": one.attempt, "next_at": now + lease} for one in claimed])
    return claimed


@operation
def settle_delivery(conn: Connection, claimed: Claimed, outcome: Outcome) -> bool:
    """Writes what became of an attempt; False when the lease had ended, and others have gone on with it."""
    given = {
        "id": claimed.id, "attempts": claimed.attempt, "status": outcome.status, "next_at": conn.now() + outcome.delay,
        "last_status": outcome.http_status, "last_error": outcome.error,
        "finished_at": None if outcome.status == "pending" else conn.wall(),
    }  # fmt: skip
    return conn.one(SETTLE, given) is not None


@operation
def give_back_deliveries(conn: Connection, claimed: Sequence[Claimed]) -> None:
    """They were not sent, or it is not known whether: others send them at once. Each counts as an attempt."""
    for one in claimed:
        conn.run(GIVE_BACK, {"id": one.id, "attempts": one.attempt, "next_at": conn.now()})


def of_task(conn: Connection, task_id: str) -> list[dict[str, Any]]:
    """A task's deliveries as they are shown."""
    names = [column.name for column in delivery.columns]
    found = [dict(zip(names, row, strict=True)) for row in conn.all(OF_TASK, {"task_id": task_id})]
    return [
        {
            "id": one["id"],
            "url": one["url"],
            "status": one["status"],
            "attempts": one["attempts"],
            "next_in_seconds": max(0.0, one["next_at"] - conn.now()) if one["status"] == "pending" else None,
            "last_status": one["last_status"],
            "last_error": one["last_error"],
            "created_at": one["created_at"],
            "finished_at": one["finished_at"],
        }
        for one in found
    ]
