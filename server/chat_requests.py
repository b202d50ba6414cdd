"""Requests of Chat Completions: a decoded body in, the body of a response's create and the dialog that it resends out.
Pure.

What each field of a chat request becomes is here, and nothing else: the outcome is checked like any other create.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from ..agents.dialogs import Dialog
from ..agents.history import said
from . import checks
from .answer_form import EFFORT, VERBOSITY, check_format
from .checks import JSON, optional, require
from .errors import InvalidRequest, UnsupportedParameter

SAME: Final = ("model", "metadata", "parallel_tool_calls", "temperature", "top_p", "store")
# Fields that are not supported, and the values of them that change nothing.
NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "n": (1,),
    "stop": ([], ""),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "audio": (),
    "functions": ([],),
    "function_call": ("auto", "none"),
    "web_search_options": (),
    "moderation": (),
}
INSTRUCTING: Final = frozenset({"system", "developer"})
ROLES: Final = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """``create``: the body of a response's create, with all of the dialog as its input."""

    create: JSON
    dialog: Dialog
    stream: bool
    with_usage: bool


def read(body: JSON) -> ChatRequest:
    """The request. Raises InvalidRequest, UnsupportedParameter."""
    for field, neutral in NEUTRAL.items():
        if body.get(field) is not None and body[field] not in neutral:
            raise UnsupportedParameter(field)
    messages = cast("list[Any]", require(body.get("messages"), checks.listing, "messages"))
    found = [cast(JSON, require(one, checks.mapping, f"messages[{number}]")) for number, one in enumerate(messages)]
    told = [(number, one) for number, one in enumerate(found) if _role(one, number) not in INSTRUCTING]
    if not told or told[-1][1]["role"] == "assistant":
        raise InvalidRequest("messages must end with a message of the user, or with outputs of tools", "messages")
    groups = [_items(one, f"messages[{number}]") for number, one in told]
    instructions = [_text(one, f"messages[{n}]") for n, one in enumerate(found) if one["role"] in INSTRUCTING]
    create: JSON = {field: body[field] for field in SAME if body.get(field) is not None}
    create |= {"input": [item for group in groups for item in group], "instructions": "\n\n".join(instructions) or None}
    create |= {"max_output_tokens": _most_tokens(body), "tools": _tools(body), "tool_choice": _choice(body)}
    create |= {"text": _format(body), "reasoning": _reasoning(body)}
    options: JSON = optional(body, "stream_options", checks.mapping) or {}
    return ChatRequest(
        {field: value for field, value in create.items() if value is not None},
        _dialog(_person(body), [one for _, one in told], groups),
        bool(optional(body, "stream", checks.boolean)),
        bool(optional(options, "include_usage", checks.boolean, "stream_options.include_usage")),
    )


def _role(message: JSON, number: int) -> str:
    return str(require(message.get("role"), checks.one_of(*ROLES), f"messages[{number}].role"))


def _person(body: JSON) -> str:
    """Whose dialog it is, as far as the client says: two people who begin alike are not the same."""
    return str(body.get("safety_identifier") or body.get("user") or "")


# --- messages


def _items(message: JSON, param: str) -> list[JSON]:
    """The items that a message becomes."""
    match message["role"]:
        case "user":
            return [{"type": "message", "role": "user", "content": _parts(message.get("content"), param)}]
        case "tool":
            call_id = require(message.get("tool_call_id"), checks.identifier, f"{param}.tool_call_id")
            return [{"type": "function_call_output", "call_id": call_id, "output": _text(message, param)}]
        case _:
            return _answer(message, param)


def _answer(message: JSON, param: str) -> list[JSON]:
    found: list[JSON] = []
    text = _text(message, param) if message.get("content") is not None else str(message.get("refusal") or "")
    if text:
        found.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
    for number, one in enumerate(optional(message, "tool_calls", checks.listing, f"{param}.tool_calls") or ()):
        place = f"{param}.tool_calls[{number}]"
        call = cast(JSON, require(one, checks.mapping, place))
        if call.get("type", "function") != "function":
            raise UnsupportedParameter(f"{place}.type", "a call names a function")
        function = cast(JSON, require(call.get("function"), checks.mapping, f"{place}.function"))
        found.append(
            {
                "type": "function_call",
                "call_id": require(call.get("id"), checks.identifier, f"{place}.id"),
                "name": require(function.get("name"), checks.string(128), f"{place}.function.name"),
                "arguments": require(function.get("arguments"), checks.string(), f"{place}.function.arguments"),
            }
        )
    return found


def _text(message: JSON, param: str) -> str:
    """The text of a message whose content is text, or parts of text."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = cast("list[Any]", require(content, checks.parts, f"{param}.content"))
    for number, part in enumerate(parts):
        place = f"{param}.content[{number}]"
        kind = cast(JSON, require(part, checks.mapping, place)).get("type")
        require(kind, checks.one_of("text", "refusal"), f"{place}.type")
        require(part.get(kind), checks.string(), f"{place}.{kind}")
    return said(parts)


def _parts(content: Any, param: str) -> list[JSON]:
    if isinstance(content, str):
        return [{"type": "input_text", "text": content}]
    parts = cast("list[Any]", require(content, checks.parts, f"{param}.content"))
    if not parts:
        raise InvalidRequest(f"{param}.content is empty: give a string or at least one part", f"{param}.content")
    return [_part(one, f"{param}.content[{number}]") for number, one in enumerate(parts)]


def _part(value: Any, param: str) -> JSON:
    part = cast(JSON, require(value, checks.mapping, param))
    match part.get("type"):
        case "text":
            return {"type": "input_text", "text": require(part.get("text"), checks.string(), f"{param}.text")}
        case "image_url":
            image = cast(JSON, require(part.get("image_url"), checks.mapping, f"{param}.image_url"))
            url = require(image.get("url"), checks.string(), f"{param}.image_url.url")
            return {"type": "input_image", "image_url": url, "detail": image.get("detail") or "auto"}
        case "file":
            file = cast(JSON, require(part.get("file"), checks.mapping, f"{param}.file"))
            if not (file.get("file_data") or file.get("file_id")):
                raise InvalidRequest(f"{param}.file needs one of file_data, file_id", f"{param}.file")
            return {
                "type": "input_file",
                **{key: file[key] for key in ("file_data", "file_id", "filename") if key in file},
            }
        case "input_audio":
            raise UnsupportedParameter(f"{param}.type", "no model here takes audio")
        case kind:
            raise InvalidRequest(
                f"{param}.type must be one of text, image_url, file, not {str(kind)[:64]!r}", f"{param}.type"
            )


# --- the dialog


def _dialog(person: str, messages: Sequence[JSON], groups: Sequence[list[JSON]]) -> Dialog:
    answers = [number for number, one in enumerate(messages) if one["role"] == "assistant"]
    now = _named(person, groups)
    if not answers:
        return Dialog(now=now, new=sum(map(len, groups)))
    last = answers[-1]
    return Dialog(
        now=now,
        before=_named(person, groups[:last]),
        said=next((said(one["content"]) for one in groups[last] if one["type"] == "message"), "").strip(),
        call_ids=frozenset(one["call_id"] for one in groups[last] if one["type"] == "function_call"),
        new=sum(map(len, groups[last + 1 :])),
    )


def _named(person: str, groups: Sequence[list[JSON]]) -> str:
    text = json.dumps([person, *groups], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


# --- fields of other names


def _most_tokens(body: JSON) -> Any:
    newer = optional(body, "max_completion_tokens", checks.integer(1, 2**31 - 1))
    older = optional(body, "max_tokens", checks.integer(1, 2**31 - 1))
    return older if newer is None else newer


def _tools(body: JSON) -> list[JSON] | None:
    given = optional(body, "tools", checks.listing)
    if given is None:
        return None
    found: list[JSON] = []
    for number, one in enumerate(given):
        place = f"tools[{number}]"
        tool = cast(JSON, require(one, checks.mapping, place))
        if tool.get("type") != "function":
            raise UnsupportedParameter(f"{place}.type", "functions can be given")
        function = cast(JSON, require(tool.get("function"), checks.mapping, f"{place}.function"))
        found.append({"type": "function", "strict": False, "parameters": None, **function})
    return found


def _choice(body: JSON) -> Any:
    choice = body.get("tool_choice")
    if not isinstance(choice, dict):
        return choice
    given = cast(JSON, choice)
    match given.get("type"):
        case "function":
            return _named_function(given, "tool_choice")
        case "allowed_tools":
            allowed = cast(JSON, require(given.get("allowed_tools"), checks.mapping, "tool_choice.allowed_tools"))
            tools: list[Any] = optional(allowed, "tools", checks.listing, "tool_choice.allowed_tools.tools") or []
            flat = [_named_function(one, f"tool_choice.allowed_tools.tools[{n}]") for n, one in enumerate(tools)]
            return {"type": "allowed_tools", "mode": allowed.get("mode"), "tools": flat}
        case _:
            raise UnsupportedParameter("tool_choice.type", "a choice is none, auto, required, or functions")


def _named_function(choice: Any, param: str) -> JSON:
    given = cast(JSON, require(choice, checks.mapping, param))
    function = cast(JSON, require(given.get("function"), checks.mapping, f"{param}.function"))
    return {"type": "function", "name": function.get("name")}


def _format(body: JSON) -> JSON | None:
    form = optional(body, "response_format", checks.mapping)
    verbosity = optional(body, "verbosity", VERBOSITY)
    text: JSON = {} if verbosity is None else {"verbosity": verbosity}
    if form is not None:
        schema: JSON = {}
        if form.get("type") == "json_schema":
            schema = cast(JSON, require(form.get("json_schema"), checks.mapping, "response_format.json_schema"))
        check_format(form, schema, "response_format", "response_format.json_schema")
        text["format"] = {"type": form["type"], **schema}
    return text or None


def _reasoning(body: JSON) -> JSON | None:
    effort = optional(body, "reasoning_effort", EFFORT)
    return None if effort is None else {"effort": effort}
