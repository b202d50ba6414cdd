"""Schema 13: summaries of long conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations


def upgrade(op: Operations) -> None:
    op.add_column("frontdesk_conversation", sa.Column("summarised", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "frontdesk_summary",
        sa.Column("conversation_id", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("item_id", sa.String, nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("usage", sa.String, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
