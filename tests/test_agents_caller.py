"""An application that asks its desk itself: it approves calls, and runs the tools that are its own."""

from __future__ import annotations

from typing import Any

import pytest

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.caller import ApprovalRequest, NobodyAnswers
from frontdesk.agents.history import AWAITED
from frontdesk.agents.memory import run_in_memory
from frontdesk.agents.models.scripted import ScriptedModel, call, calls, say
from frontdesk.tasks.errors import ToolError
from frontdesk.tests.fakes.office import filed, outputs


@tool(namespace="till", needs_approval=True)
async def pay(amount: int) -> str:
    """Pays."""
    return f"paid {amount}"


@tool(manual=True)
def scan(door: str) -> str:
    """Scans a badge."""
    raise AssertionError("the application runs it")


def desk(*replies: Any) -> tuple[Desk[None], ScriptedModel]:
    model = ScriptedModel(list(replies))
    return Desk(Agent("clerk", tools=[pay, scan]), model=model), model


async def test_what_the_application_approves_is_run() -> None:
    one, _ = desk(call("till-pay", {"amount": 7}), say("Paid."))
    asked: list[ApprovalRequest] = []

    def approve(request: ApprovalRequest) -> bool:
        asked.append(request)
        return True

    answer = await one.run("pay", approve=approve)
    assert (answer.text, outputs(answer.responses[-1])) == ("Paid.", {"pay": "paid 7"})
    assert asked == [ApprovalRequest("clerk", "till.pay", {"amount": 7})]


async def test_a_refusal_may_have_a_reason() -> None:
    one, model = desk(call("till-pay", {"amount": 7}), say("No."))

    async def approve(request: ApprovalRequest) -> str:
        return "too dear"

    await one.run("pay", approve=approve)
    assert model.requests[-1].items[-1]["output"].endswith("Reason: too dear.")


async def test_the_application_runs_its_own_tools() -> None:
    def scanned(door: str) -> dict[str, str]:
        if door == "back":
            raise ToolError("the back door has no scanner")
        if door == "attic":
            raise OSError("no such door")
        return {"badge": door}

    doors = calls(*(call("scan", {"door": door}) for door in ("front", "back", "attic")))
    one, model = desk(doors, say("Scanned."))
    assert (await one.run("scan", calls={"scan": scanned})).text == "Scanned."
    told = [item["output"] for item in model.requests[-1].items if "output" in item]
    assert told[:2] == ['{"badge":"front"}', "the back door has no scanner"]
    assert told[2] == "The tool scan failed: internal error (OSError)."


async def test_without_anybody_to_answer_it_says_what_to_give() -> None:
    with pytest.raises(NobodyAnswers, match=r"till.pay waits for an approval: give desk.run approve=function"):
        await desk(call("till-pay", {"amount": 7}))[0].run("pay")
    with pytest.raises(NobodyAnswers, match=r"give desk.run calls=\{'scan': function\}"):
        await desk(call("scan", {"door": "front"}))[0].run("scan")


async def test_a_delegated_run_is_approved_too() -> None:
    def script(request: Any) -> Any:
        if request.agent == "clerk":
            return call("till-pay", {"amount": 7}) if len(request.items) == 1 else say(request.items[-1]["output"])
        return filed("clerk", input="pay") if len(request.items) == 1 else say("So be it.")

    front = Agent("front", delegates=[Agent("clerk", tools=[pay])])
    answer = await Desk(front, model=ScriptedModel(script)).run("pay", approve=lambda request: True)
    assert [(task["status"], task["result"]) for task in answer.tasks] == [("succeeded", "paid 7")]


async def test_in_memory_nobody_is_asked_for_an_agent_that_is_a_tool() -> None:
    def script(request: Any) -> Any:
        if request.agent == "clerk":
            return call("till-pay", {"amount": 7})
        return call("clerk", {"input": "pay"}) if len(request.items) == 1 else say(request.items[-1]["output"])

    one = Desk(Agent("front", tools=[Agent("clerk", tools=[pay]).as_tool()]), model=ScriptedModel(script))
    assert (await run_in_memory(one, "pay")).text == "The agent clerk waits for an approval, and nobody is asked here."


async def test_in_memory_the_next_turn_brings_the_answer() -> None:
    one, model = desk(call("till-pay", {"amount": 7}, call_id="p"), say("Wait."), say("Paid."))
    first = await run_in_memory(one, "pay")
    (stub,) = first.outcome.required
    second = await run_in_memory(one, "and?", first.items)
    assert (second.text, model.requests[-1].items[-2]["output"]) == ("Wait.", AWAITED)
    third = await run_in_memory(one, [{**stub, "approve": True}], second.items)
    assert third.text == "Paid."
    told = [item["output"] for item in model.requests[-1].items if item.get("type") == "function_call_output"]
    assert told == ["paid 7"]
