"""What the official client is asked for: approvals, and calls of functions that it runs; and what a run came to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from openai.resources.responses.responses import AsyncResponsesConnection

from frontdesk.agents.models.scripted import call, calls
from frontdesk.server.remote import Remote, RemoteError
from frontdesk.tests.served import House, open_house
from frontdesk.tests.talk import ask, connected, text_of, until

WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as found:
        yield found


@pytest.fixture
async def connection(house: House) -> AsyncGenerator[AsyncResponsesConnection]:
    async with connected(house) as found:
        yield found


def yes(request_id: str, **fields: Any) -> list[Any]:
    return [{"type": "mcp_approval_response", "approval_request_id": request_id, "approve": True, **fields}]


async def steps(house: House, response_id: str) -> Any:
    remote = Remote(house.base_url.removesuffix("/v1"))
    return await anyio.to_thread.run_sync(remote.get, "responses", response_id, "steps")


async def test_an_approval_is_given_after_a_restart_from_another_connection(house: House) -> None:
    house.lines["pay"] = (calls(call("till-pay", {"amount": 7}), call("look", {"word": "sun"})), "Paid.")
    async with connected(house) as connection:
        first = await ask(connection, "pay")
    assert first.status == "completed"
    assert {item.type for item in first.output} == {"mcp_call", "mcp_approval_request"}
    request = next(item for item in first.output if item.type == "mcp_approval_request")
    assert (request.server_label, request.name, request.arguments) == ("till", "pay", '{"amount":7}')
    house.restart()
    async with connected(house) as connection:
        second = await ask(connection, yes(request.id), previous_response_id=first.id)
    (paid, message) = second.output
    assert (paid.type, paid.output, paid.approval_request_id) == ("mcp_call", "paid 7", request.id)
    assert text_of(second) == "Paid."
    assert message.type == "message"


async def test_a_refusal_reaches_the_model_with_its_reason(house: House, connection: AsyncResponsesConnection) -> None:
    house.lines["pay"] = (call("till-pay", {"amount": 7}), "As you like.")
    first = await ask(connection, "pay")
    no = yes(first.output[0].id, approve=False, reason="too dear")
    second = await ask(connection, no, conversation=first.conversation.id)
    assert second.output[0].error.content[0]["text"].endswith("Reason: too dear.")
    assert second.output[0].status == "failed"
    assert "too dear" in house.model.requests[-1].items[-1]["output"]


@pytest.mark.parametrize(
    ("given", "words", "param"),
    [
        (yes("mcpr_nobody"), "No approval request 'mcpr_nobody' found", "input[0].approval_request_id"),
        (
            [{"type": "function_call_output", "call_id": "c9", "output": ""}],
            "No tool call found for function call output with call_id c9.",
            "input[0].call_id",
        ),
        (
            [{"type": "function_call_output", "call_id": "c1", "output": ""}],
            "No tool output found for function call c2",
            "input",
        ),
        (
            [{"type": "function_call_output", "call_id": "c1", "output": ""}] * 2,
            "'c1' is answered twice in this input",
            "input[1].call_id",
        ),
    ],
)
async def test_an_answer_that_fits_to_nothing_is_an_error_and_changes_nothing(
    house: House, connection: AsyncResponsesConnection, given: Any, words: str, param: str
) -> None:
    both = calls(call("weather", call_id="c1"), call("weather", call_id="c2"))
    house.lines["weather?"] = (both, "Cold.")
    first = await ask(connection, "weather?", tools=[WEATHER])
    await connection.response.create(model="house", input=given, previous_response_id=first.id)
    error = (await until(connection, "error")).error
    assert (error.code, error.param, words in error.message) == ("invalid_request", param, True)
    outputs: Any = [{"type": "function_call_output", "call_id": one, "output": "cold"} for one in ("c1", "c2")]
    assert text_of(await ask(connection, outputs, previous_response_id=first.id)) == "Cold."
    await connection.response.create(model="house", input=outputs, conversation=first.conversation.id)
    again = (await until(connection, "error")).error
    assert again.message == "The function call c1 has its output already; a call has one."


async def test_a_call_of_the_client_may_be_answered_differently_in_a_fork(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["weather?"] = (call("weather", call_id="c1"), "I see.")
    first = await ask(connection, "weather?", tools=[WEATHER])
    answers: list[Any] = []
    for output in ("cold", "warm"):
        given: Any = [{"type": "function_call_output", "call_id": "c1", "output": output}]
        answers.append(await ask(connection, given, previous_response_id=first.id))
        assert house.model.requests[-1].items[-1]["output"] == output
    assert answers[0].conversation.id != answers[1].conversation.id


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("tool_choice", {"type": "function", "name": "lok"}, "triage has no tool 'lok'; it has "),
        ("tool_choice", {"type": "mcp", "server_label": "x"}, "no tools under 'x'"),
        ("tool_choice", {"type": "allowed_tools", "mode": "none", "tools": []}, "tool_choice.mode must be one of"),
        ("tool_choice", {"type": "allowed_tools", "mode": "auto", "tools": []}, "give 1 to 128"),
        ("tool_choice", {"type": "file_search"}, "a choice is none, auto, required, allowed_tools, or one tool"),
        ("tools", [WEATHER, WEATHER], "two tools are named 'weather'"),
        ("tools", [{**WEATHER, "name": "look"}], "'look' is a tool that triage has here"),
    ],
)
async def test_tools_and_choices_that_cannot_be_are_refused(
    connection: AsyncResponsesConnection, field: str, value: Any, words: str
) -> None:
    given: Any = {field: value}
    await connection.response.create(model="house", input="hello", **given)
    error = (await until(connection, "error")).error
    assert (error.code in ("invalid_request", "unsupported_parameter"), words in error.message) == (True, True), error


async def test_a_choice_in_the_apis_own_forms(house: House, connection: AsyncResponsesConnection) -> None:
    house.lines["go"] = (call("look", {"word": "sun"}), "Seen.")
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]}
    response = await ask(connection, "go", tool_choice=allowed)
    assert [one.settings.tool_choice for one in house.model.requests] == ["required", "auto"]
    assert [[tool.name for tool in one.tools] for one in house.model.requests] == [["look"], ["look"]]
    assert response.tool_choice.to_dict() == allowed


async def test_the_steps_of_a_run_are_listed_over_http(house: House, connection: AsyncResponsesConnection) -> None:
    house.lines["pay"] = (call("till-pay", {"amount": 7}), "Paid.")
    first = await ask(connection, "pay")
    waiting = await steps(house, first.id)
    await ask(connection, yes(first.output[0].id))
    run = await steps(house, first.id)
    with pytest.raises(RemoteError, match="response 'resp_x' not found"):
        await steps(house, "resp_x")
    assert [one["status"] for one in waiting["states"]] == ["queued", "in_progress", "requires_action"]
    ends = ["requires_action", "queued", "in_progress", "completed"]
    assert [one["status"] for one in run["states"]] == ["queued", "in_progress", *ends]
    assert [one["calls"][0]["type"] if one["calls"] else "" for one in run["data"]] == [
        "mcp_approval_request",
        "mcp_call",
        "",
    ]
