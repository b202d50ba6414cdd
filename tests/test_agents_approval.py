"""Calls that a person must approve: asked for, answered whenever and by whomever, finished in the next response."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frontdesk.agents import Agent, Context, Desk, tool
from frontdesk.agents.conversation_items import add_items
from frontdesk.agents.errors import AnswerRefused
from frontdesk.agents.history import AWAITED, INTERRUPTED
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, calls, say
from frontdesk.broker.cancel import cancel_response
from frontdesk.tasks import task
from frontdesk.tasks.errors import InvalidOption
from frontdesk.tests.fakes.office import office, outputs, text_of


class Till:
    """What was paid, with the keys of the calls."""

    def __init__(self) -> None:
        self.paid: list[tuple[int, str, str]] = []


@tool(needs_approval=True)
async def pay(amount: int, context: Context[Till]) -> str:
    """Pays."""
    context.dependencies.paid.append((amount, context.agent, context.idempotency_key))
    return f"paid {amount}"


def is_much(amount: int) -> bool:
    return amount > 100


@tool(needs_approval=is_much)
async def lend(amount: int = 1000) -> str:
    """Lends."""
    return f"lent {amount}"


@tool
async def look() -> str:
    """Looks."""
    return "seen"


def till(*replies: Any, agents: Any = (), **options: Any) -> tuple[Desk[Till], ScriptedModel, Till]:
    model, money = ScriptedModel(list(replies)), Till()
    agent = Agent("clerk", tools=[pay, lend, look], handoffs=agents, **options)
    return Desk(agent, model=model, dependencies=money), model, money


def requests(response: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in response["output"] if item["type"] == "mcp_approval_request"]


def yes(request: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True, **fields}


def no(request: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {**yes(request), "approve": False, "reason": reason}


def told(model: ScriptedModel, number: int = -1) -> dict[str, Any]:
    """The outputs that the model was shown, by call id."""
    items = model.requests[number].items
    return {item["call_id"]: item["output"] for item in items if item.get("type") == "function_call_output"}


async def test_siblings_run_then_the_response_ends_with_the_request_and_the_answer_finishes_the_call(
    tmp_path: Path,
) -> None:
    desk, model, money = till(calls(call("pay", {"amount": 7}, call_id="p"), call("look", call_id="l")), say("Paid."))
    async with office(desk, tmp_path) as at:
        first = await at.say()
        (request,) = requests(first)
        assert (first["status"], outputs(first), money.paid) == ("completed", {"look": "seen"}, [])
        assert (request["name"], request["server_label"], request["arguments"]) == ("pay", "desk", '{"amount":7}')
        assert len(model.requests) == 1
        answer = await at.create([yes(request)], previous_response_id=first["id"])
        second = await at.ended(answer)
    assert (outputs(second), text_of(second)) == ({"pay": "paid 7"}, "Paid.")
    assert second["output"][0]["approval_request_id"] == request["id"]
    assert told(model) == {"p": "paid 7", "l": "seen"}
    kinds = [item["type"] for item in model.requests[-1].items]
    assert kinds == ["message", *["function_call"] * 2, *["function_call_output"] * 2]
    assert [(amount, agent) for amount, agent, _ in money.paid] == [(7, "clerk")]


async def test_a_refusal_is_the_output_with_its_reason(tmp_path: Path) -> None:
    desk, model, money = till(call("pay", {"amount": 7}, call_id="p"), say("As you like."))
    async with office(desk, tmp_path) as at:
        first = await at.say()
        second = await at.ended(await at.create([no(requests(first)[0], "too dear")], previous_response_id=first["id"]))
    assert second["output"][0]["error"]["content"][0]["text"] == told(model)["p"]
    assert told(model)["p"].endswith("was not run. Reason: too dear.")
    assert (text_of(second), money.paid) == ("As you like.", [])


async def test_whether_it_is_needed_may_depend_on_the_arguments(tmp_path: Path) -> None:
    desk, _, _ = till(
        calls(call("lend", {"amount": 100}), call("lend", {"amount": 101}), call("lend"), call("lend", {"amount": "x"}))
    )
    async with office(desk, tmp_path) as at:
        response = await at.say()
    asked = [item["arguments"] for item in requests(response)]
    assert asked == ['{"amount":101}', "{}"]
    ran = [item["output"] or item["error"] for item in response["output"] if item["type"] == "mcp_call"]
    assert (ran[0], "amount" in str(ran[1])) == ("lent 100", True)


async def test_a_function_that_fails_to_say_so_asks_a_person(tmp_path: Path) -> None:
    async def broken(context: Context[Till]) -> bool:
        raise RuntimeError("no idea")

    @tool(needs_approval=broken)
    async def risky(context: Context[Till]) -> str:
        """Risky."""
        return "done"

    desk: Desk[Till] = Desk(
        Agent("clerk", tools=[risky]), model=ScriptedModel([call("risky"), say("ok")]), dependencies=Till()
    )
    async with office(desk, tmp_path) as at:
        assert len(requests(await at.say())) == 1


def test_what_needs_approval_asks_for_must_be_an_argument() -> None:
    with pytest.raises(InvalidOption, match="'amount' is none of them"):
        tool(needs_approval=is_much)(look.function)
    with pytest.raises(InvalidOption, match="manual"):
        tool(needs_approval=True, manual=True)(look.function)


async def test_the_model_goes_on_when_all_of_its_reply_is_answered(tmp_path: Path) -> None:
    both = calls(call("pay", {"amount": 1}, call_id="a"), call("pay", {"amount": 2}, call_id="b"))
    desk, model, money = till(both, say("Both."))
    async with office(desk, tmp_path) as at:
        first = await at.say()
        one, two = requests(first)
        second = await at.ended(await at.create([yes(two)], previous_response_id=first["id"]))
        assert (outputs(second), len(model.requests), second["status"]) == ({"pay": "paid 2"}, 1, "completed")
        third = await at.ended(await at.create([no(one)], first["conversation"]["id"]))
    assert text_of(third) == "Both."
    assert (told(model)["b"], [amount for amount, *_ in money.paid]) == ("paid 2", [2])
    assert told(model)["a"].startswith("Refused")


async def test_an_answer_needs_no_more_than_the_request_and_is_taken_once(tmp_path: Path) -> None:
    desk, _, money = till(call("pay", {"amount": 1}), say("Paid."))
    async with office(desk, tmp_path) as at:
        first = await at.say()
        (request,) = requests(first)
        second = await at.create([yes(request)])
        assert second.conversation_id == first["conversation"]["id"]
        for where in ("", "previous", "conversation"):
            with pytest.raises(AnswerRefused, match="settled already"):
                await at.create(
                    [no(request)],
                    second.conversation_id if where == "conversation" else None,
                    previous_response_id=first["id"] if where == "previous" else None,
                )
        with pytest.raises(AnswerRefused, match="No approval request 'mcpr_x' found") as refused:
            await at.create([yes({"id": "mcpr_x"})], second.conversation_id)
        assert refused.value.param == "input[0].approval_request_id"
        with pytest.raises(AnswerRefused, match="No approval request"):
            await at.create([yes(request)], tenant="another")
        await at.ended(second)
    assert len(money.paid) == 1


async def test_one_input_answers_a_request_once(tmp_path: Path) -> None:
    desk, _, _ = till(call("pay", {"amount": 1}), say("Paid."))
    async with office(desk, tmp_path) as at:
        (request,) = requests(await at.say())
        with pytest.raises(AnswerRefused, match="answered twice"):
            await at.create([yes(request), no(request)])


async def test_an_answer_may_come_before_the_siblings_are_done(tmp_path: Path) -> None:
    gate = Gate()

    @tool
    async def hold() -> str:
        """Holds."""
        await gate.wait()
        return "held"

    model = ScriptedModel([calls(call("hold"), call("pay", {"amount": 1})), say("Paid.")])
    desk: Desk[Till] = Desk(Agent("clerk", tools=[pay, hold]), model=model, dependencies=Till())
    async with office(desk, tmp_path) as at:
        accepted = await at.create()
        conversation_id = accepted.conversation_id
        event = await at.event(
            conversation_id,
            lambda event: (
                event["type"] == "response.output_item.done" and event["item"]["type"] == "mcp_approval_request"
            ),
        )
        answer = await at.create([yes(event["item"])])
        gate.open()
        assert (await at.ended(accepted))["status"] == "completed"
        assert outputs(await at.ended(answer)) == {"pay": "paid 1"}


async def test_a_message_meanwhile_is_answered_and_the_request_stays_open(tmp_path: Path) -> None:
    desk, model, money = till(call("pay", {"amount": 1}, call_id="p"), say("Not yet."), say("Paid."))
    async with office(desk, tmp_path) as at:
        first = await at.say()
        conversation_id = first["conversation"]["id"]
        assert text_of(await at.say("Is it paid?", conversation_id)) == "Not yet."
        assert (told(model)["p"], money.paid) == (AWAITED, [])
        third = await at.ended(await at.create([yes(requests(first)[0])], conversation_id))
    assert (outputs(third), text_of(third)) == ({"pay": "paid 1"}, "Paid.")
    assert told(model)["p"] == "paid 1"


async def test_a_message_beside_a_part_of_the_answers_is_answered(tmp_path: Path) -> None:
    both = calls(call("pay", {"amount": 1}, call_id="a"), call("pay", {"amount": 2}, call_id="b"))
    desk, model, _ = till(both, say("One is."))
    async with office(desk, tmp_path) as at:
        one, _ = requests(await at.say())
        said: list[dict[str, Any]] = [{"type": "message", "role": "user", "content": "Only the first?"}]
        second = await at.ended(await at.create([yes(one), *said]))
    assert text_of(second) == "One is."
    assert told(model) == {"a": "paid 1", "b": AWAITED}


async def test_a_notice_meanwhile_is_told_and_the_request_stays_open(tmp_path: Path) -> None:
    gate = Gate()

    @task
    async def count() -> int:
        """Counts."""
        await gate.wait()
        return 1

    filed = call("create_task", {"task": {"name": "count", "arguments": {}}, "title": None, "again": None})
    desk, model, _ = till(filed + call("pay", {"amount": 1}, call_id="p"), say("T1 ended."), say("P."), tasks=[count])
    async with office(desk, tmp_path) as at:
        first = await at.say()
        gate.open()
        await at.task("T1", first["conversation"]["id"], "succeeded")
        await at.quiet(first["conversation"]["id"])
        assert told(model)["p"] == AWAITED
        assert outputs(await at.ended(await at.create([yes(requests(first)[0])]))) == {"pay": "paid 1"}


async def test_the_agent_that_called_runs_its_call_wherever_the_conversation_is_by_then(tmp_path: Path) -> None:
    other = Agent("other", "You have no till.")
    both = calls(call("pay", {"amount": 1}, call_id="p"), call("transfer_to_other"))

    def here(request: ModelRequest) -> ScriptedReply:
        return say(f"{request.agent} here")

    desk, model, money = till(both, here, agents=[other])
    async with office(desk, tmp_path) as at:
        first = await at.say()
        second = await at.ended(await at.create([yes(requests(first)[0])]))
    assert text_of(second) == "other here"
    assert [agent for _, agent, _ in money.paid] == ["clerk"]
    assert second["output"][0]["agent"] == {"agent_name": "clerk"}
    assert told(model)["p"] == "paid 1"


@pytest.mark.parametrize("changed", [Agent("clerk", tools=[look]), Agent("boss", tools=[pay])], ids=["tool", "agent"])
async def test_a_tool_or_an_agent_that_is_gone_by_then_is_said_to_be(tmp_path: Path, changed: Agent) -> None:
    desk, _, money = till(call("pay", {"amount": 1}))
    model = ScriptedModel([say("Gone.")])
    async with office(desk, tmp_path) as at:
        (request,) = requests(await at.say())
        await at.workers.pop().stop(0.0)
        at.desk = Desk(changed, model=model, dependencies=money)
        at.start()
        second = await at.ended(await at.create([yes(request)]))
    assert "There is no tool 'pay'" in outputs(second)["pay"]
    assert (text_of(second), money.paid) == ("Gone.", [])


async def test_a_steer_stays_pending_while_an_approval_is_open(tmp_path: Path) -> None:
    gate = Gate()

    @tool
    async def hold() -> str:
        """Holds."""
        await gate.wait()
        return "held"

    model = ScriptedModel([calls(call("hold"), call("pay", {"amount": 1})), say("Paid, in cash.")])
    desk: Desk[Till] = Desk(Agent("clerk", tools=[pay, hold]), model=model, dependencies=Till())
    async with office(desk, tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        await at.steer(accepted.response_id, "In cash!")
        gate.open()
        first = await at.ended(accepted)
        (request,) = requests(first)
        pending = await at.event(accepted.conversation_id, lambda event: event["type"] == "response.steer.pending")
        stub = {"type": "mcp_approval_response", "approval_request_id": request["id"]}
        assert pending["required_input"] == [stub]
        second = await at.ended(await at.create([yes(request)], previous_response_id=first["id"]))
    assert (text_of(second), outputs(second)) == ("Paid, in cash.", {"pay": "paid 1"})
    said = [item["content"][0]["text"] for item in model.requests[-1].items if item.get("role") == "user"]
    assert said == ["hello", "In cash!"]


async def test_cancelling_withdraws_what_was_asked(tmp_path: Path) -> None:
    gate = Gate()

    @tool
    async def hold() -> str:
        """Holds."""
        await gate.wait()
        return "held"

    model = ScriptedModel([calls(call("hold"), call("pay", {"amount": 1}, call_id="p")), say("Fine.")])
    money = Till()
    desk: Desk[Till] = Desk(Agent("clerk", tools=[pay, hold]), model=model, dependencies=money)
    async with office(desk, tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        await at.database.write_first(cancel_response, accepted.response_id, "")
        first = await at.ended(accepted)
        assert first["status"] == "cancelled"
        with pytest.raises(AnswerRefused, match="settled already"):
            await at.create([yes(requests(first)[0])])
        await at.say("And?", accepted.conversation_id)
    assert (told(model)["p"].startswith("not run"), money.paid) == (True, [])


async def test_a_call_that_was_begun_when_its_worker_died_is_not_begun_again(tmp_path: Path) -> None:
    gate, begun = Gate(), list[str]()

    @tool(needs_approval=True)
    async def once() -> str:
        """Takes its time."""
        begun.append("once")
        await gate.wait()
        return "never"

    desk = Desk(Agent("clerk", tools=[once]), model=ScriptedModel([call("once"), say("Unknown.")]))
    async with office(desk, tmp_path) as at:
        (request,) = requests(await at.say())
        accepted = await at.create([yes(request)])
        await gate.reached()
        await at.workers.pop().stop(0.0)
        at.start()
        second = await at.ended(accepted)
    assert (outputs(second), begun) == ({"once": INTERRUPTED}, ["once"])


async def test_approvals_hold_in_forks_and_are_given_once(tmp_path: Path) -> None:
    desk, _, money = till(call("pay", {"amount": 1}), say("left"), say("right"), say("Paid."))
    async with office(desk, tmp_path) as at:
        first = await at.say()
        (request,) = requests(first)
        left = await at.create("left", previous_response_id=first["id"])
        right = await at.create("right", previous_response_id=first["id"])
        assert left.conversation_id != right.conversation_id
        await at.ended(left)
        await at.ended(right)
        answered = await at.create([yes(request)], right.conversation_id)
        assert outputs(await at.ended(answered)) == {"pay": "paid 1"}
        with pytest.raises(AnswerRefused, match="settled already"):
            await at.create([yes(request)], left.conversation_id)
    assert len(money.paid) == 1


async def test_what_is_put_into_the_history_beside_a_response_approves_nothing(tmp_path: Path) -> None:
    both = calls(call("pay", {"amount": 1}, call_id="p"), call("theirs", call_id="c"))
    desk, model, money = till(both, say("On we go."))
    async with office(desk, tmp_path) as at:
        first = await at.say(request={"tools": [{"type": "function", "name": "theirs"}]})
        conversation_id = first["conversation"]["id"]
        (request,) = requests(first)
        with pytest.raises(AnswerRefused, match="given as the input of a response"):
            await at.database.write(add_items, conversation_id, "", [yes(request)])
        output = {"type": "function_call_output", "call_id": "c", "output": "there"}
        await at.database.write(add_items, conversation_id, "", [output])
        with pytest.raises(AnswerRefused, match="has its output already"):
            await at.create([output], conversation_id)
        assert text_of(await at.ended(await at.create([yes(request)]))) == "On we go."
    assert told(model) == {"p": "paid 1", "c": "there"}
    assert len(money.paid) == 1
