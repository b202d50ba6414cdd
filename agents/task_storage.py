"""Tasks as a turn deals with them in the database: file one, wait for some, answer one, tell one something. Each
function is one commit.

What a call asks for and the call's output are the same commit: a crash leaves both or neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import to_json

from ..broker import conversations, durable, inbox, notices, queue, quotas, rows, turns, waits
from ..broker.connection import Connection
from ..broker.errors import CircularWait, QuotaExceeded, TaskNotFound
from ..broker.failpoints import operation
from ..broker.rows import TaskRow
from ..tasks.request import TaskRequest
from ..tasks.states import TERMINAL
from . import delegated, storage
from .accounts import count
from .batch import Batch, Ref, Slot
from .calls import CallOutput
from .events import encoded
from .polls import question_of
from .reports import created_report


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task that a turn files. ``call_id`` is the call that asks for it; ``again`` allows a live twin."""

    request: TaskRequest
    call_id: str
    agent: str
    again: bool


@operation
def create_task(conn: Connection, ref: Ref, batch: Batch, slot: Slot, wanted: Wanted) -> CallOutput:
    """Files a task, once per response and call; a live twin is returned instead. Raises LeaseLost."""
    storage.fence(conn, ref)
    if batch.begins:  # the first event of a conversation is its response's: from there on a client follows it
        storage.save(conn, ref, batch)
        count(conn, ref, batch)
        batch = batch.written()
    request = wanted.request
    created_by = f"{ref.response_id}/{wanted.call_id}"
    alike = None if wanted.again else queue.fingerprint(request.name, request.arguments)
    task, twin = rows.made_or_twin(conn, created_by, ref.conversation_id, alike)
    unique = False
    if task is None and twin is None:
        try:
            quotas.check_task(conn, ref.claim.tenant)
        except QuotaExceeded as full:
            return _kept(conn, ref, batch, slot, CallOutput(wanted.call_id, str(full), True, "error"))
        origin = queue.Origin(
            tenant=ref.claim.tenant, conversation_id=ref.conversation_id, agent=wanted.agent,
            parent_id=ref.claim.task_id, depth=ref.claim.depth + 1, created_by=created_by,
        )  # fmt: skip
        filed = queue.file_first(conn, request, origin)
        task, unique = filed.row, filed.repeated
        if request.kind == "agent":
            delegate(conn, task, request)
    found = task or twin or {}
    elsewhere = found["conversation_id"] != ref.conversation_id
    report = created_report(found, twin=twin is not None, elsewhere=elsewhere, unique=unique)
    return _kept(conn, ref, batch, slot, CallOutput(wanted.call_id, encoded(report)))


def _kept(conn: Connection, ref: Ref, batch: Batch, slot: Slot, output: CallOutput) -> CallOutput:
    storage.save(conn, ref, slot.put_into(batch, output))
    count(conn, ref, batch)
    return output


def delegate(conn: Connection, row: TaskRow, request: TaskRequest) -> None:
    """Gives a delegated run its conversation and its turn."""
    about = conn.one(turns.CONVERSATION, {"id": row["conversation_id"]})
    desk = "" if about is None else str(about[1])
    conversation_id = conversations.create_conversation(
        conn, tenant=row["tenant"], desk=desk, agent=request.name, parent_task=row["id"]
    )
    turns.add(
        conn,
        {
            "id": "resp_" + row["id"].removeprefix("task_"), "conversation_id": conversation_id,
            "tenant": row["tenant"], "task_id": row["id"], "started_by": "delegate", "agent": request.name,
            "request": to_json({"model": request.name, **request.arguments}).decode(),
        },
    )  # fmt: skip


@operation
def give_answer(conn: Connection, ref: Ref, batch: Batch, slot: Slot, task_id: str, given: Any) -> CallOutput:
    """Answers the question that a task waits with. Raises LeaseLost, TaskNotFound."""

    def answer(row: TaskRow) -> CallOutput:
        if row["waiting_for"] != "answer":
            return _refused(slot, f"{row['label']} is {row['status']} and asks nothing")
        if row["kind"] == "agent" and not durable.asks(conn, task_id):
            return _refused(slot, f"{row['label']} waits for an approval, which only the person can give: ask them to")
        after = durable.answer(conn, task_id, ref.claim.tenant, given)
        return _done(slot, {"task": row["label"], "status": after["status"]})

    return _about(conn, ref, batch, slot, task_id, answer)


@operation
def send_message(conn: Connection, ref: Ref, batch: Batch, slot: Slot, task_id: str, text: str) -> CallOutput:
    """Puts a message for a delegated agent into its inbox. Raises LeaseLost, TaskNotFound."""

    def send(row: TaskRow) -> CallOutput:
        child = turns.of_task(conn, task_id)
        if row["kind"] != "agent" or row["status"] in TERMINAL or child is None:
            what = "a function" if row["kind"] != "agent" else row["status"]
            return _refused(slot, f"{row['label']} is {what}: it reads no messages")
        notices.put(conn, child["conversation_id"], task_id, {"text": text}, "message")
        note = "it reads this at its next step"
        return _done(slot, {"task": row["label"], "status": row["status"], "note": note})

    return _about(conn, ref, batch, slot, task_id, send)


def _about(
    conn: Connection, ref: Ref, batch: Batch, slot: Slot, task_id: str, act: Callable[[TaskRow], CallOutput]
) -> CallOutput:
    """Does something with a task, in one commit with the output of the call that asks for it."""
    child, found = turns.of_task(conn, task_id), rows.read(conn, task_id)
    others = (None if child is None else child["conversation_id"], None if found is None else found["conversation_id"])
    queue.held_row(conn, ref.claim, ref.conversation_id, *others, also=[task_id])
    row = rows.lock_now(conn, [task_id])[task_id]
    output = act(row)
    storage.save(conn, ref, slot.put_into(batch, output))
    count(conn, ref, batch)
    return output


def _done(slot: Slot, value: Any) -> CallOutput:
    return CallOutput(str(slot.item.body["frontdesk:call_id"]), encoded(value))


def _refused(slot: Slot, text: str) -> CallOutput:
    return CallOutput(str(slot.item.body["frontdesk:call_id"]), text, True, "error")


Why = Literal["done", "timeout", "interrupted", "asks", "cancelled", "refused", "parked"]


@dataclass(frozen=True, slots=True)
class Waited:
    """What became of a wait: the tasks as they are, and why it ended; ``parked``: it has not, and the run is over."""

    why: Why
    tasks: list[TaskRow]
    reason: str = ""  # of a refusal


@dataclass(frozen=True, slots=True)
class Questions:
    """Which questions of the awaited end a wait: those that the model has not read; with ``approvals`` also those that
    only a person can answer."""

    read: tuple[str, ...]
    approvals: bool = False


@operation
def wait_or_park(
    conn: Connection, ref: Ref, batch: Batch, awaited: Sequence[str], *, need: int | None, deadline: float | None,
    asked: Questions,
) -> Waited:  # fmt: skip
    """Waits for tasks: says that it is over, or parks the turn, in one commit with what was made before.

    ``deadline`` is on the database's clock. A person's input ends a wait, and so does a question that is ``asked``; one
    in a circle is refused. Raises LeaseLost.
    """
    row = queue.held_row(conn, ref.claim, ref.conversation_id, also=awaited)
    reason = ""
    try:
        why = _why(conn, ref, row, awaited, need, deadline, asked)
    except (CircularWait, TaskNotFound) as error:  # raised before anything was written
        why, reason = "refused", str(error)
    if not batch.is_empty() or why == "parked":
        storage.save(conn, ref, batch)
        count(conn, ref, batch)
    if why == "parked":
        delegated.wake_if_asked(conn, ref)
    found = [rows.read(conn, one) for one in awaited]
    return Waited(why, [one for one in found if one is not None], reason)


def _why(
    conn: Connection, ref: Ref, row: TaskRow, awaited: Sequence[str], need: int | None, deadline: float | None,
    asked: Questions,
) -> Why:  # fmt: skip
    if row["cancel_requested"]:
        return "cancelled"  # who asked saw a turn that runs, and woke nobody
    if inbox.has_input(conn, ref.conversation_id):
        return "done" if _enough(conn, awaited, need) else "interrupted"
    if deadline is not None and deadline <= conn.now():
        return "done" if _enough(conn, awaited, need) else "timeout"
    if any(_asks(conn, one, asked) for one in awaited):
        return "done" if _enough(conn, awaited, need) else "asks"
    seconds = None if deadline is None else deadline - conn.now()
    return "parked" if waits.park(conn, ref.claim, row, awaited=awaited, need=need, seconds=seconds) else "done"


def _asks(conn: Connection, task_id: str, asked: Questions) -> bool:
    row = rows.read(conn, task_id)
    question = "" if row is None else question_of(row)
    return question not in ("", *asked.read) and (asked.approvals or durable.asks(conn, task_id))


def _enough(conn: Connection, awaited: Sequence[str], need: int | None) -> bool:
    ids = set(awaited)
    found = [rows.read(conn, one) for one in ids]
    ended = sum(one is None or one["status"] in TERMINAL for one in found)
    return ended >= (len(ids) if need is None else need)
