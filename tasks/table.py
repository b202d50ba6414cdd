"""The tables of the tasks storey, and the validated input that becomes a row. No statement is here: they are in the
broker.

Hot columns hold only text, integers and floats, because hot statements go to the driver's cursor as they are. Times
whose name ends in ``_at`` are wall-clock seconds since 1970 and are only shown; deadlines (``ready``,
``lease_until``, ``wake``) are on the database's clock, which no wall clock can move. A table class validates nothing
when constructed: `TaskRequest` does.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field as Limit
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

Kind = Literal["function", "agent", "turn"]
OnCrash = Literal["retry", "fail"]
Announce = Literal["respond", "note", "none"]


class Base(SQLModel, registry=registry()):
    """Root of all tables of Frontdesk; their metadata is their own, so an application's SQLModel tables stay apart."""


def new_id(prefix: str) -> str:
    """A new global id, ``prefix_`` and 32 random hexadecimal digits."""
    return f"{prefix}_{secrets.token_hex(16)}"


class Task(Base, table=True):
    """A durable unit of work."""

    __tablename__ = "frontdesk_task"

    id: str = Field(primary_key=True)
    kind: str  # function | agent | turn
    name: str  # of the task function or agent
    slot: str  # which slots run it: turn | task
    queue: str = "default"
    tenant: str = ""
    conversation_id: str | None = None  # the conversation that owns it
    label: str = ""  # T1, T2 … within the conversation
    title: str = ""
    agent: str = ""  # who filed it
    parent_id: str | None = None
    depth: int = 0
    created_by: str | None = None  # unique: the call that created it, so that a repeat finds it
    fingerprint: str = ""  # of name and arguments: finds a live twin
    retry_of: str | None = None
    announce: str = "respond"

    status: str = "queued"
    priority: int = 0
    ready: float = 0.0  # not before, on the database's clock
    attempt: int = 1
    max_attempts: int = 3
    on_crash: str = "fail"
    timeout: float | None = None
    epoch: int = 0
    owner: str = ""
    lease_until: float | None = None
    cancel_requested: int = 0
    abandoned: int = 0

    waiting_for: str = ""  # tasks | timer | answer
    waits_left: int = 0
    wake: float | None = None  # parked until then, on the database's clock
    question: str | None = None

    arguments: str = "{}"  # JSON
    result: str | None = None  # JSON
    error: str | None = None
    error_kind: str = ""  # exception class, or: worker lost, timeout
    progress: float | None = None
    message: str = ""
    log_tail: str = "[]"  # JSON list of the last lines

    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None

    __table_args__ = (
        sa.Index(
            "frontdesk_task_claim",
            "slot",
            sa.desc("priority"),
            "ready",
            "id",
            sqlite_where=sa.text("status = 'queued'"),
            postgresql_where=sa.text("status = 'queued'"),
        ),
        sa.Index(
            "frontdesk_task_lease",
            "lease_until",
            sqlite_where=sa.text("status = 'running'"),
            postgresql_where=sa.text("status = 'running'"),
        ),
        sa.Index(
            "frontdesk_task_wake",
            "wake",
            sqlite_where=sa.text("status = 'waiting' AND wake IS NOT NULL"),
            postgresql_where=sa.text("status = 'waiting' AND wake IS NOT NULL"),
        ),
        sa.Index(
            "frontdesk_task_live_turn",
            "conversation_id",
            unique=True,
            sqlite_where=sa.text("kind = 'turn' AND status IN ('queued', 'running', 'waiting')"),
            postgresql_where=sa.text("kind = 'turn' AND status IN ('queued', 'running', 'waiting')"),
        ),
        sa.Index(
            "frontdesk_task_label",
            "conversation_id",
            "label",
            unique=True,
            sqlite_where=sa.text("label <> ''"),
            postgresql_where=sa.text("label <> ''"),
        ),
        sa.Index("frontdesk_task_created_by", "created_by", unique=True),
        sa.Index("frontdesk_task_parent", "parent_id"),
        sa.Index(
            "frontdesk_task_listing",
            "tenant",
            "created_at",
            "id",
            sqlite_where=sa.text("kind <> 'turn'"),
            postgresql_where=sa.text("kind <> 'turn'"),
        ),
        sa.Index(
            "frontdesk_task_twin",
            "conversation_id",
            "fingerprint",
            sqlite_where=sa.text("status IN ('queued', 'running', 'waiting')"),
            postgresql_where=sa.text("status IN ('queued', 'running', 'waiting')"),
        ),
    )


class Wait(Base, table=True):
    """One edge: ``waiter_id`` is parked until ``awaited_id`` is terminal."""

    __tablename__ = "frontdesk_wait"

    waiter_id: str = Field(primary_key=True)
    awaited_id: str = Field(primary_key=True, index=True)


class DurableCall(Base, table=True):
    """One recorded durable call of a task function, by its order."""

    __tablename__ = "frontdesk_durable_call"

    task_id: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    kind: str  # create | wait | ask | sleep | step
    key: str  # what the call was made with; must be the same at replay
    done: int = 0
    value: str = "null"  # JSON: what the call returned, or what it waits for


Name = Annotated[str, Limit(min_length=1, max_length=200)]


class TaskRequest(BaseModel):
    """What is asked for when a task is created; checked here, before anything is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "function"
    name: Name
    title: Annotated[str, Limit(max_length=500)] = ""
    arguments: dict[str, Any] = Limit(default_factory=dict)
    queue: Name = "default"
    priority: Annotated[int, Limit(ge=-1000, le=1000)] = 0
    delay: Annotated[float, Limit(ge=0, le=10 * 366 * 86_400, allow_inf_nan=False)] = 0.0  # seconds of elapsed time
    timeout: Annotated[float, Limit(gt=0, allow_inf_nan=False)] | None = None
    max_attempts: Annotated[int, Limit(ge=1, le=10_000)] = 3
    on_crash: OnCrash = "fail"
    announce: Announce = "respond"
