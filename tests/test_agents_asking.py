"""Who is asked and with what: fallbacks, instructions made by a function, what a handoff's filter leaves, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from frontdesk.agents import Agent, Context, Desk, Handoff, ModelSettings, tool
from frontdesk.agents.errors import ModelRefused, ModelUnavailable
from frontdesk.agents.handoff import last_turns, without_calls
from frontdesk.agents.history import StoredItem
from frontdesk.agents.memory import run_in_memory
from frontdesk.agents.models.scripted import ScriptedModel, ScriptedReply, call, fail, say, think
from frontdesk.tests.fakes.office import office, outputs, text_of


@tool
async def note(text: str) -> str:
    """Notes a text."""
    return f"noted {text}"


# Fallbacks


@pytest.mark.parametrize("error", [ModelUnavailable, ModelRefused, RuntimeError("a defect of the model")])
async def test_the_next_model_is_asked_when_one_fails(error: Any) -> None:
    first, second = ScriptedModel([fail(error)], name="first"), ScriptedModel([say("Hello")], name="second")
    turn = await run_in_memory(Desk(Agent("triage"), model=first, fallbacks=[second]), "hello")
    assert (turn.text, turn.outcome.status) == ("Hello", "completed")
    assert second.requests[0].items == first.requests[0].items


async def test_what_the_first_had_said_stays_visible_and_is_not_shown_to_the_next(tmp_path: Path) -> None:
    broken = say("Once upon", whole=False) + fail(ModelUnavailable)
    first, second = ScriptedModel([broken, broken], name="first"), ScriptedModel([say("Hello")], name="second")
    async with office(Desk(Agent("triage"), model=first, fallbacks=[second]), tmp_path) as at:
        response = await at.say()
    assert [item["status"] for item in response["output"]] == ["incomplete", "incomplete", "completed"]
    assert text_of(response) == "Hello"
    assert [item["role"] for item in second.requests[0].items] == ["user"]


async def test_when_all_fail_the_last_one_says_why() -> None:
    models = [ScriptedModel([fail(ModelRefused, f"no {number}")], name=f"m{number}") for number in range(3)]
    turn = await run_in_memory(Desk(Agent("triage", model=models[0], fallbacks=models[1:])), "hello")
    assert (turn.outcome.status, turn.outcome.error) == ("failed", "model m2: no 2")


async def test_an_agent_has_its_own_fallbacks_or_the_desks() -> None:
    one, two, three = (ScriptedModel([], name=name) for name in ("one", "two", "three"))
    own, with_model = Agent("own", fallbacks=[three]), Agent("with_model", model=two)
    desk: Desk[None] = Desk(Agent("triage", handoffs=[own, with_model]), model=one, fallbacks=[two])
    assert [desk.models_of(desk.agents[name]) for name in ("triage", "own", "with_model")] == [
        (one, two), (one, three), (two,),
    ]  # fmt: skip


async def test_reasoning_goes_to_the_model_that_made_it_and_to_no_other() -> None:
    def thinks(request: Any) -> ScriptedReply:
        kinds.append([item["type"] for item in request.items])
        return think("Let me see") + call("note", {"text": "a"})

    kinds: list[list[str]] = []
    first = ScriptedModel([thinks, thinks, fail(ModelRefused)], name="first")
    second = ScriptedModel([say("Hello")], name="second")
    await run_in_memory(Desk(Agent("triage", tools=[note]), model=first, fallbacks=[second]), "hello")
    made = ["reasoning", "function_call", "function_call_output"]
    assert kinds == [["message"], ["message", *made]]
    assert [item["type"] for item in second.requests[0].items] == ["message", *made[1:], *made[1:]]


# Instructions


async def test_instructions_are_made_by_a_function_for_each_request() -> None:
    async def made(context: Context[list[str]]) -> str:
        context.dependencies.append(context.agent)
        return f"Request {len(context.dependencies)} of {context.conversation_id}."

    def at_once(context: Context[list[str]]) -> str:
        """Handles orders."""
        return f"You are {context.agent}."

    model = ScriptedModel([call("note", {"text": "a"}), call("transfer_to_orders"), say("Hello")])
    orders = Agent("orders", at_once)
    desk = Desk(Agent("triage", made, tools=[note], handoffs=[orders]), model=model, dependencies=list[str])
    await run_in_memory(desk, "hello")
    assert [request.instructions for request in model.requests] == [
        "Request 1 of memory.", "Request 2 of memory.", "You are orders.",
    ]  # fmt: skip
    assert orders.description == "Handles orders."


async def test_instructions_that_cannot_be_made_fail_the_turn_without_internals() -> None:
    def broken(context: Context[Any]) -> str:
        raise KeyError("secret")

    turn = await run_in_memory(Desk(Agent("triage", broken), model=ScriptedModel([])), "hello")
    assert turn.outcome.error == (
        "the function that makes the instructions of triage failed: internal error (KeyError)"
    )


# What a handoff's filter leaves


def two_agents(filter: Any, *replies: Any) -> tuple[Desk[None], ScriptedModel]:
    model = ScriptedModel(replies)
    orders = Agent("orders", tools=[note], handoffs=["triage"])
    taking = Handoff(orders, input_filter=filter, description="for orders")
    return Desk(Agent("triage", tools=[note], handoffs=[taking]), model=model), model


async def test_the_receiving_agent_is_shown_what_the_filter_leaves_then_and_later(tmp_path: Path) -> None:
    noted = call("note", {"text": "a"})
    desk, model = two_agents(
        without_calls, say("First") + noted, call("transfer_to_orders"), noted, say("Done"), say("Yes")
    )
    async with office(desk, tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        assert text_of(await at.say("and?", accepted.conversation_id)) == "Yes"
        assert len(await at.items(accepted.conversation_id)) == 8, "the history itself is whole"
    shown = [[item.get("role") or item["type"] for item in request.items] for request in model.requests]
    assert shown[2:] == [
        ["user", "assistant"],
        ["user", "assistant", "function_call", "function_call_output"],
        ["user", "assistant", "function_call", "function_call_output", "assistant", "user"],
    ]
    (spec,) = (one for one in model.requests[0].tools if one.kind == "handoff")
    assert spec.description == "Hand the conversation over to orders: for orders"


async def test_a_filter_holds_where_a_tool_returns_the_agent_too(tmp_path: Path) -> None:
    @tool
    async def escalate() -> Agent:
        """Passes it on."""
        return orders

    model = ScriptedModel([call("note", {"text": "a"}), call("escalate"), say("Done"), say("Yes")])
    orders = Agent("orders", tools=[note])
    taking = Handoff(orders, input_filter=without_calls)
    async with office(Desk(Agent("triage", tools=[note, escalate], handoffs=[taking]), model=model), tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        await at.say("and?", accepted.conversation_id)
    shown = [[item.get("role") or item["type"] for item in request.items] for request in model.requests]
    assert shown[2:] == [["user"], ["user", "assistant", "user"]]


async def test_a_filter_is_for_its_handoff_only_and_what_it_breaks_is_mended(tmp_path: Path) -> None:
    def outputs_only(items: Sequence[StoredItem]) -> Sequence[StoredItem]:
        return [one for one in items if one.body.get("role") == "user" or one.body["type"] == "function_call_output"]

    desk, model = two_agents(outputs_only, call("transfer_to_orders"), call("transfer_to_triage"), say("Back"))
    async with office(desk, tmp_path) as at:
        assert text_of(await at.say()) == "Back"
    shown = [[item.get("role") or item["type"] for item in request.items] for request in model.requests]
    assert shown == [["user"], ["user"], ["user", *["function_call", "function_call_output"] * 2]]


async def test_a_filter_that_fails_fails_the_turn_without_internals() -> None:
    def broken(items: Sequence[StoredItem]) -> Sequence[StoredItem]:
        raise KeyError("secret")

    desk, _ = two_agents(broken, call("transfer_to_orders"))
    turn = await run_in_memory(desk, "hello")
    wanted = "the input filter of the handoff from triage to orders failed: internal error (KeyError)"
    assert turn.outcome.error == wanted


def test_only_the_last_turns_are_left() -> None:
    items = [StoredItem(f"msg_{number}", f"resp_{number // 2}", 0, "completed", "", {}) for number in range(6)]
    assert [one.id for one in last_turns(2)(items)] == ["msg_2", "msg_3", "msg_4", "msg_5"]


# Handoffs


async def test_an_agent_does_not_run_tools_that_it_knows_only_from_the_history(tmp_path: Path) -> None:
    ran: list[str] = []

    @tool
    async def refund() -> str:
        """Refunds."""
        ran.append("refunded")
        return "refunded"

    back = Agent("back", handoffs=["triage"])
    alone = Agent("alone")
    model = ScriptedModel([
        call("refund"), call("transfer_to_back"), call("refund"), say("I cannot."),
    ])  # fmt: skip
    async with office(Desk(Agent("triage", tools=[refund], handoffs=[back, alone]), model=model), tmp_path) as at:
        response = await at.say()
    told = [item for item in response["output"] if item.get("name") == "refund"]
    assert (ran, told[0]["output"]) == (["refunded"], "refunded")
    wanted = "Not run: refund is a tool of triage, and you are back: transfer_to_triage hands over to it."
    assert told[1]["error"]["content"][0]["text"] == wanted
    model = ScriptedModel([call("transfer_to_alone"), call("refund"), say("I cannot.")])
    turn = await run_in_memory(Desk(Agent("triage", tools=[refund], handoffs=[alone]), model=model), "hello")
    said = model.requests[2].items[-1]["output"]
    assert said.endswith("use your own, or answer without it.")
    assert (turn.text, ran) == ("I cannot.", ["refunded"])


async def test_a_handoff_to_an_agent_that_fails_at_once_leaves_the_conversation_with_it(tmp_path: Path) -> None:
    failing = Agent("failing", model=ScriptedModel([fail(ModelRefused, "no key"), say("I am back.")], name="other"))
    model = ScriptedModel([call("note", {"text": "a"}) + call("transfer_to_failing")])
    async with office(Desk(Agent("triage", tools=[note], handoffs=[failing]), model=model), tmp_path) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
        changed = at.said(accepted.conversation_id, "frontdesk:agent.changed")
        after = await at.say("and?", accepted.conversation_id)
    assert (response["status"], response["error"]["message"]) == ("failed", "model other: no key")
    assert outputs(response) == {"note": "noted a", "transfer_to_failing": "failing has taken over."}
    assert [(event["from"], event["to"]) for event in changed] == [("triage", "failing")]
    assert text_of(after) == "I am back."


async def test_handoffs_of_two_turns_at_once_stay_in_their_conversations(tmp_path: Path) -> None:
    left, right = Agent("left"), Agent("right")

    def reply(request: Any) -> ScriptedReply:
        said = request.items[0]["content"][0]["text"]
        return call(f"transfer_to_{said}") if request.agent == "triage" else say(f"{request.agent} speaking")

    async with office(Desk(Agent("triage", handoffs=[left, right]), model=ScriptedModel(reply)), tmp_path) as at:
        accepted = [await at.create(["left", "right"][number % 2]) for number in range(8)]
        said = [text_of(await at.ended(one)) for one in accepted]
    assert said == ["left speaking", "right speaking"] * 4


# What a client sends and asks for


async def test_pictures_files_and_reasoning_effort_reach_the_model(tmp_path: Path) -> None:
    parts: list[dict[str, Any]] = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
    ]
    model = ScriptedModel([say("A picture.")])
    agent = Agent("triage", settings=ModelSettings(reasoning_effort="high"))
    async with office(Desk(agent, model=model), tmp_path) as at:
        accepted = await at.create(
            [{"type": "message", "role": "user", "content": parts}], request={"reasoning": {"effort": "low"}}
        )
        await at.ended(accepted)
    (asked,) = model.requests
    assert asked.items[0]["content"] == parts
    assert asked.settings.reasoning_effort == "low"
