"""The fake servers refuse what the real ones refuse: a test that passes with them has sent nothing invalid."""

from __future__ import annotations

from typing import Any

import pytest

from frontdesk.tests.fakes.openai_rules import refused_completion, refused_response

USER: dict[str, Any] = {"role": "user", "content": "hi"}
TOOL: dict[str, Any] = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}
CHAT_TOOL: dict[str, Any] = {"type": "function", "function": {"name": "add", "parameters": {}}}


def called(call_id: str) -> list[dict[str, Any]]:
    call = {"id": call_id, "type": "function", "function": {"name": "add", "arguments": "{}"}}
    return [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": "3"},
    ]


def part(role: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"input": [{"role": role, "content": [{"type": kind, **fields}]}]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"tools": [TOOL] * 129}, "array too long"),
        ({"tools": [TOOL, TOOL]}, "Duplicate tool name 'add'"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "sub"}}, "'sub' not found in 'tools'"),
        ({"tool_choice": "required"}, "must be specified with 'tools'"),
        ({"tool_choice": "any"}, "Invalid value: 'any'"),
        ({"temperature": 3}, "'temperature'"),
        ({"top_p": 1.5}, "'top_p'"),
        ({"metadata": {str(n): "" for n in range(17)}}, "'metadata'"),
        ({"store": True, "prompt": {}}, "Unknown parameter: 'prompt'"),
        (part("user", "output_text", text="a"), "Invalid value: 'output_text'"),
        (part("assistant", "input_text", text="a"), "Invalid value: 'input_text'"),
        (part("user", "input_image"), "'image_url' or 'file_id'"),
        (part("user", "input_text"), "Missing required parameter: 'text'"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x" * 10_485_761}]}, "string too long"),
    ],
)
def test_a_body_that_responses_refuses_is_refused(body: dict[str, Any], words: str) -> None:
    problems = refused_response({"model": "gpt-4.1", "input": "hi", **body})
    assert any(words in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": called("x" * 41)}, "maximum length 40"),
        ({"messages": called("a")[:2]}, "must be followed by tool messages"),
        ({"messages": called("a")[::2]}, "must be a response to 'tool_calls'"),
        ({"tool_choice": "auto"}, "only allowed when 'tools' are specified"),
        ({"parallel_tool_calls": False}, "only allowed when 'tools' are specified"),
        ({"tools": [CHAT_TOOL], "tool_choice": {"type": "function", "function": {"name": "b"}}}, "'b' not found"),
    ],
)
def test_a_body_that_chat_completions_refuses_is_refused(body: dict[str, Any], words: str) -> None:
    problems = refused_completion({"model": "gpt-4.1", "messages": [USER], **body})
    assert any(words in problem for problem in problems), problems


def test_what_both_take_is_taken() -> None:
    choice = {"type": "function", "name": "add"}
    fine = {"model": "gpt-4.1", "input": [USER], "tools": [TOOL], "tool_choice": choice, "temperature": 1}
    assert refused_response(fine) == []
    chat = {"model": "gpt-4.1", "messages": called("a"), "tools": [CHAT_TOOL], "tool_choice": "required"}
    assert refused_completion(chat) == []
