"""Results that are kept for a time: cleared when it is over. The task stays, and says so.

A result stays for longer while somebody is there who is to read it: the run that filed the task, and its webhook.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from ..tasks.table import Task
from .connection import Connection
from .statements import Statement, p, table, word
from .tables import Delivery

task, delivery = table(Task), table(Delivery)
parent: Any = task.alias("parent")

BATCH: Final = 500
POSTPONED: Final = 60.0  # seconds until a result that is still waited for is looked at again

DUE: Statement = Statement(
    sa.select(
        task.c.id,
        sa.or_(
            sa.exists().where(parent.c.id == task.c.parent_id, parent.c.finished_at.is_(None)),
            sa.exists().where(delivery.c.task_id == task.c.id, delivery.c.status == word("pending")),
        ),
    )
    .where(task.c.result_until.is_not(None), task.c.result.is_not(None), task.c.result_until <= p("now"))
    .order_by(task.c.result_until)
    .limit(p("limit"))
    .with_for_update(skip_locked=True, of=task)
)
POSTPONE: Statement = Statement(sa.update(task).where(task.c.id == p("id")).values(result_until=p("until")))
CLEAR: Statement = Statement(sa.update(task).where(task.c.id == p("id")).values(result=None))
CLEAR_TOLD: Statement = Statement(sa.update(delivery).where(delivery.c.task_id == p("id")).values(body=""))


def clear_expired(conn: Connection, limit: int = BATCH) -> int:
    """Clears results whose time is over, and the copies that their webhooks were told; how many. What another
    transaction holds is passed over."""
    found = conn.all(DUE, {"now": conn.now(), "limit": limit})
    wanted = [{"id": one, "until": conn.now() + POSTPONED} for one, is_wanted in found if is_wanted]
    over = [{"id": one} for one, is_wanted in found if not is_wanted]
    conn.run_each(POSTPONE, wanted)
    conn.run_each(CLEAR, over)
    conn.run_each(CLEAR_TOLD, over)
    return len(over)
