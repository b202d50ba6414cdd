"""The tables of the tasks storey, and the validated input that becomes a row. No statement is here: they are in the
broker.

Hot columns hold only text, integers and floats, because hot statements go to the driver's cursor as they are. Times
whose name ends in ``_at`` are wall-clock seconds since 1970, and only ``run_at`` and a schedule's decide anything;
deadlines (``ready``,
``lease_until``, ``wake``) are on the database's clock, which no wall clock can move. A table class validates nothing
when constructed: `request.TaskRequest` does.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


def partial(name: str, *columns: Any, where: str, unique: bool = False) -> sa.Index:
    """An index of the rows that meet a condition.

    The condition is kept in ``info`` until the tables are made: given to a dialect here, it would load that dialect,
    and PostgreSQL's takes longer than everything else in this storey.
    """
    return sa.Index(name, *columns, unique=unique, info={"where": where})


class Base(SQLModel, registry=registry()):
    """Root of all tables of Frontdesk; their metadata is their own, so an application's SQLModel tables stay apart."""


class Task(Base, table=True):
    """A durable unit of work."""

    __tablename__ = "frontdesk_task"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

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
    run_at: float | None = None  # not before, by wall time
    held: str = ""  # why a queued task may not be claimed yet: time | limit; empty: it is in line
    place: int = Field(default=0, sa_type=sa.BigInteger)  # in the line: virtual time, see broker/line.py
    flow: str = ""  # whose task it is among those of its tenant: its conversation
    concurrency_key: str | None = None  # of those that share it, so many at once are in line or running
    concurrency_limit: int = 0
    unique_key: str | None = None  # of its tenant; taken from it when another task gets the key
    unique_until: float | None = None  # on the database's clock; empty: for as long as the task is live
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
    webhook: str | None = None  # the URL that is told of the end
    keep_result: float | None = None  # seconds after the end; empty: for ever
    result_until: float | None = None  # on the database's clock; set at the end, when there is a result
    error_kind: str = ""  # exception class, or: worker lost, process lost, timeout
    progress: float | None = None
    message: str = ""
    log_tail: str = "[]"  # JSON list of the last lines

    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None  # set when the task ends, and then only: live tasks are those without it

    __table_args__ = (
        partial(
            "frontdesk_task_claim",
            "slot",
            "queue",
            sa.desc("priority"),
            "place",
            "id",
            where="status = 'queued' AND held = ''",
        ),
        partial(
            "frontdesk_task_flow",
            "slot",
            "queue",
            "tenant",
            "flow",
            "place",
            where="status = 'queued' AND held = ''",
        ),
        partial(
            "frontdesk_task_due",
            "ready",
            where="held = 'time' AND run_at IS NULL",
        ),
        partial(
            "frontdesk_task_due_at",
            "run_at",
            where="held = 'time' AND run_at IS NOT NULL",
        ),
        partial(
            "frontdesk_task_limit",
            "concurrency_key",
            sa.desc("priority"),
            "ready",
            "id",
            where="held = 'limit'",
        ),
        partial(
            "frontdesk_task_unique",
            "tenant",
            "unique_key",
            unique=True,
            where="unique_key IS NOT NULL",
        ),
        partial(
            "frontdesk_task_lease",
            "lease_until",
            where="status = 'running'",
        ),
        partial(
            "frontdesk_task_finished",
            "tenant",
            "finished_at",
            "status",
            "kind",
            where="finished_at IS NOT NULL AND kind <> 'turn'",
        ),
        partial(
            "frontdesk_task_result",
            "result_until",
            where="result_until IS NOT NULL AND result IS NOT NULL",
        ),
        partial(
            "frontdesk_task_wake",
            "wake",
            where="status = 'waiting' AND wake IS NOT NULL",
        ),
        partial(
            "frontdesk_task_live_turn",
            "conversation_id",
            unique=True,
            where="kind = 'turn' AND finished_at IS NULL",
        ),
        partial(
            "frontdesk_task_label",
            "conversation_id",
            "label",
            unique=True,
            where="label <> ''",
        ),
        partial(
            "frontdesk_task_created_by",
            "created_by",
            unique=True,
            where="created_by IS NOT NULL",
        ),
        partial(
            "frontdesk_task_parent",
            "parent_id",
            where="parent_id IS NOT NULL",
        ),
        partial(
            "frontdesk_task_listing",
            "tenant",
            "created_at",
            "id",
            where="kind <> 'turn'",
        ),
        partial(
            "frontdesk_task_twin",
            "conversation_id",
            "fingerprint",
            where="finished_at IS NULL",
        ),
    )


class Wait(Base, table=True):
    """One edge: ``waiter_id`` is parked until ``awaited_id`` is terminal."""

    __tablename__ = "frontdesk_wait"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    waiter_id: str = Field(primary_key=True)
    awaited_id: str = Field(primary_key=True, index=True)


class Limit(Base, table=True):
    """How many tasks with a concurrency key are in line or running."""

    __tablename__ = "frontdesk_limit"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    key: str = Field(primary_key=True)
    active: int


class Queue(Base, table=True):
    """A queue that has been used. From a paused one nothing is claimed."""

    __tablename__ = "frontdesk_queue"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    name: str = Field(primary_key=True)
    paused: int = 0


class ScheduleRow(Base, table=True):
    """A task function that is filed by itself at the ticks of a cron expression. Times are wall time: they decide."""

    __tablename__ = "frontdesk_schedule"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    name: str = Field(primary_key=True)  # of the task function
    expression: str
    timezone: str
    missed: str  # once | skip | all
    request: str  # JSON of the TaskRequest
    next_at: float  # the first tick that has not been looked at
    last_at: float | None = None  # the last tick that was filed
    paused: int = 0


class DurableCall(Base, table=True):
    """One recorded durable call of a task function, by its order."""

    __tablename__ = "frontdesk_durable_call"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    task_id: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    kind: str  # create | wait | ask | sleep | step
    key: str  # what the call was made with; must be the same at replay
    done: int = 0
    value: str = "null"  # JSON: what the call returned, or what it waits for
