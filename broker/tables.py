"""The tables of the broker storey: conversations, turns, inbox, event log, deliveries. No statement is here.

Every counter that orders something (cursors, input numbers, labels) lives in the conversation's row, which whoever
counts has locked: a sequence of the database would let a reader skip an event that commits late.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field

from ..tasks.table import Base, partial

SCHEMA_VERSION = 13  # broker/migrations/ says what came with each


class Meta(Base, table=True):
    """Facts about the database itself: schema version, clock."""

    __tablename__ = "frontdesk_meta"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    key: str = Field(primary_key=True)
    value: str


class Conversation(Base, table=True):
    """Owns items, inbox, tasks and the current agent."""

    __tablename__ = "frontdesk_conversation"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    id: str = Field(primary_key=True)
    tenant: str = ""
    agent: str = ""  # who takes the next turn; empty: the desk's entry agent
    meta: str = "{}"  # JSON: the client's metadata
    parent_task: str | None = None  # the delegated run that this conversation belongs to
    desk: str = ""  # whose turns these are
    unattended_limit: int = 8  # turns in a row that notices may start; -1: it was given up while something was live
    stored: int = 1
    kept_until: float | None = None  # of one that is not stored, on the database's clock; its connection puts it off
    created_at: float = 0.0

    last_cursor: int = 0  # of the event log
    last_input: int = 0  # of the inbox
    last_item: int = 0  # of the history
    last_label: int = 0  # of its tasks: T1, T2 …
    waiting_inputs: int = 0  # clients' inputs in the inbox
    unattended: int = 0  # turns in a row that no person started
    head: str | None = None  # the last response
    summarised: int = 0  # up to which position of its history there is a summary

    __table_args__ = (
        partial(
            "frontdesk_conversation_passing",
            "kept_until",
            where="kept_until IS NOT NULL",
        ),
    )


class Turn(Base, table=True):
    """One activation of a conversation's agent; on the wire, a response."""

    __tablename__ = "frontdesk_turn"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    id: str = Field(primary_key=True)  # resp_…
    conversation_id: str = Field(index=True)
    tenant: str = ""
    task_id: str | None = Field(default=None, index=True)
    status: str = "queued"  # queued | in_progress | completed | incomplete | failed | cancelled
    started_by: str = "create"  # create | steer | notice | delegate
    agent: str = ""
    input_id: str | None = None
    input_digest: str = ""
    previous_id: str | None = None  # the response that the client continued
    cancel_requested: int = 0
    dialog: str | None = None  # names the messages that a client will send again with its next request
    request: str = "{}"  # JSON: the wire's request fields that are kept
    triggers: str = ""  # task ids whose notices started it, comma separated
    first_cursor: int = 0  # its events come after this cursor
    next_sequence: int = 0
    state: str = "{}"  # JSON: what the loop must know to go on (counters, handoffs taken)
    ended: str = ""  # why it ended: steered, cancelled, "limit: 32 model calls" …
    error: str | None = None
    usage: str = "{}"  # JSON
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None

    __table_args__ = (
        sa.Index("frontdesk_turn_input", "tenant", "input_id", unique=True),
        sa.Index("frontdesk_turn_previous", "previous_id"),
        partial(
            "frontdesk_turn_dialog",
            "tenant",
            "dialog",
            where="dialog IS NOT NULL",
        ),
    )


class InboxEntry(Base, table=True):
    """One input that waits to enter a conversation, or has entered it (`taken_by`)."""

    __tablename__ = "frontdesk_inbox"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    conversation_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    kind: str  # create | steer | notice (starts a turn when idle) | note (waits for the next turn) | message
    response_id: str | None = None  # create: the response that it starts; steer: the successor
    target_id: str | None = None  # steer: the response that is steered; notice, message: the task that it is about
    payload: str  # JSON
    taken_by: str | None = None
    tenant: str = ""
    input_id: str | None = None  # of a steer; a create's is kept with its turn
    input_digest: str = ""
    created_at: float = 0.0

    __table_args__ = (
        partial(
            "frontdesk_inbox_waiting",
            "conversation_id",
            "kind",
            "number",
            where="taken_by IS NULL",
        ),
        partial(
            "frontdesk_inbox_input",
            "tenant",
            "input_id",
            unique=True,
            where="input_id IS NOT NULL",
        ),
    )


class LogRow(Base, table=True):
    """A run of events that were committed together. Event i of the row has cursor ``first + i``."""

    __tablename__ = "frontdesk_event"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    conversation_id: str = Field(primary_key=True)
    first: int = Field(primary_key=True)
    count: int
    response_id: str = ""
    deltas_of: str | None = None  # all are deltas of this item, or progress of this task: removed when that is done
    body: str  # one event's JSON per line, without its cursor
    created_at: float = 0.0

    __table_args__ = (
        partial(
            "frontdesk_event_deltas",
            "conversation_id",
            "deltas_of",
            where="deltas_of IS NOT NULL",
        ),
    )


class Quota(Base, table=True):
    """How much a tenant may have; empty: no bound. The tenant ``*`` is everybody who has no row."""

    __tablename__ = "frontdesk_quota"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    tenant: str = Field(primary_key=True)
    turns: int | None = None  # queued or running at once
    tasks: int | None = None  # queued
    tokens: int | None = Field(default=None, sa_type=sa.BigInteger)  # in a day (UTC)


class Delivery(Base, table=True):
    """The end of a task, as its webhook is told of it."""

    __tablename__ = "frontdesk_delivery"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    id: str = Field(primary_key=True)  # the header webhook-id, the same at every attempt
    task_id: str
    tenant: str = ""
    url: str
    body: str  # JSON, as it was when the task ended; empty when the result's time is over
    status: str = "pending"  # pending | delivered | failed
    attempts: int = 0  # begun; also names the claim of the last one
    next_at: float = 0.0  # of a pending one: not before, on the database's clock
    last_status: int | None = None  # of HTTP
    last_error: str = ""
    created_at: float = 0.0
    finished_at: float | None = None

    __table_args__ = (
        sa.Index("frontdesk_delivery_task", "task_id"),
        partial(
            "frontdesk_delivery_due",
            "next_at",
            where="status = 'pending'",
        ),
    )


class UsageRow(Base, table=True):
    """What a conversation has used in all, or a tenant within one hour. `broker.usage` counts and sums it."""

    __tablename__ = "frontdesk_usage"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    owner: str = Field(primary_key=True)  # conversation:ID or tenant:NAME
    hour: int = Field(primary_key=True)  # since 1970; 0: all time
    shard: int = Field(primary_key=True)
    turns: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0


class WorkerRow(Base, table=True):
    """A worker that has said lately that it is there."""

    __tablename__ = "frontdesk_worker"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    owner: str = Field(primary_key=True)
    names: str = "{}"  # JSON: the names of tasks that it runs, by slot
    queues: str | None = None  # JSON: those whose tasks it takes; None: all
    until: float = 0.0  # on the database's clock
    seen_at: float = 0.0
