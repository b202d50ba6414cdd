"""Schema 5: webhooks that are told of a task's end, and results that are kept for a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

TASK, DELIVERY = "frontdesk_task", "frontdesk_delivery"


def upgrade(op: Operations) -> None:
    for column in (
        sa.Column("webhook", sa.String),
        sa.Column("keep_result", sa.Float),
        sa.Column("result_until", sa.Float),
    ):
        op.add_column(TASK, column)
    op.create_table(
        DELIVERY,
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("task_id", sa.String, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.Float, nullable=False),
        sa.Column("last_status", sa.Integer),
        sa.Column("last_error", sa.String, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("finished_at", sa.Float),
    )
    op.create_index("frontdesk_delivery_task", DELIVERY, ["task_id"])
    _index(op, "frontdesk_delivery_due", DELIVERY, "next_at", "status = 'pending'")
    _index(op, "frontdesk_task_result", TASK, "result_until", "result_until IS NOT NULL AND result IS NOT NULL")


def _index(op: Operations, name: str, table: str, column: str, where: str) -> None:
    kept = sa.text(where)
    op.create_index(name, table, [column], sqlite_where=kept, postgresql_where=kept)
