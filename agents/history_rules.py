"""The rules of the Responses API about a history: which items may be sent, and which must come together. Pure.

``history`` makes histories that keep to them; the tests' fake of the API refuses those that do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .model import JSON

ROLES: Final = frozenset({"user", "assistant", "system", "developer"})
MESSAGE_KEYS: Final = ("role", "content", "phase")
KEYS: Final[Mapping[str, frozenset[str]]] = {
    "message": frozenset({"type", *MESSAGE_KEYS}),
    "function_call": frozenset({"type", "call_id", "name", "arguments"}),
    "function_call_output": frozenset({"type", "call_id", "output"}),
    "reasoning": frozenset({"type", "id", "summary", "content", "encrypted_content"}),
}
_ID_PREFIX: Final = {"message": "msg", "function_call": "fc", "function_call_output": "fc", "reasoning": "rs"}
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def _is_reply(item: JSON) -> bool:
    return item.get("type") in ("function_call", "reasoning") or item.get("role") == "assistant"


def validate_items(items: Sequence[JSON]) -> list[str]:
    """What is wrong with a history by the rules of the Responses API, in about its words; empty when it is valid."""
    problems: list[str] = []
    calls: dict[str, bool] = {}  # call id -> has its output
    ids: set[str] = set()
    for place, item in enumerate(items):
        kind = str(item.get("type", "message"))
        if kind not in KEYS:
            problems.append(f"Invalid value: '{kind}' at input[{place}].type.")
            continue
        extra = sorted(item.keys() - KEYS[kind] - {"id", "status"})
        problems += [f"Unknown parameter: 'input[{place}].{key}'." for key in extra]
        if "id" in item:
            if not str(item["id"]).startswith(_ID_PREFIX[kind]):
                problems.append(f"Invalid 'input[{place}].id': expected an ID that begins with '{_ID_PREFIX[kind]}'.")
            if item["id"] in ids:
                problems.append(f"Duplicate item found with id {item['id']}. Remove duplicate items from your input.")
            ids.add(str(item["id"]))
        problems += _problems(item, kind, place, calls, items[place + 1 :][:1])
    return problems + [f"No tool output found for function call {call_id}." for call_id in calls if not calls[call_id]]


def _problems(item: JSON, kind: str, place: int, calls: dict[str, bool], following: Sequence[JSON]) -> Iterable[str]:
    if kind == "message":
        if item.get("role") not in ROLES:
            yield f"Invalid value: '{item.get('role')}' at input[{place}].role."
        if not isinstance(item.get("content"), str | list):
            yield f"Invalid type for 'input[{place}].content': expected a string or an array."
    elif kind == "reasoning":
        if not any(_is_reply(item) for item in following):
            yield f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item."
        if not item.get("encrypted_content") and not item.get("content"):
            yield f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
    elif not isinstance(item.get("call_id"), str) or not item["call_id"]:
        yield f"Missing required parameter: 'input[{place}].call_id'."
    elif len(item["call_id"]) > 64:
        yield f"Invalid 'input[{place}].call_id': string too long. Expected a string with maximum length 64."
    elif kind == "function_call":
        if not _NAME.fullmatch(str(item.get("name", ""))):
            yield f"Invalid 'input[{place}].name': expected a string of at most 64 letters, digits, '_' and '-'."
        if not isinstance(item.get("arguments"), str):
            yield f"Invalid type for 'input[{place}].arguments': expected a string."
        if item["call_id"] in calls:
            yield f"Duplicate function call with call_id {item['call_id']}."
        calls.setdefault(item["call_id"], False)
    elif item["call_id"] not in calls:
        yield f"No tool call found for function call output with call_id {item['call_id']}."
    elif calls[item["call_id"]]:
        yield f"Duplicate function call output with call_id {item['call_id']}."
    else:
        calls[item["call_id"]] = True
        if not isinstance(item.get("output"), str | list):
            yield f"Invalid type for 'input[{place}].output': expected a string or an array."
