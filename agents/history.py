"""What a model may be shown of a conversation: stored items in, valid input items of the Responses API out.

Everything that decides whether a history is valid, and how an invalid one is mended, is here. It is pure: no database,
no clock, no model. A crash, a cancel or an interruption may leave any gap in the stored items; `model_items` closes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal, TypeAlias, cast

from pydantic_core import from_json

from .model import JSON
from .summary_item import read_compaction, summary_message

INTERRUPTED: Final = (
    "interrupted, outcome unknown: the call may or may not have taken effect; check before you repeat it"
)
AWAITED: Final = (
    "waits for the person's approval and has not run: it runs by itself once it is approved; do not call it again"
)
PLAIN_LABELS: Final = frozenset({"desk", "tasks", "handoff"})  # no namespace before the names of their tools
ROLES: Final = frozenset({"user", "assistant", "system", "developer"})
_MESSAGE_KEYS: Final = ("role", "content", "phase")
_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "message": frozenset({"type", *_MESSAGE_KEYS}),
    "function_call": frozenset({"type", "call_id", "name", "arguments"}),
    "function_call_output": frozenset({"type", "call_id", "output"}),
    "reasoning": frozenset({"type", "id", "summary", "content", "encrypted_content"}),
}
_ID_PREFIX: Final = {"message": "msg", "function_call": "fc", "function_call_output": "fc", "reasoning": "rs"}
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One row of a conversation's history.

    ``step`` numbers the model's replies inside one response. ``body`` is the item as it went over the wire; its keys
    that begin with ``frontdesk:`` are ours: ``frontdesk:call_id``, the model's id of a call that the server ran, and
    ``frontdesk:model``, who made a reasoning item.
    """

    id: str
    response_id: str
    step: int
    status: Literal["completed", "in_progress", "incomplete"]
    agent: str
    body: JSON


_Reply: TypeAlias = tuple[str, int]  # response id and step: the reply of the model that an item is part of


@dataclass(frozen=True, slots=True)
class _Entry:
    """An item that the model may see, and the reply that it came from."""

    reply: _Reply
    body: JSON
    output: Any = None  # of a call that carries its own
    waits: bool = False  # of a call: for an approval


def model_items(items: Sequence[StoredItem], *, model: str, pending: frozenset[str] = frozenset()) -> tuple[JSON, ...]:
    """The input items to ask ``model`` with; `validate_items` finds nothing wrong with them.

    - Calls of one reply come together, their outputs after them in the order of the calls; each call has exactly one
      output. One that has none gets `INTERRUPTED`; one that waits for an approval gets `AWAITED` until it has run, and
      its own output from then on. Calls whose ids are in ``pending`` (they wait for the client) are left out, with
      their outputs.
    - Of two items with one id, two calls with one call id, or two outputs of one call, the first counts. Outputs
      without a call, unfinished messages, and item types that no model is told of are left out.
    - A reasoning item stays only for the model that made it, and only while something of the same reply follows it.

    Repairing a repaired history changes nothing.
    """
    entries = [entry for item in _once(items) if (entry := _entry(item, model)) is not None]
    outputs = _outputs(entries)
    known = set(pending)
    kept: list[_Entry] = []
    for entry in entries:
        if entry.body["type"] == "function_call":
            if entry.body["call_id"] in known:
                continue
            known.add(entry.body["call_id"])
        kept.append(entry)
    return tuple(item for run in _runs(kept) for item in _run_items(run, outputs))


def _once(items: Iterable[StoredItem]) -> Iterable[StoredItem]:
    seen: set[str] = set()
    for item in items:
        own = str(item.body.get("id") or item.id) if item.body.get("type") == "reasoning" else item.id
        if not seen.isdisjoint({item.id, own}):
            continue
        seen |= {item.id, own}
        yield item


def _entry(item: StoredItem, model: str) -> _Entry | None:
    """What the model is told of one item; None for nothing."""
    body, reply = item.body, (item.response_id, item.step)
    match body.get("type", "message"):
        case "message":
            return _Entry(reply, message) if item.status == "completed" and (message := _message(body)) else None
        case "reasoning":
            usable = item.status == "completed" and body.get("frontdesk:model") == model
            usable = usable and bool(body.get("encrypted_content") or body.get("content"))
            return _Entry(reply, _only({"summary": [], **body}, "reasoning")) if usable else None
        case "function_call":
            call = _call(body, str(body["call_id"]), str(body["name"]))
            return _Entry(reply, call) if item.status != "incomplete" or _is_json(call["arguments"]) else None
        case "function_call_output":
            return _Entry(reply, _only(body, "function_call_output"))
        case "mcp_call":
            return _server_call(item, reply)
        case "compaction":
            summary = read_compaction(body)
            return None if summary is None else _Entry(reply, summary_message(summary))
        case "mcp_approval_request" if body.get("frontdesk:call_id"):  # our own, and not a client's word
            return _Entry(reply, _call(body, _call_id(body), _wire_name(body)), waits=True)
        case _:
            return None


def _server_call(item: StoredItem, reply: _Reply) -> _Entry | None:
    body = item.body
    call = _call(body, _call_id(body), _wire_name(body))
    output = body.get("output")
    if output is None and body.get("error") is not None:
        output = _error_text(body["error"])
    if output is None and item.status == "completed":
        output = ""
    if output is None and item.status == "incomplete" and not _is_json(call["arguments"]):
        return None  # cut off while the model was still writing it: it never ran
    return _Entry(reply, call, output)


def _wire_name(body: JSON) -> str:
    label, name = str(body.get("server_label", "desk")), str(body["name"])
    return name if label in PLAIN_LABELS else f"{label}-{name}"


def _call_id(body: JSON) -> str:
    return str(body.get("frontdesk:call_id") or body["id"])


def _call(body: JSON, call_id: str, name: str) -> JSON:
    arguments = str(body.get("arguments") or "")
    name = _NO_NAME.sub("_", name)[:64] or "_"  # models invent names, and a history with a wrong one is refused
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def _message(body: JSON) -> JSON | None:
    """Without ids and states. What the assistant said becomes text, the form all servers take; no text: no message."""
    message = {"type": "message"} | {key: body[key] for key in _MESSAGE_KEYS if body.get(key) is not None}
    if message.get("role") not in ROLES or "content" not in message:
        return None
    if message["role"] == "assistant":
        message["content"] = said(message["content"])
        return message if message["content"] else None
    return message


def said(content: str | Sequence[Mapping[str, Any]]) -> str:
    """The text of a message's content: its text and refusal parts, joined."""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or part.get("refusal") or "") for part in content)


def _only(body: JSON, kind: str) -> JSON:
    return {"type": kind} | {key: value for key, value in body.items() if key in _KEYS[kind] and value is not None}


def _error_text(error: object) -> str:
    """The text of an ``mcp_call.error``, which the API has in three shapes and older servers as plain text."""
    if not isinstance(error, Mapping):
        return str(error)
    shape = cast(Mapping[str, Any], error)
    content = shape.get("message") or shape.get("content") or "the call failed"
    return said(cast("str | list[JSON]", content)) if isinstance(content, str | list) else str(content)


def _is_json(text: str) -> bool:
    try:
        from_json(text)
    except ValueError:
        return False
    return True


def _outputs(entries: Iterable[_Entry]) -> dict[str, Any]:
    outputs: dict[str, Any] = {}
    for entry in entries:
        if entry.body["type"] == "function_call_output":
            outputs.setdefault(entry.body["call_id"], entry.body.get("output", ""))
        elif entry.output is not None:
            outputs.setdefault(entry.body["call_id"], entry.output)
    if waiting := {entry.body["call_id"] for entry in entries if entry.waits}:
        run = {one.body["call_id"] for one in entries if not one.waits and one.body["type"] == "function_call"}
        outputs = dict.fromkeys(waiting - run, AWAITED) | outputs
    return outputs


def _runs(entries: Iterable[_Entry]) -> Iterable[list[_Entry]]:
    """Items of one reply that lie together. An output ends a run and disappears: `_run_items` writes it again."""
    number = 0

    def place(entry: _Entry) -> tuple[int, _Reply, bool]:
        nonlocal number
        body = entry.body
        number += body["type"] == "function_call_output"
        return number, entry.reply, body["type"] == "message" and body["role"] != "assistant"

    for _, run in groupby(entries, key=place):
        yield [entry for entry in run if entry.body["type"] != "function_call_output"]


def _run_items(run: list[_Entry], outputs: Mapping[str, Any]) -> Iterable[JSON]:
    while run and run[-1].body["type"] == "reasoning":
        run = run[:-1]
    for entry in run:
        yield entry.body
    for entry in run:
        if entry.body["type"] == "function_call":
            call_id = entry.body["call_id"]
            yield {"type": "function_call_output", "call_id": call_id, "output": outputs.get(call_id, INTERRUPTED)}


def _is_reply(item: JSON) -> bool:
    return item.get("type") in ("function_call", "reasoning") or item.get("role") == "assistant"


def validate_items(items: Sequence[JSON]) -> list[str]:
    """What is wrong with a history by the rules of the Responses API, in about its words; empty when it is valid."""
    problems: list[str] = []
    calls: dict[str, bool] = {}  # call id -> has its output
    ids: set[str] = set()
    for place, item in enumerate(items):
        kind = str(item.get("type", "message"))
        if kind not in _KEYS:
            problems.append(f"Invalid value: '{kind}' at input[{place}].type.")
            continue
        extra = sorted(item.keys() - _KEYS[kind] - {"id", "status"})
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
