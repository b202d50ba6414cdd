"""Approvals that delegated runs need: the person is asked in the conversation that they follow, and answers there or by
the task's question; no model can.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.approvals import decision
from frontdesk.agents.errors import AnswerRefused, NotAnApproval
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.scripted import Scripted, ScriptedModel, ScriptedReply, call, calls, say
from frontdesk.broker.cancel import cancel_task
from frontdesk.broker.inputs import Accepted
from frontdesk.server.accepting import answer_task
from frontdesk.tests.fakes.office import Office, filed, office, outputs, text_of


@tool(needs_approval=True)
async def refund(order: int) -> str:
    """Refunds an order."""
    return f"refunded {order}"


@tool(manual=True)
def locate() -> str:
    """Where the person is."""
    raise AssertionError("the client runs it")


REFUND = call("refund", {"order": 7}, call_id="r")


class Script:
    """Replies by agent, one after the other; what is not written is said with the agent's name."""

    def __init__(self, **replies: list[Any]) -> None:
        self._replies = replies

    def __call__(self, request: ModelRequest) -> Scripted:
        left = self._replies.get(request.agent)
        found: Any = left.pop(0) if left else f"{request.agent} says so"
        if isinstance(found, str | ScriptedReply):
            return found
        reply: Scripted = found(request)
        return reply


def desk(levels: int = 1, **replies: list[Any]) -> tuple[Desk[None], ScriptedModel]:
    """A front that delegates to a clerk, who may have a boss in between."""
    model = ScriptedModel(Script(**replies))
    worker = Agent("clerk", tools=[refund, locate])
    for number in range(1, levels):
        worker = Agent(f"boss{number}", delegates=[worker])
    return Desk(Agent("front", delegates=[worker]), model=model), model


async def asked(at: Office, conversation_id: str) -> dict[str, Any]:
    """The request, as soon as the conversation is asked."""
    event = await at.event(
        conversation_id,
        lambda event: event["type"] == "response.output_item.done" and event["item"]["type"] == "mcp_approval_request",
    )
    item: dict[str, Any] = event["item"]
    return item


def answer(request: dict[str, Any], *, approve: bool = True) -> list[dict[str, Any]]:
    return [{"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve}]


@pytest.mark.parametrize("levels", [1, 3])
async def test_the_person_is_asked_in_the_conversation_and_the_run_goes_on_with_the_answer(
    tmp_path: Path, levels: int
) -> None:
    between: dict[str, list[Any]] = {}
    for number in range(1, levels):
        below = "clerk" if number == 1 else f"boss{number - 1}"
        between[f"boss{number}"] = [filed(below, input="refund 7"), say("wait")]
    top = "clerk" if levels == 1 else f"boss{levels - 1}"
    one, _ = desk(
        levels, front=[filed(top, input="refund 7"), say("filed")], clerk=[REFUND, say("all done")], **between
    )
    async with office(one, tmp_path) as at:
        first = await at.say()
        conversation_id = first["conversation"]["id"]
        request = await asked(at, conversation_id)
        assert (request["name"], request["agent"]["agent_name"]) == ("refund", "clerk")
        row = await at.task("T1", conversation_id)
        if levels == 1:
            assert (row["status"], "May it call desk.refund" in row["question"]) == ("waiting", True)
        await at.quiet_but_for(conversation_id, "T1")
        second = await at.ended(await at.create(answer(request), conversation_id))
        assert outputs(second)["check_task"] == '{"task":"T1","call":"refund","the person has":"approved"}'
        await at.task("T1", conversation_id, "succeeded")
        await at.quiet(conversation_id)
        with pytest.raises(AnswerRefused, match="settled already"):
            await at.create(answer(request), conversation_id)


async def test_a_refusal_reaches_the_run(tmp_path: Path) -> None:
    one, model = desk(front=[filed("clerk", input="refund 7"), say("filed")], clerk=[REFUND, say("as you like")])
    async with office(one, tmp_path) as at:
        first = await at.say()
        conversation_id = first["conversation"]["id"]
        request = await asked(at, conversation_id)
        await at.create(answer(request, approve=False), conversation_id)
        row = await at.task("T1", conversation_id, "succeeded")
        await at.quiet(conversation_id)
    assert row["result"] == '"as you like"'
    shown = [item for request in model.requests if request.agent == "clerk" for item in request.items]
    assert any(str(item.get("output")).startswith("Refused") for item in shown)


@pytest.mark.parametrize(("given", "ran"), [("Yes", True), ({"approve": False, "reason": "no"}, False), (True, True)])
async def test_answering_the_tasks_question_is_an_answer_too(tmp_path: Path, given: Any, ran: bool) -> None:
    both = calls(REFUND, call("refund", {"order": 8}))
    one, _ = desk(front=[filed("clerk", input="refund"), say("filed")], clerk=[both, last])
    async with office(one, tmp_path) as at:
        conversation_id = (await at.say())["conversation"]["id"]
        request = await asked(at, conversation_id)
        row = await at.task("T1", conversation_id, "waiting")
        with pytest.raises(NotAnApproval, match="answer yes, or no and why, not 'perhaps'"):
            await at.database.write(answer_task, row["id"], "", "perhaps")
        await at.database.write(answer_task, row["id"], "", given)
        row = await at.task("T1", conversation_id, "succeeded")
        with pytest.raises(AnswerRefused, match="settled already"):
            await at.create(answer(request), conversation_id)
        await at.quiet(conversation_id)
    assert ("refunded 7" in row["result"], "refunded 8" in row["result"]) == (ran, ran)


def last(request: ModelRequest) -> Scripted:
    """Says what the tools have said."""
    return say(" ".join(str(item["output"]) for item in request.items if "output" in item))


async def test_no_model_can_approve(tmp_path: Path) -> None:
    yes = call("answer_task", {"task": "T1", "answer": "yes"})
    one, _ = desk(front=[filed("clerk", input="refund 7"), say("filed"), yes, say("hm")], clerk=[REFUND, say("no")])
    async with office(one, tmp_path) as at:
        first = await at.say()
        conversation_id = first["conversation"]["id"]
        await asked(at, conversation_id)
        await at.quiet_but_for(conversation_id, "T1")
        said = [
            e["item"] for e in at.said(conversation_id, "output_item.done") if e["item"].get("name") == "answer_task"
        ]
        assert "only the person can give" in said[0]["error"]["content"][0]["text"]
        assert (await at.task("T1", conversation_id))["status"] == "waiting"


async def test_a_message_to_the_run_meanwhile_is_read_and_the_question_stays(tmp_path: Path) -> None:
    update = call("update_task", {"task": "T1", "message": "hurry"})
    one, _ = desk(
        front=[filed("clerk", input="refund 7"), say("filed"), say("asked"), update, say("told")],
        clerk=[REFUND, say("I wait for the approval."), last],
    )
    async with office(one, tmp_path) as at:
        conversation_id = (await at.say())["conversation"]["id"]
        request = await asked(at, conversation_id)
        await at.quiet_but_for(conversation_id, "T1")
        await at.say("tell it to hurry", conversation_id)
        await at.quiet_but_for(conversation_id, "T1")
        row = await at.task("T1", conversation_id, "waiting")
        assert row["question"] is not None
        requests = [
            e for e in at.said(conversation_id, "output_item.done") if e["item"]["type"] == "mcp_approval_request"
        ]
        assert len(requests) == 1, "a person is asked once"
        await at.create(answer(request), conversation_id)
        row = await at.task("T1", conversation_id, "succeeded")
        await at.quiet(conversation_id)
    assert "refunded 7" in row["result"]


async def test_a_run_that_asks_can_be_cancelled(tmp_path: Path) -> None:
    one, _ = desk(front=[filed("clerk", input="refund 7"), say("filed")], clerk=[REFUND])
    async with office(one, tmp_path) as at:
        conversation_id = (await at.say())["conversation"]["id"]
        request = await asked(at, conversation_id)
        row = await at.task("T1", conversation_id, "waiting")
        await at.database.write_first(cancel_task, row["id"], "")
        await at.task("T1", conversation_id, "cancelled")
        await at.quiet(conversation_id)
        with pytest.raises(AnswerRefused, match="settled already"):
            await at.create(answer(request), conversation_id)


async def test_in_the_background_nobody_runs_a_manual_tool(tmp_path: Path) -> None:
    one, _ = desk(front=[filed("clerk", input="where"), say("filed")], clerk=[call("locate"), last])
    async with office(one, tmp_path) as at:
        conversation_id = (await at.say())["conversation"]["id"]
        row = await at.task("T1", conversation_id, "succeeded")
        await at.quiet(conversation_id)
    assert "needs the client of a conversation" in row["result"]


@pytest.mark.parametrize(
    ("given", "approve", "reason"),
    [("y", True, None), ("No, too dear", False, "too dear"), (False, False, None), ("ok!", True, None)],
)
def test_answers_in_words(given: Any, approve: bool, reason: str | None) -> None:
    found = decision(given)
    assert found is not None
    assert (found["approve"], found.get("reason")) == (approve, reason)


async def test_an_agent_that_is_a_tool_asks_too_and_its_caller_waits(tmp_path: Path) -> None:
    model = ScriptedModel(Script(front=[call("clerk", {"input": "refund 7"}), last], clerk=[REFUND, last]))
    front = Agent("front", tools=[Agent("clerk", tools=[refund]).as_tool()])
    async with office(Desk(front, model=model), tmp_path) as at:
        accepted = await at.create()
        request = await asked(at, accepted.conversation_id)
        answered = await at.create(answer(request), accepted.conversation_id)
        assert "refunded 7" in text_of(await at.ended(accepted))
        assert (await at.ended(answered))["status"] == "completed"


async def test_a_turn_that_waits_for_its_run_asks_for_it(tmp_path: Path) -> None:
    waits = call("wait_for_tasks", {"tasks": ["T1"], "until": None, "timeout_seconds": None})
    front = [filed("clerk", input="refund 7"), waits, last, say("all right")]
    one, _ = desk(front=front, clerk=[REFUND, last])
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        conversation_id = accepted.conversation_id
        request = await asked(at, conversation_id)
        await at.turn_status(accepted.response_id, "waiting")
        row = await at.task("T1", conversation_id, "waiting")
        await at.database.write(answer_task, row["id"], "", "yes")
        first = await at.ended(accepted)
        assert "refunded 7" in text_of(first)
        with pytest.raises(AnswerRefused, match="settled already"):
            await at.create(answer(request), conversation_id)
        await at.quiet(conversation_id)


async def test_on_postgresql_it_is_the_same(tmp_path: Path, postgresql_url: str) -> None:
    """The runs of two levels, whose answers lock two conversations, and a crowd that answers at once."""
    between = {"boss1": [filed("clerk", input="refund 7"), say("wait")]}
    front = [filed("boss1", input="refund 7"), say("filed")]
    one, _ = desk(2, front=front, clerk=[REFUND, say("all done")], **between)
    async with office(one, tmp_path, url=postgresql_url) as at:
        conversation_id = (await at.say())["conversation"]["id"]
        request = await asked(at, conversation_id)
        await at.quiet_but_for(conversation_id, "T1")
        accepted: list[Accepted] = []
        refused: list[AnswerRefused] = []

        async def answers() -> None:
            try:
                accepted.append(await at.create(answer(request), conversation_id))
            except AnswerRefused as error:
                refused.append(error)

        async with anyio.create_task_group() as crowd:
            for _ in range(4):
                crowd.start_soon(answers)
        assert (len(accepted), len(refused)) == (1, 3)
        await at.task("T1", conversation_id, "succeeded")
        await at.quiet(conversation_id)
