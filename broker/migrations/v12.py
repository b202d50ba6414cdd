"""Schema 12: dialogs that clients resend, and until when what is not stored is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

TURN, CONVERSATION = "frontdesk_turn", "frontdesk_conversation"


def upgrade(op: Operations) -> None:
    op.add_column(TURN, sa.Column("dialog", sa.String))
    op.add_column(CONVERSATION, sa.Column("kept_until", sa.Float))
    _index(op, "frontdesk_turn_dialog", TURN, ["tenant", "dialog"], "dialog IS NOT NULL")
    _index(op, "frontdesk_conversation_passing", CONVERSATION, ["kept_until"], "kept_until IS NOT NULL")


def _index(op: Operations, name: str, table: str, columns: list[str], where: str) -> None:
    kept = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=kept, postgresql_where=kept)
