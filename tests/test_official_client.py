"""The official client over real sockets: every way of creating, continuing, steering and cancelling that it knows.

Everything that it receives is checked against the SDK's types and the protocol's order when its house is closed
(``wire_record``).
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from openai import AsyncOpenAI, NotFoundError
from openai.resources.responses.responses import AsyncResponsesConnection
from openai.types.websocket_reconnection import ReconnectingEvent, ReconnectingOverrides

from frontdesk.agents.model import Usage
from frontdesk.agents.models.scripted import Signal, call, calls, done, fail, say, think, wait
from frontdesk.tests.playback.process import ServerProcess
from frontdesk.tests.served import House, file_errand, open_house, said_around
from frontdesk.tests.talk import agent_of, all_of, ask, connected, final, input_of, send, text_of, until
from frontdesk.tests.wire_record import TERMINAL, Record

WEATHER = {
    "type": "function", "name": "weather", "description": "The weather of a city", "strict": True,
    "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": False,
    },
}  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as found:
        yield found


@pytest.fixture
async def connection(house: House) -> AsyncGenerator[AsyncResponsesConnection]:
    async with connected(house) as found:
        yield found


# --- creating and continuing


async def test_the_desk_is_the_first_model(house: House) -> None:
    async with house.client() as client:
        assert [model.id async for model in client.models.list()] == ["house", "triage", "helper"]


async def test_a_response_is_streamed_in_the_order_of_the_api(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["hello"] = say("good day to you")
    await connection.response.create(model="house", input="hello", metadata={"mine": "kept"}, temperature=0.5)
    events: list[Any] = []
    async for event in connection:
        events.append(event)
        if event.type in TERMINAL:
            break
    assert [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        *["response.output_text.delta"] * 4, "response.output_text.done", "response.content_part.done",
        "response.output_item.done", "response.completed",
    ] == [event.type for event in events]  # fmt: skip
    assert "".join(one.delta for one in events if one.type == "response.output_text.delta") == "good day to you"
    response = events[-1].response
    assert (response.status, text_of(response), response.model) == ("completed", "good day to you", "house")
    assert response.metadata == {"mine": "kept"}
    assert response.temperature == 0.5
    assert events[0].response.created_at > 1e9


async def test_an_agent_can_be_asked_by_its_name(connection: AsyncResponsesConnection) -> None:
    await connection.response.create(model="helper", input="hello")
    response = await final(connection)
    assert response.model == "helper"
    assert agent_of(response.output[0]) == "helper"


async def test_continuing_from_a_response_goes_on_in_its_conversation(
    house: House, connection: AsyncResponsesConnection
) -> None:
    first = await ask(connection, "one")
    second = await ask(connection, "two", previous_response_id=first.id)
    assert first.id == second.previous_response_id
    assert first.conversation.id == second.conversation.id
    assert input_of(house.model.requests[-1]) == ["one", "two"]


async def test_continuing_twice_from_one_response_forks(house: House, connection: AsyncResponsesConnection) -> None:
    first = await ask(connection, "one")
    second = await ask(connection, "two", previous_response_id=first.id)
    forked = await ask(connection, "other", previous_response_id=first.id)
    assert second.conversation.id == first.conversation.id
    assert forked.conversation.id != first.conversation.id
    assert input_of(house.model.requests[-1]) == ["one", "other"]
    await ask(connection, "on the fork", previous_response_id=forked.id)
    assert input_of(house.model.requests[-1]) == ["one", "other", "on the fork"]
    await ask(connection, "on the first", previous_response_id=second.id)
    assert input_of(house.model.requests[-1]) == ["one", "two", "on the first"]


async def test_a_conversation_can_be_named(house: House, connection: AsyncResponsesConnection) -> None:
    first = await ask(connection, "one")
    await ask(connection, "two", conversation=first.conversation.id)
    third = await ask(connection, "three", conversation={"id": first.conversation.id})
    assert first.conversation.id == third.conversation.id
    assert input_of(house.model.requests[-1]) == ["one", "two", "three"]


async def test_a_client_that_resends_the_whole_history_stays_in_its_conversation(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["weather?"] = (call("weather", {"city": "Oslo"}, call_id="c1"), "Cold.")
    history: list[Any] = [{"role": "user", "content": "weather?"}]
    first = await ask(connection, history, tools=[WEATHER])
    history += [item.to_dict() for item in first.output]
    history += [{"type": "function_call_output", "call_id": "c1", "output": "-3"}]
    second = await ask(connection, history, tools=[WEATHER])
    history += [*(item.to_dict() for item in second.output), {"role": "user", "content": "thanks"}]
    third = await ask(connection, history, tools=[WEATHER])
    assert first.conversation.id == second.conversation.id == third.conversation.id
    asked = house.model.requests[-1]
    assert input_of(asked) == ["weather?", "thanks"]
    assert [item["output"] for item in asked.items if item.get("type") == "function_call_output"] == ["-3"]


async def test_what_is_not_stored_is_continued_on_its_own_connection_only(
    house: House, connection: AsyncResponsesConnection
) -> None:
    first = await ask(connection, "one", store=False)
    second = await ask(connection, "two", store=False, previous_response_id=first.id)
    assert input_of(house.model.requests[-1]) == ["one", "two"]
    async with connected(house) as other:
        await other.response.create(model="house", input="three", previous_response_id=second.id)
        assert (await until(other, "error")).error.code == "previous_response_not_found"
    await connection.response.create(model="nobody", input="three", previous_response_id=second.id, store=False)
    assert (await until(connection, "error")).error.code == "model_not_found"
    await connection.response.create(model="house", input="three", previous_response_id=second.id, store=False)
    error: Any = await until(connection, "error")
    assert error.error.code == "previous_response_not_found", "a continuation that failed drops the chain"


async def test_what_is_not_to_be_stored_is_kept_out_of_a_stored_conversation(
    house: House, connection: AsyncResponsesConnection
) -> None:
    first = await ask(connection, "kept")
    aside = await ask(connection, "a secret", store=False, previous_response_id=first.id)
    assert input_of(house.model.requests[-1]) == ["kept", "a secret"]
    assert aside.conversation.id != first.conversation.id
    further = await ask(connection, "more of it", store=False, previous_response_id=aside.id)
    assert further.conversation.id == aside.conversation.id
    await ask(connection, "aloud", previous_response_id=first.id)
    assert input_of(house.model.requests[-1]) == ["kept", "aloud"]
    async with house.client() as client:
        for one in (aside, further):
            with pytest.raises(NotFoundError):
                await client.responses.retrieve(one.id)
        items = [item async for item in client.conversations.items.list(first.conversation.id)]
    assert "a secret" not in str(items)


async def test_thoughts_are_items_and_tokens_are_counted(house: House, connection: AsyncResponsesConnection) -> None:
    used = Usage(input_tokens=30, cached_tokens=20, output_tokens=12, reasoning_tokens=5)
    house.lines["think"] = think("hard to say") + say("42") + done(used)
    response = await ask(connection, "think")
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output[0].summary[0].text == "hard to say"
    assert (response.usage.total_tokens, response.usage.input_tokens_details.cached_tokens) == (42, 20)
    assert response.usage.output_tokens_details.reasoning_tokens == 5


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_an_answer_that_is_cut_short_says_why(
    house: House, connection: AsyncResponsesConnection, finish: Any, reason: str
) -> None:
    house.lines["long"] = say("one two") + done(finish=finish)
    response = await ask(connection, "long")
    assert (response.status, response.incomplete_details.reason) == ("incomplete", reason)
    assert (text_of(response), response.metadata["frontdesk:limit"]) == ("one two", finish)


async def test_a_client_that_offers_compression_is_served(house: House) -> None:
    options = house.record.options(max_size=2**20, compression="deflate")
    async with (
        house.client() as client,
        client.responses.connect(websocket_connection_options=options) as connection,
    ):
        assert text_of(await ask(connection, "hello")) == "You said: hello"


async def test_background_is_taken_and_streamed_all_the_same(connection: AsyncResponsesConnection) -> None:
    response = await ask(connection, "hello", background=True)
    assert (response.background, text_of(response)) == (True, "You said: hello")


async def test_a_model_that_fails_ends_the_response_as_failed(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["break"] = fail(message="overloaded")
    response = await ask(connection, "break")
    assert (response.status, response.error.code) == ("failed", "server_error")
    assert (await ask(connection, "hello", conversation=response.conversation.id)).status == "completed"


async def test_tools_of_the_server_are_shown_as_calls_that_have_been_run(
    house: House, connection: AsyncResponsesConnection
) -> None:
    both = calls(call("look", {"word": "sun"}), call("look", {"wort": "sun"}))
    house.lines["look"] = (both, "Both are words.")
    response = await ask(connection, "look")
    found, wrong, message = response.output
    assert (
        found.type, found.server_label, found.name, found.output,
    ) == ("mcp_call", "desk", "look", "sun is a word")  # fmt: skip
    assert (wrong.type, wrong.output, wrong.status) == ("mcp_call", None, "failed")
    assert "word" in wrong.error.content[0]["text"]
    assert message.content[0].text == "Both are words."
    items = [event["type"] for event in house.record.events() if "output_item" in event["type"]]
    both_run = [f"response.output_item.{what}" for what in ("added", "added", "done", "done")]
    assert items[:4] == both_run, "all that run together are added before the first is done"


async def test_a_handoff_is_shown_as_a_call_and_moves_the_conversation(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["move"] = (call("transfer_to_helper"), "I am here.")
    response = await ask(connection, "move")
    assert (response.output[0].server_label, response.output[0].name) == ("handoff", "transfer_to_helper")
    assert [agent_of(item) for item in response.output] == ["triage", "helper"]
    after = await ask(connection, "still?", previous_response_id=response.id)
    assert agent_of(after.output[0]) == "helper"


# --- functions that the client runs


async def test_functions_of_the_client_end_the_response_and_their_outputs_continue_it(
    house: House, connection: AsyncResponsesConnection
) -> None:
    both = calls(call("weather", {"city": "Oslo"}, call_id="c1"), call("weather", {"city": "Rome"}, call_id="c2"))
    house.lines["weather?"] = (both, "Cold and warm.")
    first = await ask(connection, "weather?", tools=[WEATHER])
    assert first.status == "completed"
    assert [(item.name, item.call_id) for item in first.output] == [("weather", "c1"), ("weather", "c2")]
    assert json.loads(first.output[0].arguments) == {"city": "Oslo"}
    outputs = [{"type": "function_call_output", "call_id": one, "output": f"output of {one}"} for one in ("c1", "c2")]
    second = await ask(connection, outputs, previous_response_id=first.id, tools=[WEATHER])
    assert text_of(second) == "Cold and warm."
    given = [item for item in house.model.requests[-1].items if item.get("type") == "function_call_output"]
    assert [item["output"] for item in given] == ["output of c1", "output of c2"]


async def test_tools_of_both_sides_run_in_one_reply(house: House, connection: AsyncResponsesConnection) -> None:
    both = calls(call("look", {"word": "sun"}), call("weather", {"city": "Oslo"}, call_id="c1"))
    house.lines["both"] = (both, "done with both")
    first = await ask(connection, "both", tools=[{"type": "function", "name": "weather"}])
    assert [(item.type, item.name) for item in first.output] == [("mcp_call", "look"), ("function_call", "weather")]
    outputs = [{"type": "function_call_output", "call_id": "c1", "output": "cold"}]
    second = await ask(connection, outputs, previous_response_id=first.id)
    assert text_of(second) == "done with both"


# --- steering


async def test_steering_ends_the_running_response_and_starts_its_successor(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["long"] = (call("hold", {"name": "desk"}), "never said")
    house.lines["shorter"] = "as you like"
    metadata = {"mine": "kept", "frontdesk:input_id": "i1"}
    await connection.response.create(model="house", input="long", stream_id="talk", metadata=metadata)
    created = await until(connection, "response.created")
    await house.gates["desk"].reached()
    await connection.response.steer(input="shorter", previous_response_id=created.response.id)
    accepted = await until(connection, "response.steer.accepted")
    assert ("talk", created.response.id) == (accepted.stream_id, accepted.steer.previous_response_id)
    house.gates["desk"].open()
    steered = await final(connection, "talk")
    assert (steered.status, steered.incomplete_details.reason) == ("incomplete", "steered")
    assert steered.output[0].output == "held at desk"
    successor = (await until(connection, "response.created")).response
    assert created.response.id == successor.previous_response_id
    assert successor.metadata == {"mine": "kept"}, "whose input it answers is not inherited"
    assert text_of(await final(connection, "talk")) == "as you like"
    assert input_of(house.model.requests[-1]) == ["long", "shorter"]


async def test_a_steer_is_accepted_with_the_targets_next_number(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["long"] = (call("hold", {"name": "desk"}), "never said")
    await connection.response.create(model="house", input="long")
    arguments = await until(connection, "response.mcp_call_arguments.done")
    await house.gates["desk"].reached()
    await connection.response.steer(input="stop", previous_response_id=arguments.response_id)
    accepted = await until(connection, "response.steer.accepted")
    assert arguments.sequence_number + 1 == accepted.sequence_number
    house.gates["desk"].open()
    assert (await final(connection)).incomplete_details.reason == "steered"
    assert (await final(connection)).status == "completed"


async def test_several_steers_of_one_response_share_a_successor(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["long"] = (call("hold", {"name": "desk"}), "never said")
    await connection.response.create(model="house", input="long")
    target = (await until(connection, "response.created")).response.id
    await house.gates["desk"].reached()
    for text in ("first", "second"):
        await connection.response.steer(input=text, previous_response_id=target)
    ids = {(await until(connection, "response.steer.accepted")).steer.id for _ in range(2)}
    assert len(ids) == 2
    house.gates["desk"].open()
    assert (await final(connection)).incomplete_details.reason == "steered"
    successor = await final(connection)
    assert target == successor.previous_response_id
    assert input_of(house.model.requests[-1]) == ["long", "first", "second"]
    after = await ask(connection, "on", previous_response_id=target)
    assert successor.conversation.id == after.conversation.id, "a steer is no continuation of a client's: nothing forks"


async def test_steering_an_answer_that_is_being_said_lets_it_end(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["talk"] = said_around("one ", house.gates["half"], "two")
    await connection.response.create(model="house", input="talk")
    delta = await until(connection, "response.output_text.delta")
    await connection.response.steer(input="more", previous_response_id=delta.response_id)
    await until(connection, "response.steer.accepted")
    house.gates["half"].open()
    first = await final(connection)
    assert (first.status, text_of(first)) == ("completed", "one two")
    assert text_of(await final(connection)) == "You said: more"


async def test_a_steer_goes_before_creates_that_wait(house: House, connection: AsyncResponsesConnection) -> None:
    house.lines["long"] = (call("hold", {"name": "desk"}), "never said")
    await connection.response.create(model="house", input="long", stream_id="a")
    target: Any = await until(connection, "response.created")
    await house.gates["desk"].reached()
    await connection.response.create(model="house", input="queued", conversation=target.conversation, stream_id="b")
    await until(connection, "frontdesk:accepted")
    await connection.response.steer(input="more", previous_response_id=target.response.id)
    await until(connection, "response.steer.accepted")
    house.gates["desk"].open()
    assert (await final(connection, "a")).incomplete_details.reason == "steered"
    assert text_of(await final(connection, "a")) == "You said: more"
    assert text_of(await final(connection, "b")) == "You said: queued"
    assert input_of(house.model.requests[-1]) == ["long", "more", "queued"]


async def test_what_waits_for_its_turn_can_be_steered(house: House, connection: AsyncResponsesConnection) -> None:
    house.lines["slow"] = wait(house.gates["slow"]) + say("slow")
    await connection.response.create(model="house", input="slow")
    conversation = (await until(connection, "response.created")).conversation
    await connection.response.create(model="house", input="queued", conversation=conversation)
    waits: Any = await until(connection, "frontdesk:accepted")
    await connection.response.steer(input="more", previous_response_id=waits.response_id)
    accepted: Any = await until(connection, "response.steer.accepted")
    house.gates["slow"].open()
    assert text_of(await final(connection)) == "slow"
    steered = await final(connection)
    assert steered.id == waits.response_id, "its turn comes first, whether it is still cut short or not"
    successor = await final(connection)
    assert (successor.id, successor.previous_response_id) == (accepted.response_id, waits.response_id)
    assert input_of(house.model.requests[-1]) == ["slow", "queued", "more"]


async def test_steering_what_has_ended_returns_the_input(house: House, connection: AsyncResponsesConnection) -> None:
    response = await ask(connection, "hello")
    given: Any = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "more"}]}]
    await connection.response.steer(input=given, previous_response_id=response.id)
    failed = await until(connection, "response.steer.failed")
    assert failed.error.code == "response_already_completed"
    assert response.id == failed.steer.previous_response_id
    assert given == [item.to_dict() for item in failed.steer.input]
    last = max(one["sequence_number"] for one in house.record.events() if one.get("response_id") == response.id)
    assert failed.sequence_number == last + 1, "the target's next number"
    assert (await ask(connection, "on")).status == "completed"


@pytest.mark.parametrize(
    ("target", "given", "code"),
    [
        ("resp_nobody", "more", "response_not_found"),
        (None, [{"type": "message", "role": "assistant", "content": "x"}], "invalid_input"),
        (None, [], "invalid_input"),
    ],
)
async def test_a_steer_that_cannot_be_is_returned_with_the_sdks_code(
    connection: AsyncResponsesConnection, target: str | None, given: Any, code: str
) -> None:
    known = (await ask(connection, "hello")).id
    await connection.response.steer(input=given, previous_response_id=target or known)
    failed = await until(connection, "response.steer.failed")
    assert code == failed.error.code
    assert (failed.sequence_number == 0) == (target is not None), "0 when the target is unknown"
    assert (await ask(connection, "on")).status == "completed"


# --- lanes


async def test_turns_of_two_lanes_run_at_once(house: House, connection: AsyncResponsesConnection) -> None:
    left, right = Signal(), Signal()

    def meet(mine: Signal, other: Signal) -> Any:
        async def arrive() -> None:
            mine.set()
            await other.wait()

        return wait(arrive) + say("we have met")

    house.lines["left"], house.lines["right"] = meet(left, right), meet(right, left)
    for lane in ("left", "right"):
        await connection.response.create(model="house", input=lane, stream_id=lane)
    with anyio.fail_after(30):
        found: dict[str, str] = {}
        while len(found) < 2:
            event: Any = await connection.recv()
            if event.type in TERMINAL:
                found[event.stream_id] = text_of(event.response)
    assert found == {"left": "we have met", "right": "we have met"}


async def test_a_lane_answers_in_the_order_of_its_creates(house: House, connection: AsyncResponsesConnection) -> None:
    house.lines["slow"] = wait(house.gates["slow"]) + say("slow")
    await connection.response.create(model="house", input="slow", stream_id="one")
    await connection.response.create(model="house", input="quick", stream_id="one")
    await connection.response.create(model="house", input="elsewhere", stream_id="two")
    assert text_of(await final(connection, "two")) == "You said: elsewhere"
    house.gates["slow"].open()
    assert text_of(await final(connection, "one")) == "slow"
    assert text_of(await final(connection, "one")) == "You said: quick"


async def test_inputs_of_one_conversation_on_two_lanes_take_turns(
    house: House, connection: AsyncResponsesConnection
) -> None:
    conversation = (await ask(connection, "one")).conversation.id
    house.lines["two"] = wait(house.gates["two"]) + say("two")
    await connection.response.create(model="house", input="two", conversation=conversation, stream_id="a")
    await until(connection, "response.created")
    await connection.response.create(
        model="house", input="three", conversation=conversation, stream_id="b", metadata={"frontdesk:input_id": "three"}
    )
    waits: Any = await until(connection, "frontdesk:accepted")
    assert ("b", "three", conversation, 1) == (waits.stream_id, waits.input_id, waits.conversation, waits.position)
    house.gates["two"].open()
    assert text_of(await final(connection, "a")) == "two"
    third = await final(connection, "b")
    assert waits.response_id == third.id
    assert input_of(house.model.requests[-1]) == ["one", "two", "three"]


# --- tasks, cancelling


async def test_a_background_task_is_filed_and_its_end_is_known_to_the_next_turn(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["file"] = (file_errand("shop"), "It is being done.")
    response = await ask(connection, "file")
    filed, said = response.output
    assert (filed.server_label, filed.name, json.loads(filed.output)["task"]) == ("tasks", "create_task", "T1")
    assert said.content[0].text == "It is being done."
    conversation = response.conversation.id
    await send(connection, "frontdesk:subscribe", conversation=conversation)
    await until(connection, "frontdesk:subscribed")
    house.gates["shop"].open()
    finished: Any = await until(connection, "frontdesk:task.finished")
    assert (finished.task["status"], finished.task["result"]) == ("succeeded", "shop is done")
    notice = await final(connection, f"frontdesk.{conversation}")
    assert finished.task["id"] == notice.metadata["frontdesk:trigger"]
    assert (notice.output[0].name, text_of(notice)) == ("check_task", "heard of 1")
    after = await ask(connection, "and now?", previous_response_id=response.id)
    assert conversation == after.conversation.id, "joins the head that the notice has moved on"


async def test_a_response_is_cancelled_and_ends_its_stream(house: House, connection: AsyncResponsesConnection) -> None:
    house.lines["talk"] = said_around("one ", house.gates["never"], "two")
    await connection.response.create(model="house", input="talk")
    delta = await until(connection, "response.output_text.delta")
    await send(connection, "frontdesk:cancel", response_id=delta.response_id)
    end = await until(connection, "response.incomplete")
    assert (end.response.status, end.response.incomplete_details) == ("cancelled", None)
    assert (end.response.output[0].status, text_of(end.response)) == ("incomplete", "one ")
    after = await ask(connection, "again", previous_response_id=delta.response_id)
    assert text_of(after) == "You said: again"
    await send(connection, "frontdesk:cancel", response_id=delta.response_id)  # twice is once
    assert (await ask(connection, "on")).status == "completed"


async def test_a_response_that_waits_for_its_turn_can_be_cancelled(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["one"] = wait(house.gates["one"]) + say("one")
    await connection.response.create(model="house", input="one", stream_id="a")
    conversation = (await until(connection, "response.created")).conversation
    await connection.response.create(model="house", input="two", conversation=conversation, stream_id="b")
    waits: Any = await until(connection, "frontdesk:accepted")
    await send(connection, "frontdesk:cancel", response_id=waits.response_id)
    house.gates["one"].open()
    assert (await final(connection, "a")).status == "completed"
    cancelled = await final(connection, "b")
    assert (waits.response_id, "cancelled", []) == (cancelled.id, cancelled.status, cancelled.output)


async def test_a_task_is_cancelled(house: House, connection: AsyncResponsesConnection) -> None:
    house.lines["file"] = (file_errand("never"), "It is being done.")
    response = await ask(connection, "file")
    await send(connection, "frontdesk:subscribe", conversation=response.conversation.id, after="0")
    await house.gates["never"].reached()
    running: Any = await until(connection, "frontdesk:task.updated", lambda event: event.task["status"] == "running")
    await send(connection, "frontdesk:cancel", task_id=running.task["id"])
    finished: Any = await until(connection, "frontdesk:task.finished")
    assert finished.task["status"] == "cancelled"


async def test_interrupting_stops_the_running_response_and_keeps_what_was_said(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["talk"] = said_around("one ", house.gates["never"], "two")
    await connection.response.create(model="house", input="talk", stream_id="a")
    delta: Any = await until(connection, "response.output_text.delta")
    await connection.response.create(
        model="house", input="stop", conversation=delta.conversation, stream_id="b",
        metadata={"frontdesk:when_busy": "interrupt"},
    )  # fmt: skip
    stopped = await final(connection, "a")
    assert (stopped.status, text_of(stopped)) == ("cancelled", "one ")
    assert text_of(await final(connection, "b")) == "You said: stop"


# --- errors


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"model": "gpt-99"}, 404, "model_not_found", "model"),
        ({"previous_response_id": "resp_nobody"}, 404, "previous_response_not_found", "previous_response_id"),
        ({"conversation": "conv_nobody"}, 404, "conversation_not_found", "conversation"),
        ({"tools": [{"type": "web_search"}]}, 400, "unsupported_parameter", "tools[0].type"),
        ({"truncation": "sideways"}, 400, "invalid_request", "truncation"),
        ({"max_output_tokens": 0}, 400, "invalid_request", "max_output_tokens"),
        ({"input": []}, 400, "invalid_request", "input"),
        ({"conversation": "conv_a", "previous_response_id": "resp_a"}, 400, "invalid_request", "previous_response_id"),
    ],
)
async def test_a_create_that_cannot_be_gets_an_error_on_its_lane_and_the_connection_stays(
    connection: AsyncResponsesConnection, fields: dict[str, Any], status: int, code: str, param: str
) -> None:
    wrong: dict[str, Any] = {"model": "house", "input": "hello", "stream_id": "lane-1", **fields}
    await connection.response.create(**wrong)
    error: Any = await until(connection, "error")
    assert (status, code, param, "lane-1") == (error.status, error.error.code, error.error.param, error.stream_id)
    assert (await ask(connection, "hello")).status == "completed"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "invalid_json"),
        ('{"type": "response.create", "input": NaN}', "invalid_json"),
        ('{"type": "response.create", "input": "\\ud800"}', "invalid_json"),
        ('{"a":' * 100 + "1" + "}" * 100, "invalid_json"),
        ("[]", "invalid_request"),
        ('{"type": "session.update"}', "invalid_request"),
        ("{}", "invalid_request"),
        (b"\x00\x01", "invalid_request"),
    ],
)
async def test_a_message_that_is_none_gets_an_error_and_the_connection_stays(
    connection: AsyncResponsesConnection, text: str | bytes, code: str
) -> None:
    await connection.send_raw(text)
    error: Any = await until(connection, "error")
    assert (400, code) == (error.status, error.error.code)
    assert (await ask(connection, "hello")).status == "completed"


# --- reconnecting


async def test_after_a_restart_the_client_reconnects_and_gets_everything_after_its_cursor(house: House) -> None:
    house.lines["long"] = (call("look", {"word": "sun"}), call("hold", {"name": "desk"}), "said after the restart")
    seen: dict[str, str] = {}

    def on_reconnecting(event: ReconnectingEvent) -> ReconnectingOverrides:
        return {"extra_query": {"conversation": seen["conversation"], "after": seen["cursor"]}}

    async with connected(house, on_reconnecting=on_reconnecting, initial_delay=0.05) as connection:
        await connection.response.create(model="house", input="long")
        events: list[Any] = []
        async for event in connection:
            events.append(event)
            raw: dict[str, Any] = event.to_dict()
            if "cursor" in raw:
                seen.update(conversation=raw["conversation"], cursor=raw["cursor"])
            if event.type == "response.mcp_call_arguments.done" and "desk" in event.arguments:
                await anyio.to_thread.run_sync(house.restart)
                house.gates["desk"].open()
            if event.type in TERMINAL:
                break
    assert (events[-1].response.status, text_of(events[-1].response)) == ("completed", "said after the restart")
    first = next(number for number, one in enumerate(events) if one.type == "frontdesk:subscribed")
    assert f"frontdesk.{seen['conversation']}" == events[first].stream_id
    cursors = [int(one.cursor) for one in events[:first] + events[first + 1 :] if "cursor" in one.to_dict()]
    assert sorted(set(cursors)) == cursors, "in the log's order, nothing twice"
    async with connected(house) as another:
        kept = {int(one["cursor"]) for one in await all_of(another, seen["conversation"], cursors[-1])}
    assert kept <= set(cursors), "nothing that the log holds was left out"
    assert "frontdesk:draining" in {one.type for one in events[:first]}


async def is_listening(server: ServerProcess) -> None:
    """Returns when a process that was started takes connections."""
    with anyio.fail_after(60):
        while True:
            try:
                await (await anyio.connect_tcp("127.0.0.1", server.port)).aclose()
            except OSError:
                await anyio.sleep(0.01)
            else:
                return


async def test_after_a_kill_the_client_reconnects_and_gets_the_rest(tmp_path: Path) -> None:
    server, record, seen = ServerProcess(tmp_path), Record(), dict[str, str]()
    ends: list[Any] = []
    script = json.dumps([[["note", {"text": "a"}], ["hold", {"name": "first"}]], "said after the kill"])

    def on_reconnecting(event: ReconnectingEvent) -> ReconnectingOverrides:
        return {"extra_query": dict(seen)}

    server.start()
    try:
        await is_listening(server)
        async with (
            AsyncOpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="any") as client,
            client.responses.connect(
                websocket_connection_options=record.options(), on_reconnecting=on_reconnecting,
                max_retries=500, initial_delay=0.02, max_delay=0.1,
            ) as connection,
        ):  # fmt: skip
            await connection.response.create(model="playback", input=script)
            async for event in connection:
                raw: dict[str, Any] = event.to_dict()
                if "cursor" in raw:
                    seen.update(conversation=raw["conversation"], after=raw["cursor"])
                if event.type == "response.mcp_call_arguments.done" and "first" in event.arguments:
                    await anyio.to_thread.run_sync(server.kill)
                    server.start()
                    (tmp_path / "first").touch()
                if event.type in TERMINAL:
                    ends.append(event)
                    break
        response = ends[0].response
        assert (response.status, text_of(response)) == ("completed", "said after the kill")
        assert [item.output for item in response.output[:2]] == ["noted a", "held first"]
    finally:
        server.stop()
    record.check()
    cursors = [int(event["cursor"]) for event in record.events() if event["type"] != "frontdesk:subscribed"]
    assert sorted(set(cursors)) == cursors


# --- the synchronous client


# The client has not followed websockets 17.1.
@pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")
def test_the_synchronous_client_works_alike(house: House) -> None:
    house.lines["hello"] = "good day"
    house.lines["long"] = (call("hold", {"name": "desk"}), "never said")
    with (
        house.sync_client() as client,
        client.responses.connect(websocket_connection_options=house.record.sync_options()) as connection,
    ):
        assert next(iter(client.models.list())).id == "house"

        def end() -> Any:
            found: Any = next(event for event in connection if event.type in TERMINAL)
            return found.response

        connection.response.create(model="house", input="hello")
        first = end()
        assert first.output_text == "good day"
        connection.response.create(model="house", input="long", previous_response_id=first.id)
        arguments: Any = next(event for event in connection if event.type == "response.mcp_call_arguments.done")
        connection.response.steer(input="stop", previous_response_id=arguments.response_id)
        assert next(event for event in connection if event.type == "response.steer.accepted")
        house.gates["desk"].open()
        assert end().incomplete_details.reason == "steered"
        assert end().output_text == "You said: stop"
        connection.send_raw("{")
        assert next(event for event in connection if event.type == "error")
        connection.response.create(model="house", input="on", stream_id="lane-1")
        assert end().output_text == "You said: on"
