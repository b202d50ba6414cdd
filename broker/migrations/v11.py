"""Schema 11: quotas of tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations


def upgrade(op: Operations) -> None:
    op.create_table(
        "frontdesk_quota",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("turns", sa.Integer),
        sa.Column("tasks", sa.Integer),
        sa.Column("tokens", sa.BigInteger),
    )
