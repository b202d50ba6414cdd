"""Input items: what a client may put into a conversation, and the one form in which it is kept. Pure.

A string becomes a message of the user; a message without a type gets one; its content becomes a list of parts.
Everything else stays as the client wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from . import checks
from .checks import JSON, Check, optional, require
from .errors import InvalidRequest, UnsupportedParameter

MAXIMUM: Final = 10_000  # items in one input
PARTS: Final[Mapping[str, Mapping[str, Check]]] = {
    "input_text": {"text": checks.string()},
    "output_text": {"text": checks.string()},
    "refusal": {"refusal": checks.string()},
    "input_image": {},
    "input_file": {},
}
# Of a part, and optional. A detail is how closely a picture, or a page, is looked at.
ABOUT: Final[Mapping[str, Mapping[str, Check]]] = {
    "input_image": {"detail": checks.one_of("auto", "low", "high", "original")},
    "input_file": {"detail": checks.one_of("auto", "low", "high"), "filename": checks.string()},
}
OF_ROLE: Final[Mapping[str, frozenset[str]]] = {
    "user": frozenset({"input_text", "input_image", "input_file"}),
    "system": frozenset({"input_text", "input_image", "input_file"}),
    "developer": frozenset({"input_text", "input_image", "input_file"}),
    "assistant": frozenset({"output_text", "refusal", "input_text"}),
}
SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "input_image": ("image_url", "file_id"),
    "input_file": ("file_data", "file_url", "file_id"),
}
ITEMS: Final[Mapping[str, Mapping[str, Check]]] = {
    "function_call": {"call_id": checks.identifier, "name": checks.string(128), "arguments": checks.string()},
    "reasoning": {"summary": checks.listing},
    "mcp_call": {"id": checks.identifier, "server_label": checks.string(256), "name": checks.string(256)},
    "mcp_approval_request": {"id": checks.identifier, "name": checks.string(256)},
    "mcp_approval_response": {"approval_request_id": checks.identifier, "approve": checks.boolean},
    "mcp_list_tools": {"id": checks.identifier, "server_label": checks.string(256)},
    "item_reference": {"id": checks.identifier},
    "compaction": {"encrypted_content": checks.string()},
}


def normal(value: Any, param: str = "input") -> tuple[JSON, ...]:
    """The items of an input. Raises InvalidRequest or UnsupportedParameter, naming the place."""
    if isinstance(value, str):
        return (message("user", value),)
    if not isinstance(value, list):
        raise InvalidRequest(f"{param} must be a string or an array of items", param)
    found = cast(list[Any], value)  # type: ignore[redundant-cast] # basedpyright does not know its elements
    if not found:
        raise InvalidRequest(f"{param} is empty: give at least one item", param)
    if len(found) > MAXIMUM:
        raise InvalidRequest(f"{param} holds {len(found):,} items, more than {MAXIMUM:,}", param)
    return tuple(_item(item, f"{param}[{index}]") for index, item in enumerate(found))


def message(role: str, text: str) -> JSON:
    """A message with one part."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def _item(value: Any, param: str) -> JSON:
    item = cast(JSON, require(value, checks.mapping, param))
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind is None and "id" in item and set(item) <= {"id", "type"}:
        kind = "item_reference"
    if kind == "message":
        return _message(item, param)
    if kind == "function_call_output":
        return _output(item, param)
    if not isinstance(kind, str):
        raise InvalidRequest(f'{param} needs a "type"', f"{param}.type")
    if kind not in ITEMS:
        raise UnsupportedParameter(f"{param}.type", f"{kind[:64]!r} is not an item that this server takes")
    for field, check in ITEMS[kind].items():
        require(item.get(field), check, f"{param}.{field}")
    return {**item, "type": kind}


def _message(item: JSON, param: str) -> JSON:
    role = str(require(item.get("role"), checks.one_of(*OF_ROLE), f"{param}.role"))
    optional(item, "id", checks.identifier, f"{param}.id")
    return {**item, "type": "message", "content": _content(item.get("content"), role, f"{param}.content")}


def _content(value: Any, role: str, param: str) -> list[JSON]:
    if isinstance(value, str):
        return cast(list[JSON], message(role, value)["content"])
    parts = cast(list[Any], require(value, checks.parts, param))
    if not parts:
        raise InvalidRequest(f"{param} is empty: give a string or at least one part", param)
    return [_part(part, OF_ROLE[role], f"{param}[{index}]") for index, part in enumerate(parts)]


def _part(value: Any, allowed: frozenset[str], param: str) -> JSON:
    part = cast(JSON, require(value, checks.mapping, param))
    kind = part.get("type")
    if kind == "input_audio":
        raise UnsupportedParameter(f"{param}.type", "no model here takes audio")
    require(kind, checks.one_of(*sorted(allowed)), f"{param}.type")
    for field, check in PARTS[str(kind)].items():
        require(part.get(field), check, f"{param}.{field}")
    for field, check in ABOUT.get(str(kind), {}).items():
        optional(part, field, check, f"{param}.{field}")
    sources = SOURCES.get(str(kind), ())
    given = [optional(part, source, checks.string(), f"{param}.{source}") for source in sources]
    if sources and not any(given):
        raise InvalidRequest(f"{param} needs one of {', '.join(sources)}", param)
    return part


def _output(item: JSON, param: str) -> JSON:
    """The output of a function that the client ran."""
    require(item.get("call_id"), checks.identifier, f"{param}.call_id")
    output = item.get("output")
    if not isinstance(output, str):
        parts = cast(list[Any], require(output, checks.parts, f"{param}.output"))
        for index, part in enumerate(parts):
            _part(part, OF_ROLE["user"], f"{param}.output[{index}]")
    return item


def only_from_user(items: tuple[JSON, ...], param: str = "input") -> None:
    """A steer takes messages of the user and nothing else. Raises InvalidRequest."""
    for index, item in enumerate(items):
        if item["type"] != "message" or item["role"] != "user":
            raise InvalidRequest(f"{param}[{index}]: a steer takes only messages of the user", f"{param}[{index}]")
