"""Questions of delegated agents, and titles of tasks in any language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.catalog import ASK
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, say
from frontdesk.broker import durable
from frontdesk.broker.cancel import cancel_task
from frontdesk.broker.connection import Connection
from frontdesk.tests.fakes.office import Office, filed, office, output

QUESTION = {"question": "Which colour?"}


def outputs(request: ModelRequest) -> list[str]:
    return [str(one["output"]) for one in request.items if one.get("type") == "function_call_output"]


def painter(request: ModelRequest) -> ScriptedReply:
    """Asks for a colour until it has one."""
    told = [from_json(one) for one in outputs(request)]
    if not told:
        return call(ASK, QUESTION)
    answer = told[-1]["answer"]
    return say(f"Painted {answer}.") if answer else say("Painted what the message said.")


def parent(reaction: ScriptedReply) -> Any:
    """Files a task and reacts to its question, whichever turn hears of it."""

    def reply(request: ModelRequest) -> ScriptedReply:
        told = outputs(request)
        if not told:
            return filed("painter", input="Paint it.")
        reacted = any(one.get("name") in ("answer_task", "update_task") for one in request.items)
        return reaction if "Which colour?" in str(told) and not reacted else say("I have it painted.")

    return reply


def desk(triage: ScriptedModel, model: Any = painter, *tools: Any) -> Desk[None]:
    expert = Agent("painter", model=ScriptedModel(model), tools=tools)
    return Desk(Agent("triage", delegates=[expert], model=triage))


async def waits(at: Office, conversation_id: str) -> Any:
    """The delegated run's task, once it waits with its question."""

    def look(conn: Connection) -> Any:
        from frontdesk.broker import listing

        row = listing.find(conn, conversation_id, "T1")
        return row if row is not None and row["waiting_for"] == "answer" else None

    return await at.until(look)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_delegated_agent_asks_and_whoever_delegated_answers(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    url = None if engine == "sqlite" else request.getfixturevalue("postgresql").create()
    triage = ScriptedModel(parent(call("answer_task", {"task": "T1", "answer": "blue"})))
    async with office(desk(triage), tmp_path, url=url) as at:
        one = (await at.create("Paint it.")).conversation_id
        row = await at.task("T1", one, "succeeded")
        await at.quiet(one)
        said = [item for event in at.said(one, "completed") for item in event["response"]["output"]]
        assert row["result"] == '"Painted blue."'
        assert await at.database.read(durable.records, row["id"]) == []
    told = [from_json(output(item)) for item in said if item.get("name") == "check_task"]
    assert [one.get("question") or one.get("result") for one in told] == ["Which colour?", "Painted blue."]
    assert ASK not in [spec.name for request in triage.requests for spec in request.tools]


async def test_the_person_answers_days_later_and_on_another_worker(tmp_path: Path) -> None:
    triage = ScriptedModel([filed("painter", input="Paint it."), say("Filed."), say("It asks."), say("Red, then.")])
    async with office(desk(triage), tmp_path, start=False) as at:
        worker = at.start()
        one = (await at.create("Paint it.")).conversation_id
        row = await waits(at, one)
        await at.quiet_but_for(one, "T1")
        await worker.stop(0.0)
        at.start()
        await at.database.write(durable.answer, row["id"], "", "red")
        assert (await at.task("T1", one, "succeeded"))["result"] == '"Painted red."'
        await at.quiet(one)


async def test_a_message_goes_before_an_answer_and_withdraws_the_question(tmp_path: Path) -> None:
    triage = ScriptedModel(parent(call("update_task", {"task": "T1", "message": "Take what you like."})))
    async with office(desk(triage), tmp_path) as at:
        one = (await at.create("Paint it.")).conversation_id
        row = await at.task("T1", one, "succeeded")
        assert row["result"] == '"Painted what the message said."'
        await at.quiet(one)


async def test_an_agent_that_asks_is_cancelled_like_any_other(tmp_path: Path) -> None:
    triage = ScriptedModel([filed("painter", input="Paint it."), say("Filed."), say("It asks."), say("Stopped.")])
    async with office(desk(triage), tmp_path) as at:
        one = (await at.create("Paint it.")).conversation_id
        row = await waits(at, one)
        await at.quiet_but_for(one, "T1")
        await at.database.write_first(cancel_task, row["id"], "")
        await at.task("T1", one, "cancelled")
        await at.quiet(one)


@pytest.mark.parametrize("arguments", [{}, {"question": " "}, {"question": 7}])
async def test_a_question_without_words_is_refused(tmp_path: Path, arguments: dict[str, Any]) -> None:
    def model(request: ModelRequest) -> ScriptedReply:
        told = outputs(request)
        return say(told[0]) if told else call(ASK, arguments)

    async with office(desk(ScriptedModel([filed("painter", input="x"), say("F."), say("N.")]), model), tmp_path) as at:
        one = (await at.create()).conversation_id
        assert "question is the text of a question" in (await at.task("T1", one, "succeeded"))["result"]
        await at.quiet(one)


async def test_a_tool_of_that_name_is_the_agents_own(tmp_path: Path) -> None:
    @tool
    async def ask(question: str) -> str:
        """Asks the oracle."""
        return '{"answer": "green"}'

    triage = ScriptedModel([filed("painter", input="Paint it."), say("Filed."), say("Green.")])
    async with office(desk(triage, painter, ask), tmp_path) as at:
        one = (await at.create()).conversation_id
        assert (await at.task("T1", one, "succeeded"))["result"] == '"Painted green."'
        await at.quiet(one)


TITLES = ["مهمة طويلة \u202e‏", "작업 🧹👩‍👩‍👧", "two\nlines\ttabbed", "a\0b", "e\u0301" * 400, "'; DROP TABLE--", "  "]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_title_is_in_any_language(tmp_path: Path, engine: str, request: pytest.FixtureRequest) -> None:
    url = None if engine == "sqlite" else request.getfixturevalue("postgresql").create()
    gate = Gate()

    @tool
    async def hold() -> str:
        """Holds."""
        await gate.wait()
        return "{}"

    def expert(request: ModelRequest) -> ScriptedReply:
        return say("Done.") if outputs(request) else call("hold")

    def triage(request: ModelRequest) -> ScriptedReply:
        text = str(request.items[-1].get("content"))
        if request.items[-1].get("role") != "user" or "title" not in text:
            return call("list_tasks") if "last" in text else say("Ok.")
        title = TITLES[int(request.items[-1]["content"][0]["text"].split()[1])]
        task = {"name": "painter", "arguments": {"input": "Paint it."}}
        return call("create_task", {"task": task, "title": title, "again": True})

    async with office(desk(ScriptedModel(triage), expert, hold), tmp_path, url=url) as at:
        one = None
        for number in range(len(TITLES)):
            accepted = await at.create(f"title {number}", one)
            await at.ended(accepted)
            one = accepted.conversation_id
        rows = [await at.task(f"T{number + 1}", str(one)) for number in range(len(TITLES))]
        told = [event["task"]["title"] for event in at.said(str(one), "frontdesk:task.created")]
        gate.open()
        await at.quiet(str(one))
    expected = [(title.replace("\0", "")[:500]) or "painter" for title in TITLES]
    assert [row["title"] for row in rows] == expected
    assert told == expected


async def test_an_agent_that_is_a_tool_answers_its_caller_and_asks_nobody(tmp_path: Path) -> None:
    expert = ScriptedModel([say("Which colour?")])
    triage = ScriptedModel([call("painter", {"input": "Paint it."}), say("It needs a colour.")])
    front = Agent("triage", tools=[Agent("painter", model=expert).as_tool()], model=triage)
    async with office(Desk(front), tmp_path) as at:
        await at.say()
    assert [spec.name for request in expert.requests for spec in request.tools] == []
