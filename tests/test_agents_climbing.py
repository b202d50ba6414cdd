"""Runs that are over while something below them asks, or ends: whoever is above them is told, and can answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from frontdesk.agents import Agent, Desk
from frontdesk.agents.catalog import ASK
from frontdesk.agents.errors import ModelRefused
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, fail, say
from frontdesk.broker import listing
from frontdesk.broker.cancel import cancel_task
from frontdesk.tasks import TaskContext, task
from frontdesk.tests.fakes.office import Office, filed, office

GATES: dict[str, Gate] = {}


def told(request: ModelRequest) -> list[dict[str, Any]]:
    """What a model was told of tasks: the outputs that are objects."""
    texts = [str(one["output"]) for one in request.items if one.get("type") == "function_call_output"]
    return [from_json(text) for text in texts if text.startswith("{")]


@task
async def painting(context: TaskContext) -> str:
    """Paints."""
    return f"Painted {await context.ask('Which colour?')}."


@task
async def counting(context: TaskContext) -> int:
    """Counts."""
    await GATES["counting"].wait()
    return 42


def files_and_leaves(name: str, **arguments: Any) -> Callable[[ModelRequest], ScriptedReply]:
    """A lead that files something, and then says that it is none of its business."""

    def reply(request: ModelRequest) -> ScriptedReply:
        return say("I leave that.") if told(request) else filed(name, **arguments)

    return reply


def answers(label: str, first: str) -> Callable[[ModelRequest], ScriptedReply]:
    """Triage: delegates, answers the question of the task with this label once, and says what it was told last."""

    def reply(request: ModelRequest) -> ScriptedReply:
        known = told(request)
        if not known:
            return filed(first, input="Have it painted.")
        asks = any(one.get("task") == label and one.get("question") for one in known)
        if asks and not any(one.get("name") == "answer_task" for one in request.items):
            return call("answer_task", {"task": label, "answer": "blue"})
        return say("Noted.")

    return reply


def lead(name: str, model: Any, **options: Any) -> Agent:
    return Agent(name, model=ScriptedModel(model), **options)


def desk(triage: Any, *delegates: Agent) -> Desk[None]:
    return Desk(Agent("triage", delegates=delegates, model=ScriptedModel(triage)))


async def news(at: Office, conversation_id: str) -> list[dict[str, Any]]:
    """What the conversation was told of tasks, each time with the name by which it was."""
    await at.quiet(conversation_id)
    items = [one.body for one in await at.items(conversation_id)]
    notices = [one for one in items if str(one.get("frontdesk:call_id", "")).startswith("notice")]
    return [from_json(one["output"]) for one in notices]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_question_that_a_run_leaves_is_answered_above_it(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    url = None if engine == "sqlite" else request.getfixturevalue("postgresql_url")
    foreman = lead("foreman", files_and_leaves("painting"), tasks=[painting])
    async with office(desk(answers("T1.T1", "foreman"), foreman), tmp_path, url=url) as at:
        accepted = await at.create("Paint it.")
        row = await at.task("T1.T1", accepted.conversation_id, "succeeded")
        found = await news(at, accepted.conversation_id)
    assert (row["label"], from_json(row["result"])) == ("T1.T1", "Painted blue.")
    assert [(one["task"], one["status"]) for one in found] == [
        ("T1", "succeeded"), ("T1.T1", "waiting"), ("T1.T1", "succeeded"),
    ]  # fmt: skip
    assert found[1]["question"] == "Which colour?"


async def test_it_goes_up_as_far_as_somebody_is_there(tmp_path: Path) -> None:
    foreman = lead("foreman", files_and_leaves("painting"), tasks=[painting])
    builder = lead("builder", files_and_leaves("foreman", input="Paint."), delegates=[foreman])
    async with office(desk(answers("T1.T1.T1", "builder"), builder), tmp_path) as at:
        accepted = await at.create("Build it.")
        await at.task("T1.T1.T1", accepted.conversation_id, "succeeded")
        found = await news(at, accepted.conversation_id)
    assert [one["task"] for one in found if one["name"] == "painting"] == ["T1.T1.T1", "T1.T1.T1"]


async def test_an_agent_that_asks_is_answered_above_too(tmp_path: Path) -> None:
    def painter(request: ModelRequest) -> ScriptedReply:
        known = told(request)
        return say(f"Painted {known[-1]['answer']}.") if known else call(ASK, {"question": "Which colour?"})

    foreman = lead("foreman", files_and_leaves("painter", input="Paint."), delegates=[lead("painter", painter)])
    async with office(desk(answers("T1.T1", "foreman"), foreman), tmp_path) as at:
        accepted = await at.create("Paint it.")
        row = await at.task("T1.T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)
    assert from_json(row["result"]) == "Painted blue."


async def test_what_a_run_that_failed_has_not_heard_is_told_above_it(tmp_path: Path) -> None:
    gate = GATES["counting"] = Gate()

    def broken(request: ModelRequest) -> ScriptedReply:
        return fail(ModelRefused) if told(request) else filed("counting")

    foreman = lead("foreman", broken, tasks=[counting])
    async with office(desk(answers("none", "foreman"), foreman), tmp_path) as at:
        accepted = await at.create("Count.")
        await at.task("T1", accepted.conversation_id, "failed")
        gate.open()
        await at.task("T1.T1", accepted.conversation_id, "succeeded")
        found = await news(at, accepted.conversation_id)
    assert [(one["task"], one["status"], one.get("result")) for one in found] == [
        ("T1", "failed", None), ("T1.T1", "succeeded", 42),
    ]  # fmt: skip


async def test_a_run_that_is_cancelled_takes_all_along_and_one_notice_says_so(tmp_path: Path) -> None:
    GATES["counting"] = Gate()
    foreman = lead("foreman", files_and_leaves("counting"), tasks=[counting])
    async with office(desk(answers("none", "foreman"), foreman), tmp_path) as at:
        accepted = await at.create("Count.")
        await GATES["counting"].reached()
        row = await at.task("T1", accepted.conversation_id, "waiting")
        await at.database.write(cancel_task, row["id"], "")
        await at.task("T1.T1", accepted.conversation_id, "cancelled")
        found = await news(at, accepted.conversation_id)
    assert [(one["task"], one["status"]) for one in found] == [("T1", "cancelled")]


async def test_the_way_to_a_task_names_no_other(tmp_path: Path) -> None:
    GATES["counting"] = Gate()
    foreman = lead("foreman", files_and_leaves("counting"), tasks=[counting])
    async with office(desk(answers("none", "foreman"), foreman), tmp_path) as at:
        accepted = await at.create("Count.")
        row = await at.task("t1.t1", accepted.conversation_id, "running")
        assert row["label"] == "T1.T1"
        for label in ("T1.", ".T1", "T1.T2", "T2.T1", "T1.T1.T1", f"{row['id']}.T1"):
            assert await at.database.read(listing.find, accepted.conversation_id, label) is None
        GATES["counting"].open()
        await news(at, accepted.conversation_id)
