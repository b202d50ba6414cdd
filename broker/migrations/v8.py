"""Schema 8: what clients were asked for, outputs of their functions and approvals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

REQUIRED = "frontdesk_required"


def upgrade(op: Operations) -> None:
    op.create_table(
        REQUIRED,
        sa.Column("conversation_id", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("response_id", sa.String, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("task_id", sa.String, nullable=False),
        sa.Column("answered_by", sa.String),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_index("frontdesk_required_key", REQUIRED, ["key"])
    op.create_index("frontdesk_required_response", REQUIRED, ["response_id"])
    op.create_index("frontdesk_required_answer", REQUIRED, ["answered_by"])
