"""Schema 3: a fair line of tasks, with concurrency limits, unique keys, times on the wall clock and paused queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

TASK = "frontdesk_task"
IN_LINE = "status = 'queued' AND held = ''"


def upgrade(op: Operations) -> None:
    for column in (
        sa.Column("run_at", sa.Float),
        sa.Column("held", sa.String, nullable=False, server_default=""),
        sa.Column("place", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("flow", sa.String, nullable=False, server_default=""),
        sa.Column("concurrency_key", sa.String),
        sa.Column("concurrency_limit", sa.Integer, nullable=False, server_default="0"),
        sa.Column("unique_key", sa.String),
        sa.Column("unique_until", sa.Float),
    ):
        op.add_column(TASK, column)
    op.create_table(
        "frontdesk_limit",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("active", sa.Integer, nullable=False),
    )
    op.create_table(
        "frontdesk_queue",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("paused", sa.Integer, nullable=False),
    )
    for name in ("claim", "live_turn", "created_by", "parent", "twin"):
        op.drop_index(f"frontdesk_task_{name}", TASK, if_exists=True)
    urgent = sa.text("priority DESC")
    _index(op, "claim", ["slot", "queue", urgent, "place", "id"], IN_LINE)
    _index(op, "flow", ["slot", "queue", "tenant", "flow", "place"], IN_LINE)
    _index(op, "due", ["ready"], "held = 'time' AND run_at IS NULL")
    _index(op, "due_at", ["run_at"], "held = 'time' AND run_at IS NOT NULL")
    _index(op, "limit", ["concurrency_key", urgent, "ready", "id"], "held = 'limit'")
    _index(op, "unique", ["tenant", "unique_key"], "unique_key IS NOT NULL", unique=True)
    _index(op, "live_turn", ["conversation_id"], "kind = 'turn' AND finished_at IS NULL", unique=True)
    _index(op, "created_by", ["created_by"], "created_by IS NOT NULL", unique=True)
    _index(op, "parent", ["parent_id"], "parent_id IS NOT NULL")
    _index(op, "twin", ["conversation_id", "fingerprint"], "finished_at IS NULL")
    op.execute("UPDATE frontdesk_task SET flow = conversation_id WHERE slot = 'task' AND conversation_id IS NOT NULL")
    op.execute("UPDATE frontdesk_task SET queue = '' WHERE slot = 'turn'")
    # The first look of a worker lets those in whose time has come, the oldest first.
    op.execute("UPDATE frontdesk_task SET held = 'time' WHERE status = 'queued'")


def _index(op: Operations, name: str, columns: list[Any], where: str, *, unique: bool = False) -> None:
    kept = sa.text(where)
    op.create_index(f"frontdesk_task_{name}", TASK, columns, unique=unique, sqlite_where=kept, postgresql_where=kept)
