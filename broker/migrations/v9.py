"""Schema 9: which workers are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations


def upgrade(op: Operations) -> None:
    op.create_table(
        "frontdesk_worker",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("names", sa.String, nullable=False),
        sa.Column("queues", sa.String),
        sa.Column("until", sa.Float, nullable=False),
        sa.Column("seen_at", sa.Float, nullable=False),
    )
