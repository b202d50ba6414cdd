"""The tables of a conversation's history, of its summaries, and of what its client was asked for. Items are kept as
they went over the wire; what a model sees of them is made by ``history``.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field

from ..tasks.table import Base


class RequiredInput(Base, table=True):
    """What a conversation's client was asked for: the output of a call, or whether a call may be run."""

    __tablename__ = "frontdesk_required"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    conversation_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)  # call id, or the request's id
    kind: str  # output | approval
    response_id: str  # which has asked
    tenant: str = ""
    task_id: str = ""  # of a request that a delegated run has made
    answered_by: str | None = None  # the response whose input brings it, or which has withdrawn it
    created_at: float = 0.0

    __table_args__ = (
        sa.Index("frontdesk_required_key", "key"),
        sa.Index("frontdesk_required_response", "response_id"),
        sa.Index("frontdesk_required_answer", "answered_by"),
    )


class StoredSummary(Base, table=True):
    """What models are shown of a history up to a position, in place of the items, which stay."""

    __tablename__ = "frontdesk_summary"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    conversation_id: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    item_id: str  # the last item that it stands for
    text: str
    model: str = ""
    usage: str = "{}"  # JSON: what writing it has cost
    created_at: float = 0.0


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


class Result(Base, table=True):
    """The whole result of a call of which a model is shown a part."""

    __tablename__ = "frontdesk_result"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    conversation_id: str = Field(primary_key=True)
    call_id: str = Field(primary_key=True)
    text: str
    characters: int
    created_at: float = 0.0
