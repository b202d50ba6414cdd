"""The official client's chat completions: a front end that knows nothing else keeps its conversation, its tasks and its
agent by sending the dialog again."""

from __future__ import annotations

from typing import Any

import anyio
import openai
import pytest
from openai import AsyncOpenAI

from frontdesk.agents.errors import ModelUnavailable
from frontdesk.agents.model import Usage
from frontdesk.agents.models.scripted import ScriptedReply, call, done, fail, say
from frontdesk.tests.http_house import client, house, record
from frontdesk.tests.served import House, file_errand, said_around
from frontdesk.tests.talk import input_of

WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}

__all__ = ["client", "house", "record"]  # fixtures


class Front:
    """A chat front end: it holds messages and nothing else."""

    def __init__(self, client: AsyncOpenAI, system: str = "") -> None:
        self._client = client
        self.messages: list[Any] = [{"role": "system", "content": system}] if system else []
        self.conversation = ""

    async def say(self, text: str, **fields: Any) -> str:
        """What is answered to the dialog with this text at its end."""
        self.messages.append({"role": "user", "content": text})
        return await self.go_on(**fields)

    async def go_on(self, **fields: Any) -> str:
        given: Any = {"model": "house", "messages": self.messages, **fields}
        create: Any = self._client.chat.completions.create
        answer: Any = await create(**given)
        self.conversation = str(answer.conversation["id"])
        message = answer.choices[0].message
        self.messages.append(message.to_dict())
        return str(message.content)


async def test_a_dialog_that_is_sent_again_goes_on_in_its_conversation(house: House, client: AsyncOpenAI) -> None:
    front = Front(client, "It is Monday.")
    assert await front.say("chat one") == "You said: chat one"
    first = front.conversation
    front.messages[0]["content"] = "It is Tuesday."  # front ends change it each time
    assert await front.say("chat two") == "You said: chat two"
    assert front.conversation == first
    assert input_of(house.model.requests[-1]) == ["chat one", "chat two"]
    assert "It is Tuesday." in house.model.requests[-1].instructions
    items = [item async for item in client.conversations.items.list(first)]
    assert len(items) == 4, "each message once"


async def test_tasks_of_a_dialog_stay_with_it(house: House, client: AsyncOpenAI) -> None:
    house.lines["chat files"] = (file_errand("chat"), "filed as T1")
    house.lines["chat asks"] = (call("check_task", {"task": "T1"}), "it goes on")
    front = Front(client)
    await front.say("chat files")
    await front.say("chat asks")
    house.gates["chat"].open()
    outputs = [item.get("output") for item in house.model.requests[-1].items if item["type"] == "function_call_output"]
    assert any('"task":"T1"' in str(output) for output in outputs)


async def test_the_agent_that_took_over_stays(house: House, client: AsyncOpenAI) -> None:
    house.lines["chat move"] = (call("transfer_to_helper"), "helper here")
    front = Front(client)
    await front.say("chat move")
    await front.say("still you?")
    assert house.model.requests[-1].agent == "helper"


async def test_an_answer_that_is_asked_for_again_forks(house: House, client: AsyncOpenAI) -> None:
    front = Front(client)
    await front.say("chat fork")
    await front.say("first way")
    there = front.conversation
    front.messages = [*front.messages[:2], {"role": "user", "content": "other way"}]
    await front.go_on()
    assert front.conversation != there
    assert input_of(house.model.requests[-1]) == ["chat fork", "other way"]
    await front.say("on the other way")
    assert input_of(house.model.requests[-1]) == ["chat fork", "other way", "on the other way"]


async def test_two_dialogs_that_begin_alike_are_two(client: AsyncOpenAI) -> None:
    one, other, named = Front(client), Front(client), Front(client)
    for front, person in ((one, ""), (other, ""), (named, "anna")):
        await front.say("alike", user=person)
    begun = {one.conversation, other.conversation}
    await one.say("more", user="")
    await other.say("more", user="")
    assert {one.conversation, other.conversation} == begun
    before = named.conversation
    await named.say("more", user="anna")
    assert named.conversation == before
    assert len({one.conversation, other.conversation, named.conversation}) == 3


async def test_a_dialog_that_was_changed_is_a_new_conversation(house: House, client: AsyncOpenAI) -> None:
    front = Front(client)
    await front.say("chat changed")
    before = front.conversation
    front.messages[-1]["content"] = "never said"
    await front.say("and now?")
    assert front.conversation != before
    assert input_of(house.model.requests[-1]) == ["chat changed", "and now?"]
    assert [i["content"] for i in house.model.requests[-1].items if i.get("role") == "assistant"] == ["never said"]


async def test_a_conversation_that_is_named_is_the_one(house: House, client: AsyncOpenAI) -> None:
    made = await client.conversations.create(items=[{"role": "user", "content": "long before"}])
    front = Front(client)
    front.messages = [{"role": "user", "content": "lost"}, {"role": "assistant", "content": "lost too"}]
    await front.say("chat named", metadata={"frontdesk:conversation": made.id})
    assert front.conversation == made.id
    assert input_of(house.model.requests[-1]) == ["long before", "chat named"]


async def test_a_client_runs_its_own_functions(house: House, client: AsyncOpenAI) -> None:
    house.lines["chat weather?"] = (call("weather", {"city": "Oslo"}, call_id="chat_c1"), "Cold.")
    front = Front(client)
    assert await front.say("chat weather?", tools=[WEATHER]) == "None"
    (asked,) = front.messages[-1]["tool_calls"]
    assert (asked["id"], asked["function"]["name"]) == ("chat_c1", "weather")
    before = front.conversation
    front.messages.append({"role": "tool", "tool_call_id": "chat_c1", "content": "-3"})
    assert await front.go_on(tools=[WEATHER]) == "Cold."
    assert front.conversation == before


async def test_a_completion_is_streamed(house: House, client: AsyncOpenAI) -> None:
    used = Usage(input_tokens=7, output_tokens=3)
    house.lines["chat stream"] = (
        ScriptedReply((*say("let me look").parts, *call("look", {"word": "it"}).parts)),
        say("found it") + done(used),
    )
    stream = await client.chat.completions.create(
        model="house",
        messages=[{"role": "user", "content": "chat stream"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    said = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert said == "let me look\n\nfound it"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [one.choices[0].finish_reason for one in chunks if one.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.total_tokens) == (7, 10)
    assert len({one.id for one in chunks}) == 1


async def test_functions_are_streamed_as_calls(house: House, client: AsyncOpenAI) -> None:
    house.lines["chat both"] = call("weather", {"city": "Oslo"}, call_id="b1") + call(
        "weather", {"city": "Rome"}, call_id="b2"
    )
    messages: Any = [{"role": "user", "content": "chat both"}]
    async with client.chat.completions.stream(model="house", messages=messages, tools=[WEATHER]) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    calls: Any = final.choices[0].message.tool_calls
    assert [(one.id, one.function.arguments) for one in calls] == [("b1", '{"city":"Oslo"}'), ("b2", '{"city":"Rome"}')]
    assert final.choices[0].finish_reason == "tool_calls"


async def test_a_person_who_stops_the_answer_goes_on_from_there(house: House, client: AsyncOpenAI) -> None:
    house.lines["chat stop"] = said_around("the beginning ", house.gates["chat stop"], "and the end")
    messages: list[Any] = [{"role": "user", "content": "chat stop"}]
    said = ""
    stream = await client.chat.completions.create(model="house", messages=messages, stream=True)
    async for chunk in stream:
        said += chunk.choices[0].delta.content or ""
        if said.startswith("the beginning"):
            break
    await stream.close()
    house.gates["chat stop"].open()
    messages += [{"role": "assistant", "content": said}, {"role": "user", "content": "go on"}]
    await client.chat.completions.create(model="house", messages=messages)
    assert input_of(house.model.requests[-1]) == ["chat stop", "go on"]
    assert [i["content"] for i in house.model.requests[-1].items if i.get("role") == "assistant"] == [
        "the beginning and the end"
    ]


async def test_the_same_key_is_answered_with_the_same_completion(house: House, client: AsyncOpenAI) -> None:
    given: Any = {
        "model": "house", "messages": [{"role": "user", "content": "chat keyed"}],
        "extra_headers": {"Idempotency-Key": "chat-key"},
    }  # fmt: skip
    create: Any = client.chat.completions.create
    first = await create(**given)
    again = await create(**given)
    assert first.to_dict() == again.to_dict()
    chunks = [one async for one in await create(**given, stream=True)]
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == first.choices[0].message.content


async def test_a_turn_that_fails_is_an_error_that_is_not_retried(house: House, client: AsyncOpenAI) -> None:
    house.lines["chat fails"] = fail(ModelUnavailable)
    messages: Any = [{"role": "user", "content": "chat fails"}]
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model="house", messages=messages)
    assert caught.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.APIError) as streamed:
        async for _ in await client.chat.completions.create(model="house", messages=messages, stream=True):
            pass
    assert streamed.value.code == "server_error"


async def test_what_a_limit_ends_says_length(house: House, client: AsyncOpenAI) -> None:
    house.lines["chat long"] = tuple(call("look", {"word": f"w{number}"}) for number in range(40))
    messages: Any = [{"role": "user", "content": "chat long"}]
    answer = await client.chat.completions.create(model="house", messages=messages)
    assert answer.choices[0].finish_reason == "length"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"n": 2}, "n"), ({"stop": ["x"]}, "stop"), ({"messages": []}, "messages"), ({"messages": "x"}, "messages"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
    ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "odd"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"tools": [{"type": "custom"}]}, "tools[0].type"), ({"tool_choice": {"type": "custom"}}, "tool_choice.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"logprobs": True}, "logprobs"), ({"temperature": 9}, "temperature"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), WRONG)
async def test_a_refusal_names_the_field(client: AsyncOpenAI, fields: dict[str, Any], param: str) -> None:
    body = {"model": "house", "messages": [{"role": "user", "content": "x"}], **fields}
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post("/chat/completions", body=body, cast_to=object)
    assert caught.value.param == param


async def test_images_and_files_pass_through(house: House, client: AsyncOpenAI) -> None:
    content: Any = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,eA==", "filename": "x.txt"}},
    ]
    await client.chat.completions.create(model="house", messages=[{"role": "user", "content": content}])
    seen = house.model.requests[-1].items[-1]["content"]
    assert [part["type"] for part in seen] == ["input_text", "input_image", "input_file"]


async def test_many_dialogs_at_once_stay_apart(house: House, client: AsyncOpenAI) -> None:
    fronts = [Front(client) for _ in range(8)]

    async def talk(number: int) -> None:
        for turn in range(3):
            await fronts[number].say(f"dialog {number}, {turn}", user=str(number))

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(talk, number)
    assert len({front.conversation for front in fronts}) == 8
    for number, front in enumerate(fronts):
        items: list[Any] = [one async for one in client.conversations.items.list(front.conversation, order="asc")]
        said = [one.content[0].text for one in items if one.role == "user"]
        assert said == [f"dialog {number}, {turn}" for turn in range(3)]
