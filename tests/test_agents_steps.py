"""The steps of a run: its states with their times, and what was asked, called and used."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.errors import ModelUnavailable
from frontdesk.agents.model import Usage
from frontdesk.agents.models.scripted import Gate, ScriptedModel, call, calls, done, fail, say
from frontdesk.agents.steps import of_run
from frontdesk.broker.errors import ResponseNotFound
from frontdesk.tests.fakes.office import office


@tool
async def look() -> str:
    """Looks."""
    return "seen"


@tool(needs_approval=True)
async def pay(amount: int) -> str:
    """Pays."""
    return f"paid {amount}"


LOCATE = {"type": "function", "name": "locate"}


async def test_a_run_goes_on_over_the_responses_that_bring_what_it_asked_for(tmp_path: Path) -> None:
    first_reply = calls(call("look"), call("pay", {"amount": 1}), call("locate", call_id="c")) + done(
        Usage(7, output_tokens=3)
    )
    model = ScriptedModel([first_reply, say("Paid.") + done(Usage(9, output_tokens=2))])
    async with office(Desk(Agent("clerk", tools=[look, pay]), model=model), tmp_path) as at:
        first = await at.say(request={"tools": [LOCATE]})
        open_run = await at.database.read(of_run, first["id"], "")
        assert open_run["status"] == "requires_action"
        request = next(item for item in first["output"] if item["type"] == "mcp_approval_request")
        output = [{"type": "function_call_output", "call_id": "c", "output": "Aachen"}]
        second = await at.ended(await at.create(output, previous_response_id=first["id"]))
        yes = [{"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}]
        third = await at.ended(await at.create(yes))
        runs = [await at.database.read(of_run, one["id"], "") for one in (first, second, third)]
        with pytest.raises(ResponseNotFound):
            await at.database.read(of_run, first["id"], "another")
    states = [(one["status"], one["response_id"]) for one in runs[0]["states"]]
    ids = [first["id"], second["id"], third["id"]]
    ends = ["requires_action", "requires_action", "completed"]
    expected = [(what, one) for one, end in zip(ids, ends, strict=True) for what in ("queued", "in_progress", end)]
    assert states == expected
    times = [one["at"] for one in runs[0]["states"]]
    assert times == sorted(times)
    assert runs[1] == {**runs[0], "response_id": second["id"]}
    asked, approved, answered = runs[2]["data"]
    assert [(one["name"], one["status"]) for one in asked["calls"]] == [
        ("look", "completed"),
        ("pay", "completed"),
        ("locate", "completed"),
    ]
    assert [(one["name"], one["status"]) for one in open_run["data"][0]["calls"]] == [
        ("look", "completed"),
        ("pay", "requires_action"),
        ("locate", "requires_action"),
    ]
    assert (asked["agent"], asked["model"], asked["type"], asked["status"]) == (
        "clerk",
        "scripted",
        "model_reply",
        "completed",
    )
    assert (asked["usage"]["input_tokens"], answered["usage"]["total_tokens"]) == (7, 11)
    assert asked["started_at"] <= asked["replied_at"] <= asked["calls"][0]["finished_at"] <= asked["finished_at"]
    assert (approved["type"], approved["usage"], approved["calls"][0]["approval_request_id"]) == (
        "calls",
        None,
        request["id"],
    )
    assert (answered["calls"], answered["response_id"]) == ([], third["id"])


async def test_a_run_that_is_under_way_and_one_whose_stream_broke(tmp_path: Path) -> None:
    gate = Gate()

    @tool
    async def hold() -> str:
        """Holds."""
        await gate.wait()
        return "held"

    broken = say("Well", whole=False) + fail(ModelUnavailable("scripted", "the connection was lost"))
    model = ScriptedModel([broken, call("hold"), say("Done.")])
    async with office(Desk(Agent("clerk", tools=[hold]), model=model), tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        run = await at.database.read(of_run, accepted.response_id, "")
        gate.open()
        await at.ended(accepted)
        after = await at.database.read(of_run, accepted.response_id, "")
    assert [one["status"] for one in run["states"]] == ["queued", "in_progress"]
    assert [one["status"] for one in run["data"]] == ["failed", "in_progress"]
    assert (run["data"][1]["finished_at"], run["data"][1]["calls"][0]["status"]) == (None, "in_progress")
    assert [one["status"] for one in after["data"]] == ["failed", "completed", "completed"]
    assert after["status"] == "completed"
