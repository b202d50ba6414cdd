"""Carrying out the task tools: each call of a model becomes one commit, and JSON (or an error that says what to do) for the model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import from_json

from ..broker import durable, listing, notices, rows
from ..broker.cancel import cancel_task
from ..broker.connection import Connection
from ..broker.errors import CircularWait, NotFound
from ..broker.failpoints import operation
from ..broker.rows import TaskRow
from ..broker.runs import Run
from ..tasks.errors import ArgumentsError, ToolError
from ..tasks.states import TERMINAL
from ..tasks.table import TaskRequest
from . import storage
from .agent import Agent
from .calls import Call, CallOutput
from .catalog import Catalog
from .entries import task_report
from .events import encoded
from .journal import Journal
from .storage import Ref

DEEPEST: Final = 16  # levels of tasks that create tasks
PIECE: Final = 8_000  # characters that read_task_result returns
FIRST_POLL: Final = 5.0
LONGEST_POLL: Final = 300.0


def poll_after(checks: int) -> float:
    """Seconds after which a live task is worth another look, when it has been looked at so often in this turn."""
    return min(FIRST_POLL * 2.0 ** max(checks - 1, 0), LONGEST_POLL)


@operation
def send_message(conn: Connection, row: TaskRow, text: str) -> None:
    """Puts a message for a delegated agent into its inbox."""
    child = storage.conversation_of(conn, row["id"])
    if child is not None:
        notices.put(conn, child, row["id"], {"text": text}, "message")


class TaskCalls:
    """The task tools of one run of a turn."""

    def __init__(
        self, run: Run, ref: Ref, journal: Journal, catalog: Callable[[], Catalog], agents: Mapping[str, Agent]
    ):
        self._run, self._ref, self._journal, self._catalog, self._agents = run, ref, journal, catalog, agents
        self._tools: dict[str, Callable[[Call, dict[str, Any]], Awaitable[Any]]] = {
            "create_task": self._create,
            "list_tasks": self._list,
            "cancel_task": self._cancel,
            "answer_task": self._answer,
            "update_task": self._update,
            "read_task_result": self._read,
        }

    async def run(self, call: Call, agent: str) -> CallOutput:
        """Runs one call that does not wait."""
        try:
            value = await self._tools[call.name](call, _arguments(call.arguments))
        except (ArgumentsError, ToolError, NotFound, CircularWait) as error:
            return CallOutput(call.call_id, str(error), True, "error")
        return CallOutput(call.call_id, encoded(value))

    async def wait(self, call: Call, *, resumed: bool) -> CallOutput | None:
        """Runs ``check_task`` or ``wait_for_tasks``; None when the turn was parked."""
        try:
            given = _arguments(call.arguments)
            if call.name == "check_task":
                value = await self._check(call, given, resumed=resumed)
            else:
                value = await self._wait(call, given, resumed=resumed)
        except (ArgumentsError, ToolError, NotFound, CircularWait) as error:
            return CallOutput(call.call_id, str(error), True, "error")
        return None if value is None else CallOutput(call.call_id, encoded(value))

    async def _create(self, call: Call, given: dict[str, Any]) -> Any:
        what = given.get("task")
        if not isinstance(what, Mapping) or not isinstance(what.get("name"), str):
            raise ArgumentsError(f"task is an object with the name and the arguments of one of: {self._known()}")
        request = self._request(str(what["name"]), what.get("arguments") or {}, str(given.get("title") or ""))
        claim = self._ref.claim
        if claim.depth >= DEEPEST:
            raise ToolError(f"tasks may create tasks {DEEPEST} levels deep; do this one yourself")
        row, twin = await self._run.database.write(
            storage.create_task,
            self._ref,
            request,
            created_by=f"{self._ref.response_id}/{call.call_id}",
            again=given.get("again") is True,
            agent=self._catalog().agent.name,
            depth=claim.depth + 1,
            child=request.kind == "agent",
        )
        created: dict[str, Any] = {"task": row["label"], "name": row["name"], "status": row["status"]}
        if twin:
            created["note"] = "the same task is live already: nothing was created; again=true runs it once more"
        return created

    def _request(self, name: str, arguments: Any, title: str) -> TaskRequest:
        catalog = self._catalog()
        function = catalog.functions.get(name)
        options = {"title": title[:500]} if title else {}
        if function is not None:
            return function.request(arguments, **options)
        if name in catalog.delegates:
            task = arguments.get("input") if isinstance(arguments, Mapping) else None
            if not isinstance(task, str) or not task.strip():
                raise ArgumentsError(f"{name} takes {{'input': text}}: what it is to do")
            return TaskRequest(kind="agent", name=name, arguments={"input": task}, on_crash="retry", **options)
        raise ArgumentsError(f"there is no task {name!r}; there are: {self._known()}")

    def _known(self) -> str:
        catalog = self._catalog()
        return ", ".join(sorted({*catalog.functions, *catalog.delegates})) or "none for this agent"

    async def _row(self, label: Any) -> TaskRow:
        """The task of this conversation with this label or id. Raises ToolError naming those that exist."""
        if not isinstance(label, str) or not label:
            raise ArgumentsError(f"task is the label of a task, such as 'T1', not {label!r}")
        row = await self._run.database.read(listing.find, self._ref.conversation_id, label)
        if row is None:
            known = await self._run.database.read(listing.of_conversation, self._ref.conversation_id)
            labels = ", ".join(one["label"] for one in known) or "none yet"
            raise ToolError(f"there is no task {label!r} in this conversation; its tasks: {labels}")
        return row

    async def _list(self, call: Call, given: dict[str, Any]) -> Any:
        found = await self._run.database.read(listing.of_conversation, self._ref.conversation_id)
        reports = [task_report(rows.view({**one, "result": None})) for one in found]
        return {"tasks": reports}

    async def _cancel(self, call: Call, given: dict[str, Any]) -> Any:
        row = await self._row(given.get("task"))
        if row["status"] in TERMINAL:
            return {"task": row["label"], "status": row["status"], "note": "it had ended already"}
        after = await self._run.database.write_first(cancel_task, row["id"], self._ref.claim.tenant)
        asked = after["status"] not in TERMINAL
        return {"task": row["label"], "name": row["name"], "status": "cancelling" if asked else after["status"]}

    async def _answer(self, call: Call, given: dict[str, Any]) -> Any:
        row = await self._row(given.get("task"))
        if row["waiting_for"] != "answer":
            raise ToolError(f"{row['label']} is {row['status']} and asks nothing")
        await self._run.database.write(durable.answer, row["id"], self._ref.claim.tenant, given.get("answer"))
        return {"task": row["label"], "status": "queued"}

    async def _update(self, call: Call, given: dict[str, Any]) -> Any:
        row = await self._row(given.get("task"))
        if row["kind"] != "agent" or row["status"] in TERMINAL:
            raise ToolError(
                f"{row['label']} is {'a function' if row['kind'] != 'agent' else row['status']}: it reads no messages"
            )
        await self._run.database.write(send_message, row, str(given.get("message") or ""))
        return {"task": row["label"], "status": row["status"], "note": "it reads this at its next step"}

    async def _read(self, call: Call, given: dict[str, Any]) -> Any:
        row = await self._row(given.get("task"))
        text = row["result"]
        if text is None:
            raise ToolError(f"{row['label']} is {row['status']} and has no result")
        offset = given.get("offset") or 0
        if not isinstance(offset, int) or not 0 <= offset <= len(text):
            raise ArgumentsError(f"offset is a number from 0 to {len(text)}, not {offset!r}")
        end = min(offset + PIECE, len(text))
        piece = {"task": row["label"], "offset": offset, "text": text[offset:end], "characters": len(text)}
        return piece if end == len(text) else {**piece, "next_offset": end}

    async def _check(self, call: Call, given: dict[str, Any], *, resumed: bool) -> Any:
        """A first look answers at once; a second at a task that is still live waits until it ends, or is worth another look."""
        row = await self._row(given.get("task"))
        progress = self._journal.progress
        looks = progress.checks.get(row["id"], 0)
        parked = resumed and call.call_id in progress.waits
        if row["status"] not in TERMINAL and row["waiting_for"] != "answer" and (looks or parked):
            waited = await self._park(call, [row["id"]], None, poll_after(looks), resumed=parked)
            if waited is None:
                return None
            row = waited.tasks[0]
        progress.checks[row["id"]] = looks + 1
        live = row["status"] not in TERMINAL
        lines = from_json(row["log_tail"])[-5:] if live else ()
        return task_report(rows.view(row), poll_after=poll_after(looks + 1) if live else None, log=lines)

    async def _wait(self, call: Call, given: dict[str, Any], *, resumed: bool) -> Any:
        labels = given.get("tasks")
        if not isinstance(labels, list) or not labels:
            raise ArgumentsError("tasks is a list of labels, such as ['T1', 'T2']")
        found = [await self._row(label) for label in labels]
        need = 1 if given.get("until") == "any" else None
        seconds = given.get("timeout_seconds")
        if seconds is not None and (not isinstance(seconds, int | float) or not 0 <= seconds < 1e9):
            raise ArgumentsError(f"timeout_seconds is a number of seconds, not {seconds!r}")
        parked = resumed and call.call_id in self._journal.progress.waits
        waited = await self._park(call, [one["id"] for one in found], need, seconds, resumed=parked)
        if waited is None:
            return None
        reports = [task_report(rows.view(one)) for one in waited.tasks]
        if waited.why == "done":
            return {"tasks": reports}
        live = ", ".join(one["label"] for one in waited.tasks if one["status"] not in TERMINAL)
        why = "interrupted by new input" if waited.why == "interrupted" else "timed out"
        return {"tasks": reports, "note": f"{why}, {live} still running"}

    async def _park(
        self, call: Call, ids: Sequence[str], need: int | None, seconds: float | None, *, resumed: bool
    ) -> storage.Waited | None:
        """Waits, or parks the turn (None). The deadline is set at the first time and kept with the turn."""
        progress = self._journal.progress
        database = self._run.database
        if not resumed:
            now = await database.read(Connection.now)
            progress.waits[call.call_id] = -1.0 if seconds is None else now + seconds
        deadline = progress.waits[call.call_id]
        waited = await self._journal.parking(
            lambda batch: database.write(
                storage.wait_or_park, self._ref, batch, ids, need=need,
                deadline=None if deadline < 0 else deadline, resumed=resumed,
            )
        )  # fmt: skip
        if waited.why == "parked":
            self._run.over = True
            return None
        progress.waits.pop(call.call_id, None)
        return waited


def _arguments(text: str) -> dict[str, Any]:
    try:
        given = from_json(text or "{}")
    except ValueError as error:
        raise ArgumentsError(f"the arguments are not JSON: {error}") from error
    if not isinstance(given, dict):
        raise ArgumentsError(f"the arguments are a JSON object, not {type(given).__name__}")
    return given
