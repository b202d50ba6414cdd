"""Carrying out the task tools: each call of a model becomes one commit, and JSON (or an error that says what to do)
for the model.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from pydantic_core import from_json

from ..broker import listing, views
from ..broker.cancel import cancel_task
from ..broker.connection import Connection
from ..broker.errors import NotFound
from ..broker.rows import TaskRow
from ..broker.runs import Run
from ..tasks.errors import ArgumentsError, ToolError
from ..tasks.request import TaskRequest
from ..tasks.states import TERMINAL
from . import questions, task_storage
from .arrivals import Arrivals
from .calls import Call, CallOutput
from .catalog import ASK, Catalog
from .desk_options import DeskOptions
from .events import encoded
from .journal import Journal
from .model import JSON
from .nested_calls import NestedCalls
from .polls import SPOKEN, longest_wait, poll_after, question_of
from .reports import GONE, task_report
from .stores import DurableStore
from .task_storage import Waited, Wanted

LONGEST: Final = 4_000  # characters of a question
PIECE: Final = 8_000  # characters that read_task_result returns
LOG_LINES: Final = 5


class TaskCalls:
    """The task tools of one run of a turn."""

    def __init__(
        self,
        run: Run,
        store: DurableStore,
        journal: Journal,
        arrivals: Arrivals,
        catalog: Callable[[], Catalog],
        options: DeskOptions,
    ) -> None:
        self._run, self._store, self._journal, self._arrivals = run, store, journal, arrivals
        self._catalog, self._announce, self._deepest = catalog, options.on_task_done, options.task_depth
        self.nested = NestedCalls(run, store, journal)
        self._conversation, self._tenant = store.ref.conversation_id, store.ref.claim.tenant
        self._tools: dict[str, Callable[[Call, JSON], Awaitable[object]]] = {
            "create_task": self._create,
            "list_tasks": self._list,
            "cancel_task": self._cancel,
            "answer_task": self._answer,
            "update_task": self._update,
            "read_task_result": self._read,
        }

    async def run(self, call: Call, agent: str) -> None:
        """Runs one call that does not wait; its output is committed."""
        await self._told(call, self._tools[call.name])

    async def wait(self, call: Call, *, resumed: bool) -> bool:
        """Runs ``check_task``, ``wait_for_tasks`` or ``ask``; False: the turn was parked."""
        if call.name == ASK:
            return await self._told(call, self._ask)
        wait = self._check if call.name == "check_task" else self._wait
        return await self._told(call, partial(wait, resumed=resumed))

    async def _ask(self, call: Call, given: JSON) -> object:
        question = given.get("question")
        if not isinstance(question, str) or not question.strip():
            raise ArgumentsError(f"question is the text of a question, not {question!r}")
        text, spoken = question.replace("\0", "")[:LONGEST], self._spoken_since(call)
        asked = await self._journal.commit_in(
            lambda batch: self._store.write(questions.ask, batch, call.call_id, text, spoken=spoken)
        )
        if asked.why == "parked":
            self._run.over = True
            return None
        if asked.why == "cancelled":
            self._run.ask("cancel")
        if asked.why == "answered":
            return {"answer": asked.answer}
        return {"answer": None, "note": "not answered: a message for you came first. Ask again if you still need it"}

    def _spoken_since(self, call: Call) -> bool:
        """Whether a message has entered the history since the call was made."""
        items = self._journal.items
        made = next(at for at, one in enumerate(items) if one.body.get("frontdesk:call_id") == call.call_id)
        return any(one.body.get("role") == "user" for one in items[made:])

    async def _told(self, call: Call, tool: Callable[[Call, JSON], Awaitable[object]]) -> bool:
        """Commits the output of a call; whether the run goes on. A tool returns what the model is told, a `CallOutput`
        that is committed already, or None: the turn was parked.
        """
        try:
            told = await tool(call, _arguments(call))
        except (ArgumentsError, ToolError, NotFound) as error:
            await self._journal.output(CallOutput(call.call_id, str(error), True, "error"))
            return True
        if told is not None and not isinstance(told, CallOutput):
            await self._journal.output(CallOutput(call.call_id, encoded(told)))
        return told is not None

    async def _create(self, call: Call, given: JSON) -> object:
        what = _mapping(given.get("task"))
        if what is None or not isinstance(what.get("name"), str):
            raise ArgumentsError(f"task is an object with the name and the arguments of one of: {self._known()}")
        request = self._request(str(what["name"]), what.get("arguments"), str(given.get("title") or ""))
        if self._store.ref.claim.depth >= self._deepest:
            text = f"tasks may create tasks {self._deepest} levels deep, and this is the last; do it yourself"
            raise ToolError(text)
        wanted = Wanted(request, call.call_id, self._catalog().agent.name, given.get("again") is True)
        return await self._journal.output_in(
            call.call_id, lambda batch, slot: self._store.write(task_storage.create_task, batch, slot, wanted)
        )

    def _request(self, name: str, arguments: Any, title: str) -> TaskRequest:
        catalog = self._catalog()
        options: dict[str, Any] = {"announce": self._announce}
        if title:
            options["title"] = title.replace("\0", "")[:500]  # PostgreSQL keeps no NUL in a text
        function = catalog.functions.get(name)
        if function is not None:
            return function.request(arguments if arguments is not None else {}, **options)
        if name not in catalog.delegates:
            raise ArgumentsError(f"there is no task {name!r}; there are: {self._known()}")
        text = (_mapping(arguments) or {}).get("input")
        if not isinstance(text, str) or not text.strip():
            raise ArgumentsError(f"arguments: {name} takes {{'input': text}}, what it is to do, not {arguments!r}")
        return TaskRequest(kind="agent", name=name, arguments={"input": text}, on_crash="retry", **options)

    def _known(self) -> str:
        catalog = self._catalog()
        return ", ".join(sorted({*catalog.functions, *catalog.delegates})) or "none for this agent"

    async def _row(self, label: Any) -> TaskRow:
        """The task of this conversation with this label or id. Raises ToolError naming those that exist."""
        if not isinstance(label, str) or not label:
            raise ArgumentsError(f"task is the label of a task, such as 'T1', not {label!r}")
        row = await self._run.database.read(listing.find, self._conversation, label)
        if row is None:
            known = await self._run.database.read(listing.of_conversation, self._conversation)
            labels = ", ".join(one["label"] for one in known) or "none yet"
            raise ToolError(f"there is no task {label!r} in this conversation; its tasks: {labels}")
        return row

    async def _list(self, call: Call, given: JSON) -> object:
        found = await self._run.database.read(listing.of_conversation, self._conversation)
        return {"tasks": [task_report(views.view({**one, "result": None, "result_until": None})) for one in found]}

    async def _cancel(self, call: Call, given: JSON) -> object:
        row = await self._row(given.get("task"))
        if row["status"] in TERMINAL:
            return {"task": row["label"], "status": row["status"], "note": "it had ended already"}
        after = await self._run.database.write_first(cancel_task, row["id"], self._tenant)
        asked = after["status"] not in TERMINAL
        return {"task": row["label"], "name": row["name"], "status": "cancelling" if asked else after["status"]}

    async def _answer(self, call: Call, given: JSON) -> object:
        row = await self._row(given.get("task"))
        if "answer" not in given:
            raise ArgumentsError("answer is missing: what the task is to be told")
        return await self._journal.output_in(
            call.call_id,
            lambda batch, slot: self._store.write(
                task_storage.give_answer, batch, slot, row["id"], given["answer"]
            ),
        )  # fmt: skip

    async def _update(self, call: Call, given: JSON) -> object:
        row = await self._row(given.get("task"))
        text = given.get("message")
        if not isinstance(text, str) or not text.strip():
            raise ArgumentsError(f"message is the text for the agent, not {text!r}")
        return await self._journal.output_in(
            call.call_id,
            lambda batch, slot: self._store.write(task_storage.send_message, batch, slot, row["id"], text),
        )

    async def _read(self, call: Call, given: JSON) -> object:
        row = await self._row(given.get("task"))
        text = row["result"]
        if views.is_expired(row):
            raise ToolError(f"{row['label']}: {GONE}")
        if text is None:
            raise ToolError(f"{row['label']} is {row['status']} and has no result")
        offset = given.get("offset") or 0
        if not isinstance(offset, int) or not 0 <= offset <= len(text):
            raise ArgumentsError(f"offset is a number from 0 to {len(text)}, not {offset!r}")
        end = min(offset + PIECE, len(text))
        piece = {"task": row["label"], "offset": offset, "text": text[offset:end], "characters": len(text)}
        return piece if end == len(text) else {**piece, "next_offset": end}

    async def _check(self, call: Call, given: JSON, *, resumed: bool) -> object:
        """A first look answers at once; a later one at a task that has no news is parked (see ``polls``)."""
        row = await self._row(given.get("task"))
        progress, why = self._journal.progress, ""
        looks = progress.checks.get(row["id"], 0)
        parked = resumed and call.call_id in progress.waits
        if row["status"] not in TERMINAL and (looks or parked):
            waited = await self._park(call, [row["id"]], None, longest_wait(looks), resumed=parked, approvals=True)
            if waited is None:
                return None
            row, why = waited.tasks[0], waited.why
        progress.waits.pop(call.call_id, None)
        progress.checks[row["id"]] = looks + 1
        self._has_read([row])
        live = row["status"] not in TERMINAL
        lines = from_json(row["log_tail"])[-LOG_LINES:] if live else ()
        after = poll_after(looks + 1) if live else None
        report = task_report(views.view(row), poll_after=after, log=lines, result=row["result"])
        return {**report, "note": SPOKEN} if why == "interrupted" else report

    async def _wait(self, call: Call, given: JSON, *, resumed: bool) -> object:
        labels: list[Any] | None = given.get("tasks")
        if not isinstance(labels, list) or not labels:
            raise ArgumentsError(f"tasks is a list of labels, such as ['T1', 'T2'], not {labels!r}")
        until, seconds = given.get("until"), given.get("timeout_seconds")
        if until not in (None, "all", "any"):
            raise ArgumentsError(f"until is 'all' or 'any', not {until!r}")
        if seconds is not None and (not isinstance(seconds, int | float) or not 0 <= seconds < 1e9):
            raise ArgumentsError(f"timeout_seconds is a number of seconds, not {seconds!r}")
        found = [await self._row(label) for label in labels]
        parked = resumed and call.call_id in self._journal.progress.waits
        ids = [one["id"] for one in found]
        waited = await self._park(call, ids, 1 if until == "any" else None, seconds, resumed=parked)
        if waited is None:
            return None
        self._has_read(waited.tasks)
        reports = [task_report(views.view(one), result=one["result"]) for one in waited.tasks]
        if waited.why == "done":
            return {"tasks": reports}
        live = ", ".join(one["label"] for one in waited.tasks if one["status"] not in TERMINAL)
        if waited.why == "asks":
            return {"tasks": reports, "note": "a task asks: answer_task answers it, then wait again"}
        why = "timed out" if waited.why == "timeout" else "interrupted by new input"
        return {"tasks": reports, "note": f"{why}, {live} still running"}

    def _has_read(self, tasks: Sequence[TaskRow]) -> None:
        """The model is told of these: of those that have ended, the notices are waiting and tell nothing new."""
        asked = self._journal.progress.asked
        asked += [what for one in tasks if (what := question_of(one)) and what not in asked]
        ended = [one["id"] for one in tasks if one["status"] in TERMINAL]
        self._journal.progress.told += ended
        if ended:
            self._arrivals.hear()

    async def _park(
        self, call: Call, ids: Sequence[str], need: int | None, seconds: float | None, *, resumed: bool,
        approvals: bool = False,
    ) -> Waited | None:  # fmt: skip
        """Waits, or parks the turn (None). The deadline is set at the first time and kept with the turn."""
        waits = self._journal.progress.waits
        if not resumed:
            now = await self._run.database.read(Connection.now)
            waits[call.call_id] = -1.0 if seconds is None else now + seconds
        deadline = None if waits[call.call_id] < 0 else waits[call.call_id]
        asked = task_storage.Questions(tuple(self._journal.progress.asked), approvals=approvals)
        waited = await self._journal.commit_in(
            lambda batch: self._store.write(
                task_storage.wait_or_park, batch, ids, need=need, deadline=deadline, asked=asked
            )
        )
        if waited.why == "parked":
            self._run.over = True
            return None
        waits.pop(call.call_id, None)
        if waited.why == "refused":
            raise ToolError(waited.reason)
        if waited.why == "cancelled":
            self._run.ask("cancel")
        return waited


def _arguments(call: Call) -> JSON:
    """What the model wrote. Raises ArgumentsError."""
    try:
        given = from_json(call.arguments or "{}")
    except ValueError as error:
        text = f"The arguments of {call.name} are not valid JSON: {error}. Send one JSON object."
        raise ArgumentsError(text) from error
    if not isinstance(given, dict):
        raise ArgumentsError(f"The arguments of {call.name} must be one JSON object, not {type(given).__name__}.")
    return cast(JSON, given)


def _mapping(value: Any) -> Mapping[str, Any] | None:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None
