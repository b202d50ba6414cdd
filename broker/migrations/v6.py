"""Schema 6: what conversations and tenants have used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations


def upgrade(op: Operations) -> None:
    counts = (
        "turns",
        "model_calls",
        "tool_calls",
        "input_tokens",
        "cached_tokens",
        "output_tokens",
        "reasoning_tokens",
    )
    op.create_table(
        "frontdesk_usage",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("hour", sa.Integer, primary_key=True),
        sa.Column("shard", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Integer, nullable=False) for name in counts),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("cost", sa.Float, nullable=False),
    )
