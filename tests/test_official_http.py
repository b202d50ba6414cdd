"""The official client over HTTP: responses as JSON, as streams, in the background; read, resumed, cancelled, deleted.

Everything that it receives is checked against the SDK's types (``http_record``).
"""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import CompactedResponse, ResponseCompactionItem

from frontdesk.agents.errors import ModelUnavailable
from frontdesk.agents.model import Usage
from frontdesk.agents.models.scripted import call, calls, done, fail, say, wait
from frontdesk.broker import quotas
from frontdesk.server.limits import Limits
from frontdesk.tests.http_house import client, house, record
from frontdesk.tests.served import House, said_around
from frontdesk.tests.talk import input_of

WEATHER: Any = {
    "type": "function", "name": "weather", "description": "The weather of a city", "strict": True,
    "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": False,
    },
}  # fmt: skip

__all__ = ["client", "house", "record"]  # fixtures


async def ask(client: AsyncOpenAI, given: Any, **fields: Any) -> Any:
    create: Any = client.responses.create
    return await create(model="house", input=given, **fields)


async def ended(client: AsyncOpenAI, response_id: str) -> Any:
    """Follows a response to its end; the response as it is read then."""
    async for _ in await client.responses.retrieve(response_id, stream=True):
        pass
    return await client.responses.retrieve(response_id)


# --- JSON


async def test_a_response_is_answered_when_it_has_ended(client: AsyncOpenAI) -> None:
    response = await ask(client, "plain", metadata={"mine": "kept"})
    assert (response.status, response.output_text, response.model) == ("completed", "You said: plain", "house")
    assert response.metadata == {"mine": "kept"}
    read = await client.responses.retrieve(response.id)
    assert read.to_dict() == response.to_dict()


async def test_a_conversation_goes_on_over_http(house: House, client: AsyncOpenAI) -> None:
    first = await ask(client, "over http")
    second = await ask(client, "second", previous_response_id=first.id)
    assert second.conversation == first.conversation
    third = await ask(client, "third", conversation=first.conversation.id)
    assert input_of(house.model.requests[-1]) == ["over http", "second", "third"]
    assert third.conversation == first.conversation


async def test_a_turn_that_fails_is_an_answer_too(house: House, client: AsyncOpenAI) -> None:
    house.lines["break"] = fail(ModelUnavailable)
    response = await ask(client, "break")
    assert (response.status, response.error.code) == ("failed", "server_error")
    assert (await client.responses.retrieve(response.id)).to_dict() == response.to_dict()


async def test_what_limits_end_says_so_when_it_is_read_again(house: House, client: AsyncOpenAI) -> None:
    house.lines["on and on"] = tuple(call("look", {"word": f"w{number}"}) for number in range(40))
    response = await ask(client, "on and on")
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.metadata == {"frontdesk:limit": "32 model calls"}
    assert (await client.responses.retrieve(response.id)).to_dict() == response.to_dict()


async def test_a_client_runs_its_own_functions(house: House, client: AsyncOpenAI) -> None:
    house.lines["weather?"] = (call("weather", {"city": "Oslo"}, call_id="c1"), "Cold.")
    first = await ask(client, "weather?", tools=[WEATHER])
    assert [(item.type, item.call_id) for item in first.output] == [("function_call", "c1")]
    output = {"type": "function_call_output", "call_id": "c1", "output": "-3"}
    second = await ask(client, [output], previous_response_id=first.id, tools=[WEATHER])
    assert second.output_text == "Cold."


async def test_a_client_that_leaves_cancels_nothing(house: House, client: AsyncOpenAI) -> None:
    house.lines["left alone"] = (call("hold", {"name": "left"}), "done all the same")
    with anyio.move_on_after(0.2):
        await ask(client, "left alone", metadata={"frontdesk:input_id": "left"})
    house.gates["left"].open()
    again = await ask(client, "left alone", metadata={"frontdesk:input_id": "left"})
    assert (again.status, again.output_text) == ("completed", "done all the same")


async def test_an_idempotency_key_makes_one_response_of_many_requests(house: House, client: AsyncOpenAI) -> None:
    house.lines["once"] = (call("hold", {"name": "once"}), "only once")
    key = {"Idempotency-Key": "key-1"}
    found: list[Any] = []

    async def send() -> None:
        found.append(await ask(client, "once", extra_headers=key))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(send)
        house.gates["once"].open()
    assert len({one.id for one in found}) == 1
    with pytest.raises(openai.ConflictError) as caught:
        await ask(client, "something else", extra_headers=key)
    assert caught.value.code == "idempotency_mismatch"
    assert caught.value.response.headers["x-should-retry"] == "false"
    stream = await ask(client, "once", stream=True, extra_headers=key)
    events = [event async for event in stream]
    assert events[0].type == "response.created"
    assert events[-1].response.id == found[0].id


# --- streams


async def test_a_response_is_streamed_in_the_order_of_the_api(house: House, client: AsyncOpenAI) -> None:
    house.lines["stream"] = "good day to you"
    events = [event async for event in await ask(client, "stream", stream=True)]
    assert [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        *["response.output_text.delta"] * 4, "response.output_text.done", "response.content_part.done",
        "response.output_item.done", "response.completed",
    ] == [event.type for event in events]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.output_text == "good day to you"


async def test_the_sdks_stream_helper_puts_the_whole_together(house: House, client: AsyncOpenAI) -> None:
    house.lines["helper"] = (calls(call("look", {"word": "a"}), call("look", {"word": "b"})), "both looked up")
    async with client.responses.stream(model="house", input="helper") as stream:
        said = "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])
        final = await stream.get_final_response()
    assert said == final.output_text == "both looked up"
    assert [item.type for item in final.output] == ["mcp_call", "mcp_call", "message"]


async def test_a_stream_that_was_left_is_taken_up_where_it_was(house: House, client: AsyncOpenAI) -> None:
    house.lines["taken up"] = said_around("one two ", house.gates["taken up"], "three four")
    seen: list[Any] = []
    async with await ask(client, "taken up", stream=True) as stream:
        async for event in stream:
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
    response_id, number = seen[0].response.id, seen[-1].sequence_number
    house.gates["taken up"].open()
    rest = [e async for e in await client.responses.retrieve(response_id, stream=True, starting_after=number)]
    assert rest[0].sequence_number > number
    assert rest[-1].type == "response.completed"
    assert rest[-1].response.output_text == "one two three four"
    again = [e async for e in await client.responses.retrieve(response_id, stream=True)]
    assert (again[0].type, again[-1].to_dict()) == ("response.created", rest[-1].to_dict())
    last = rest[-1].sequence_number
    assert [e async for e in await client.responses.retrieve(response_id, stream=True, starting_after=last)] == []


async def test_two_streams_of_one_response_see_the_same(house: House, client: AsyncOpenAI) -> None:
    house.lines["two see"] = said_around("before ", house.gates["two see"], "after")
    first = await ask(client, "two see", background=True, stream=True)
    started: Any = await anext(first)
    second = await client.responses.retrieve(started.response.id, stream=True)
    other: Any = await anext(second)
    assert other.to_dict() == started.to_dict()
    house.gates["two see"].open()
    ends = [[event async for event in stream][-1].to_dict() for stream in (first, second)]
    assert ends[0] == ends[1]


# --- in the background


async def test_a_background_response_is_polled(house: House, client: AsyncOpenAI) -> None:
    house.lines["later"] = (call("hold", {"name": "later"}), "now it is")
    response = await ask(client, "later", background=True)
    assert response.status in ("queued", "in_progress")
    assert response.background is True
    house.gates["later"].open()
    done = await ended(client, response.id)
    assert (done.status, done.output_text) == ("completed", "now it is")


async def test_a_background_response_is_cancelled(house: House, client: AsyncOpenAI) -> None:
    house.lines["cancel me"] = (call("hold", {"name": "never opened"}), "never said")
    response = await ask(client, "cancel me", background=True)
    cancelled = await client.responses.cancel(response.id)
    assert cancelled.status == "cancelled"
    assert (await client.responses.cancel(response.id)).status == "cancelled"
    waiting = await ask(client, "goes on", conversation=response.conversation.id)
    assert waiting.output_text == "You said: goes on"


async def test_a_response_that_waits_is_queued_and_can_be_cancelled(house: House, client: AsyncOpenAI) -> None:
    house.lines["first in line"] = (call("hold", {"name": "line"}), "first")
    first = await ask(client, "first in line", background=True)
    second = await ask(client, "second in line", background=True, conversation=first.conversation.id)
    assert second.status == "queued"
    assert (await client.responses.input_items.list(second.id)).data == []
    with pytest.raises(openai.ConflictError):
        await client.responses.delete(second.id)
    third = await ask(client, "third in line", background=True, conversation=first.conversation.id)
    cancelled = await client.responses.cancel(third.id)  # at once: it will say nothing, whenever its turn comes
    assert (cancelled.status, (await client.responses.retrieve(third.id)).status) == ("cancelled", "cancelled")
    house.gates["line"].open()
    assert (await ended(client, second.id)).status == "completed"
    assert (await ended(client, third.id)).status == "cancelled"


# --- what was asked, and what is deleted


async def test_input_items_are_listed_a_page_at_a_time(client: AsyncOpenAI) -> None:
    given = [{"role": "user", "content": f"part {number}"} for number in range(5)]
    response = await ask(client, given)
    pages: list[Any] = [item async for item in client.responses.input_items.list(response.id, limit=2, order="asc")]
    assert [item.content[0].text for item in pages] == [f"part {number}" for number in range(5)]
    newest = await client.responses.input_items.list(response.id, limit=1, include=["message.input_image.image_url"])
    assert newest.data[0].id == pages[-1].id
    assert newest.has_more
    with pytest.raises(openai.NotFoundError) as caught:
        await client.responses.input_items.list(response.id, after="msg_nobody_has")
    assert caught.value.code == "item_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.responses.input_items.list(response.id, limit=1_000)
    assert wrong.value.param == "limit"


async def test_a_deleted_response_is_gone_and_its_conversation_goes_on(house: House, client: AsyncOpenAI) -> None:
    first = await ask(client, "to be deleted")
    await client.responses.delete(first.id)
    for gone in (client.responses.retrieve(first.id), client.responses.cancel(first.id)):
        with pytest.raises(openai.NotFoundError) as caught:
            await gone
        assert caught.value.code == "response_not_found"
    with pytest.raises(openai.NotFoundError):
        await ask(client, "next", previous_response_id=first.id)
    await ask(client, "after it", conversation=first.conversation.id)
    assert input_of(house.model.requests[-1]) == ["to be deleted", "after it"]


async def test_what_is_not_stored_can_be_read_by_nobody(client: AsyncOpenAI) -> None:
    response = await ask(client, "forget me", store=False)
    assert response.output_text == "You said: forget me"
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.cancel(response.id)
    with pytest.raises(openai.NotFoundError) as caught:
        await ask(client, "go on", previous_response_id=response.id)
    assert caught.value.code == "previous_response_not_found"
    with pytest.raises(openai.BadRequestError):
        await ask(client, "both", store=False, background=True)


async def test_what_is_not_stored_stays_in_a_conversation_that_it_is_said_in(house: House, client: AsyncOpenAI) -> None:
    """As the API has it: the conversation keeps its items, and there is no response to be read or continued."""
    conversation = await client.conversations.create()
    aside = await ask(client, "only in there", store=False, conversation=conversation.id)
    assert (aside.output_text, aside.to_dict()["store"]) == ("You said: only in there", False)
    assert aside.conversation.id == conversation.id
    items = [item async for item in client.conversations.items.list(conversation.id)]
    assert len(items) == 2
    for nothing in (client.responses.retrieve(aside.id), client.responses.cancel(aside.id),
                    client.responses.delete(aside.id), client.responses.input_items.list(aside.id),
                    client.get(f"/responses/{aside.id}/steps", cast_to=object)):  # fmt: skip
        with pytest.raises(openai.NotFoundError):
            await nothing
    with pytest.raises(openai.NotFoundError) as caught:
        await ask(client, "go on", previous_response_id=aside.id)
    assert caught.value.code == "previous_response_not_found"
    events = await ask(client, "and streamed", store=False, conversation=conversation.id, stream=True)
    assert [event.type async for event in events][-1] == "response.completed"
    await ask(client, "heard?", conversation=conversation.id)
    assert input_of(house.model.requests[-1]) == ["only in there", "and streamed", "heard?"]


async def test_a_compaction_is_counted_and_bounded_as_what_its_tenant_uses(house: House, client: AsyncOpenAI) -> None:
    async def used() -> Any:
        found: Any = await client.get("/usage", cast_to=httpx2.Response)
        return found.json()["data"][-1]

    await client.responses.compact(model="house", input="a long dialog")
    house.lines[input_of(house.model.requests[-1])[-1]] = say("short") + done(Usage(300, output_tokens=40))
    before = await used()
    await client.responses.compact(model="house", input="a long dialog")
    after = await used()
    assert after["model_calls"] - before["model_calls"] == 1
    assert after["total_tokens"] - before["total_tokens"] == 340
    assert after["turns"] == before["turns"]
    for bound in ({"tokens": 340}, {"turns": 0}):
        await client.post("/quotas", body={"tenant": "*", **bound}, cast_to=object)
        try:
            with pytest.raises(openai.RateLimitError) as caught:
                await client.responses.compact(model="house", input="a long dialog")
        finally:
            await client.post("/quotas", body={"tenant": "*"}, cast_to=object)
        assert caught.value.code == "quota_exceeded"


async def test_compactions_that_come_together_are_bounded_too(
    house: House, client: AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, came, both = house.database.read, list[int](), asyncio.Event()

    async def together(function: Any, *args: Any, **options: Any) -> Any:
        """Reads quotas when two wait for theirs."""
        if function is quotas.check_turn:
            came.append(1)
            if len(came) == 2:
                both.set()
            await both.wait()
        return await plain(function, *args, **options)

    await client.post("/quotas", body={"tenant": "*", "turns": 1}, cast_to=object)
    monkeypatch.setattr(house.database, "read", together)
    compact: Any = client.responses.compact
    asked = [compact(model="house", input="a long dialog") for _ in range(2)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    await client.post("/quotas", body={"tenant": "*"}, cast_to=object)
    assert sum(isinstance(one, openai.RateLimitError) for one in found) == 1


async def test_who_waits_for_a_compaction_is_connected(
    house: House, client: AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.service, "limits", Limits(connections=1))
    await client.responses.compact(model="house", input="a longer dialog")
    gate = house.gates["compacted"]
    house.lines[input_of(house.model.requests[-1])[-1]] = wait(gate) + say("short")
    compact: Any = client.responses.compact
    first = asyncio.create_task(compact(model="house", input="a longer dialog"))
    await gate.reached()
    for asked in (compact(model="house", input="another"), ask(client, "hello")):
        with pytest.raises(openai.RateLimitError, match="connections are open"):
            await asked
    gate.open()
    await first
    assert (await ask(client, "hello")).status == "completed"


async def test_a_dialog_is_compacted_and_goes_on_from_there(house: House, client: AsyncOpenAI) -> None:
    first = await ask(client, "my name is Anna")
    second = await ask(client, "and I am in Oslo", previous_response_id=first.id)
    compacted: Any = await client.responses.compact(model="house", previous_response_id=second.id, input="one more")
    assert [item.type for item in compacted.output] == ["message", "message", "message", "compaction"]
    assert [item.content[0].text for item in compacted.output[:-1]] == [
        "my name is Anna", "and I am in Oslo", "one more",
    ]  # fmt: skip
    assert "my name is Anna" in str(house.model.requests[-1].items)
    assert isinstance(compacted, CompactedResponse)
    assert isinstance(compacted.output[-1], ResponseCompactionItem)
    given = [item.to_dict(warnings=False) for item in compacted.output] + [{"role": "user", "content": "who am I?"}]
    third = await ask(client, given)
    assert third.conversation.id != first.conversation.id
    assert "Summary of the conversation so far" in str(house.model.requests[-1].items)
    with pytest.raises(openai.NotFoundError) as caught:
        await client.responses.compact(model="house", previous_response_id="resp_x")
    assert caught.value.code == "previous_response_not_found"
    with pytest.raises(openai.BadRequestError):
        await client.responses.compact(model="house")


async def test_what_a_client_leaves_out_of_its_messages_is_in_the_compacted_ones(client: AsyncOpenAI) -> None:
    given: Any = [
        {"role": "user", "content": "short", "status": "in_progress"},
        {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]},
        {"role": "assistant", "content": "seen"},
    ]
    compacted: Any = await client.responses.compact(model="house", input=given)  # its types are checked at the end
    text, image, _ = compacted.output
    assert (text.status, text.content[0].type, image.content[0].detail) == ("completed", "input_text", "auto")


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [({"model": "nobody"}, 404, "model_not_found", "model"),
     ({"previous_response_id": "resp_x"}, 404, "previous_response_not_found", "previous_response_id"),
     ({"conversation": "conv_x"}, 404, "conversation_not_found", "conversation"),
     ({"temperature": 3}, 400, "invalid_request", "temperature"),
     ({"tools": [{"type": "web_search"}]}, 400, "unsupported_parameter", "tools[0].type"),
     ({"stream": "yes"}, 400, "invalid_request", "stream"),
     ({"extra_headers": {"Idempotency-Key": "has a blank"}}, 400, "invalid_request", "Idempotency-Key")],
)  # fmt: skip
async def test_a_refusal_says_what_was_wrong(
    client: AsyncOpenAI, fields: dict[str, Any], status: int, code: str, param: str
) -> None:
    given: Any = {"model": "house", "input": "x", **fields}
    with pytest.raises(openai.APIStatusError) as caught:
        await client.responses.create(**given)
    assert (caught.value.status_code, caught.value.code, caught.value.param) == (status, code, param)
