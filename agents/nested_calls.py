"""Agents as tools, in a turn that is kept in the database: each call is a run with a conversation of its own, filed as
a task, and the turn is parked until it has ended. A crash on either side loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from pydantic_core import from_json

from ..broker.cancel import cancel_task
from ..broker.connection import Connection
from ..broker.rows import TaskRow
from ..broker.runs import Run
from ..tasks.errors import ArgumentsError
from ..tasks.states import TERMINAL, Status
from . import nested_storage
from .batch import Batch
from .calls import CallOutput
from .journal import Journal
from .nested import DEEPEST, Fit, NestedCall
from .nested_storage import Joined
from .stores import DurableStore
from .task_storage import Wanted

NO_DEADLINE: Final = -1.0


class NestedCalls:
    """The calls of agents of one turn's run."""

    def __init__(self, run: Run, store: DurableStore, journal: Journal) -> None:
        self._run, self._store, self._journal = run, store, journal

    async def begin(self, calls: Sequence[NestedCall], agent: str) -> None:
        waits = self._journal.progress.waits
        wanted: list[Wanted] = []
        for one in calls:
            call_id = one.call.call_id
            if call_id in waits:  # it began before a park or a crash
                continue
            try:
                text = one.asked()
            except ArgumentsError as error:
                await self._journal.output(CallOutput(call_id, str(error), True, "error"))
                continue
            if self._store.ref.claim.depth >= DEEPEST:
                await self._journal.output(one.too_deep())
                continue
            waits[call_id] = await self._deadline(one.tool.timeout)
            wanted.append(Wanted(nested_storage.nested_request(one.tool, text), call_id, agent, True))
        if wanted:
            await self._journal.commit_in(lambda batch: self._store.write(nested_storage.file_nested, batch, wanted))

    async def _deadline(self, timeout: float | None) -> float:
        return NO_DEADLINE if timeout is None else timeout + await self._run.database.read(Connection.now)

    async def join(self, calls: Sequence[NestedCall], fit: Fit) -> bool:
        waits = self._journal.progress.waits
        left = {one.call.call_id: one for one in calls if one.call.call_id in waits}
        tasks = await self._tasks(list(left))
        while left:
            deadline = min((waits[one] for one in left if waits[one] >= 0), default=None)
            awaited = {call_id: tasks[call_id]["id"] for call_id in left if call_id in tasks}
            joined = await self._journal.commit_in(partial(self._join, awaited, deadline))
            if joined.why == "parked":
                self._run.over = True
                return False
            if joined.why == "cancelled":
                self._run.ask("cancel")
            now = await self._run.database.read(Connection.now)
            for call_id, one in list(left.items()):
                output = await self._ended(one, joined.tasks.get(call_id), now)
                if output is not None:
                    del left[call_id], waits[call_id]
                    await self._journal.output(await fit(one, output))
        return True

    async def _join(self, awaited: Mapping[str, str], deadline: float | None, batch: Batch) -> Joined:
        return await self._store.write(nested_storage.join_nested, batch, awaited, deadline=deadline)

    async def _ended(self, one: NestedCall, row: TaskRow | None, now: float) -> CallOutput | None:
        """The output of a call; None: its agent is still at work."""
        if row is None:
            return one.failed("has no run any more: it was deleted")
        if row["status"] not in TERMINAL:
            deadline = self._journal.progress.waits[one.call.call_id]
            if deadline < 0 or now < deadline:
                return None
            await self._run.database.write(cancel_task, row["id"], row["tenant"])
            return one.timed_out()
        if row["status"] == Status.SUCCEEDED:
            return one.said(_text(row["result"]))
        return one.failed(f"did not answer ({row['status']}): {row['error'] or 'it was stopped'}")

    async def _tasks(self, call_ids: Sequence[str]) -> Mapping[str, TaskRow]:
        return await self._run.database.read(nested_storage.tasks_of, self._store.ref, call_ids)

    async def stop(self) -> None:
        """Stops what the calls of a turn that is about to end have begun."""
        for row in (await self._tasks(list(self._journal.progress.waits))).values():
            if row["status"] not in TERMINAL:
                await self._run.database.write(cancel_task, row["id"], row["tenant"])


def _text(result: str | None) -> str:
    """What a run has said; its result is JSON."""
    value: Any = None if result is None else from_json(result)
    return value if isinstance(value, str) else "" if value is None else str(result)
