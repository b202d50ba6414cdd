"""Schema 4: task functions that are filed by themselves, at the ticks of a cron expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations


def upgrade(op: Operations) -> None:
    op.create_table(
        "frontdesk_schedule",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("expression", sa.String, nullable=False),
        sa.Column("timezone", sa.String, nullable=False),
        sa.Column("missed", sa.String, nullable=False),
        sa.Column("request", sa.String, nullable=False),
        sa.Column("next_at", sa.Float, nullable=False),
        sa.Column("last_at", sa.Float),
        sa.Column("paused", sa.Integer, nullable=False),
    )
