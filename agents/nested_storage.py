"""Runs of agents that a call waits for, in the database: file them, wait for them. Each function is one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..broker import queue, rows, waits
from ..broker.connection import Connection
from ..broker.errors import TaskNotFound
from ..broker.failpoints import operation
from ..broker.rows import TaskRow
from ..tasks.request import TaskRequest
from . import delegated, storage
from .accounts import count
from .agent import AgentTool
from .batch import Batch, Ref
from .task_storage import Wanted, delegate

Why = Literal["done", "timeout", "cancelled", "parked"]


@dataclass(frozen=True, slots=True)
class Joined:
    """What became of a wait for nested runs: why it ended, and the tasks as they are, by call id."""

    why: Why
    tasks: dict[str, TaskRow]


def created_by(ref: Ref, call_id: str) -> str:
    """By what the task of a call is known: it is filed once, whatever crashes."""
    return f"{ref.response_id}/{call_id}"


def nested_request(tool: AgentTool, text: str) -> TaskRequest:
    """A run of an agent whose end nobody is told of but the call that waits for it."""
    arguments: dict[str, Any] = {"input": text}
    if tool.limits is not None:
        arguments["limits"] = asdict(tool.limits)
    return TaskRequest(kind="agent", name=tool.agent.name, arguments=arguments, on_crash="retry", announce="none")


@operation
def file_nested(conn: Connection, ref: Ref, batch: Batch, wanted: Sequence[Wanted]) -> None:
    """Files the runs of agents that calls ask for, each once. Raises LeaseLost."""
    row = queue.held_row(conn, ref.claim, ref.conversation_id)
    for one in wanted:
        creator = created_by(ref, one.call_id)
        if rows.by_creator(conn, creator) is None:
            origin = queue.Origin(
                tenant=ref.claim.tenant, conversation_id=ref.conversation_id, agent=one.agent,
                parent_id=ref.claim.task_id, depth=row["depth"] + 1, created_by=creator,
            )  # fmt: skip
            delegate(conn, queue.file(conn, one.request, origin).row, one.request)
    storage.save(conn, ref, batch)
    count(conn, ref, batch)


@operation
def join_nested(
    conn: Connection, ref: Ref, batch: Batch, awaited: Mapping[str, str], *, deadline: float | None
) -> Joined:
    """Waits until one of these (call id, task id) has ended or the deadline has come, or parks the turn. A person's
    input does not end the wait. Raises LeaseLost.
    """
    ids = sorted(set(awaited.values()))
    row = queue.held_row(conn, ref.claim, ref.conversation_id, also=ids)
    seconds = None if deadline is None else deadline - conn.now()
    why: Why = "done"
    if row["cancel_requested"]:
        why = "cancelled"  # who asked saw a turn that runs, and woke nobody
    elif ids and seconds is not None and seconds <= 0:
        why = "timeout"
    elif ids:
        try:
            why = "parked" if waits.park(conn, ref.claim, row, awaited=ids, need=1, seconds=seconds) else "done"
        except TaskNotFound:  # it was deleted: its call is answered
            why = "done"
    if not batch.is_empty() or why == "parked":
        storage.save(conn, ref, batch)
        count(conn, ref, batch)
    if why == "parked":
        delegated.wake_if_asked(conn, ref)
    found = {call_id: rows.read(conn, task_id) for call_id, task_id in awaited.items()}
    return Joined(why, {call_id: one for call_id, one in found.items() if one is not None})


def tasks_of(conn: Connection, ref: Ref, call_ids: Sequence[str]) -> dict[str, TaskRow]:
    """The runs that these calls have filed, by call id. Reads only."""
    found = {call_id: rows.by_creator(conn, created_by(ref, call_id)) for call_id in call_ids}
    return {call_id: one for call_id, one in found.items() if one is not None}
