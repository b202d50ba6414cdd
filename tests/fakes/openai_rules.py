"""What OpenAI's API refuses with 400, in about its words. Pure.

Each function returns what is wrong, and nothing when all is well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from frontdesk.agents.history import validate_items

from .openai_events import JSON
from .strict_rules import refused_schema

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_RESPONSES: Final = frozenset(
    (
        *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p"),
        *("max_output_tokens", "stream", "store", "include", "reasoning", "metadata", "text", "prompt_cache_key"),
    )
)
_CHAT: Final = frozenset(
    (
        *("model", "messages", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p", "stream"),
        *("max_completion_tokens", "max_tokens", "stream_options", "reasoning_effort", "metadata", "prompt_cache_key"),
    )
)
_PARTS: Final = {"system": ("text",), "developer": ("text",), "tool": ("text",), "assistant": ("text", "refusal")}
MOST_TOOLS: Final = 128
LONGEST_STRING: Final = 10_485_760
_INPUT_PARTS: Final = ("input_text", "input_image", "input_file")
_OUTPUT_PARTS: Final = ("output_text", "refusal")
_USER_PARTS: Final = ("text", "image_url", "file", "input_audio")


def refused_response(body: JSON) -> list[str]:
    """What is wrong with a body of POST /v1/responses."""
    problems = [f"Unknown parameter: '{key}'." for key in sorted(body.keys() - _RESPONSES)]
    reasons = re.match(r"o\d|gpt-5", str(body.get("model")))
    if "reasoning.encrypted_content" in (body.get("include") or ()) and not reasons:
        problems.append("Encrypted content is not supported with this model.")
    found: Any = body.get("input")
    items = cast("list[JSON]", found) if isinstance(found, list) else []
    problems += validate_items(items)
    problems += [problem for item in items for problem in _part_problems(item)]
    problems += _settings_problems(body, [str(tool.get("name")) for tool in body.get("tools") or ()])
    functions = [(tool, f"tools[{place}]") for place, tool in enumerate(body.get("tools") or ())]
    return problems + [problem for tool, place in functions for problem in _tool_problems(tool, place)]


def refused_completion(body: JSON) -> list[str]:
    """What is wrong with a body of POST /v1/chat/completions."""
    problems = [f"Unrecognized request argument supplied: {key}" for key in sorted(body.keys() - _CHAT)]
    problems += validate_messages(body.get("messages") or [])
    functions: list[JSON] = [tool.get("function") or {} for tool in body.get("tools") or ()]
    names = [str(function.get("name")) for function in functions]
    problems += _settings_problems(body, names)
    if not names:
        chosen = [key for key in ("tool_choice", "parallel_tool_calls") if key in body]
        problems += [
            f"Invalid value for '{key}': '{key}' is only allowed when 'tools' are specified." for key in chosen
        ]
    for place, tool in enumerate(body.get("tools") or ()):
        problems += _tool_problems(tool.get("function") or {}, f"tools[{place}].function")
    return problems


def _settings_problems(body: JSON, names: Sequence[str]) -> Iterator[str]:
    """What both APIs ask of the fields around a history."""
    if len(names) > MOST_TOOLS:
        yield f"Invalid 'tools': array too long. Expected an array with maximum length {MOST_TOOLS}."
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"Duplicate tool name '{name}' in 'tools'."
    choice: Any = body.get("tool_choice")
    if isinstance(choice, dict):
        given = cast(JSON, choice)
        function: JSON = given.get("function") or {}
        wanted = str(given.get("name") or function.get("name"))
        if wanted not in names:
            yield f"Tool choice '{wanted}' not found in 'tools' parameter."
    elif choice not in (None, "auto", "none", "required"):
        yield f"Invalid value: '{choice}' at tool_choice."
    elif choice == "required" and not names:
        yield "Tool choice 'required' must be specified with 'tools' parameter."
    for name, most in (("temperature", 2), ("top_p", 1)):
        value = body.get(name)
        if value is not None and not 0 <= value <= most:
            yield f"Invalid '{name}': decimal outside the expected range 0 to {most}."
    if len(body.get("metadata") or {}) > 16:
        yield "Invalid 'metadata': too many properties. Expected an object with at most 16 properties."


def _part_problems(item: JSON) -> Iterator[str]:
    """What the Responses API asks of the parts of an item."""
    kind = item.get("type", "message")
    content: Any = item.get("content") if kind == "message" else item.get("output")
    if kind == "function_call_output" and isinstance(content, str) and len(content) > LONGEST_STRING:
        yield f"Invalid 'input[].output': string too long. Expected a string with maximum length {LONGEST_STRING}."
    if not isinstance(content, list):
        return
    allowed = _OUTPUT_PARTS if item.get("role") == "assistant" else _INPUT_PARTS
    for part in cast("list[JSON]", content):
        found = str(part.get("type"))
        if found not in allowed:
            yield f"Invalid value: '{found}'. Supported values are: {', '.join(allowed)}."
        elif found == "input_image" and not (part.get("image_url") or part.get("file_id")):
            yield "Missing required parameter: 'image_url' or 'file_id'."
        elif found.endswith("_text") and not isinstance(part.get("text"), str):
            yield "Missing required parameter: 'text'."


def validate_messages(messages: Sequence[JSON]) -> list[str]:
    """What is wrong with a history of Chat Completions."""
    problems = [] if messages else ["Invalid 'messages': empty array."]
    waiting: list[str] = []  # ids of calls whose tool messages must come next
    for place, message in enumerate(messages):
        role = message.get("role")
        if role == "tool":
            call_id = str(message.get("tool_call_id"))
            if call_id not in waiting:
                problems.append("Invalid parameter: messages with role 'tool' must be a response to 'tool_calls'.")
            waiting = [other for other in waiting if other != call_id]
        else:
            problems += _unanswered(waiting)
            calls: list[JSON] = message.get("tool_calls") or []
            waiting = [str(call.get("id")) for call in calls]
            problems += _call_problems(calls, waiting, place)
        problems += _content_problems(message, str(role), place)
    return problems + _unanswered(waiting)


def _unanswered(waiting: Sequence[str]) -> list[str]:
    words = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
    )
    return [f"{words} Missing: {', '.join(waiting)}"] if waiting else []


def _call_problems(calls: Sequence[JSON], ids: Sequence[str], place: int) -> Iterator[str]:
    if len(set(ids)) < len(ids):
        yield f"Duplicate value for 'tool_call_id' in messages[{place}]."
    for number, call in enumerate(calls):
        if len(str(call.get("id"))) > 40:
            path = f"messages[{place}].tool_calls[{number}].id"
            yield f"Invalid '{path}': string too long. Expected a string with maximum length 40."
        if not _NAME.fullmatch(call["function"]["name"]):
            yield f"Invalid 'messages[{place}].tool_calls[0].function.name'."
        if not isinstance(call["function"]["arguments"], str) or call.get("type") != "function":
            yield f"Invalid type for 'messages[{place}].tool_calls[0]'."


def _content_problems(message: JSON, role: str, place: int) -> Iterator[str]:
    if role not in ("user", *_PARTS):
        yield f"Invalid value: '{role}' at messages[{place}].role."
        return
    content = message.get("content")
    if isinstance(content, list):
        allowed = _PARTS.get(role, _USER_PARTS)
        kinds = [str(part.get("type")) for part in cast("list[JSON]", content)]
        yield from (f"Invalid content type '{kind}' in messages[{place}]." for kind in kinds if kind not in allowed)
    elif not isinstance(content, str) and not (role == "assistant" and message.get("tool_calls")):
        yield f"Invalid value for 'content': expected a string, got null (messages[{place}])."


def _tool_problems(function: JSON, place: str) -> Iterator[str]:
    name = str(function.get("name", ""))
    if not _NAME.fullmatch(name):
        yield f"Invalid '{place}.name': string does not match pattern '^[a-zA-Z0-9_-]+$'."
    if function.get("strict"):
        problems = refused_schema(function.get("parameters") or {})
        yield from (f"Invalid schema for function '{name}': {problem}" for problem in problems)
