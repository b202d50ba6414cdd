"""What a client may say: every rule of the wire's messages, their JSON, their items, and what the server says back."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses.response_steer_accepted_event import ResponseSteerAcceptedEvent
from openai.types.responses.response_steer_failed_event import ResponseSteerFailedEvent
from openai.types.responses.responses_server_event import ResponseWsError

from frontdesk.broker.errors import (
    ConversationBusy,
    ConversationNotFound,
    DatabaseFull,
    IdempotencyMismatch,
    InboxFull,
    ResponseNotActive,
    ResponseNotFound,
)
from frontdesk.broker.inbox import Accepted, SteerAccepted
from frontdesk.server import outgoing
from frontdesk.server.errors import (
    Draining,
    InvalidJSON,
    InvalidRequest,
    MessageTooLarge,
    ModelNotFound,
    SteerFailed,
    UnsupportedParameter,
    WireError,
    returned,
    told,
)
from frontdesk.server.jsontext import decode
from frontdesk.server.limits import Limits
from frontdesk.server.protocol import Answer, Cancel, Create, Message, Steer, Subscribe, Unsubscribe, read


def create(**fields: Any) -> Create:
    message = read({"type": "response.create", "input": "hello", **fields})
    assert isinstance(message, Create)
    return message


def refusal(message: dict[str, Any]) -> WireError:
    with pytest.raises(WireError) as caught:
        read(message)
    return caught.value


def refused(**fields: Any) -> WireError:
    return refusal({"type": "response.create", "input": "hello", **fields})


# --- JSON


@pytest.mark.parametrize(
    "text",
    ["", "{", "nonsense", '{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}', '{"a": 1e999}', '{"a": "\\ud800"}',
     '{"a": "\\udc00 x"}', '{"a": "\ud800"}', '{"a": 1} {"b": 2}', "{'a': 1}", '{"a": ' + "1" * 5_000 + "}",
     '{"a": "\x00"}'],
)  # fmt: skip
def test_what_is_not_json_is_said_so(text: str) -> None:
    with pytest.raises(InvalidJSON) as caught:
        decode(text)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


@pytest.mark.parametrize("text", ["[]", "1", '"text"', "null", "true", "[1, 2]"])
def test_json_that_is_not_an_object_is_no_message(text: str) -> None:
    with pytest.raises(InvalidRequest):
        decode(text)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_json_may_be_nested_64_deep_and_no_deeper(opening: str) -> None:
    closing = "]" if opening == "[" else "}"

    def nested(levels: int) -> str:
        inner = levels - 1  # the object around it is one level
        return '{"x":' + opening * inner + ("1" if opening != "[" else "") + closing * inner + "}"

    assert decode(nested(64))
    with pytest.raises(InvalidJSON):
        decode(nested(65))
    with pytest.raises(InvalidJSON):
        decode(nested(5_000))


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_message_of_too_many_values_is_refused_before_it_is_built(as_bytes: bool) -> None:
    text = '{"a":[' + "1," * 50 + "1]}"
    limits = Limits(values=40)
    with pytest.raises(MessageTooLarge):
        decode(text.encode() if as_bytes else text, limits)
    assert decode(text, Limits(values=60))


@given(st.text() | st.binary())
def test_no_text_breaks_the_decoder(text: str | bytes) -> None:
    found: dict[str, Any] | None = None
    with suppress(InvalidJSON, InvalidRequest):
        found = decode(text)
    assert found is None or isinstance(json.loads(text), dict)


# --- types


@pytest.mark.parametrize("message", [{}, {"type": None}, {"type": 3}, {"type": ["response.create"]}, {"type": "nope"}])
def test_an_unknown_type_is_an_invalid_request(message: dict[str, Any]) -> None:
    error = refusal(message)
    assert (error.code, error.param) == ("invalid_request", "type")


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["type", "input", "role", "content", "metadata", "tools", "name", "text", "conversation", "after", "id",
         "previous_response_id", "task_id", "response_id", "answer", "stream_id", "call_id", "output", "model"]
    ), inner, max_size=6), max_leaves=12),
    st.sampled_from(["response.create", "response.steer", "frontdesk:cancel", "frontdesk:subscribe",
                     "frontdesk:unsubscribe", "frontdesk:answer"]))  # fmt: skip
def test_no_object_breaks_the_reader(value: Any, kind: str) -> None:
    message = {**(value if isinstance(value, dict) else {"input": value}), "type": kind}
    found: Message | None = None
    with suppress(InvalidRequest, UnsupportedParameter, SteerFailed):
        found = read(message)
    assert found is None or isinstance(found, Message)


# --- response.create


def test_a_string_becomes_a_message_of_the_user() -> None:
    expected = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
    assert (expected,) == create().input
    assert (expected,) == create(input=[{"role": "user", "content": "hello"}]).input
    assert (expected,) == create(input=[{"type": "message", "role": "user", "content": expected["content"]}]).input


def test_items_are_kept_as_the_client_wrote_them() -> None:
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": "hi"}]},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{not json"},
        {"type": "function_call_output", "call_id": "c1", "output": "3"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "3"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "…"},
        {"type": "mcp_approval_response", "approval_request_id": "a1", "approve": True},
        {"type": "mcp_call", "id": "mcp_1", "server_label": "tasks", "name": "check_task", "arguments": "{}"},
        {"role": "user", "type": "message", "content": [{"type": "input_image", "image_url": "data:…", "detail": "low"},
                                                        {"type": "input_file", "file_id": "file_1"}]},
    ]  # fmt: skip
    assert tuple(items) == create(input=items).input


WRONG_INPUTS: list[tuple[Any, str]] = [
        (None, "input"), (5, "input"), ({}, "input"), ([], "input"), ([5], "input[0]"), ([None], "input[0]"),
        ([{}], "input[0].type"), ([{"type": 7}], "input[0].type"),
    ([{"role": "king", "content": "x"}], "input[0].role"),
        ([{"role": "user"}], "input[0].content"), ([{"role": "user", "content": []}], "input[0].content"),
        ([{"role": "user", "content": [{"type": "output_text", "text": "x"}]}], "input[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "input_image"}]}], "input[0].content[0]"),
        ([{"role": "user", "content": ["x"]}], "input[0].content[0]"),
        ([{"role": "user", "content": "x", "id": "has space"}], "input[0].id"),
        ([{"role": "user", "content": "x"}, {"type": "function_call_output"}], "input[1].call_id"),
        ([{"type": "function_call_output", "call_id": "c", "output": 3}], "input[0].output"),
        ([{"type": "function_call_output", "call_id": "c", "output": [{"type": "x"}]}], "input[0].output[0].type"),
        ([{"type": "function_call", "call_id": "c", "name": "n"}], "input[0].arguments"),
        ([{"type": "mcp_approval_response", "approval_request_id": "a", "approve": "yes"}], "input[0].approve"),
    ]  # fmt: skip


@pytest.mark.parametrize(("value", "param"), WRONG_INPUTS)
def test_an_input_that_is_wrong_names_the_place(value: Any, param: str) -> None:
    error = refusal({"type": "response.create", "input": value})
    assert ("invalid_request", param) == (error.code, error.param)


def test_a_create_needs_an_input() -> None:
    assert refusal({"type": "response.create"}).param == "input"


def test_very_many_items_are_refused() -> None:
    assert refused(input=[{"role": "user", "content": "x"}] * 10_001).param == "input"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"generate": False}, "generate"), ({"max_tool_calls": 3}, "max_tool_calls"), ({"prompt": {}}, "prompt"),
        ({"moderation": {"model": "m"}}, "moderation"), ({"modalities": ["audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"), ({"top_logprobs": 3}, "top_logprobs"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice.type"),
        ({"input": [{"type": "web_search_call", "id": "x"}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
    ],
)  # fmt: skip
def test_a_field_that_would_change_the_meaning_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    error = refused(**fields)
    assert isinstance(error, UnsupportedParameter)
    assert ("unsupported_parameter", param) == (error.code, error.param)
    assert param in error.message


@pytest.mark.parametrize(
    "fields",
    [{"generate": True}, {"truncation": "auto"}, {"user": "u"}, {"include": ["reasoning.encrypted_content"]},
     {"service_tier": "flex"}, {"stream": True}, {"something_new": {"x": 1}}, {"tools": []}, {"temperature": None},
     {"context_management": []}, {"prompt": None}, {"prompt_cache_key": "k"}, {"top_logprobs": 0}],
)  # fmt: skip
def test_a_field_that_changes_nothing_is_ignored(fields: dict[str, Any]) -> None:
    assert create().input == create(**fields).input


WRONG_FIELDS: list[tuple[dict[str, Any], str]] = [
        ({"model": 5}, "model"), ({"instructions": []}, "instructions"), ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.1}, "temperature"), ({"temperature": True}, "temperature"), ({"top_p": -1}, "top_p"),
        ({"max_output_tokens": 0}, "max_output_tokens"), ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"max_output_tokens": True}, "max_output_tokens"), ({"background": "yes"}, "background"),
        ({"store": 1}, "store"), ({"reasoning": "high"}, "reasoning"), ({"text": []}, "text"),
        ({"parallel_tool_calls": 0}, "parallel_tool_calls"), ({"tools": {}}, "tools"), ({"tools": [1]}, "tools[0]"),
        ({"tools": [{"type": "function", "name": "no spaces"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "n", "parameters": []}]}, "tools[0].parameters"),
        ({"tools": [{"type": "function", "name": "n", "strict": "yes"}]}, "tools[0].strict"),
        ({"tool_choice": "perhaps"}, "tool_choice"), ({"tool_choice": 3}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"conversation": 5}, "conversation"), ({"conversation": {}}, "conversation.id"),

        ({"conversation": {"id": "with space"}}, "conversation.id"),
        ({"previous_response_id": ""}, "previous_response_id"),
        ({"stream_id": ""}, "stream_id"), ({"stream_id": "a b"}, "stream_id"), ({"stream_id": "x" * 257}, "stream_id"),
        ({"stream_id": "frontdesk.conv_x"}, "stream_id"), ({"metadata": []}, "metadata"),
        ({"metadata": {"a": 5}}, "metadata"), ({"metadata": {"a" * 65: "x"}}, "metadata"),
        ({"metadata": {"a": "x" * 513}}, "metadata"), ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"metadata": {"frontdesk:when_busy": "panic"}}, "metadata.frontdesk:when_busy"),
        ({"metadata": {"frontdesk:input_id": "a b"}}, "metadata.frontdesk:input_id"),
        ({"metadata": {"frontdesk:conversation": ""}}, "metadata.frontdesk:conversation"),
        ({"conversation": "c", "previous_response_id": "r"}, "previous_response_id"),
        ({"background": True, "store": False}, "background"),
    ]  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), WRONG_FIELDS)
def test_a_field_with_a_wrong_value_is_an_invalid_request_that_names_it(fields: dict[str, Any], param: str) -> None:
    error = refused(**fields)
    assert ("invalid_request", param) == (error.code, error.param)


def test_the_limits_of_metadata_are_the_apis() -> None:
    largest = {f"{number:064}": "x" * 512 for number in range(16)}
    assert largest == create(metadata=largest).metadata


def test_what_is_kept_with_the_response() -> None:
    fields = {
        "model": "desk", "instructions": "be brief", "metadata": {"a": "b"}, "tool_choice": "auto",
        "tools": [{"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": True}],
        "parallel_tool_calls": False, "temperature": 0.5, "top_p": 1, "max_output_tokens": 10, "stream_id": "lane-1",
        "previous_response_id": "resp_1", "background": True, "store": True, "reasoning": {"effort": "low"},
        "text": {"format": {"type": "text"}}, "user": "u",
    }  # fmt: skip
    found = create(**fields)
    assert fields == found.request
    assert (found.model, found.lane, found.previous_response_id, found.stored) == ("desk", "lane-1", "resp_1", True)


def test_the_conversation_may_be_named_in_three_ways() -> None:
    assert create(conversation="c1").conversation == "c1"
    assert create(conversation={"id": "c1"}).conversation == "c1"
    assert create(metadata={"frontdesk:conversation": "c1"}).conversation == "c1"
    assert None is create(metadata={"frontdesk:conversation": "c1"}, previous_response_id="r1").conversation


def test_a_repeat_has_the_digest_of_its_content_and_other_content_another() -> None:
    ours = {"metadata": {"frontdesk:input_id": "i1"}}
    first = create(**ours)
    assert first.digest
    assert first.digest == create(**ours, stream_id="elsewhere", stream=True, user=None).digest
    assert first.digest == create(**ours, input=[{"role": "user", "content": "hello"}]).digest
    assert first.digest != create(**ours, input="other").digest
    assert first.digest != create(**ours, model="m").digest
    assert create().digest == ""


# --- the other messages


def test_a_steer_is_read() -> None:
    found = read({"type": "response.steer", "previous_response_id": "r1", "input": "go", "frontdesk:input_id": "i"})
    assert isinstance(found, Steer)
    assert (found.previous_response_id, found.input_id, found.given) == ("r1", "i", "go")
    assert found.digest


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        5,
        [{"role": "assistant", "content": "x"}],
        [{"type": "function_call_output", "call_id": "c", "output": ""}],
    ],
)
def test_a_steer_with_a_wrong_input_is_returned(value: Any) -> None:
    error = refusal({"type": "response.steer", "previous_response_id": "r1", "input": value})
    assert isinstance(error, SteerFailed)
    assert ("invalid_input", "r1", value) == (error.code, error.previous_response_id, error.input)


def test_a_steer_of_nothing_is_an_error() -> None:
    error = refusal({"type": "response.steer", "input": "x"})
    assert error.param == "previous_response_id"
    assert not isinstance(error, SteerFailed)


def test_cancel_takes_a_response_or_a_task() -> None:
    assert Cancel("r1", None) == read({"type": "frontdesk:cancel", "response_id": "r1"})
    assert Cancel(None, "t1") == read({"type": "frontdesk:cancel", "task_id": "t1"})
    for wrong in ({}, {"response_id": "r", "task_id": "t"}, {"task_id": 5}):
        assert refusal({"type": "frontdesk:cancel", **wrong}).code == "invalid_request"


def test_subscribe_takes_a_cursor_as_events_carry_it() -> None:
    assert Subscribe("c", None) == read({"type": "frontdesk:subscribe", "conversation": "c"})
    assert Subscribe("c", 12) == read({"type": "frontdesk:subscribe", "conversation": "c", "after": "12"})
    assert Subscribe("c", 12) == read({"type": "frontdesk:subscribe", "conversation": "c", "after": 12})
    wrongs: tuple[Any, ...] = ("x", "-1", "1.5", "", "٣", "9" * 19, True, -1, [])
    for wrong in wrongs:
        error = refusal({"type": "frontdesk:subscribe", "conversation": "c", "after": wrong})
        assert (error.code, error.param) == ("invalid_request", "after")
    assert refusal({"type": "frontdesk:subscribe"}).param == "conversation"


def test_unsubscribe_and_answer() -> None:
    assert Unsubscribe("c") == read({"type": "frontdesk:unsubscribe", "conversation": "c"})
    assert Answer("t", None) == read({"type": "frontdesk:answer", "task_id": "t", "answer": None})
    assert refusal({"type": "frontdesk:answer", "task_id": "t"}).param == "answer"
    assert refusal({"type": "frontdesk:answer", "answer": 1}).param == "task_id"


# --- what the server says


def spoken(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_an_error_is_what_the_sdk_expects() -> None:
    text = outgoing.error(ModelNotFound("gpt", ["desk", "files"]), "lane-1", "i1")
    event = ResponseWsError.model_validate(spoken(text), strict=True)
    assert (
        event.status, event.error.code, event.error.param, event.stream_id
    ) == (404, "model_not_found", "model", "lane-1")  # fmt: skip
    assert "desk, files" in event.error.message
    assert "stream_id" not in spoken(outgoing.error(Draining()))


def test_the_steer_events_are_what_the_sdk_expects() -> None:
    accepted = outgoing.steer_accepted(SteerAccepted("s1", "r2", "c1", 7, 3), "r1", "lane")
    event = ResponseSteerAcceptedEvent.model_validate(spoken(accepted), strict=True)
    assert (event.steer.id, event.steer.previous_response_id, event.sequence_number,
                                       event.stream_id) == ("s1", "r1", 7, "lane")  # fmt: skip
    problem = SteerFailed("invalid_input", "wrong", previous_response_id="r1", input="text")
    failed = ResponseSteerFailedEvent.model_validate(spoken(outgoing.steer_failed(problem, None)), strict=True)
    assert (failed.error.code, failed.steer.input, failed.sequence_number) == ("invalid_input", "text", 0)


def test_what_waits_is_acknowledged() -> None:
    event = spoken(outgoing.accepted(Accepted("r1", "c1", "i1", 3, 9), "a"))
    expected = {"type": "frontdesk:accepted", "stream_id": "a", "input_id": "i1", "response_id": "r1",
                "conversation": "c1", "position": 3}  # fmt: skip
    assert expected == event


def test_the_type_of_an_event_is_found_with_and_without_its_cursor() -> None:
    assert outgoing.kind_of('{"type":"response.created","x":1}') == "response.created"
    assert outgoing.kind_of('{"cursor":"12","type":"response.created","x":{"type":"y"}}') == "response.created"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InboxFull(64), 429, "inbox_full"), (ConversationBusy("c"), 409, "conversation_busy"),
        (IdempotencyMismatch("i"), 409, "idempotency_mismatch"),
        (ConversationNotFound("c"), 404, "conversation_not_found"),
        (DatabaseFull("x.db"), 503, "database_unavailable"), (ValueError("a secret"), 500, "server_error"),
    ],
)  # fmt: skip
def test_errors_of_the_lower_storeys_are_told_in_the_wires_words(error: Exception, status: int, code: str) -> None:
    problem = told(error)
    assert (status, code) == (problem.status, problem.code)
    assert "secret" not in problem.message
    assert ("retry-after" in problem.headers) == (status in (429, 503))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ResponseNotFound("r"), "response_not_found"),
        (ResponseNotActive("r", "completed"), "response_already_completed"),
        (ResponseNotActive("r", "failed"), "response_not_active"), (InboxFull(64), "too_many_pending_steers"),
        (IdempotencyMismatch("i"), "idempotency_mismatch"), (DatabaseFull("x.db"), "successor_creation_failed"),
        (SteerFailed("invalid_input", "x", previous_response_id="r1", input=1), "invalid_input"),
    ],
)  # fmt: skip
def test_a_steer_that_fails_is_returned_with_the_sdks_codes(error: Exception, code: str) -> None:
    failed = returned(error, previous_response_id="r1", input="text")
    assert code == failed.code
