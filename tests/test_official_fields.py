"""Optional fields of a request, as the official client sends them: what is answered to each, what is refused, and in
which class of error. Everything that is received is checked against the SDK's types.
"""

from __future__ import annotations

import json
from typing import Any, get_args

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses.response_includable import ResponseIncludable
from openai.types.shared.reasoning_effort import ReasoningEffort

from frontdesk.agents.models.scripted import call
from frontdesk.server import answer_form
from frontdesk.tests.http_house import client, house, record
from frontdesk.tests.http_record import HTTPRecord
from frontdesk.tests.served import House
from frontdesk.tests.talk import input_of

__all__ = ["client", "house", "record"]  # fixtures


async def ask(client: AsyncOpenAI, given: Any = "hello", **fields: Any) -> Any:
    create: Any = client.responses.create
    return await create(model="house", input=given, **fields)


SCHEMA: Any = {"type": "json_schema", "name": "answer", "schema": {"type": "object", "properties": {}}}
TOLD_BACK: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"truncation": "disabled", "store": True, "temperature": 1.0, "top_p": 1.0, "service_tier": "default"}),
    ({}, {"reasoning": {"effort": None, "summary": None}, "text": {"format": {"type": "text"}}, "tools": []}),
    ({}, {"user": None, "safety_identifier": None, "prompt_cache_key": None, "max_tool_calls": None}),
    ({"truncation": "auto"}, {"truncation": "auto"}),
    ({"store": False}, {"store": False}),
    ({"temperature": 0}, {"temperature": 0}),
    ({"user": "anna", "safety_identifier": "s", "prompt_cache_key": "k"},
     {"user": "anna", "safety_identifier": "s", "prompt_cache_key": "k"}),
    ({"reasoning": {"effort": "low"}}, {"reasoning": {"effort": "low", "summary": None}}),
    ({"text": {"verbosity": "low"}}, {"text": {"verbosity": "low", "format": {"type": "text"}}}),
    ({"text": {"format": SCHEMA}}, {"text": {"format": SCHEMA}}),
    ({"tools": [{"type": "function", "name": "f"}]},
     {"tools": [{"type": "function", "name": "f", "description": None, "parameters": None, "strict": False}]}),
    ({"include": ["reasoning.encrypted_content", "message.input_image.image_url"]}, {"status": "completed"}),
    ({"service_tier": "flex", "stream_options": {"include_obfuscation": False}}, {"service_tier": "default"}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "told"), TOLD_BACK)
async def test_a_response_tells_what_it_was_asked_with(
    client: AsyncOpenAI, fields: dict[str, Any], told: dict[str, Any]
) -> None:
    response = (await ask(client, **fields)).to_dict()
    assert {name: response[name] for name in told} == told


async def test_a_response_says_when_it_was_completed(house: House, client: AsyncOpenAI, record: HTTPRecord) -> None:
    done = await ask(client)
    sent = json.loads(bytes(record.exchanges[-1].received))  # the SDK makes floats of them
    assert (type(sent["created_at"]), type(sent["completed_at"])) == (int, int)
    assert done.created_at <= done.completed_at <= done.created_at + 3600
    assert (await client.responses.retrieve(done.id)).completed_at == done.completed_at
    house.lines["too many"] = tuple(call("look", {"word": f"w{number}"}) for number in range(40))
    cut = await ask(client, "too many")
    assert (cut.status, cut.completed_at) == ("incomplete", None)


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"include": "all"}, "invalid_request", "include"),
    ({"include": [5]}, "invalid_request", "include[0]"),
    ({"include": ["message.output_text.logprobs"]}, "unsupported_parameter", "include"),
    ({"truncation": "some"}, "invalid_request", "truncation"),
    ({"user": 5}, "invalid_request", "user"),
    ({"stream_options": True}, "invalid_request", "stream_options"),
    ({"reasoning": {"effort": "heroic"}}, "invalid_request", "reasoning.effort"),
    ({"reasoning": {"summary": "long"}}, "invalid_request", "reasoning.summary"),
    ({"text": {"verbosity": "chatty"}}, "invalid_request", "text.verbosity"),
    ({"text": {"format": "json"}}, "invalid_request", "text.format"),
    ({"text": {"format": {"type": "xml"}}}, "invalid_request", "text.format.type"),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "invalid_request", "text.format.schema"),
    ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "invalid_request", "text.format.name"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "code", "param"), WRONG)
async def test_a_field_that_cannot_be_is_a_bad_request_that_names_it(
    client: AsyncOpenAI, fields: dict[str, Any], code: str, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(client, **fields)
    assert (caught.value.code, caught.value.param, caught.value.type) == (code, param, "invalid_request_error")


def test_every_effort_and_whatever_can_be_included_is_known() -> None:
    (efforts,) = (one for one in get_args(ReasoningEffort) if one is not type(None))
    assert [one for one in get_args(efforts) if answer_form.EFFORT(one) is not None] == []
    assert set(get_args(ResponseIncludable)) >= answer_form.NEVER_MADE


PICTURE = {"type": "input_image", "image_url": "https://example.org/a.png"}
FILE = {"type": "input_file", "file_url": "https://example.org/a.pdf"}


@pytest.mark.parametrize(
    ("part", "param"),
    [({**PICTURE, "detail": "close"}, ".detail"), ({**FILE, "filename": 5}, ".filename"),
     ({**FILE, "detail": "original"}, ".detail"), ({"type": "input_image"}, "")],
)  # fmt: skip
async def test_a_picture_or_file_that_cannot_be_names_its_place(client: AsyncOpenAI, part: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(client, [{"role": "user", "content": [part]}])
    assert caught.value.param == f"input[0].content[0]{param}"


async def test_pictures_and_files_are_input_items_in_the_sdks_types(client: AsyncOpenAI) -> None:
    parts = [{**PICTURE, "detail": "low"}, PICTURE, {**FILE, "filename": "a.pdf"}]
    response = await ask(client, [{"role": "user", "content": parts}])
    (item,) = (await client.responses.input_items.list(response.id)).data
    kinds = [(part.type, part.to_dict().get("detail")) for part in item.content]  # type: ignore[union-attr]
    assert kinds == [("input_image", "low"), ("input_image", "auto"), ("input_file", None)]


async def test_what_an_assistant_is_given_as_input_is_shown_as_its_output(client: AsyncOpenAI) -> None:
    said = {"role": "assistant", "content": [{"type": "input_text", "text": "hey"}]}
    response = await ask(client, [said, {"role": "user", "content": "x"}])
    listed = await client.responses.input_items.list(response.id, order="asc")
    assert [part.type for part in listed.data[0].content] == ["output_text"]  # type: ignore[union-attr]


# --- what a conversation holds already


async def test_a_conversation_is_answered_without_further_input(house: House, client: AsyncOpenAI) -> None:
    first: Any = [{"type": "message", "role": "user", "content": "already here"}]
    conversation = await client.conversations.create(items=first)
    response = await client.responses.create(model="house", conversation=conversation.id)
    assert response.output_text == "You said: already here"
    assert (await client.responses.input_items.list(response.id)).data == []
    again = await client.responses.create(model="house", previous_response_id=response.id, input=[])
    assert again.conversation == response.conversation
    assert input_of(house.model.requests[-1]) == ["already here"]


async def test_without_a_conversation_an_input_is_wanted(client: AsyncOpenAI) -> None:
    create: Any = client.responses.create
    given: list[dict[str, Any]] = [{}, {"input": []}, {"metadata": {"frontdesk:when_busy": "reject"}}]
    for fields in given:
        with pytest.raises(openai.BadRequestError) as caught:
            await create(model="house", **fields)
        assert caught.value.param == "input"


async def test_an_item_is_named_instead_of_sent(house: House, client: AsyncOpenAI) -> None:
    first = await ask(client, "the first")
    (said,) = first.output
    again = await ask(client, [{"type": "item_reference", "id": said.id}, {"role": "user", "content": "on"}])
    assert again.conversation == first.conversation, "what it names says which conversation it goes on in"
    assert input_of(house.model.requests[-1]) == ["the first", "on"]
    elsewhere = await client.conversations.create()
    (asked,) = (await client.responses.input_items.list(first.id)).data
    given = [{"id": asked.id}, {"type": "item_reference", "id": said.id}, {"role": "user", "content": "here too"}]
    other = await ask(client, given, conversation=elsewhere.id)
    assert input_of(house.model.requests[-1]) == ["the first", "here too"]
    assert "You said: the first" in str(house.model.requests[-1].items)
    listed = (await client.responses.input_items.list(other.id, order="asc")).data
    assert [one.type for one in listed] == ["message"] * 3
    assert {asked.id, said.id}.isdisjoint(one.id for one in listed)
    with pytest.raises(openai.NotFoundError) as caught:
        await ask(client, [{"role": "user", "content": "x"}, {"type": "item_reference", "id": "msg_nowhere"}])
    assert (caught.value.code, caught.value.param) == ("item_not_found", "input[1].id")


# --- models, methods


async def test_a_model_is_looked_up(client: AsyncOpenAI) -> None:
    assert (await client.models.retrieve("helper")).owned_by == "frontdesk"
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"


# --- Chat Completions


CHAT: list[tuple[dict[str, Any], str, str]] = [
    ({"max_tokens": 0}, "invalid_request", "max_tokens"),
    ({"max_completion_tokens": 0, "max_tokens": 5}, "invalid_request", "max_completion_tokens"),
    ({"verbosity": "chatty"}, "invalid_request", "verbosity"),
    ({"reasoning_effort": "heroic"}, "invalid_request", "reasoning_effort"),
    ({"response_format": {"type": "xml"}}, "invalid_request", "response_format.type"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "invalid_request",
     "response_format.json_schema.name"),
    ({"extra_body": {"moderation": {"model": "m"}}}, "unsupported_parameter", "moderation"),
    ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "invalid_request",
     "messages[0].content[0].file"),
    ({"messages": [{"role": "user", "content": None}]}, "invalid_request", "messages[0].content"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "code", "param"), CHAT)
async def test_what_a_chat_cannot_have_is_named_as_the_client_wrote_it(
    client: AsyncOpenAI, fields: dict[str, Any], code: str, param: str
) -> None:
    create: Any = client.chat.completions.create
    with pytest.raises(openai.BadRequestError) as caught:
        await create(**{"model": "house", "messages": [{"role": "user", "content": "hi"}], **fields})
    assert (caught.value.code, caught.value.param) == (code, param)


async def test_the_older_name_of_a_limit_holds_when_the_newer_one_is_not_given(
    house: House, client: AsyncOpenAI
) -> None:
    create: Any = client.chat.completions.create
    messages = [{"role": "user", "content": "hi"}]
    for fields, most in (({"max_tokens": 5}, 5), ({"max_tokens": 5, "max_completion_tokens": 7}, 7)):
        await create(model="house", messages=messages, **fields)
        assert house.model.requests[-1].settings.max_output_tokens == most
