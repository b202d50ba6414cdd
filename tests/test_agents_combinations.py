"""What is true of a cancel that comes too late to stop anything, and of agents that are tools when they must ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.batch import Batch, Ref
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, say
from frontdesk.agents.nested_storage import file_nested, nested_request
from frontdesk.agents.openings import open_turn
from frontdesk.agents.storage import begin_turn
from frontdesk.agents.task_storage import Wanted
from frontdesk.broker import listing, queue
from frontdesk.broker.cancel import cancel_task
from frontdesk.tasks import TaskContext, task
from frontdesk.tests.fakes.office import Office, filed, office, outputs, text_of

REFUND = call("refund", {"order": 7})


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
@pytest.mark.parametrize("first", ["cancel", "result", "either"])
async def test_a_cancel_is_told_once_and_as_the_task_ended_whatever_the_model_says(
    tmp_path: Path, engine: str, first: str, request: pytest.FixtureRequest
) -> None:
    """The cancel comes while the function works, after it has returned, or at that moment: what is recorded, said to
    clients and told to the model is one end, and the same. The model says that it is finished."""
    gate = Gate()

    @task
    async def report(context: TaskContext) -> str:
        """Writes a report."""
        if first != "result":
            await gate.wait()
        return "finished"

    triage = ScriptedModel(lambda asked: say("It is finished, T1 succeeded.") if _told(asked) else filed("report"))
    url = None if engine == "sqlite" else request.getfixturevalue("postgresql").create()
    async with office(Desk(Agent("triage", tasks=[report], model=triage)), tmp_path, url=url) as at:
        one = (await at.say())["conversation"]["id"]
        if first == "result":
            await at.task("T1", one, "succeeded")
        else:
            await gate.reached()
        row = await at.task("T1", one)
        await at.database.write_first(cancel_task, row["id"], "")
        if first == "either":
            gate.open()
        row = await at.task("T1", one, "cancelled", "succeeded")
        await at.quiet(one)
        await at.say("And now?", one)
        assert await at.task("T1", one) == row, "what is said changes nothing"
        finished = at.said(one, "frontdesk:task.finished")
        bodies = [item.body for item in await at.items(one)]
    notices = [from_json(body["output"]) for body in bodies if str(body.get("frontdesk:call_id")).startswith("notice_")]
    expected = {"cancel": "cancelled", "result": "succeeded", "either": row["status"]}[first]
    assert (row["status"], row["result"]) == (expected, '"finished"' if expected == "succeeded" else None)
    assert [event["task"]["status"] for event in finished] == [expected]
    assert [notice["status"] for notice in notices] == [expected]


def _told(request: ModelRequest) -> bool:
    return any(one.get("type") == "function_call_output" for one in request.items)


@tool(needs_approval=True)
async def refund(order: int) -> str:
    """Refunds an order."""
    return f"refunded {order}"


def _last(request: ModelRequest) -> ScriptedReply:
    """Says what the calls were answered with."""
    return say(str([one["output"] for one in request.items if one.get("type") == "function_call_output"]))


@pytest.mark.parametrize("approve", [True, False])
async def test_an_agent_in_an_agent_asks_the_person_and_both_callers_wait(tmp_path: Path, *, approve: bool) -> None:
    clerk = Agent("clerk", tools=[refund], model=ScriptedModel([REFUND, _last]))
    boss = Agent("boss", tools=[clerk.as_tool()], model=ScriptedModel([call("clerk", {"input": "refund"}), _last]))
    front = Agent(
        "front", tools=[boss.as_tool()], model=ScriptedModel([call("boss", {"input": "refund"}), _last, _last])
    )
    async with office(Desk(front), tmp_path) as at:
        accepted = await at.create()
        request = await _asked(at, accepted.conversation_id)
        answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve}
        await at.create([answer], accepted.conversation_id)
        text = text_of(await at.ended(accepted))
        await at.quiet(accepted.conversation_id)
    assert ("refunded 7" in text, "Refused" in text) == (approve, not approve)


async def _asked(at: Office, conversation_id: str) -> dict[str, Any]:
    event = await at.event(
        conversation_id,
        lambda event: event["type"] == "response.output_item.done" and event["item"]["type"] == "mcp_approval_request",
    )
    item: dict[str, Any] = event["item"]
    return item


async def test_a_nested_run_is_filed_once_for_its_call(tmp_path: Path) -> None:
    """A worker that was killed between filing and what it remembers of it files again: nothing is filed twice."""
    made = Agent("clerk").as_tool()
    async with office(Desk(Agent("front", tools=[made])), tmp_path, start=False) as at:
        accepted = await at.create()
        (claim,) = await at.database.write(queue.claim, "turn", ["desk"], "test", 30.0, 1)
        opening = await at.database.read(open_turn, claim)
        assert opening is not None
        ref = Ref(claim, accepted.response_id, accepted.conversation_id)
        await at.database.write(begin_turn, ref, Batch(taken=opening.entries))
        wanted = [Wanted(nested_request(made, "look"), f"call_{n}", "front", True) for n in range(2)]
        await at.database.write(file_nested, ref, Batch(), wanted[:1])
        await at.database.write(file_nested, ref, Batch(), wanted)
        found = await at.database.read(listing.of_conversation, accepted.conversation_id)
    assert sorted(row["label"] for row in found) == ["T1", "T2"]


async def test_a_worker_without_task_slots_leaves_the_call_to_one_that_has_them(tmp_path: Path) -> None:
    clerk = Agent("clerk", model=ScriptedModel([say("done")]))
    triage = ScriptedModel([call("clerk", {"input": "?"}), say("so")])
    async with office(Desk(Agent("front", tools=[clerk.as_tool()], model=triage)), tmp_path, tasks=0) as at:
        accepted = await at.create()
        assert await at.turn_status(accepted.response_id, "waiting") == "waiting"
        assert (await at.task("T1", accepted.conversation_id))["status"] == "queued"
        at.start(turns=0)
        assert outputs(await at.ended(accepted)) == {"clerk": "done"}
