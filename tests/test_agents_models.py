"""The models with a network, against a fake of OpenAI's API on a real socket, through the real client.

What both APIs must do alike is tested on both; then what each has of its own; then failures. The pure parts are in
``test_agents_chat`` and ``test_agents_failures``.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias

import anyio
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from pydantic_core import to_json

from frontdesk.agents.errors import ModelError, ModelRefused, ModelUnavailable
from frontdesk.agents.model import (
    JSON,
    FunctionCall,
    Message,
    ModelEvent,
    ModelRequest,
    ModelSettings,
    Reasoning,
    ReasoningDelta,
    ReplyDone,
    TextDelta,
    ToolSpec,
    Usage,
)
from frontdesk.agents.models.chat import ChatModel
from frontdesk.agents.models.connection import Patience
from frontdesk.agents.models.failures import Refused, Unanswered
from frontdesk.agents.models.responses import ENCRYPTED, ResponsesModel, request_body
from frontdesk.agents.models.scripted import Gate
from frontdesk.tasks.retry import RetryPolicy
from frontdesk.tests.fakes.openai_api import (
    Answer,
    Call,
    Failure,
    FakeOpenAI,
    Raw,
    Say,
    Streamed,
    Think,
    fake_openai,
)
from frontdesk.tests.fakes.openai_events import completion, completion_chunks, response, response_events

AnyModel: TypeAlias = ResponsesModel | ChatModel
QUICK = Patience(timeout=10, retries=RetryPolicy(max_attempts=3, initial=0.001, maximum=0.002), retry_for=5)
SCHEMA: JSON = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
ADD = ToolSpec("add", "Add numbers.", SCHEMA)


@asynccontextmanager
async def asking(
    kind: type[AnyModel], fake: FakeOpenAI, name: str = "gpt-4.1", **options: Any
) -> AsyncGenerator[AnyModel, None]:
    settings: dict[str, Any] = {"base_url": fake.url, "api_key": "sk-test", "patience": QUICK} | options
    model = kind(name, **settings)
    try:
        with anyio.fail_after(20):
            yield model
    finally:
        await model.aclose()


def request(text: str = "hello", **fields: Any) -> ModelRequest:
    return ModelRequest("Be brief.", ({"type": "message", "role": "user", "content": text},), (ADD,), **fields)


async def ask(model: AnyModel, asked: ModelRequest | None = None) -> list[ModelEvent]:
    async with aclosing(model.stream(asked or request())) as events:
        return [event async for event in events]


def finished(events: list[ModelEvent]) -> list[ModelEvent]:
    return [event for event in events if not isinstance(event, TextDelta | ReasoningDelta)]


both = pytest.mark.parametrize("kind", [ResponsesModel, ChatModel])


# --- what both do alike


@both
async def test_text_comes_in_pieces_then_whole_then_the_end_with_usage(kind: type[AnyModel]) -> None:
    async with fake_openai(Answer((Say("It is on its way."),))) as fake, asking(kind, fake) as model:
        events = await ask(model)
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["It i", "s on", " its", " way", "."]
    *_, message, done = events
    assert message == Message("It is on its way.")
    assert isinstance(done, ReplyDone)
    assert (done.finish, done.usage.input_tokens, done.usage.cached_tokens) == ("stop", 50, 8)
    assert (done.usage.output_tokens, done.usage.reasoning_tokens) == (20, 3)
    assert model.name == "gpt-4.1"


@both
@pytest.mark.parametrize("piece", [1, 1000])
async def test_calls_are_whole_however_their_arguments_are_cut(kind: type[AnyModel], piece: int) -> None:
    calls = (Say("Let me see."), Call("add", '{"a": "é\\n"}', "c1"), Call("add", "{}", "c2"))
    async with fake_openai(Answer(calls, piece=piece)) as fake, asking(kind, fake) as model:
        events = finished(await ask(model))
    assert events[:-1] == [
        Message("Let me see."),
        FunctionCall("c1", "add", '{"a": "é\\n"}'),
        FunctionCall("c2", "add", "{}"),
    ]


@both
async def test_malformed_arguments_are_passed_on_as_they_are(kind: type[AnyModel]) -> None:
    async with fake_openai(Answer((Call("add", '{"a": 1', "c1"),))) as fake, asking(kind, fake) as model:
        assert FunctionCall("c1", "add", '{"a": 1') in await ask(model)


@both
async def test_a_call_id_that_was_used_before_is_replaced(kind: type[AnyModel]) -> None:
    answers = Answer((Call("add", "{}", "call_0"), Call("add", "{}", "call_0")))
    items = (
        {"type": "function_call", "call_id": "call_0", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_0", "output": "3"},
    )
    async with fake_openai(answers) as fake, asking(kind, fake) as model:
        events = await ask(model, ModelRequest("", items))
    ids = {event.call_id for event in events if isinstance(event, FunctionCall)}
    assert len(ids) == 2
    assert "call_0" not in ids


@both
@pytest.mark.parametrize("finish", ["length", "content_filter"])
async def test_a_reply_that_was_cut_off_says_why_and_its_half_call_is_none(kind: type[AnyModel], finish: Any) -> None:
    answer = Answer((Say("Half a sen"), Call("add", '{"a": ')), finish=finish)
    async with fake_openai(answer) as fake, asking(kind, fake) as model:
        message, done = finished(await ask(model))
    assert message == Message("Half a sen")
    assert isinstance(done, ReplyDone)
    assert done.finish == finish


@both
async def test_a_refusal_is_what_the_model_says(kind: type[AnyModel]) -> None:
    async with fake_openai(Answer((Say("I won't.", refusal=True),))) as fake, asking(kind, fake) as model:
        events = await ask(model)
    assert TextDelta("I wo") in events
    assert Message("I won't.") in events


@both
async def test_a_server_that_counts_no_tokens_is_no_problem(kind: type[AnyModel]) -> None:
    async with fake_openai(Answer((Say("ok"),), usage=False)) as fake, asking(kind, fake) as model:
        assert (await ask(model))[-1] == ReplyDone(Usage())


@both
async def test_a_server_that_ignores_stream_is_understood(kind: type[AnyModel]) -> None:
    def whole(body: JSON) -> Raw:
        make = response if kind is ResponsesModel else completion
        answer = Answer((Think(("hm",)), Say("ok"), Call("add", "{}", "c1")))
        return Raw(to_json(make(answer, body)), "application/json")

    async with fake_openai(every=whole) as fake, asking(kind, fake) as model:
        events = await ask(model)
    assert [type(event) for event in finished(events)] == [Reasoning, Message, FunctionCall, ReplyDone]
    assert TextDelta("ok") in events


@both
async def test_settings_become_fields_and_extra_has_the_last_word(kind: type[AnyModel]) -> None:
    settings = ModelSettings(
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=77,
        parallel_tool_calls=False,
        tool_choice="add",
        reasoning_effort="low",
        extra={"prompt_cache_key": "k", "top_p": 1.0},
    )
    async with fake_openai(Answer((Say("ok"),))) as fake, asking(kind, fake, "gpt-5") as model:
        await ask(model, request(settings=settings))
    body = fake.bodies[0]
    assert body["model"] == "gpt-5"
    assert body["stream"] is True
    assert (body["temperature"], body["top_p"], body["parallel_tool_calls"]) == (0.5, 1.0, False)
    assert body["prompt_cache_key"] == "k"
    if kind is ResponsesModel:
        assert body["tool_choice"] == {"type": "function", "name": "add"}
        assert (body["max_output_tokens"], body["reasoning"], body["store"]) == (77, {"effort": "low"}, False)
    else:
        assert body["tool_choice"] == {"type": "function", "function": {"name": "add"}}
        assert (body["max_completion_tokens"], body["reasoning_effort"]) == (77, "low")
        assert body["stream_options"] == {"include_usage": True}


def test_objects_of_extra_fields_are_merged() -> None:
    settings = ModelSettings(reasoning_effort="low", extra={"reasoning": {"summary": "auto"}, "include": ["x"]})
    body = request_body("o3", request(settings=settings), reasons=True)
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert body["include"] == ["x"]


@both
async def test_what_is_not_set_is_not_sent(kind: type[AnyModel]) -> None:
    async with fake_openai(Answer((Say("ok"),))) as fake, asking(kind, fake) as model:
        await ask(model, ModelRequest("", request().items, settings=ModelSettings(tool_choice="required")))
    optional = {"instructions", "temperature", "tools", "tool_choice", "include", "reasoning", "max_output_tokens"}
    assert fake.bodies[0].keys() & optional == set()


@both
async def test_one_conversation_goes_on_over_calls_and_outputs(kind: type[AnyModel]) -> None:
    first = Answer((Say("Hm."), Call("add", "{}", "c1"), Call("add", "{}", "c2")))
    async with fake_openai(first, Answer((Say("3"),))) as fake, asking(kind, fake) as model:
        items: list[JSON] = list(request().items)
        for event in await ask(model):
            if isinstance(event, Message):
                items.append({"type": "message", "role": "assistant", "content": event.text})
            elif isinstance(event, FunctionCall):
                call = {"call_id": event.call_id, "name": event.name, "arguments": event.arguments}
                items.append({"type": "function_call"} | call)
        items += [{"type": "function_call_output", "call_id": id, "output": "1"} for id in ("c1", "c2")]
        events = await ask(model, ModelRequest("", tuple(items)))
    assert Message("3") in events


@both
async def test_one_connection_serves_one_reply_after_another(kind: type[AnyModel]) -> None:
    async with fake_openai(every=lambda body: Answer((Say("ok"),))) as fake, asking(kind, fake) as model:
        for _ in range(5):
            await ask(model)
    assert len({asked.port for asked in fake.asked}) == 1


@both
async def test_a_client_that_is_given_is_used_and_left_open(kind: type[AnyModel]) -> None:
    async with (
        fake_openai(Answer((Say("ok"),))) as fake,
        openai.AsyncOpenAI(base_url=fake.url, api_key="sk-test", default_headers={"x-mine": "1"}) as client,
        asking(kind, fake, client=client) as model,
    ):
        assert Message("ok") in await ask(model)
        await model.aclose()
        assert not client.is_closed()
    assert fake.asked[0].headers["x-mine"] == "1"


@both
async def test_a_model_can_be_used_again_after_it_was_closed_and_in_several_event_loops(kind: type[AnyModel]) -> None:
    async with fake_openai(every=lambda body: Answer((Say("ok"),))) as fake, asking(kind, fake) as model:

        async def in_its_own_loop() -> list[ModelEvent]:
            try:
                return await ask(model)
            finally:
                await model.aclose()

        await ask(model)
        await model.aclose()
        await model.aclose()
        others = [asyncio.to_thread(asyncio.run, in_its_own_loop()) for _ in range(2)]
        answers = await asyncio.gather(ask(model), ask(model), *others)
    assert [Message("ok") in events for events in answers] == [True] * 4


@both
async def test_leaving_in_the_middle_ends_the_work_at_the_provider(kind: type[AnyModel]) -> None:
    gate = Gate()
    answer = Streamed(Answer((Say("one two three"),)), events=6, gate=gate)
    async with fake_openai(answer) as fake, asking(kind, fake) as model:
        async with aclosing(model.stream(request())) as events:
            assert isinstance(await anext(events), TextDelta)
        await fake.left.wait()


@both
async def test_a_cancelled_reply_ends_the_work_at_the_provider(kind: type[AnyModel]) -> None:
    gate = Gate()
    async with fake_openai(Streamed(Answer((Say("one"),)), events=1, gate=gate)) as fake, asking(kind, fake) as model:
        async with anyio.create_task_group() as group:
            group.start_soon(ask, model)
            await gate.reached()
            group.cancel_scope.cancel()
        await fake.left.wait()


def test_the_client_is_imported_when_a_model_is_first_asked() -> None:
    code = (
        "import sys, frontdesk.agents.models.responses as r, frontdesk.agents.models.chat as c;"
        "r.ResponsesModel('m'); c.ChatModel('m'); print('openai' in sys.modules, 'httpx2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]


# --- Responses


async def test_encrypted_reasoning_is_asked_for_and_goes_back_without_id() -> None:
    thought = Answer((Think(("First", "then")), Call("add", "{}", "c1")))
    async with fake_openai(thought, Answer((Say("3"),))) as fake, asking(ResponsesModel, fake, "gpt-5-mini") as model:
        events = await ask(model)
        (reasoning,) = [event for event in events if isinstance(event, Reasoning)]
        call = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}
        output = {"type": "function_call_output", "call_id": "c1", "output": "3"}
        await ask(model, ModelRequest("", (*request().items, reasoning.body, call, output)))
    deltas = [event.text for event in events if isinstance(event, ReasoningDelta)]
    assert "".join(deltas) == "First\n\nthen"
    assert fake.bodies[0]["include"] == [ENCRYPTED]
    sent = fake.bodies[1]["input"][1]
    assert sent["encrypted_content"] == reasoning.body["encrypted_content"]
    assert "id" not in sent


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("o3", True),
        ("gpt-5.1-mini", True),
        ("openai/o4-mini", True),
        ("gpt-4.1", False),
        ("gpt-5-chat-latest", False),
        ("gpt-oss-20b", False),
        ("llama", False),
    ],
)
async def test_only_models_that_reason_are_asked_for_their_reasoning(name: str, reasons: bool) -> None:
    async with fake_openai(every=lambda body: Failure(400)) as fake:
        for option, expected in ((None, reasons), (True, True), (False, False)):
            fake.asked.clear()
            async with asking(ResponsesModel, fake, name, reasons=option) as model:
                with pytest.raises(ModelRefused):
                    await ask(model)
            assert ("include" in fake.bodies[0]) is expected


async def test_reasoning_that_cannot_be_decrypted_is_left_out_in_a_second_try() -> None:
    stale: JSON = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "stale"}
    items = (stale, {"type": "message", "role": "assistant", "content": "hm"}, *request().items)
    refusal = Failure(400, "The encrypted content stal... could not be verified.", "invalid_encrypted_content")
    async with fake_openai(refusal, Answer((Say("ok"),))) as fake, asking(ResponsesModel, fake, "o3") as model:
        assert Message("ok") in await ask(model, ModelRequest("", items))
    assert [item.get("type") for item in fake.bodies[1]["input"]] == ["message", "message"]


async def test_a_model_that_has_no_encrypted_reasoning_is_asked_without() -> None:
    async with fake_openai(Answer((Say("ok"),))) as fake, asking(ResponsesModel, fake, reasons=True) as model:
        assert Message("ok") in await ask(model)
    assert [("include" in body) for body in fake.bodies] == [True, False]


async def test_open_reasoning_goes_back_as_it_came() -> None:
    thought: JSON = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    }
    items = (thought, {"type": "message", "role": "assistant", "content": "hm"}, *request().items)
    async with fake_openai(Answer((Say("ok"),))) as fake, asking(ResponsesModel, fake) as model:
        await ask(model, ModelRequest("", items))
    assert fake.bodies[0]["input"][0] == thought


async def test_items_that_only_the_last_event_holds_are_not_lost() -> None:
    def only_last(body: JSON) -> Raw:
        last = response_events(Answer((Say("ok"), Call("add", "{}", "c1"))), body)[-1]
        return Raw(b"data: " + to_json(last) + b"\n\n")

    async with fake_openai(every=only_last) as fake, asking(ResponsesModel, fake) as model:
        assert finished(await ask(model))[:-1] == [Message("ok"), FunctionCall("c1", "add", "{}")]


async def test_text_that_no_item_closed_is_still_a_message() -> None:
    events: list[JSON] = [
        {"type": "response.output_text.delta", "delta": "half"},
        {"type": "response.reasoning_text.delta", "delta": "hm"},
        {"type": "response.output_item.done", "item": {"type": "web_search_call"}},
        {"type": "response.incomplete", "response": {"status": "incomplete"}},
    ]
    body = b"".join(b"data: " + to_json(event) + b"\r\n\r\n" for event in events)
    async with fake_openai(Raw(body)) as fake, asking(ResponsesModel, fake) as model:
        assert finished(await ask(model)) == [Message("half"), ReplyDone(Usage(), "length")]


async def test_a_stream_that_stays_open_after_its_last_event_does_not_hold_the_reply() -> None:
    answer = Answer((Say("ok"),))
    gate = Gate()
    last = len(response_events(answer, {"model": "m"}))
    async with fake_openai(Streamed(answer, events=last, gate=gate)) as fake, asking(ResponsesModel, fake) as model:
        assert Message("ok") in await ask(model)
        await fake.left.wait()


# --- Chat Completions


async def test_usage_and_strict_schemas_can_be_left_unasked() -> None:
    options: dict[str, Any] = {"ask_usage": False, "strict_tools": False}
    async with fake_openai(Answer((Say("ok"),))) as fake, asking(ChatModel, fake, **options) as model:
        assert (await ask(model))[-1] == ReplyDone(Usage())
    assert "stream_options" not in fake.bodies[0]
    assert "strict" not in fake.bodies[0]["tools"][0]["function"]


async def test_open_reasoning_of_a_turn_goes_back_beside_its_calls() -> None:
    answers = (Answer((Think(("hm",)), Call("add", "{}", "c1"))), Failure(400))
    async with fake_openai(*answers) as fake, asking(ChatModel, fake) as model:
        reasoning, call, _ = finished(await ask(model))
        assert isinstance(reasoning, Reasoning)
        assert isinstance(call, FunctionCall)
        output = {"type": "function_call_output", "call_id": "c1", "output": "3"}
        item = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}
        with pytest.raises(ModelRefused):
            await ask(model, ModelRequest("", (*request().items, reasoning.body, item, output)))
    assert fake.bodies[1]["messages"][1]["reasoning_content"] == "hm"


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(['{"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}'], id="no [DONE]"),
        pytest.param(['{"choices": [{"delta": {"content": "ok"}}]}', "[DONE]"], id="no finish reason"),
        pytest.param(['{"choices": [{"delta": {"content": [{"type": "text", "text": "ok"}]}}]}', "[DONE]"], id="parts"),
        pytest.param(['{"choices": [{"delta": {"content": "ok"}}]}', ': {"choices": null}', "[DONE]"], id="null"),
        pytest.param(
            ['{"choices": [{"index": 1, "delta": {"content": "x"}}, {"delta": {"content": "ok"}}]}', "[DONE]"],
            id="second choice",
        ),
        pytest.param(['{"choices": [{"delta": {"content": "ok"}, "finish_reason": "eos"}]}', "[DONE]"], id="invented"),
    ],
)
async def test_what_servers_do_differently_is_understood(chunks: list[str]) -> None:
    body = "".join(f"data: {chunk.removeprefix(': ')}\n\n" for chunk in [*chunks]).encode()
    async with fake_openai(Raw(b": hello\n\n" + body)) as fake, asking(ChatModel, fake) as model:
        assert finished(await ask(model)) == [Message("ok"), ReplyDone()]


# --- failures


@both
@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
async def test_what_may_pass_is_tried_again(kind: type[AnyModel], status: int) -> None:
    async with fake_openai(Failure(status), Failure(status), Answer((Say("ok"),))) as fake, asking(kind, fake) as model:
        assert Message("ok") in await ask(model)
    assert len(fake.asked) == 3


@both
async def test_attempts_are_counted_by_us_alone(kind: type[AnyModel]) -> None:
    async with fake_openai(every=lambda body: Failure(503, "overloaded")) as fake, asking(kind, fake) as model:
        with pytest.raises(ModelUnavailable, match=r"model gpt-4\.1: 503: the provider failed: overloaded") as caught:
            await ask(model)
    assert caught.value.status == 503
    assert len(fake.asked) == QUICK.retries.max_attempts


@both
@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure(400, "Bad input"), "400: the provider refuses the request: Bad input"),
        (Failure(403, "no access"), "403: the API key may not be used for this: no access"),
        (Failure(404, "no model x"), "404: the provider knows no such model or address; check .*: no model x"),
        (Failure(404, body="<html>nginx</html>"), "404: .* check the model's name and OPENAI_BASE_URL$"),
        (Failure(422, "odd"), "422: the provider refuses the request: odd"),
        (Failure(429, "no credit", "insufficient_quota"), "429: the account's quota is used up; .*: no credit"),
        (Failure(503, "never", headers={"x-should-retry": "false"}), "503: the provider failed: never"),
    ],
)
async def test_what_will_fail_again_is_not_tried_again(kind: type[AnyModel], failure: Failure, words: str) -> None:
    async with fake_openai(failure) as fake, asking(kind, fake) as model:
        with pytest.raises(ModelRefused, match=words) as caught:
            await ask(model)
    assert caught.value.status == failure.status
    assert len(fake.asked) == 1


@both
async def test_a_wrong_key_is_named_by_its_setting_and_never_shown(kind: type[AnyModel]) -> None:
    async with fake_openai() as fake, asking(kind, fake, api_key="sk-wrong-0123456789") as model:
        with pytest.raises(ModelRefused, match="check OPENAI_API_KEY") as caught:
            await ask(model)
    assert "sk-" not in str(caught.value)


@both
async def test_a_missing_key_is_refused_before_anything_is_sent(kind: type[AnyModel]) -> None:
    async with fake_openai() as fake, asking(kind, fake, api_key=None) as model:
        with pytest.raises(ModelRefused, match="there is no API key; set OPENAI_API_KEY"):
            await ask(model)
    assert fake.asked == []


@both
async def test_a_provider_that_cannot_be_reached_is_named_by_its_host(kind: type[AnyModel]) -> None:
    async with fake_openai() as fake:
        pass
    async with asking(kind, fake) as model:
        with pytest.raises(ModelUnavailable, match=r"no connection to 127\.0\.0\.1; check OPENAI_BASE_URL"):
            await ask(model)


@both
@pytest.mark.parametrize(
    ("events", "words"),
    [(0, r"no answer from 127\.0\.0\.1$"), (1, r"no answer from|broke while it answered \(ReadTimeout\)")],
)
async def test_a_provider_that_falls_silent_is_given_up(kind: type[AnyModel], events: int, words: str) -> None:
    patience = Patience(timeout=0.05, retries=RetryPolicy(max_attempts=1))
    silent = Streamed(Answer((Say("ok"),)), events=events, gate=Gate())
    async with fake_openai(silent) as fake, asking(kind, fake, patience=patience) as model:
        with pytest.raises(ModelUnavailable, match=words):
            await ask(model)


@both
async def test_a_stream_that_breaks_before_it_said_anything_is_tried_again(kind: type[AnyModel]) -> None:
    answer = Answer((Say("one two"),))
    broken = (Streamed(answer, events=0), Streamed(answer, events=1))
    async with fake_openai(*broken, answer) as fake, asking(kind, fake) as model:
        assert Message("one two") in await ask(model)
    assert len(fake.asked) == 3


@both
async def test_a_stream_that_breaks_after_it_said_something_is_not(kind: type[AnyModel]) -> None:
    heard: list[ModelEvent] = []

    async def listen(model: AnyModel) -> None:
        async with aclosing(model.stream(request())) as events:
            async for event in events:
                heard.append(event)

    broken = Streamed(Answer((Say("one two"),)), events=5 if kind is ResponsesModel else 2)
    async with fake_openai(broken) as fake, asking(kind, fake) as model:
        with pytest.raises(ModelUnavailable, match="the connection broke while it answered"):
            await listen(model)
    assert heard == [TextDelta("one ")]


@both
async def test_a_stream_without_an_end_is_an_unfinished_reply(kind: type[AnyModel]) -> None:
    async with fake_openai(every=lambda body: Raw(b"data: {}\n\n")) as fake, asking(kind, fake) as model:
        with pytest.raises(ModelUnavailable, match="the stream ended before the reply was complete"):
            await ask(model)


@both
@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (Raw(b"<html>hello</html>", "text/html"), "the answer is not in the form of OpenAI's API"),
        (Raw(b"data: not json\n\n"), "the answer is not in the form of OpenAI's API"),
        (Raw(b"data: [1]\n\n"), "the answer is not in the form of OpenAI's API"),
        (Raw(b'data: {"type": "response.output_item.done", "choices": [7]}\n\n'), "not in the form"),
    ],
)
async def test_an_answer_of_something_else_is_refused(kind: type[AnyModel], raw: Raw, words: str) -> None:
    async with fake_openai(raw) as fake, asking(kind, fake) as model:
        with pytest.raises(ModelRefused, match=words):
            await ask(model)


@both
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ({"code": "server_error", "message": "boom"}, ModelUnavailable),
        ({"code": "rate_limit_exceeded", "message": "slow down"}, ModelUnavailable),
        ({"code": "invalid_prompt", "message": "no"}, ModelRefused),
    ],
)
async def test_a_failure_inside_a_stream_is_one(kind: type[AnyModel], failure: JSON, error: type[ModelError]) -> None:
    answers = [Answer((Say("half"),), failure=failure, piece=100)] * 3
    async with fake_openai(*answers) as fake, asking(kind, fake) as model:
        with pytest.raises(error, match=failure["message"]):
            await ask(model)
    assert len(fake.asked) == 1


async def test_an_error_event_before_the_reply_is_tried_again() -> None:
    flat: JSON = {"type": "error", "code": "server_error", "message": "m", "param": None, "sequence_number": 0}
    nested: JSON = {"type": "error", "error": {"type": "server_error", "message": "m"}}
    raws = [Raw(b"event: error\ndata: " + to_json(event) + b"\n\n") for event in (flat, nested)]
    async with fake_openai(*raws, Answer((Say("ok"),))) as fake, asking(ResponsesModel, fake) as model:
        assert Message("ok") in await ask(model)


async def test_a_finish_reason_that_means_an_error_is_one() -> None:
    raw = Raw(b'data: {"choices": [{"delta": {}, "finish_reason": "error"}]}\n\n')
    async with fake_openai(raw, Answer((Say("ok"),))) as fake, asking(ChatModel, fake) as model:
        assert Message("ok") in await ask(model)


@both
async def test_the_provider_says_how_long_to_wait(kind: type[AnyModel]) -> None:
    patience = Patience(retries=RetryPolicy(max_attempts=9, initial=0.0), retry_for=30)
    waits = (Failure(429, headers={"retry-after-ms": "20"}), Failure(429, headers={"retry-after": "600"}))
    async with fake_openai(*waits) as fake, asking(kind, fake, patience=patience) as model:
        started = anyio.current_time()
        with pytest.raises(ModelUnavailable) as caught:
            await ask(model)
        assert anyio.current_time() - started >= 0.02
    assert isinstance(caught.value, Unanswered)
    assert caught.value.retry_after == 600
    assert len(fake.asked) == 2


async def test_a_refusal_carries_the_providers_code() -> None:
    async with (
        fake_openai(Failure(400, "too long", "context_length_exceeded")) as fake,
        asking(ChatModel, fake) as model,
    ):
        with pytest.raises(Refused) as caught:
            await ask(model)
    assert caught.value.code == "context_length_exceeded"


# --- the fake itself

EVERYTHING = Answer((Think(("one", "two")), Say("hello"), Say("no", refusal=True), Call("add", '{"a": 1}')))


@pytest.mark.parametrize("answer", [EVERYTHING, Answer((Say("half"),), finish="length")])
def test_the_fakes_answers_are_those_of_the_api(answer: Answer) -> None:
    asked: JSON = {"model": "m", "stream_options": {"include_usage": True}}
    events: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    kinds = [events.validate_python(event).type for event in response_events(answer, asked)]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert Response.model_validate(response(answer, asked)).output
    assert ChatCompletion.model_validate(completion(answer, asked)).choices
    assert [ChatCompletionChunk.model_validate(chunk).id for chunk in completion_chunks(answer, asked)]


async def test_the_fake_is_understood_by_the_official_client() -> None:
    async with (
        fake_openai(every=lambda body: EVERYTHING) as fake,
        openai.AsyncOpenAI(base_url=fake.url, api_key="sk-test") as client,
    ):
        whole = await client.responses.create(model="m", input="hi")
        async with client.responses.stream(model="m", input="hi") as stream:
            streamed = await stream.get_final_response()
        said = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert whole.output_text == streamed.output_text == said.choices[0].message.content == "hello"


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/responses", {"input": [], "surprise": 1}, "Unknown parameter: 'surprise'"),
        (
            "/responses",
            {"input": [{"type": "function_call_output", "call_id": "c", "output": ""}]},
            "No tool call found for function call output with call_id c",
        ),
        (
            "/responses",
            {"input": "hi", "tools": [{"name": "f", "strict": True, "parameters": {"type": "object"}}]},
            "Invalid schema for function 'f': .* 'additionalProperties' is required",
        ),
        ("/responses", {"input": "hi", "tools": [{"name": "a b"}]}, "string does not match pattern"),
        ("/chat/completions", {"messages": [], "surprise": 1}, "Unrecognized request argument supplied: surprise"),
        ("/chat/completions", {"messages": [{"role": "critic", "content": ""}]}, "Invalid value: 'critic'"),
        ("/chat/completions", {"messages": [{"role": "user", "content": None}]}, "expected a string, got null"),
        (
            "/chat/completions",
            {"messages": [{"role": "tool", "tool_call_id": "c", "content": ""}]},
            "messages with role 'tool' must be a response",
        ),
    ],
)
async def test_the_fake_refuses_what_the_api_refuses(path: str, body: JSON, words: str) -> None:
    async with fake_openai() as fake, openai.AsyncOpenAI(base_url=fake.url, api_key="sk-test") as client:
        with pytest.raises(openai.BadRequestError, match=words):
            await client.post(path, cast_to=object, body={"model": "m"} | body)
