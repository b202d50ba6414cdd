"""Turns over the calls of a reply: side by side, in order, alone; whatever a tool does, each call has exactly one
output.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from frontdesk.agents import Agent, Context, Desk, Limits, ModelSettings, ToolError, tool
from frontdesk.agents.errors import ModelRefused, ModelUnavailable
from frontdesk.agents.model import Message, Usage
from frontdesk.agents.models.scripted import (
    Gate,
    ScriptedModel,
    ScriptedReply,
    call,
    calls,
    done,
    fail,
    say,
    think,
    wait,
)
from frontdesk.tests.fakes.office import Office, office, outputs, text_of

LOCATE: dict[str, Any] = {
    "type": "function",
    "name": "locate",
    "parameters": {"type": "object", "properties": {}},
    "strict": True,
}


def desk(model: ScriptedModel, *tools: Any, **options: Any) -> Desk[None]:
    return Desk(Agent("triage", "You help.", tools=tools, **options), model=model)


async def test_a_turn_says_what_its_model_says(tmp_path: Path) -> None:
    model = ScriptedModel([think("Easy.") + say("It is on its way.") + done(Usage(10, 4, 1, 7, 3))])
    async with office(desk(model), tmp_path) as at:
        response = await at.say("Where is order 7?")
    assert (text_of(response), response["status"]) == ("It is on its way.", "completed")
    assert [item["type"] for item in response["output"]] == ["reasoning", "message"]
    assert response["output"][1]["agent"] == {"agent_name": "triage"}
    assert response["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 17,
    }


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_three_calls_of_one_reply_meet_at_a_barrier(tmp_path: Path, kind: str) -> None:
    together = anyio.Event()
    barrier = threading.Barrier(3)
    here: list[int] = []

    @tool
    async def meet(number: int) -> str:
        """Meets the others."""
        here.append(number)
        if len(here) == 3:
            together.set()
        await together.wait()
        return f"met {number}"

    @tool(name="meet")
    def meet_in_a_thread(number: int) -> str:
        """Meets the others."""
        barrier.wait(60)
        return f"met {number}"

    three = calls(*(call("meet", {"number": number}, call_id=f"c{number}") for number in range(3)))
    model = ScriptedModel([three, say("All met.")])
    async with office(desk(model, meet if kind == "async" else meet_in_a_thread), tmp_path) as at:
        response = await at.say()
    assert [item["output"] for item in response["output"][:3]] == ["met 0", "met 1", "met 2"]
    asked = model.requests[1].items
    assert [item["type"] for item in asked[-6:]] == ["function_call"] * 3 + ["function_call_output"] * 3
    assert [item["call_id"] for item in asked[-6:]] == ["c0", "c1", "c2"] * 2


async def test_all_calls_are_shown_before_the_first_is_done(tmp_path: Path) -> None:
    @tool
    async def quick(number: int) -> str:
        """Is quick."""
        return str(number)

    three = calls(*(call("quick", {"number": number}) for number in range(3)))
    async with office(desk(ScriptedModel([three, say("So.")]), quick), tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        kinds = [event["type"] for event in at.said(accepted.conversation_id, "output_item.added", "output_item.done")]
    assert kinds[:6] == ["response.output_item.added"] * 3 + ["response.output_item.done"] * 3


@pytest.mark.parametrize("who", ["agent", "client", "settings"])
async def test_calls_that_may_not_run_side_by_side_never_overlap(tmp_path: Path, who: str) -> None:
    running, most = 0, 0

    @tool
    async def step(number: int) -> str:
        """One step."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        return str(number)

    three = calls(*(call("step", {"number": number}) for number in range(3)))
    model = ScriptedModel([three, say("So.")])
    options: dict[str, Any] = {"parallel_tool_calls": False} if who == "agent" else {}
    if who == "settings":
        options = {"settings": ModelSettings(parallel_tool_calls=False)}
    async with office(desk(model, step, **options), tmp_path) as at:
        request = {"parallel_tool_calls": False} if who == "client" else None
        response = await at.say(request=request)
    assert most == 1
    assert model.requests[0].settings.parallel_tool_calls is False
    assert [item["output"] for item in response["output"][:3]] == ["0", "1", "2"]


async def test_a_tool_that_is_alone_runs_beside_no_other(tmp_path: Path) -> None:
    log: list[str] = []

    async def run(name: str) -> str:
        log.append(f"+{name}")
        await anyio.lowlevel.checkpoint()
        log.append(f"-{name}")
        return name

    @tool(alone=True)
    async def lonely() -> str:
        """Runs alone."""
        return await run("lonely")

    @tool
    async def social(name: str) -> str:
        """Runs with others."""
        return await run(name)

    reply = calls(
        call("social", {"name": "a"}), call("social", {"name": "b"}), call("lonely"), call("social", {"name": "c"})
    )
    async with office(desk(ScriptedModel([reply, say("So.")]), lonely, social), tmp_path) as at:
        await at.say()
    place = log.index("+lonely")
    assert log[place + 1] == "-lonely"
    assert set(log[:place]) == {"+a", "-a", "+b", "-b"}
    assert log[place + 2 :] == ["+c", "-c"]


async def test_one_call_that_fails_loses_no_other(tmp_path: Path) -> None:
    @tool
    async def fine() -> str:
        """Is fine."""
        return "fine"

    @tool
    async def refused() -> str:
        """Refuses."""
        raise ToolError("the shop is closed")

    @tool
    async def broken() -> str:
        """Breaks."""
        raise ValueError("secret of the database")

    @tool(timeout=0.01)
    async def hanging() -> str:
        """Hangs."""
        await asyncio.Event().wait()
        return "never"

    @tool
    async def typed(number: int) -> str:
        """Wants a number."""
        return str(number)

    reply = calls(
        call("fine"),
        call("refused"),
        call("broken"),
        call("hanging"),
        call("typed", {"number": "many"}),
        call("typed", '{"number": '),
        call("find"),
    )
    model = ScriptedModel([reply, say("Some worked.")])
    async with office(desk(model, fine, refused, broken, hanging, typed), tmp_path) as at:
        response = await at.say()
    texts = [item.get("output") or item["error"]["content"][0]["text"] for item in response["output"][:-1]]
    assert texts[0] == "fine"
    assert texts[1] == "the shop is closed"
    assert "internal error (ValueError)" in texts[2]
    assert "secret" not in texts[2]
    assert "did not end within 0.01 s" in texts[3]
    assert '"many"' in texts[4]
    assert "not valid JSON" in texts[5]
    assert "no tool 'find'" in texts[6]
    assert "fine" in texts[6]
    assert [item["status"] for item in response["output"][:-1]] == ["completed"] + ["failed"] * 6
    given = [item["output"] for item in model.requests[1].items if item["type"] == "function_call_output"]
    assert given == texts


async def test_the_texts_of_tools_may_hold_anything(tmp_path: Path) -> None:
    @tool
    async def odd() -> str:
        """Returns what no UTF-8 can hold."""
        return "half a \ud83d pair, a\u2028line, \x00"

    async with office(desk(ScriptedModel([call("odd"), say("Odd: \ud83d")]), odd), tmp_path) as at:
        response = await at.say()
    assert outputs(response)["odd"] == "half a ? pair, a\u2028line, \x00"
    assert text_of(response) == "Odd: ?"


async def test_calls_with_ids_that_the_history_has_get_others(tmp_path: Path) -> None:
    @tool
    async def count(number: int) -> str:
        """Counts."""
        return str(number)

    def counted(*numbers: int) -> Any:
        return calls(*(call("count", {"number": number}, call_id="call_0") for number in numbers))

    model = ScriptedModel([counted(1, 2), counted(3), say("Three.")])
    async with office(desk(model, count), tmp_path) as at:
        response = await at.say()
    assert [item["output"] for item in response["output"][:-1]] == ["1", "2", "3"]
    ids = [item["call_id"] for item in model.requests[2].items if item["type"] == "function_call"]
    assert ids == ["call_0", "call_0_2", "call_0_3"]


async def test_a_tool_knows_its_call(tmp_path: Path) -> None:
    seen: list[Context[dict[str, int]]] = []

    @tool
    async def look(context: Context[dict[str, int]]) -> None:
        """Looks."""
        seen.append(context)

    agent = Agent("triage", tools=[look])
    one = Desk(agent, dependencies={"shop": 1}, model=ScriptedModel([call("look", call_id="c1"), say("Seen.")]))
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
    context = seen[0]
    assert context.dependencies == {"shop": 1}
    assert (context.conversation_id, context.response_id) == (accepted.conversation_id, accepted.response_id)
    assert (context.call_id, context.agent, context.tenant) == ("c1", "triage", "")
    assert context.idempotency_key == f"{accepted.response_id}/c1"
    assert outputs(response)["look"] == "Done."


async def test_a_namespace_is_the_label_of_the_call(tmp_path: Path) -> None:
    @tool(namespace="orders")
    async def status(number: int) -> str:
        """Status of an order."""
        return f"order {number} is here"

    model = ScriptedModel([call("orders-status", {"number": 7}), say("Here.")])
    async with office(desk(model, status), tmp_path) as at:
        response = await at.say()
    item = response["output"][0]
    assert (item["server_label"], item["name"], item["output"]) == ("orders", "status", "order 7 is here")
    assert model.requests[1].items[-2]["name"] == "orders-status"


# Models that fail


async def test_a_model_that_refuses_fails_the_response_with_words_that_are_safe(tmp_path: Path) -> None:
    model = ScriptedModel([fail(ModelRefused, "invalid key"), say("Better now.")])
    async with office(desk(model), tmp_path) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
        assert response["status"] == "failed"
        assert response["error"] == {"code": "server_error", "message": "model scripted: invalid key"}
        assert text_of(await at.say("again", accepted.conversation_id)) == "Better now."


async def test_a_model_that_raises_anything_fails_the_response_without_its_internals(tmp_path: Path) -> None:
    model = ScriptedModel([fail(KeyError("password=123"))])
    async with office(desk(model), tmp_path) as at:
        response = await at.say()
    assert response["status"] == "failed"
    assert response["error"]["message"] == "model scripted: internal error (KeyError)"


async def test_a_stream_that_breaks_is_asked_for_again_and_what_it_said_stays_visible(tmp_path: Path) -> None:
    model = ScriptedModel([think("Hm.") + say("It is on", whole=False) + fail(), say("It is on its way.")])
    async with office(desk(model), tmp_path) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
        asked = model.requests[1].items
    assert response["status"] == "completed"
    assert [(item["type"], item["status"]) for item in response["output"]] == [
        ("reasoning", "completed"),
        ("message", "incomplete"),
        ("message", "completed"),
    ]
    assert response["output"][1]["content"][0]["text"] == "It is on"
    assert [item["type"] for item in asked] == ["message"], "the model is not shown what it had half said"


async def test_a_whole_message_before_a_stream_breaks_is_not_shown_to_the_model_either(tmp_path: Path) -> None:
    model = ScriptedModel([say("One moment.") + fail(), say("It is on its way.")])
    async with office(desk(model), tmp_path) as at:
        response = await at.say()
    assert [item["status"] for item in response["output"]] == ["incomplete", "completed"]
    assert len(model.requests[1].items) == 1


async def test_a_stream_that_breaks_twice_fails_the_response(tmp_path: Path) -> None:
    broken = say("It is", whole=False) + fail(ModelUnavailable, "the connection broke")
    model = ScriptedModel([broken, broken])
    async with office(desk(model), tmp_path) as at:
        response = await at.say()
    assert response["status"] == "failed"
    assert response["error"]["message"] == "model scripted: the connection broke"
    assert [item["status"] for item in response["output"]] == ["incomplete", "incomplete"]


async def test_a_model_that_cannot_be_reached_is_not_asked_again(tmp_path: Path) -> None:
    model = ScriptedModel([fail(ModelUnavailable, "no connection"), say("never")])
    async with office(desk(model), tmp_path) as at:
        response = await at.say()
    assert (response["status"], len(model.requests)) == ("failed", 1)


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_a_reply_that_was_cut_ends_the_response_incomplete(tmp_path: Path, finish: Any, reason: str) -> None:
    model = ScriptedModel([say("Once upon a") + done(finish=finish)])
    async with office(desk(model), tmp_path) as at:
        response = await at.say()
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert response["metadata"] == {"frontdesk:limit": finish}
    assert text_of(response) == "Once upon a"


# Limits


@tool
async def again() -> str:
    """Does it again."""
    return "done"


@pytest.mark.parametrize(
    ("limits", "words", "asked"),
    [
        (Limits(model_calls=3), "3 model calls", 3),
        (Limits(tool_calls=2), "2 tool calls", 2),
        (Limits(tokens=30), "30 tokens", 3),
        (Limits(seconds=1e-9), "1e-09 seconds", 1),
    ],
)
async def test_a_limit_ends_the_turn_with_an_answer_that_says_so(
    tmp_path: Path, limits: Limits, words: str, asked: int
) -> None:
    model = ScriptedModel(lambda request: call("again") + done(Usage(5, 0, 0, 5)))
    one = Desk(Agent("triage", tools=[again]), model=model, limits=limits)
    async with office(one, tmp_path) as at:
        response = await at.say()
    assert len(model.requests) == asked
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert response["metadata"]["frontdesk:limit"] == words
    assert words in text_of(response)
    assert {item["status"] for item in response["output"]} == {"completed"}


# What the client asks for


async def test_a_client_tool_ends_the_response_and_its_output_goes_on(tmp_path: Path) -> None:
    model = ScriptedModel([calls(call("again", call_id="s1"), call("locate", call_id="c1")), say("You are in Aachen.")])
    tools = [LOCATE]
    async with office(desk(model, again), tmp_path) as at:
        accepted = await at.create("Where am I?", request={"tools": tools})
        first = await at.ended(accepted)
        assert first["status"] == "completed"
        assert [(item["type"], item["name"]) for item in first["output"]] == [
            ("mcp_call", "again"),
            ("function_call", "locate"),
        ]
        answer = [{"type": "function_call_output", "call_id": "c1", "output": "Aachen"}]
        second = await at.ended(await at.create(answer, previous_response_id=accepted.response_id))
    assert text_of(second) == "You are in Aachen."
    assert second["previous_response_id"] == accepted.response_id
    assert [item["type"] for item in model.requests[1].items] == [
        "message",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
    ]
    assert [item["output"] for item in model.requests[1].items[-2:]] == ["done", "Aachen"]


async def test_what_the_client_asks_for_reaches_the_model(tmp_path: Path) -> None:
    model = ScriptedModel([call("again"), say("So.")])
    request = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 64,
        "tool_choice": {"type": "function", "name": "again"},
        "metadata": {"mine": "kept"},
        "tools": [{"type": "function", "name": "locate", "description": "Where.", "parameters": None, "strict": False}],
    }
    async with office(desk(model, again), tmp_path) as at:
        response = await at.say(request=request)
    asked = model.requests[0]
    assert asked.instructions == "You help.\n\nBe brief."
    assert (asked.settings.temperature, asked.settings.top_p, asked.settings.max_output_tokens) == (0.5, 0.9, 64)
    assert [one.settings.tool_choice for one in model.requests] == ["again", "auto"]
    assert [spec.name for spec in asked.tools] == ["again", "locate"]
    assert response["metadata"] == {"mine": "kept"}
    assert response["instructions"] == "Be brief."


async def test_the_model_of_a_response_is_what_the_request_named(tmp_path: Path) -> None:
    other = Agent("other", "You do other things.")
    one = Desk(Agent("triage", handoffs=[other]), model=ScriptedModel(lambda request: say(request.agent)))
    async with office(one, tmp_path) as at:
        accepted = await at.create(request={"model": "other"}, agent="other")
        named = await at.ended(accepted)
        next_one = await at.say("and now?", accepted.conversation_id)
    assert (named["model"], text_of(named)) == ("other", "other")
    assert (next_one["model"], text_of(next_one)) == ("desk", "triage"), "a named agent takes one turn only"


# What is said while it is said


async def test_what_the_model_says_is_seen_while_it_says_it(tmp_path: Path) -> None:
    gate = Gate()
    whole = ScriptedReply((Message("It is on its way."),))
    model = ScriptedModel([say("It is ", whole=False) + wait(gate) + say("on its way.", whole=False) + whole])
    async with office(desk(model), tmp_path) as at:
        accepted = await at.create()
        delta = await at.event(accepted.conversation_id, lambda event: event["type"] == "response.output_text.delta")
        assert delta["delta"] == "It "
        assert accepted.response_id not in _ended(at)
        gate.open()
        response = await at.ended(accepted)
    assert text_of(response) == "It is on its way."


def _ended(at: Office) -> set[str]:
    return {event["response_id"] for one in at.recorders for event in at.said(one, "completed")}
