"""Delegated agents: specialists that run in the background as tasks, with a conversation of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from frontdesk.agents import Agent, Desk, Limits, tool
from frontdesk.agents.errors import DeskError
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, calls, fail, say, wait
from frontdesk.broker import turns
from frontdesk.broker.cancel import cancel_task
from frontdesk.broker.events import read_after, texts
from frontdesk.tasks import TaskContext, TaskHandle, task
from frontdesk.tests.fakes.office import Office, office, output, text_of


def delegated(name: str, text: str, **options: Any) -> ScriptedReply:
    asked = {"task": {"name": name, "arguments": {"input": text}}, "title": None, "again": None}
    return call("create_task", {**asked, **options})


def waiting(*labels: str) -> ScriptedReply:
    return call("wait_for_tasks", {"tasks": list(labels), "until": None, "timeout_seconds": None})


def desk(triage: ScriptedModel, research: ScriptedModel, **options: Any) -> Desk[None]:
    """Triage may delegate to research."""
    expert = Agent("research", "You research thoroughly.", model=research, **options)
    return Desk(Agent("triage", "You help.", delegates=[expert], model=triage))


async def test_a_delegated_agent_works_in_the_background_and_its_answer_is_announced(tmp_path: Path) -> None:
    gate = Gate()
    research = ScriptedModel([wait(gate) + say("Whales are mammals.")])
    asking = delegated("research", "Are whales fish?", title="Whales")
    triage = ScriptedModel([asking, say("I have it looked up."), say("No.")])
    async with office(desk(triage, research), tmp_path) as at:
        accepted = await at.create("Are whales fish?")
        response = await at.ended(accepted)
        assert from_json(output(response["output"][0])) == {"task": "T1", "name": "research", "status": "queued"}
        row = await at.task("T1", accepted.conversation_id, "running")
        assert (row["kind"], row["title"], row["slot"]) == ("agent", "Whales", "task")
        gate.open()
        row = await at.task("T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)
        notice = at.said(accepted.conversation_id, "completed")[-1]["response"]
    assert from_json(output(notice["output"][0]))["result"] == "Whales are mammals."
    assert text_of(notice) == "No."
    (asked,) = research.requests
    assert asked.instructions == "You research thoroughly."
    assert [item["content"][0]["text"] for item in asked.items] == ["Are whales fish?"]


async def test_a_delegated_agent_reads_messages_while_it_works(tmp_path: Path) -> None:
    gate = Gate()

    @tool
    async def read() -> str:
        """Reads."""
        await gate.wait()
        return "read"

    def last(request: ModelRequest) -> ScriptedReply:
        return say(request.items[-1]["content"][0]["text"])

    research = ScriptedModel([call("read"), last])
    update = call("update_task", {"task": "T1", "message": "Dolphins too."})
    triage = ScriptedModel([delegated("research", "Whales?"), say("Filed."), update, say("Told."), say("Done.")])
    async with office(desk(triage, research, tools=[read]), tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        await gate.reached()
        told = await at.say("Dolphins too.", accepted.conversation_id)
        assert "it reads this at its next step" in output(told["output"][0])
        gate.open()
        row = await at.task("T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)
    assert from_json(row["result"]) == "Dolphins too."


async def test_a_message_that_comes_during_the_last_reply_is_read_too(tmp_path: Path) -> None:
    gate = Gate()
    research = ScriptedModel([wait(gate) + say("Whales are mammals."), say("Dolphins too.")])
    update = call("update_task", {"task": "T1", "message": "And dolphins?"})
    triage = ScriptedModel([delegated("research", "Whales?"), say("Filed."), update, say("Told."), say("Done.")])
    async with office(desk(triage, research), tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        await gate.reached()
        await at.say("And dolphins?", accepted.conversation_id)
        gate.open()
        row = await at.task("T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)
        items = await at.items(await at.child("T1", accepted.conversation_id))
    assert from_json(row["result"]) == "Dolphins too."
    assert [one.body["role"] for one in items] == ["user", "assistant", "user", "assistant"]


async def test_a_delegated_agent_that_has_answered_waits_for_the_tasks_that_it_filed(tmp_path: Path) -> None:
    gate = Gate()

    @task
    async def count(number: int) -> int:
        """Counts."""
        await gate.wait()
        return number

    filed = call("create_task", {"task": {"name": "count", "arguments": {"number": 7}}, "title": None, "again": None})
    research = ScriptedModel([filed, say("I count."), say("Seven.")])
    triage = ScriptedModel([delegated("research", "How many?"), say("Filed."), say("Seven, it says.")])
    async with office(desk(triage, research, tasks=[count]), tmp_path, tasks=2) as at:
        accepted = await at.create()
        await at.ended(accepted)
        await at.task("T1", accepted.conversation_id, "waiting")
        gate.open()
        row = await at.task("T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)
    assert from_json(row["result"]) == "Seven."
    assert '"result":7' in research.requests[2].items[-1]["output"]


async def test_a_delegated_agent_does_not_wait_for_a_task_that_waits_for_it(tmp_path: Path) -> None:
    """T1, an agent, has filed `follow`, which waits for T2, which waits for T1."""
    asked, handles, ready = Gate(), dict[str, TaskHandle](), {"lead": Gate(), "follow": Gate()}

    @task
    async def lead(context: TaskContext) -> str:
        """Waits for the agent."""
        await ready["lead"].wait()
        return str((await context.wait(handles["T1"]))[0].status)

    @task
    async def follow(context: TaskContext) -> str:
        """Waits for who waits for the agent."""
        await ready["follow"].wait()
        return str((await context.wait(handles["T2"]))[0].status)

    def filed(name: str) -> ScriptedReply:
        return call("create_task", {"task": {"name": name, "arguments": {}}, "title": None, "again": None})

    research = ScriptedModel([filed("follow"), wait(asked) + say("I am done.")])
    expert = Agent("research", "You research.", model=research, tasks=[follow])
    triage = ScriptedModel([delegated("research", "Go."), filed("lead"), *[say("Noted.")] * 9])
    both = Desk(Agent("triage", "You help.", delegates=[expert], tasks=[lead], model=triage))
    async with office(both, tmp_path, tasks=4) as at:
        accepted = await at.create()
        await at.ended(accepted)
        for label in ("T1", "T2"):
            row = await at.task(label, accepted.conversation_id, "running")
            handles[label] = TaskHandle(row["id"], label)
        turn = await at.database.read(turns.of_task, handles["T1"].id)
        assert turn is not None
        ready["follow"].open()
        await at.task("T1", turn["conversation_id"], "waiting")
        ready["lead"].open()
        await at.task("T2", accepted.conversation_id, "waiting")
        asked.open()
        row = await at.task("T1", accepted.conversation_id, "succeeded")
        ends = [await at.task("T2", accepted.conversation_id, "succeeded")]
        ends.append(await at.task("T1", turn["conversation_id"], "succeeded"))
        await at.quiet(accepted.conversation_id)
    assert from_json(row["result"]) == "I am done."
    assert [from_json(one["result"]) for one in ends] == ["succeeded", "succeeded"]


async def test_a_delegated_agent_that_fails_is_announced_with_its_error(tmp_path: Path) -> None:
    triage = ScriptedModel([delegated("research", "Whales?"), waiting("T1"), say("It failed.")])
    research = ScriptedModel([fail(message="overloaded")])
    async with office(desk(triage, research), tmp_path) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
        row = await at.task("T1", accepted.conversation_id, "failed")
    assert row["error"] == "model scripted: overloaded"
    (report,) = from_json(output(response["output"][1]))["tasks"]
    assert (report["status"], report["error"]) == ("failed", "model scripted: overloaded")


async def test_a_delegated_agent_at_its_limit_says_so_in_its_result(tmp_path: Path) -> None:
    @tool
    async def read() -> str:
        """Reads."""
        return "read"

    research = Agent("research", tools=[read], model=ScriptedModel(lambda request: call("read")))
    triage = ScriptedModel([delegated("research", "Whales?"), waiting("T1"), say("It stopped.")])
    one = Desk(Agent("triage", delegates=[research], model=triage), limits=Limits(model_calls=4))
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        row = await at.task("T1", accepted.conversation_id, "succeeded")
    assert "4 model calls" in row["result"]


async def test_cancelling_a_delegated_agent_cancels_what_it_has_filed(tmp_path: Path) -> None:
    gate = Gate()

    @task
    async def count(context: TaskContext, number: int) -> int:
        """Counts."""
        await gate.wait()
        return number

    filed = call("create_task", {"task": {"name": "count", "arguments": {"number": 7}}, "title": None, "again": None})
    research = ScriptedModel([filed, waiting("T1")])
    triage = ScriptedModel([delegated("research", "How many?"), say("Filed."), say("Cancelled.")])
    async with office(desk(triage, research, tasks=[count]), tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        row = await at.task("T1", accepted.conversation_id, "waiting")
        child = await at.child("T1", accepted.conversation_id)
        await gate.reached()
        await at.database.write(cancel_task, row["id"], "")
        await at.task("T1", child, "cancelled")
        await at.task("T1", accepted.conversation_id, "cancelled")
        await at.quiet(accepted.conversation_id)


LEVELS = 5


def nested() -> Desk[None]:
    """Agents of which each delegates to the next, and waits for it; the last one answers."""

    def model(level: int) -> ScriptedModel:
        if level == LEVELS:
            return ScriptedModel([say("the bottom")])
        return ScriptedModel([delegated(f"level{level + 1}", "go down"), waiting("T1"), _report])

    below: Agent | None = None
    for level in range(LEVELS, 0, -1):
        below = Agent(f"level{level}", model=model(level), delegates=[below] if below is not None else [])
    assert below is not None
    entry = ScriptedModel([delegated("level1", "go down"), waiting("T1"), _report])
    return Desk(Agent("triage", model=entry, delegates=[below]))


def _report(request: ModelRequest) -> ScriptedReply:
    (report,) = from_json(request.items[-1]["output"])["tasks"]
    return say(f"{report['result']}, from {report['name']}")


async def test_five_levels_of_delegation_end_on_one_worker_with_one_slot_each(tmp_path: Path) -> None:
    async with office(nested(), tmp_path, turns=1, tasks=1) as at:
        response = await at.say()
    expected = "the bottom" + "".join(f", from level{level}" for level in range(LEVELS, 0, -1))
    assert text_of(response) == expected


async def test_delegation_goes_only_so_deep(tmp_path: Path) -> None:
    def deeper(request: ModelRequest) -> ScriptedReply:
        last = request.items[-1]
        if last.get("role") == "user":
            return delegated("mole", "dig")
        said = str(last.get("output"))
        if said.startswith("tasks may create"):
            return say(said)
        return waiting("T1") if '"status":"queued"' in said else _report(request)

    mole = Agent("mole", delegates=["mole"], model=ScriptedModel(deeper))
    async with office(Desk(mole, task_depth=5), tmp_path, turns=1, tasks=1) as at:
        response = await at.say()
    text = text_of(response)
    assert "tasks may create tasks 5 levels deep" in text
    assert text.count("from mole") == 5
    assert Desk(mole).options.task_depth == 16
    with pytest.raises(DeskError, match="task_depth"):
        Desk(mole, task_depth=-1)


async def test_a_task_cannot_wait_for_the_one_that_made_it(tmp_path: Path) -> None:
    @task
    async def child(context: TaskContext, parent: str) -> str:
        """Waits for its parent."""
        await context.wait(TaskHandle(parent, ""))
        return "never"

    @task
    async def parent(context: TaskContext) -> dict[str, str]:
        """Waits for its child."""
        (outcome,) = await context.wait(await context.create(child, parent=context.task_id))
        return {"status": outcome.status, "error": outcome.error or ""}

    filed = call("create_task", {"task": {"name": "parent", "arguments": {}}, "title": None, "again": None})
    model = ScriptedModel([filed, waiting("T1"), say("It could not.")])
    one = Desk(Agent("triage", tasks=[parent, child], model=model))
    async with office(one, tmp_path, tasks=1) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
    (report,) = from_json(output(response["output"][1]))["tasks"]
    assert report["result"]["status"] == "failed"
    assert "cannot wait for" in report["result"]["error"]


async def test_an_agent_cannot_wait_for_the_run_that_it_is(tmp_path: Path) -> None:
    """Its own task belongs to another conversation, so it is not found; and a model has no other name for it."""
    seen: list[str] = []
    gate = Gate()
    research = ScriptedModel([
        wait(gate) + call("list_tasks"),
        lambda request: waiting(seen[0]),
        lambda request: say(request.items[-1]["output"]),
    ])  # fmt: skip
    triage = ScriptedModel([delegated("research", "Whales?"), say("Filed."), say("Done.")])
    async with office(desk(triage, research), tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        seen.append((await at.task("T1", accepted.conversation_id, "running"))["id"])
        gate.open()
        row = await at.task("T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)
    assert f"there is no task '{seen[0]}' in this conversation" in row["result"]


@pytest.mark.parametrize("number", [1, 3])
async def test_several_specialists_work_side_by_side(tmp_path: Path, number: int) -> None:
    gate = Gate()
    here: list[str] = []

    async def meet() -> None:
        here.append("")
        if len(here) == number:
            gate.open()
        await gate.wait()

    research = ScriptedModel(lambda request: wait(meet) + say(request.items[0]["content"][0]["text"]))
    filings = calls(*(delegated("research", f"question {one}") for one in range(number)))
    labels = [f"T{one + 1}" for one in range(number)]
    triage = ScriptedModel([filings, waiting(*labels), say("All answered.")])
    async with office(desk(triage, research), tmp_path, tasks=number) as at:
        response = await at.say()
    reports = from_json(output(response["output"][-2]))["tasks"]
    assert sorted(one["result"] for one in reports) == [f"question {one}" for one in range(number)]


async def test_the_events_of_a_delegated_run_are_those_of_a_response(tmp_path: Path) -> None:
    gate = Gate()
    triage = ScriptedModel([delegated("research", "Whales?"), say("Filed."), say("Done.")])
    async with office(desk(triage, ScriptedModel([wait(gate) + say("Mammals.")])), tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        child = await at.child("T1", accepted.conversation_id)
        gate.open()
        await at.task("T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)
        kinds = await _log(at, child)
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"


async def _log(at: Office, conversation_id: str) -> list[str]:
    rows = await at.database.read(read_after, conversation_id, 0)
    return [from_json(text)["type"] for row in rows for _, text in texts(row)]
