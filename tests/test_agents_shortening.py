"""Long turns and long delegated runs: summarised while they go on, so that no request outgrows its model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import sqlalchemy as sa
from pydantic_core import from_json

from frontdesk.agents import Agent, Compaction, Desk, tool
from frontdesk.agents.errors import ModelRefused
from frontdesk.agents.history import StoredItem
from frontdesk.agents.model import JSON, ModelRequest
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, fail, say
from frontdesk.agents.summaries import done_with, older
from frontdesk.agents.summary_item import is_summary
from frontdesk.agents.summary_storage import newest, task_name
from frontdesk.broker import rows
from frontdesk.broker.connection import Connection
from frontdesk.broker.statements import Statement, p, table
from frontdesk.tasks import Hidden, TaskContext, task
from frontdesk.tasks.table import Task
from frontdesk.tests.fakes.office import Office, filed, office, text_of

SHORT = Compaction(tokens=300, keep=0)
STEPS = 24
GATES: dict[str, Gate] = {}
WRITING = Statement(sa.select(table(Task)).where(table(Task).c.name == p("name")))


def shown(request: ModelRequest) -> list[str]:
    """What a request holds: the notes, what a person said, and which pages were read."""
    found: list[str] = []
    for one in request.items:
        if one.get("role") == "user":
            text = str(one["content"][0]["text"])
            found.append(text.splitlines()[-1] if is_summary(text) else text)
        elif one["type"] == "function_call":
            found.append(str(one["arguments"]))
    return found


class Reader:
    """Reads page after page; writes notes of what it was given. It goes on when the summary that a long request has
    filed is there."""

    def __init__(self, steps: int = STEPS) -> None:
        self.steps, self.read, self.notes = steps, 0, 0
        self.asked: list[list[str]] = []
        self.largest = 0

    def __call__(self, request: ModelRequest) -> ScriptedReply:
        if request.purpose == "summary":
            self.notes += 1
            return say(f"Notes {self.notes}.")
        self.asked.append(shown(request))
        self.largest = max(self.largest, len(request.items))
        if self.read == self.steps:
            return say("All read.")
        self.read += 1
        return call("page", {"number": self.read})


class Library:
    """The pages. One is handed out when no summary is being written, so that each test sees the same."""

    at: Office

    async def settled(self) -> None:
        await self.at.until(lambda conn: None if any(one["finished_at"] is None for one in writing(conn)) else True)


def writing(conn: Connection) -> list[dict[str, Any]]:
    return [rows.as_dict(row) for row in conn.all(WRITING, {"name": task_name("desk")})]


@task
async def errand(context: TaskContext) -> str:
    """Takes its time."""
    await GATES["errand"].wait()
    return "done"


@tool
async def page(number: int, library: Annotated[Library, Hidden()]) -> str:
    """A page."""
    await library.settled()
    return f"page {number} " + "word " * 60


def desk(reader: Any, library: Library, triage: ScriptedModel | None = None, **options: Any) -> Desk[Any]:
    """A reader, to whom triage delegates if there is one."""
    given: Any = {"compaction": SHORT, "dependencies": {"library": library}, "name": "desk", **options}
    expert = Agent("research", "You research.", tools=[page], tasks=[errand], model=ScriptedModel(reader))
    if triage is None:
        return Desk(expert, **given)
    return Desk(Agent("triage", "You help.", delegates=[expert], model=triage), **given)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_delegated_run_is_summarised_while_it_goes_on(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    url = None if engine == "sqlite" else request.getfixturevalue("postgresql_url")
    reader, library = Reader(), Library()
    triage = ScriptedModel([filed("research", input="Read it all."), say("Filed."), say("It was read.")])
    async with office(desk(reader, library, triage), tmp_path, url=url) as at:
        library.at = at
        accepted = await at.create("Read it all.")
        row = await at.task("T1", accepted.conversation_id, "succeeded", "failed")
        await at.quiet(accepted.conversation_id)
        items = await at.items(await at.child("T1", accepted.conversation_id))
    assert from_json(row["result"]) == "All read."
    assert sum(one.body["type"] == "mcp_call" for one in items) == STEPS, "nothing is taken away"
    assert reader.notes > 3
    assert max(len(one) for one in reader.asked) < 8, "of a run with 25 requests"
    assert reader.asked[0] == ["Read it all."]
    assert reader.asked[-1][0] == f"Notes {reader.notes}."
    assert reader.asked[-1][-1] == f'{{"number":{STEPS}}}', "the newest step is shown as it is"


async def test_a_turn_is_too_and_the_next_one_begins_with_the_summary(tmp_path: Path) -> None:
    reader, library = Reader(), Library()
    async with office(desk(reader, library), tmp_path) as at:
        library.at = at
        accepted = await at.create("Read it all.")
        assert text_of(await at.ended(accepted)) == "All read."
        await library.settled()
        assert max(len(one) for one in reader.asked) < 8
        before = await at.database.read(newest, accepted.conversation_id)  # at the next turn's end there may be another
        await at.say("And now?", accepted.conversation_id)
    assert before is not None
    assert reader.asked[-1][0] == before.text
    assert reader.asked[-1][-1] == "And now?"
    assert len(reader.asked[-1]) < 8


async def test_a_run_that_goes_on_elsewhere_is_shown_the_summary_too(tmp_path: Path) -> None:
    library = Library()
    gate = GATES["errand"] = Gate()

    class Waiting(Reader):
        def __call__(self, request: ModelRequest) -> ScriptedReply:
            if request.purpose != "summary" and self.read == 8:
                self.read += 1
                self.asked.append(shown(request))
                return filed("errand")
            if request.purpose != "summary" and self.read == 9:
                self.read += 1
                self.asked.append(shown(request))
                return call("wait_for_tasks", {"tasks": ["T1"], "until": None, "timeout_seconds": None})
            return super().__call__(request)

    reader = Waiting(10)
    async with office(desk(reader, library), tmp_path) as at:
        library.at = at
        accepted = await at.create("Read it all.")
        await at.turn_status(accepted.response_id, "waiting")
        await library.settled()
        await at.workers[0].stop()
        gate.open()
        at.start()
        assert text_of(await at.ended(accepted)) == "All read."
        await at.quiet(accepted.conversation_id)
    assert reader.asked[10][0].startswith("Notes "), "it was parked, and another worker went on"
    assert len(reader.asked[10]) < 8


async def test_a_writer_that_fails_hides_nothing_and_ends_nothing(tmp_path: Path) -> None:
    class Failing(Reader):
        def __call__(self, request: ModelRequest) -> ScriptedReply:
            return fail(ModelRefused) if request.purpose == "summary" else super().__call__(request)

    reader = Failing(6)
    bare = Agent("research", "You research.", tools=[quick], model=ScriptedModel(reader))
    async with office(Desk(bare, compaction=SHORT, name="desk"), tmp_path) as at:
        assert text_of(await at.say("Read it all.")) == "All read."
        filed_once = await at.database.read(writing)
    assert [len(one) for one in reader.asked] == [1, 2, 3, 4, 5, 6, 7]
    assert len(filed_once) == 1, "it is tried again by itself, not filed before each request"


@tool(name="page")
async def quick(number: int) -> str:
    """A page."""
    return f"page {number} " + "word " * 60


def stored(
    response: str, step: int, status: Literal["completed", "in_progress"] = "completed", kind: str = "mcp_call"
) -> StoredItem:
    body: JSON = {"type": kind, "name": "page", "server_label": "desk", "arguments": "{}", "output": "word " * 60}
    return StoredItem(f"{response}.{step}.{kind}", response, step, status, "", body)


def test_of_the_response_that_is_running_all_but_its_newest_step_is_settled() -> None:
    ended = [stored("a", -1), stored("a", 0)]
    running = [stored("b", -1), stored("b", 0), stored("b", 1)]
    assert done_with([*ended, *running], "b") == [*ended, *running[:2]]
    assert done_with([*ended, stored("b", -1)], "b") == ended, "nothing but its input"
    half = [stored("b", -1), stored("b", 0, "in_progress"), stored("b", 1), stored("b", 2)]
    assert done_with(half, "b") == half[:1]
    assert done_with([*ended, *running], "") == [*ended, *running]


def test_of_the_response_that_is_running_steps_are_left_and_of_others_whole_responses() -> None:
    items = [stored("a", 0), stored("a", 1), stored("b", -1), stored("b", 0), stored("b", 0, kind="x"), stored("b", 1)]
    assert older(items, keep=0, running="b") == items[:5]
    assert older(items, keep=200, running="b") == items[:5], "a step is not cut in two"
    assert older(items, keep=0) == items[:2]
    assert older(items, keep=300, running="b") == items[:3]
