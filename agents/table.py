"""The table of a conversation's history. Items are kept as they went over the wire; what a model sees of them is made
by ``history``.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field

from ..tasks.table import Base


class Item(Base, table=True):
    """One entry of a conversation's history."""

    __tablename__ = "frontdesk_item"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    conversation_id: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    id: str
    response_id: str = ""
    step: int = 0  # which of the response's replies it belongs to; 0: what came before the first
    status: str = "completed"  # completed | in_progress | incomplete
    agent: str = ""
    body: str = "{}"  # JSON: the wire's item

    __table_args__ = (
        sa.Index("frontdesk_item_id", "id", "conversation_id", unique=True),
        sa.Index("frontdesk_item_response", "response_id"),
    )
