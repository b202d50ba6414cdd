"""Schema 2: what has ended is found by when it ended, so that it can be counted without reading all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations


def upgrade(op: Operations) -> None:
    ended = sa.text("finished_at IS NOT NULL AND kind <> 'turn'")
    op.create_index(
        "frontdesk_task_finished",
        "frontdesk_task",
        ["tenant", "finished_at", "status", "kind"],
        if_not_exists=True,
        sqlite_where=ended,
        postgresql_where=ended,
    )
