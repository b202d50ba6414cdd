"""What Chat Completions makes of a history, and of calls that come in pieces."""

from __future__ import annotations

from typing import Any

import pytest

from frontdesk.agents.model import JSON, FunctionCall
from frontdesk.agents.models.chat_calls import CallParts
from frontdesk.agents.models.chat_messages import chat_messages
from frontdesk.tests.fakes.openai_rules import validate_messages


def message(role: str, content: str | list[JSON]) -> JSON:
    return {"type": "message", "role": role, "content": content}


def call(call_id: str, arguments: str = "{}") -> JSON:
    return {"type": "function_call", "call_id": call_id, "name": "add", "arguments": arguments}


def output(call_id: str, text: str | list[JSON] = "3") -> JSON:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def tool_call(call_id: str, arguments: str = "{}") -> JSON:
    return {"id": call_id, "type": "function", "function": {"name": "add", "arguments": arguments}}


def tool(call_id: str, text: str = "3") -> JSON:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def converted(*items: JSON, field: str | None = None) -> list[JSON]:
    messages = chat_messages("", items, reasoning_field=field)
    assert validate_messages([{"role": "user", "content": "first"}, *messages]) == []
    return messages


def test_instructions_and_developers_speak_as_the_system() -> None:
    assert chat_messages("Be brief.", [message("developer", "Now."), message("user", "hi")]) == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Now."},
        {"role": "user", "content": "hi"},
    ]


def test_text_and_calls_of_one_reply_are_one_message() -> None:
    assert converted(message("assistant", "Hm."), call("a"), call("b"), output("a"), output("b", "4")) == [
        {"role": "assistant", "content": "Hm.", "tool_calls": [tool_call("a"), tool_call("b")]},
        tool("a"),
        tool("b", "4"),
    ]


@pytest.mark.parametrize(("before", "text"), [((), "so"), ((message("assistant", "first"),), "first\n\nso")])
def test_text_after_a_call_of_the_same_reply_joins_it(before: tuple[JSON, ...], text: str) -> None:
    expected = [{"role": "assistant", "content": text, "tool_calls": [tool_call("a")]}, tool("a")]
    assert converted(*before, call("a"), message("assistant", "so"), output("a")) == expected


def test_calls_of_different_replies_stay_apart() -> None:
    assert converted(call("a"), output("a"), call("b"), output("b"), message("assistant", "7")) == [
        {"role": "assistant", "content": None, "tool_calls": [tool_call("a")]},
        tool("a"),
        {"role": "assistant", "content": None, "tool_calls": [tool_call("b")]},
        tool("b"),
        {"role": "assistant", "content": "7"},
    ]


def test_text_in_parts_becomes_text() -> None:
    parts: list[JSON] = [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}]
    assert converted(message("user", parts)) == [{"role": "user", "content": "one\ntwo"}]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"type": "input_image", "image_url": "data:x", "detail": "low"},
            {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
        ),
        (
            {"type": "input_file", "file_data": "data:y", "filename": "a.pdf", "file_id": None},
            {"type": "file", "file": {"file_data": "data:y", "filename": "a.pdf"}},
        ),
        ({"type": "input_file", "file_id": "file_1"}, {"type": "file", "file": {"file_id": "file_1"}}),
        (
            {"type": "input_audio", "input_audio": {"data": "z", "format": "wav"}},
            {"type": "input_audio", "input_audio": {"data": "z", "format": "wav"}},
        ),
    ],
)
def test_images_files_and_sound_pass(part: JSON, expected: JSON) -> None:
    picture: JSON = {"type": "input_image", "image_url": "data:"}
    shown = {"type": "image_url", "image_url": {"url": "data:", "detail": "auto"}}
    assert converted(message("user", [picture, part])) == [{"role": "user", "content": [shown, expected]}]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "input_image", "file_id": "file_1"}, "[image file_1: cannot be shown to this model]"),
        ({"type": "input_file", "file_url": "https://a/b"}, "[file https://a/b: cannot be shown to this model]"),
        ({"type": "input_image"}, "[image without a place: cannot be shown to this model]"),
    ],
)
def test_what_the_protocol_has_no_place_for_is_said_in_words(part: JSON, words: str) -> None:
    assert converted(message("user", [part])) == [{"role": "user", "content": words}]


def test_pictures_in_outputs_follow_the_last_output() -> None:
    picture: JSON = {"type": "input_image", "image_url": "data:"}
    shown = {"type": "image_url", "image_url": {"url": "data:", "detail": "auto"}}
    items = (
        call("a"),
        call("b"),
        output("a", [{"type": "input_text", "text": "see"}, picture]),
        output("b", [picture]),
    )
    *_, first, second, pictures, said = converted(*items, message("assistant", "nice"))
    assert first == tool("a", "see\n(the files of this output follow)")
    assert second == tool("b", "(the files of this output follow)")
    titles = [{"type": "text", "text": f"Files of the output of call {call_id}:"} for call_id in "ab"]
    assert pictures == {"role": "user", "content": [titles[0], shown, titles[1], shown]}
    assert said == {"role": "assistant", "content": "nice"}
    assert converted(*items)[-1] == pictures
    assert converted(call("a"), output("a", [{"type": "input_text", "text": "see"}]))[-1] == tool("a", "see")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ('{"a": 1}', '{"a": 1}'),
        (" ", "{}"),
        ('{"a": ', '{"invalid_arguments":"{\\"a\\": "}'),
        ("[1]", '{"invalid_arguments":"[1]"}'),
    ],
)
def test_arguments_are_an_object_whatever_the_model_wrote(written: str, sent: str) -> None:
    assert converted(call("a", written), output("a"))[0]["tool_calls"] == [tool_call("a", sent)]


def test_reasoning_goes_back_beside_the_calls_of_this_turn_only() -> None:
    def thought(text: str) -> JSON:
        return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}

    turn = (thought("hm"), message("assistant", "Let me see."), call("a"), output("a"))
    (asked, *_) = converted(*turn, field="thinking")
    assert asked["thinking"] == "hm"
    assert "thinking" not in converted(*turn, message("user", "and now?"), field="thinking")[0]
    assert "thinking" not in converted(*turn)[0]
    assert "thinking" not in converted(thought("hm"), message("assistant", "42"), field="thinking")[0]
    later = converted(thought("old"), message("assistant", "42"), message("user", "?"), *turn, field="thinking")
    assert later[2]["thinking"] == "hm"


def collected(*parts: JSON, cut_off: bool = False) -> list[FunctionCall]:
    calls = CallParts()
    for part in parts:
        calls.add(part)
    return list(calls.calls(cut_off=cut_off))


def piece(index: int | None = None, id: str | None = None, name: str | None = None, arguments: Any = None) -> JSON:
    part: JSON = {"function": {"name": name, "arguments": arguments}, "type": "function"}
    return part | ({} if index is None else {"index": index}) | ({} if id is None else {"id": id})


ONE, TWO = '{"n":1}', '{"n":2}'
A, B = FunctionCall("a", "add", ONE), FunctionCall("b", "add", TWO)
NAMELESS = [FunctionCall("", "add", ONE), FunctionCall("", "add", TWO)]
WAYS: dict[str, tuple[list[JSON], list[FunctionCall]]] = {
    "as OpenAI": (
        [piece(0, "a", "add", ""), piece(0, arguments='{"n"'), piece(0, arguments=":1}"), piece(1, "b", "add", TWO)],
        [A, B],
    ),
    "interleaved": (
        [piece(0, "a", "add"), piece(1, "b", "add"), piece(1, arguments=TWO), piece(0, arguments=ONE)],
        [A, B],
    ),
    "no index": ([piece(None, "a", "add", ONE), piece(None, "b", "add", TWO)], [A, B]),
    "no index, in pieces": (
        [piece(None, "a", "add", '{"n":'), piece(None, arguments="1}"), piece(None, "b", "add", TWO)],
        [A, B],
    ),
    "index only at first": ([piece(0, "a", "add", '{"n":'), piece(None, arguments="1}")], [A]),
    "always index 0": ([piece(0, "a", "add", ONE), piece(0, "b", "add", TWO)], [A, B]),
    "always index 0, no ids": ([piece(0, None, "add", ONE), piece(0, None, "add", TWO)], NAMELESS),
    "id and name repeated": (
        [piece(0, "a", "add", '{"n":'), piece(0, "a", "add", "1}"), piece(0, "a", "add", "")],
        [A],
    ),
    "name repeated": ([piece(0, None, "add", '{"n":'), piece(0, None, "add", "1}")], NAMELESS[:1]),
    "another id with each piece": ([piece(0, "a", "add", '{"n":'), piece(0, "z", None, "1}")], [A]),
    "id first, name in pieces": ([piece(0, "a"), piece(0, None, "ad"), piece(0, None, "d", ONE)], [A]),
    "an object": ([piece(0, "a", "add", {"n": 1})], [A]),
    "nothing but an id": ([{"index": 0, "id": "a"}], [FunctionCall("a", "", "")]),
}


@pytest.mark.parametrize("way", WAYS)
def test_pieces_find_their_call(way: str) -> None:
    parts, expected = WAYS[way]
    assert collected(*parts) == expected


def test_of_a_reply_that_was_cut_off_only_whole_calls_count() -> None:
    parts = [piece(0, "a", "add", ONE), piece(1, "b", "add", '{"n":')]
    assert collected(*parts, cut_off=True) == [A]
    assert len(collected(*parts)) == 2
