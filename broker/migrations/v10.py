"""Schema 10: whole results of calls of which a model is shown a part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations


def upgrade(op: Operations) -> None:
    op.create_table(
        "frontdesk_result",
        sa.Column("conversation_id", sa.String, primary_key=True),
        sa.Column("call_id", sa.String, primary_key=True),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("characters", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
