"""Which tools a model may call, and whether it must: chosen by the client or by the agent's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.choice import NOT_NOW, Choice, check_request, chosen
from frontdesk.agents.errors import DeskError, ToolChoiceError, ToolNameTaken
from frontdesk.agents.model import ModelRequest, ModelSettings
from frontdesk.agents.models.scripted import ScriptedModel, call, say
from frontdesk.tests.fakes.office import office, outputs, text_of


@tool
async def look() -> str:
    """Looks."""
    return "seen"


@tool(namespace="orders")
async def add() -> str:
    """Adds."""
    return "added"


@tool(namespace="orders")
async def total() -> str:
    """Sums up."""
    return "12"


@tool(manual=True)
def locate() -> str:
    """Where the person is."""
    raise AssertionError("the application runs it")


OTHER = Agent("other", tools=[look], settings=ModelSettings(tool_choice="look"))
DESK = Desk(Agent("clerk", tools=[look, add, total, locate], handoffs=[OTHER]))
CATALOG = DESK.catalogs["clerk"]
ORDERS = frozenset({"orders-add", "orders-total"})


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "name": name}


def allowed(*tools: dict[str, Any], mode: str = "auto") -> dict[str, Any]:
    return {"type": "allowed_tools", "mode": mode, "tools": list(tools)}


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        (None, Choice()),
        ("none", Choice("none")),
        ("required", Choice("required")),
        ("orders-add", Choice("orders-add")),
        (function("theirs"), Choice("theirs")),
        ({"type": "mcp", "server_label": "orders", "name": "add"}, Choice("orders-add")),
        ({"type": "mcp", "server_label": "handoff"}, Choice("transfer_to_other")),
        ({"type": "mcp", "server_label": "orders"}, Choice("required", ORDERS, lasts=False)),
        (allowed(function("look")), Choice("auto", frozenset({"look"}))),
        (
            allowed({"type": "mcp", "server_label": "orders"}, function("theirs"), mode="required"),
            Choice("required", ORDERS | {"theirs"}),
        ),
    ],
)
def test_a_choice_is_among_the_tools_of_the_agent_and_of_the_client(given: Any, choice: Choice) -> None:
    assert chosen(given, CATALOG, ["theirs"]) == choice


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (function("lok"), "clerk has no tool 'lok'; it has locate, look, orders-add"),
        ({"type": "mcp", "server_label": "orders", "name": "look"}, "no tool 'look' under 'orders'"),
        ({"type": "mcp", "server_label": "files"}, "no tools under 'files'"),
        (allowed(function("look"), function("x")), "no tool 'x'"),
        (allowed({"type": "web_search"}), "'web_search' cannot be chosen"),
        ({"type": "custom", "name": "look"}, "'custom' is no kind of choice"),
    ],
)
def test_a_choice_that_cannot_be_followed_says_what_could(given: Any, words: str) -> None:
    with pytest.raises(ToolChoiceError, match=words):
        chosen(given, CATALOG, [])


def test_an_agent_without_tools_cannot_be_told_to_call_one() -> None:
    with pytest.raises(DeskError, match="agent a: tool_choice: 'required' needs a tool, and a has none"):
        Desk(Agent("a", settings=ModelSettings(tool_choice="required")))
    with pytest.raises(DeskError, match="a has no tool 'x'; it has look"):
        Desk(Agent("a", tools=[look], settings=ModelSettings(tool_choice="x")))


def test_a_request_is_checked_against_the_agent_that_it_names_or_all() -> None:
    check_request(DESK.catalogs, "", {"tool_choice": function("orders-add")})
    with pytest.raises(ToolChoiceError, match="other has no tool"):
        check_request(DESK.catalogs, "other", {"tool_choice": function("orders-add")})
    with pytest.raises(ToolNameTaken, match=r"tools\[1\].name: 'look' is a tool that clerk has here") as taken:
        check_request(DESK.catalogs, "", {"tools": [function("mine"), function("look")]})
    assert taken.value.param == "tools[1].name"
    check_request(DESK.catalogs, "", {"tools": [function("locate")]})  # the agent declares it for its client


def forced(requests: list[ModelRequest]) -> list[str | None]:
    return [one.settings.tool_choice for one in requests]


async def test_a_forced_choice_is_followed_once_and_an_agents_own_once_for_each_agent(tmp_path: Path) -> None:
    clerk = Agent("clerk", tools=[look], handoffs=[OTHER], settings=ModelSettings(tool_choice="required"))
    replies = [call("look"), call("transfer_to_other"), call("look"), say("Done."), call("look"), say("Again.")]
    model = ScriptedModel(replies)
    async with office(Desk(clerk, model=model), tmp_path) as at:
        first = await at.say()
        await at.say("more", first["conversation"]["id"])
    assert forced(model.requests) == ["required", "auto", "look", "auto", "look", "auto"]


async def test_a_client_that_forces_its_own_function_gets_an_answer_when_it_brings_the_output(tmp_path: Path) -> None:
    request = {"tools": [function("theirs")], "tool_choice": "required"}
    model = ScriptedModel([call("theirs", call_id="c"), say("Done."), call("look"), say("More.")])
    async with office(Desk(Agent("clerk", tools=[look]), model=model), tmp_path) as at:
        first = await at.say(request=request)
        output = [{"type": "function_call_output", "call_id": "c", "output": "x"}]
        second = await at.ended(await at.create(output, previous_response_id=first["id"], request=request))
        assert text_of(second) == "Done."
        await at.say("and now", first["conversation"]["id"], request=request)
    assert forced(model.requests) == ["required", "auto", "required", "auto"]


async def test_only_allowed_tools_are_offered_and_run_in_the_whole_response(tmp_path: Path) -> None:
    choice = allowed({"type": "mcp", "server_label": "orders"}, mode="required")
    model = ScriptedModel([call("orders-add"), call("look"), say("Done.")])
    async with office(Desk(Agent("clerk", tools=[look, add, total]), model=model), tmp_path) as at:
        response = await at.say(request={"tool_choice": choice})
    assert [sorted(one.name for one in request.tools) for request in model.requests] == [sorted(ORDERS)] * 3
    assert forced(model.requests) == ["required", "auto", "auto"]
    assert outputs(response)["look"] == "Not run: only orders-add, orders-total may be called for this response."


async def test_tools_of_a_label_are_forced_for_one_call_only(tmp_path: Path) -> None:
    model = ScriptedModel([call("orders-add"), call("look"), say("Done.")])
    async with office(Desk(Agent("clerk", tools=[look, add, total]), model=model), tmp_path) as at:
        response = await at.say(request={"tool_choice": {"type": "mcp", "server_label": "orders"}})
    assert [len(request.tools) for request in model.requests] == [2, 3, 3]
    assert outputs(response) == {"add": "added", "look": "seen"}


async def test_none_runs_nothing_whatever_the_model_calls(tmp_path: Path) -> None:
    model = ScriptedModel([call("look"), say("Without.")])
    async with office(Desk(Agent("clerk", tools=[look]), model=model), tmp_path) as at:
        response = await at.say(request={"tool_choice": "none"})
    assert (outputs(response), forced(model.requests)) == ({"look": NOT_NOW}, ["none", "none"])


async def test_a_choice_that_the_agent_of_the_turn_cannot_follow_fails_the_response(tmp_path: Path) -> None:
    model = ScriptedModel([call("transfer_to_other"), say("Moved.")])
    async with office(Desk(Agent("clerk", tools=[add], handoffs=[OTHER]), model=model), tmp_path) as at:
        first = await at.say()
        choice = function("orders-add")
        second = await at.say("add", first["conversation"]["id"], request={"tool_choice": choice})
    assert second["status"] == "failed"
    assert second["error"]["message"] == "tool_choice: other has no tool 'orders-add'; it has look"


async def test_a_manual_tool_is_offered_once_though_the_client_declares_it_too(tmp_path: Path) -> None:
    model = ScriptedModel([call("locate", call_id="c"), say("Here.")])
    async with office(Desk(Agent("clerk", tools=[locate]), model=model), tmp_path) as at:
        first = await at.say(request={"tools": [function("locate")]})
        assert [(item["type"], item["name"]) for item in first["output"]] == [("function_call", "locate")]
        assert len(model.requests[0].tools) == 1
        output = [{"type": "function_call_output", "call_id": "c", "output": "Aachen"}]
        assert text_of(await at.ended(await at.create(output, previous_response_id=first["id"]))) == "Here."
