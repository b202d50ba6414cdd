"""What a delegated run waits for before it is over: tasks that it has filed, and approvals. It has no client: it is
parked with a question, and the conversation that a person follows, however many levels above, is asked in its place.
Storage functions.

The person answers there, as any request, or answers the task's question. A model never does: what a model says is no
approval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ..broker import durable, listing, notices, rows, tenants, turns, views, waits
from ..broker.connection import Connection
from ..broker.errors import CircularWait, TaskNotFound
from ..broker.rows import TaskRow
from ..broker.statements import Statement, p, table, word
from ..broker.tables import InboxEntry
from ..tasks.states import TERMINAL, Status
from . import required
from .approvals import decision
from .batch import Ref
from .errors import NotAnApproval
from .model import JSON
from .owed import approval_stub
from .table import RequiredInput

asked, entry = table(RequiredInput), table(InboxEntry)

SHOWN: Final = 300  # characters of a call's arguments in a question
TO_ASK: Statement = Statement(  # each once, however often the run is parked
    sa.update(asked)
    .where(
        asked.c.conversation_id == p("id"),
        asked.c.key == p("key"),
        asked.c.task_id == word(""),
        asked.c.answered_by.is_(None),
    )
    .values(task_id=p("task_id"))
)
OPEN: Statement = Statement(
    sa.select(asked.c.key)
    .where(asked.c.conversation_id == p("id"), asked.c.kind == word("approval"), asked.c.answered_by.is_(None))
    .order_by(asked.c.created_at, asked.c.key)
)


ASKS_HERE: Statement = Statement(  # as `park` writes it
    sa.select(entry.c.number)
    .where(
        entry.c.conversation_id == p("id"),
        entry.c.taken_by.is_(None),
        entry.c.kind == word("notice"),
        entry.c.payload.like('{"approval":%'),
    )
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a person is asked: a conversation that belongs to no run, and its task that the run is, or works for."""

    conversation_id: str
    task: TaskRow


def place_of(conn: Connection, task_id: str) -> Place | None:
    """Where a run asks; None when nobody follows it. Reads only."""
    task = rows.read(conn, task_id)
    while task is not None and task["conversation_id"] is not None:
        about = conn.one(turns.CONVERSATION, {"id": task["conversation_id"]})
        if about is None:
            return None
        if about[3] is None:
            return Place(str(task["conversation_id"]), task)
        task = rows.read(conn, str(about[3]))
    return None


def park(conn: Connection, ref: Ref, row: TaskRow, requests: Sequence[JSON], place: Place | None) -> bool:
    """Parks a run until its requests are answered, and has a person asked. The caller has locked the run's task and
    both conversations. False: the run is to be cancelled, and goes on.
    """
    if not waits.park(conn, ref.claim, row, question=question(requests)):
        return False
    for one in requests:
        known = {"id": ref.conversation_id, "key": one["id"], "task_id": ref.claim.task_id}
        if conn.changed(TO_ASK, known) and place is not None:
            shown = {**views.view(place.task), "question": question([one])}
            asks = {**one, "task": ref.claim.task_id, "label": place.task["label"] or place.task["id"]}
            notices.put(conn, place.conversation_id, place.task["id"], {"approval": asks, "task": shown}, "notice")
    return True


def wake_if_asked(conn: Connection, ref: Ref) -> None:
    """A turn that has just been parked in this transaction is woken at once when a run's request waits to be asked
    about in it: what it waits for may be that very run.
    """
    if conn.one(ASKS_HERE, {"id": ref.conversation_id}) is not None:
        row = rows.lock_now(conn, [ref.claim.task_id]).get(ref.claim.task_id)
        if row is not None and row["status"] == Status.WAITING:
            turns.wake(conn, row)


def question(requests: Sequence[JSON]) -> str:
    """What is asked, in words."""
    calls = " and ".join(f"{one['server_label']}.{one['name']}({_cut(one['arguments'])})" for one in requests)
    return f"May it call {calls}? Only a person can say so: yes, or no and why."


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def live_tasks(conn: Connection, ref: Ref) -> list[str]:
    """What a run has filed and must wait for before it is over: nobody else would hear of it. Reads only."""
    live = [
        str(one["id"])
        for one in listing.of_conversation(conn, ref.conversation_id)
        if one["status"] not in TERMINAL and one["announce"] != "none" and one["waiting_for"] != "answer"
    ]
    return [one for one in live if not _waits_for(conn, one, ref.claim.task_id)]


def _waits_for(conn: Connection, task_id: str, run: str) -> bool:
    """Whether a task that the run has filed waits for the run itself, directly or not: it goes on when the run ends."""
    try:
        waits.check_no_circle(conn, run, [task_id])
    except CircularWait:
        return True
    return False


def conversations_of(conn: Connection, conversation_id: str | None, given: Sequence[JSON]) -> set[str]:
    """The conversations of the runs that an input answers: lock them together with its own. Reads only."""
    found: set[str] = set()
    for task_id in required.runs_that_asked(conn, conversation_id, given):
        child = turns.of_task(conn, task_id)
        if child is not None:
            found.add(str(child["conversation_id"]))
    return found


def deliver(conn: Connection, task_id: str, answer: JSON) -> None:
    """Hands an answer to the run that has asked, and wakes it. Its conversation is locked by the caller."""
    child, task = turns.of_task(conn, task_id), rows.read(conn, task_id)
    if child is not None and task is not None and task["status"] not in TERMINAL:
        notices.put(conn, child["conversation_id"], task_id, {"approval": answer}, "message")


def answer(conn: Connection, task_id: str, tenant: str, given: Any) -> TaskRow:
    """Answers the question that a task waits with: its own, or a delegated run's for an approval, which is given or
    refused for everything that it has asked. A task that asks nothing is returned as it is. Raises TaskNotFound,
    NotAnApproval.
    """
    child, task = turns.of_task(conn, task_id), rows.read(conn, task_id)
    if task is None or task["kind"] != "agent" or child is None:
        return durable.answer(conn, task_id, tenant, given)
    rows.lock_conversations(conn, [task["conversation_id"], child["conversation_id"]])
    row = tenants.owned(rows.lock(conn, [task_id]).get(task_id), tenant)
    if row is None:
        raise TaskNotFound(task_id)
    if row["waiting_for"] != "answer":
        return row
    if durable.asks(conn, task_id):
        return durable.answer(conn, task_id, tenant, given)
    decided = decision(given)
    if decided is None:
        raise NotAnApproval(given)
    for (key,) in conn.all(OPEN, {"id": child["conversation_id"]}):
        required.settle(conn, child["conversation_id"], str(key), child["id"])
        deliver(conn, task_id, {**approval_stub(str(key)), **decided})
    return rows.read(conn, task_id) or row
