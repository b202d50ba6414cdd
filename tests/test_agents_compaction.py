"""Long conversations: summarised in the background, durable, and nothing of them is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from frontdesk.agents import Agent, Compaction, Desk, tool
from frontdesk.agents.model import Model, ModelRequest
from frontdesk.agents.models.chat import ChatModel
from frontdesk.agents.models.offline import OfflineModel
from frontdesk.agents.models.responses import ResponsesModel
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, fail, say, wait
from frontdesk.agents.summary_item import is_summary
from frontdesk.agents.summary_storage import file_summary, forget, settled, task_name
from frontdesk.agents.table import Item, StoredSummary
from frontdesk.broker import listing, rows
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.statements import Statement, p, table
from frontdesk.tasks import task
from frontdesk.tasks.states import TERMINAL
from frontdesk.tasks.table import Task
from frontdesk.tests.fakes.office import Office, office, text_of
from frontdesk.tests.fakes.openai_api import Answer, Call, FakeOpenAI, Say, fake_openai

SHORT = Compaction(tokens=200, keep=0)
LONG = "word " * 60  # with its answer and what is around them, about 125 tokens

summary, item, tasks = table(StoredSummary), table(Item), table(Task)
SUMMARIES: Statement = Statement(
    sa.select(summary.c.position, summary.c.text).where(summary.c.conversation_id == p("id")).order_by("position")
)
WRITING: Statement = Statement(sa.select(tasks).where(tasks.c.name == p("name")).order_by(tasks.c.created_at))
DELETE_ITEM: Statement = Statement(sa.delete(item).where(item.c.conversation_id == p("id"), item.c.id == p("item")))


class Speaker:
    """Answers with what it was shown of what people said, and writes summaries that are numbered."""

    def __init__(self, *, during: Gate | None = None, **calls: ScriptedReply) -> None:
        self._during, self._calls = during, calls
        self.summaries = 0
        self.shown: list[list[str]] = []

    def __call__(self, request: ModelRequest) -> ScriptedReply:
        if request.purpose == "summary":
            self.summaries += 1
            notes = say(f"Notes {self.summaries}.")
            return notes if self._during is None else wait(self._during) + notes
        said = [one["content"][0]["text"] for one in request.items if one.get("role") == "user"]
        self.shown.append([text.splitlines()[-1] if is_summary(text) else text.split()[0] for text in said])
        name = said[-1].split()[0]
        return self._calls.pop(name) if name in self._calls else say(f"Heard {name}.")


def desk(speaker: Any, compaction: Compaction | None = SHORT) -> Desk[None]:
    return Desk(Agent("triage"), model=ScriptedModel(speaker), compaction=compaction)


async def talk(at: Office, *names: str, conversation_id: str | None = None, **fields: Any) -> str:
    """Says something long for each name, one after the other; the conversation."""
    for name in names:
        accepted = await at.create(f"{name} {LONG}", conversation_id, **fields)
        await at.ended(accepted)
        conversation_id = accepted.conversation_id
    assert conversation_id is not None
    return conversation_id


async def written(at: Office, conversation_id: str, number: int = 1) -> list[str]:
    """The texts of the conversation's summaries, as soon as there are so many and none is being written."""

    def look(conn: Connection) -> list[str] | None:
        found = [str(row[1]) for row in conn.all(SUMMARIES, {"id": conversation_id})]
        busy = [one for one in writing(conn) if one["status"] not in TERMINAL]
        return found if len(found) >= number and not busy else None

    return await at.until(look)


def writing(conn: Connection) -> list[rows.TaskRow]:
    """The tasks that write summaries."""
    return [rows.as_dict(row) for row in conn.all(WRITING, {"name": task_name("desk")})]


async def ended(at: Office, *statuses: str) -> rows.TaskRow:
    """The only task that writes a summary, as soon as it has one of these states."""

    def look(conn: Connection) -> rows.TaskRow | None:
        return next((one for one in writing(conn) if one["status"] in statuses), None)

    return await at.until(look)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_long_conversation_is_summarised_and_its_items_stay(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    url = None if engine == "sqlite" else request.getfixturevalue("postgresql").create()
    speaker = Speaker()
    async with office(desk(speaker), tmp_path, url=url) as at:
        one = await talk(at, "one", "two")
        assert await written(at, one) == ["Notes 1."]
        await talk(at, "three", conversation_id=one)
        assert speaker.shown[-1] == ["Notes 1.", "two", "three"]
        assert await written(at, one, 2) == ["Notes 1.", "Notes 2."]
        await talk(at, "four", conversation_id=one)
        assert speaker.shown[-1] == ["Notes 2.", "three", "four"]
        said = [str(found.body["content"]) for found in await at.items(one)]
        assert [text.count("one") + text.count("two") > 0 for text in said][:4] == [True] * 4
        assert len(said) == 8
        assert await at.database.read(listing.of_conversation, one) == []


async def test_no_answer_waits_for_a_summary(tmp_path: Path) -> None:
    gate = Gate()
    speaker = Speaker(during=gate)
    async with office(desk(speaker), tmp_path) as at:
        one = await talk(at, "one", "two")
        await gate.reached()
        await talk(at, "three", "four", conversation_id=one)  # each as long as all: nothing more is filed meanwhile
        assert speaker.shown[-1] == ["one", "two", "three", "four"]
        gate.open()
        await written(at, one)
        await talk(at, "five", conversation_id=one)
        assert speaker.shown[-1][0].startswith("Notes")
        assert "one" not in speaker.shown[-1]


async def test_nothing_is_summarised_below_the_budget_or_where_it_is_turned_off(tmp_path: Path) -> None:
    speaker = Speaker()
    for number, compaction in enumerate((None, Compaction(tokens=10_000, keep=0))):
        (tmp_path / str(number)).mkdir()
        async with office(desk(speaker, compaction), tmp_path / str(number)) as at:
            one = await talk(at, "one", "two", "three")
            await at.quiet(one)
            assert await at.database.read(writing) == []
    assert speaker.summaries == 0


async def test_an_agent_has_a_budget_and_a_writer_of_its_own(tmp_path: Path) -> None:
    writer = ScriptedModel([say("By the writer.")], name="writer")
    mine = Compaction(tokens=200, keep=0, model=writer, instructions="Keep order numbers.")
    speaker = Speaker()
    async with office(Desk(Agent("triage", compaction=mine), model=ScriptedModel(speaker)), tmp_path) as at:
        one = await talk(at, "one", "two")
        assert await written(at, one) == ["By the writer."]
    assert speaker.summaries == 0
    assert writer.requests[0].instructions.endswith("Keep order numbers.")


async def test_a_worker_that_goes_leaves_the_summary_to_the_next_one(tmp_path: Path) -> None:
    gate = Gate()
    speaker = Speaker(during=gate)
    async with office(desk(speaker), tmp_path, start=False) as at:
        worker = at.start()
        one = await talk(at, "one", "two")
        await gate.reached()
        await worker.stop(0.0)
        gate.open()
        at.start()
        assert await written(at, one) == ["Notes 2."]


async def test_a_call_that_the_client_still_owes_is_never_hidden(tmp_path: Path) -> None:
    locate: dict[str, Any] = {"type": "function", "name": "locate", "parameters": {"type": "object", "properties": {}}}
    speaker = Speaker(where=call("locate", call_id="c1"))
    model = ScriptedModel(speaker)
    async with office(Desk(Agent("triage"), model=model, compaction=SHORT), tmp_path) as at:
        first = await at.create(f"where {LONG}", request={"tools": [locate]})
        assert (await at.ended(first))["status"] == "completed"
        one = await talk(at, "two", "three", conversation_id=first.conversation_id)
        await written(at, one)
        answer = {"type": "function_call_output", "call_id": "c1", "output": "Berlin"}
        await at.ended(await at.create([answer], one))
        asked = [one for one in model.requests if one.purpose == "reply"][-1].items
        assert is_summary(asked[0]["content"][0]["text"])
        found = [(one["type"], one.get("output")) for one in asked if one.get("call_id") == "c1"]
        assert found == [("function_call", None), ("function_call_output", "Berlin")]
        assert "locate" not in str(next(one for one in model.requests if one.purpose == "summary").items)


async def test_calls_and_their_outputs_are_summarised_together(tmp_path: Path) -> None:
    @tool
    async def weigh() -> str:
        """Weighs."""
        return "7 kg"

    speaker = Speaker(one=call("weigh"))
    model = ScriptedModel(lambda request: say("Seven.") if heavy(request) else speaker(request))

    def heavy(request: ModelRequest) -> bool:
        return bool(request.items) and request.items[-1].get("output") == "7 kg"

    async with office(Desk(Agent("triage", tools=[weigh]), model=model, compaction=SHORT), tmp_path) as at:
        one = await talk(at, "one", "two")
        await written(at, one)
        await talk(at, "three", conversation_id=one)
        assert [item["type"] for item in model.requests[-1].items if "call" in item["type"]] == []
    asked = next(request for request in model.requests if request.purpose == "summary")
    assert '{"call":"weigh","arguments":"{}","output":"7 kg"}' in asked.items[0]["content"][0]["text"]


async def test_a_fork_has_the_summaries_of_what_it_holds_and_no_others(tmp_path: Path) -> None:
    speaker = Speaker()
    async with office(desk(speaker, Compaction(tokens=270, keep=0)), tmp_path) as at:
        ids: list[str] = []
        one = None
        for name in ("one", "two", "three", "four"):
            accepted = await at.create(f"{name} {LONG}", one)
            await at.ended(accepted)
            one = accepted.conversation_id
            ids.append(accepted.response_id)
            if name == "three":
                await written(at, one)
        assert await written(at, str(one), 2) == ["Notes 1.", "Notes 2."]  # of one and two, then of three
        await at.ended(await at.create("on", str(one)))  # continues the head
        for of, shown in zip(ids, (["one", "fork"], ["Notes 1.", "fork"], ["Notes 2.", "fork"]), strict=False):
            await at.ended(await at.create("left", previous_response_id=of))
            fork = await at.create("fork", previous_response_id=of)
            await at.ended(fork)
            assert fork.conversation_id != one
            assert speaker.shown[-1] == shown
            assert len(await at.items(fork.conversation_id)) == 2 * (ids.index(of) + 2)


async def test_what_was_deleted_meanwhile_is_in_no_summary(tmp_path: Path) -> None:
    gate = Gate()
    speaker = Speaker(during=gate)
    async with office(desk(speaker), tmp_path) as at:
        one = await talk(at, "one", "two")
        await gate.reached()
        first = (await at.items(one))[0]
        await at.database.write(delete, one, first.id)
        gate.open()
        row = await ended(at, "succeeded")
        assert row["result"] == '{"summarised":0}'
        assert await at.database.read(lambda conn: conn.all(SUMMARIES, {"id": one})) == []


def delete(conn: Connection, conversation_id: str, item_id: str) -> None:
    conn.run(DELETE_ITEM, {"id": conversation_id, "item": item_id})


async def test_a_summary_of_what_is_deleted_later_is_forgotten(tmp_path: Path) -> None:
    speaker = Speaker()
    async with office(desk(speaker), tmp_path) as at:
        one = await talk(at, "one", "two")
        await written(at, one)
        await talk(at, "three", conversation_id=one)
        await written(at, one, 2)
        for position, left in ((3, ["Notes 1."]), (1, [])):
            await at.database.write(forget, one, position)
            found = await at.database.read(lambda conn: conn.all(SUMMARIES, {"id": one}))
            assert [row[1] for row in found] == left
        await at.ended(await at.create("four", one))
        assert speaker.shown[-1] == ["one", "two", "three", "four"]


async def test_a_conversation_that_is_gone_or_all_new_needs_no_summary(tmp_path: Path) -> None:
    async with office(desk(Speaker()), tmp_path) as at:
        await at.database.write(file_summary, "desk", "", "conv_gone", "nobody")
        assert (await ended(at, "succeeded"))["result"] == '{"summarised":0}'
        assert await at.database.read(settled, "conv_gone") is None


async def test_a_model_that_fails_is_asked_again_and_nothing_is_hidden_meanwhile(tmp_path: Path) -> None:
    speaker = Speaker()

    def model(request: ModelRequest) -> ScriptedReply:
        return fail() if request.purpose == "summary" else speaker(request)

    async with office(desk(model), tmp_path) as at:
        one = await talk(at, "one", "two")
        row = await at.until(lambda conn: next((one for one in writing(conn) if one["attempt"] == 2), None))
        assert (row["status"], "scripted" in row["error"]) == ("queued", True)
        await talk(at, "three", conversation_id=one)
        assert speaker.shown[-1] == ["one", "two", "three"]
        assert len(await at.database.read(writing)) == 1


@pytest.mark.parametrize("kind", [ResponsesModel, ChatModel])
@pytest.mark.parametrize("usage", [True, False])
async def test_both_kinds_of_models_write_and_read_summaries(
    tmp_path: Path, kind: Callable[..., Model], usage: bool
) -> None:
    """With what the provider says about tokens (70 for each request), and with an estimate where it says nothing."""

    def reply(body: dict[str, Any]) -> Answer:
        text = "Notes." if "You write the notes" in str(body) else "Heard."
        asked = str(body.get("input") or body.get("messages"))
        parts = (Call("weigh", "{}"),) if "one" in asked and "7 kg" not in asked and text == "Heard." else (Say(text),)
        return Answer(parts, usage=usage)

    @tool
    async def weigh() -> str:
        """Weighs."""
        return "7 kg"

    async with fake_openai(every=reply) as fake:
        model = kind("gpt-4.1", base_url=fake.url, api_key="sk-test")
        budget = Compaction(tokens=69 if usage else 150, keep=0)
        one = Desk(Agent("triage", tools=[weigh]), model=model, compaction=budget)
        async with office(one, tmp_path) as at:
            conversation_id = await talk(at, "one")
            for name in ("two", "more", "still more"):  # one that ends while notes are tried to be written files none
                await at.quiet(conversation_id)
                await talk(at, name, conversation_id=conversation_id)
            assert set(await written(at, conversation_id)) == {"Notes."}
            await talk(at, "three", conversation_id=conversation_id)
            assert "7 kg" not in last(fake)
            assert "Notes." in last(fake)
            await at.until(lambda conn: all(found["status"] in TERMINAL for found in writing(conn)) or None)


def last(fake: FakeOpenAI) -> str:
    """The last request of a turn."""
    return str([body for body in fake.bodies if "You write the notes" not in str(body)][-1])


async def test_the_offline_model_still_knows_its_tasks_when_their_filing_is_summarised(tmp_path: Path) -> None:
    @task(keywords=["count"])
    async def count_words(number: int) -> int:
        """Counts words."""
        return number

    one = Desk(Agent("triage", tasks=[count_words]), model=OfflineModel(), compaction=Compaction(tokens=200, keep=0))
    async with office(one, tmp_path) as at:
        conversation_id = await talk(at, "Count words of number 7.")
        await at.task("T1", conversation_id, "succeeded")
        await at.quiet(conversation_id)
        await talk(at, "Thanks", "Hello", conversation_id=conversation_id)
        await written(at, conversation_id)
        response = await at.say("How is T1 doing?", conversation_id)
        assert "T1" in text_of(response)
        assert "is done" in text_of(response) or "succeeded" in text_of(response) or "finished" in text_of(response)


def test_a_database_holds_summaries_of_its_own_desk(database: Database) -> None:
    filed_twice = [database.write_blocking(file_summary, "desk", "", "conv_1", "triage") for _ in range(2)]
    assert filed_twice == [0, 0], "there is none yet"
    assert len(database.read_blocking(writing)) == 1
