"""Short words for what tests of the broker do with a database: each method is one commit, from the test's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import sqlalchemy as sa
from pydantic_core import from_json

from frontdesk.broker import cancel, conversations, durable, events, inbox, leases, queue, rows, turns, waits
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.endings import end
from frontdesk.broker.inbox import Accepted, Entry, NewCreate, NewSteer, SteerAccepted
from frontdesk.broker.queue import Origin
from frontdesk.broker.rows import Claim, TaskRow
from frontdesk.broker.statements import Statement, p, table
from frontdesk.broker.tables import Conversation, InboxEntry, Turn
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import Action
from frontdesk.tasks.table import Limit, Task, Wait

T = TypeVar("T")

task, wait, limits = (table(one) for one in (Task, Wait, Limit))
conversation, entry, turn = (table(one) for one in (Conversation, InboxEntry, Turn))
DESK = "desk"

SET_LEASE: Statement = Statement(
    sa.update(task)
    .where(task.c.id == p("id"), task.c.epoch == p("epoch"), task.c.status == "running")
    .values(lease_until=p("at"))
)
SET_WAKE: Statement = Statement(
    sa.update(task).where(task.c.id == p("id"), task.c.wake.is_not(None)).values(wake=p("at"))
)
SET_OWNER: Statement = Statement(sa.update(task).where(task.c.id == p("id")).values(owner=p("owner")))
SET_TURN: Statement = Statement(sa.update(turn).where(turn.c.id == p("id")).values(status=p("status")))
EDGES: Statement = Statement(sa.select(wait.c.waiter_id, wait.c.awaited_id).order_by(wait.c.waiter_id))
TASKS: Statement = Statement(sa.select(task).order_by(task.c.id))
TURNS: Statement = Statement(sa.select(turn).order_by(turn.c.created_at, turn.c.id))
CONVERSATION: Statement = Statement(sa.select(conversation).where(conversation.c.id == p("id")))
LIMITS: Statement = Statement(sa.select(limits.c.key, limits.c.active))
BE_DUE: Statement = Statement(
    sa.update(task).where(task.c.id == p("id"), task.c.held == "time").values(ready=p("ready"), run_at=p("run_at"))
)
FORGET: Statement = Statement(sa.delete(conversation).where(conversation.c.id == p("id")))
ENTRIES: Statement = Statement(
    sa.select(entry.c.number, entry.c.kind, entry.c.target_id, entry.c.taken_by, entry.c.payload)
    .where(entry.c.conversation_id == p("id"))
    .order_by(entry.c.number)
)


@dataclass(frozen=True)
class InInbox:
    """A row of an inbox."""

    number: int
    kind: str
    target_id: str | None
    taken_by: str | None
    payload: Any


def at_once(count: int, function: Callable[[int], T]) -> list[T]:
    """What ``function(0)``, ``function(1)`` … return, each on a thread of its own, all started together."""
    start = threading.Barrier(count)

    def run(number: int) -> T:
        start.wait()
        return function(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


class Store:
    """A database, seen by a test."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @overload
    def do(self, function: Callable[[Connection], T], /) -> T: ...

    @overload
    def do(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T: ...

    def do(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        return self.database.write_blocking(function, *args, **kwargs)

    @overload
    def see(self, function: Callable[[Connection], T], /) -> T: ...

    @overload
    def see(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T: ...

    def see(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        return self.database.read_blocking(function, *args, **kwargs)

    # --- the queue

    def conversation(self, **values: Any) -> str:
        return self.do(conversations.create_conversation, **{"tenant": "", "desk": DESK, **values})

    def forget(self, conversation_id: str) -> None:
        """Deletes the conversation, under its tasks."""
        self.do(lambda conn: conn.run(FORGET, {"id": conversation_id}))

    def enqueue(
        self, conversation_id: str | None = None, *, name: str = "work", parent: Claim | None = None,
        created_by: str | None = None, tenant: str = "", id: str | None = None, **options: Any,
    ) -> TaskRow:  # fmt: skip
        request = TaskRequest.model_validate({"name": name, **options})
        origin = Origin(
            tenant=tenant,
            conversation_id=conversation_id,
            created_by=created_by,
            parent_id=None if parent is None else parent.task_id,
            depth=0 if parent is None else parent.depth + 1,
        )
        return self.do(queue.enqueue, request, origin, **({} if id is None else {"id": id}))

    def claim(
        self, limit: int = 1, *, slot: str = "task", names: Sequence[str] = ("work",), owner: str = "tests",
        lease: float = 1e6, queues: frozenset[str] | None = None,
    ) -> list[Claim]:  # fmt: skip
        return self.do(queue.claim, slot, names, owner, lease, limit, queues)

    def claim_one(self, **options: Any) -> Claim:
        (found,) = self.claim(1, **options)
        return found

    def started(self, conversation_id: str | None = None, **options: Any) -> Claim:
        """Files a task and claims it."""
        given: dict[str, Any] = {"name": "started", **options}
        row = self.enqueue(conversation_id, **given)
        claim = self.claim_one(names=[row["name"]])
        assert claim.task_id == row["id"]
        return claim

    def finish(self, claim: Claim, action: Action = Action.SUCCEED, **values: Any) -> None:
        self.do(queue.finish, claim, action, **values)

    def park(self, claim: Claim, *awaited: str, **options: Any) -> bool:
        def park(conn: Connection) -> bool:
            return waits.park(conn, claim, queue.held_row(conn, claim, also=awaited), awaited=awaited, **options)

        return self.do(park)

    def cancel(self, task_id: str, tenant: str = "") -> TaskRow:
        return self.do(cancel.cancel_task, task_id, tenant)

    def answer(self, task_id: str, given: Any, tenant: str = "") -> TaskRow:
        return self.do(durable.answer, task_id, tenant, given)

    def sweep(self) -> int:
        return self.do(leases.sweep)

    def expire(self, claim: Claim) -> None:
        """The lease has ended."""
        self.expire_task(claim.task_id, claim.epoch)

    def expire_task(self, task_id: str, epoch: int) -> None:
        """The lease of this claim of the task has ended."""
        self.do(lambda conn: conn.run(SET_LEASE, {"id": task_id, "epoch": epoch, "at": conn.now() - 1}))

    def give(self, claim: Claim, owner: str) -> None:
        """The task is somebody else's."""
        self.do(lambda conn: conn.run(SET_OWNER, {"id": claim.task_id, "owner": owner}))

    def be_due(self, task_id: str) -> None:
        """The time that a queued task waits for has come; a sweep will see it."""

        def put_back(conn: Connection) -> None:
            found = rows.read(conn, task_id)
            at = None if found is None or found["run_at"] is None else conn.wall() - 1
            conn.run(BE_DUE, {"id": task_id, "ready": conn.now() - 1, "run_at": at})

        self.do(put_back)

    def limits(self) -> dict[str, int]:
        """How many of each concurrency key are counted."""
        return {str(row[0]): int(row[1]) for row in self.see(lambda conn: conn.all(LIMITS))}

    def ring(self, task_id: str) -> None:
        """The time that a parked task waits for has come."""
        self.do(lambda conn: conn.run(SET_WAKE, {"id": task_id, "at": conn.now() - 1}))

    # --- turns

    def create(self, conversation_id: str | None = None, **values: Any) -> Accepted:
        given: dict[str, Any] = {
            "tenant": "", "desk": DESK, "input": [{"type": "message", "content": "hello"}], "request": {},
            "conversation_id": conversation_id,
        }  # fmt: skip
        return self.do(inbox.accept_create, NewCreate(**{**given, **values}))

    def steer(self, response_id: str, **values: Any) -> SteerAccepted:
        given: dict[str, Any] = {"tenant": "", "response_id": response_id, "input": [{"type": "message"}]}
        return self.do(inbox.accept_steer, NewSteer(**{**given, **values}))

    def claim_turn(self) -> Claim:
        return self.claim_one(slot="turn", names=[DESK])

    def begin(self, claim: Claim) -> tuple[str, list[Entry]]:
        """What a worker does first with a turn: its response and what enters with it."""

        def begin(conn: Connection) -> tuple[str, list[Entry]]:
            found = turns.of_task(conn, claim.task_id)
            assert found is not None
            queue.held_row(conn, claim, found["conversation_id"])
            conn.run(SET_TURN, {"id": found["id"], "status": "in_progress"})
            return found["id"], inbox.take(conn, found["conversation_id"], found["id"])

        return self.do(begin)

    def end_turn(self, claim: Claim, action: Action = Action.SUCCEED) -> None:
        def finish(conn: Connection) -> None:
            found = turns.of_task(conn, claim.task_id)
            assert found is not None
            row = queue.held_row(conn, claim, found["conversation_id"])
            conn.run(SET_TURN, {"id": found["id"], "status": "completed"})
            end(conn, row, action)

        self.do(finish)

    def run_turn(self) -> tuple[str, list[Entry]]:
        """Claims, begins and ends the turn that is next."""
        claim = self.claim_turn()
        found = self.begin(claim)
        self.end_turn(claim)
        return found

    # --- what is there

    def row(self, task_id: str) -> TaskRow:
        found = self.see(rows.read, task_id)
        assert found is not None
        return found

    def status(self, of: Claim | TaskRow | str) -> str:
        task_id = of if isinstance(of, str) else of.task_id if isinstance(of, Claim) else of["id"]
        return str(self.row(task_id)["status"])

    def tasks(self) -> list[TaskRow]:
        return self.see(lambda conn: [rows.as_dict(row) for row in conn.all(TASKS)])

    def edges(self) -> list[tuple[str, str]]:
        return self.see(lambda conn: [(row[0], row[1]) for row in conn.all(EDGES)])

    def turns(self) -> list[dict[str, Any]]:
        return self.see(lambda conn: [turns.as_turn(row) for row in conn.all(TURNS)])

    def turn(self, response_id: str) -> dict[str, Any]:
        found = self.see(turns.read, response_id)
        assert found is not None
        return found

    def about(self, conversation_id: str) -> dict[str, Any]:
        """The conversation's row."""
        names = [column.name for column in conversation.columns]
        row = self.see(lambda conn: conn.one(CONVERSATION, {"id": conversation_id}))
        assert row is not None
        return dict(zip(names, row, strict=True))

    def inbox(self, conversation_id: str, *kinds: str) -> list[InInbox]:
        found = self.see(lambda conn: conn.all(ENTRIES, {"id": conversation_id}))
        return [
            InInbox(row[0], row[1], row[2], row[3], from_json(row[4])) for row in found if not kinds or row[1] in kinds
        ]

    def log(self, conversation_id: str, after: int = 0) -> list[dict[str, Any]]:
        """Every event of the conversation after a cursor."""
        found: list[dict[str, Any]] = []
        while some := self.see(events.read_after, conversation_id, after):  # so many rows at a time
            found += [from_json(text) for row in some for _, text in events.texts(row, after)]
            after = some[-1].first + some[-1].count - 1
        return found

    def told(self, conversation_id: str) -> list[str]:
        """What the log says of tasks: ``finished succeeded``."""
        return [f"{one['type'].rpartition('.')[2]} {one['task']['status']}" for one in self.log(conversation_id)]
