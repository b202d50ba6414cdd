"""What a model may be shown of a conversation: stored items in, valid input items of the Responses API out.

Everything that decides whether a history is valid, and how an invalid one is mended, is here. It is pure: no database,
no clock, no model. A crash, a cancel or an interruption may leave any gap in the stored items; `model_items` closes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2s
from itertools import groupby
from typing import Any, Final, Literal, TypeAlias, cast

from pydantic_core import from_json

from .history_rules import KEYS, MESSAGE_KEYS, ROLES
from .history_rules import validate_items as validate_items
from .model import JSON
from .summary_item import read_compaction, summary_message

INTERRUPTED: Final = (
    "interrupted, outcome unknown: the call may or may not have taken effect; check before you repeat it"
)
AWAITED: Final = (
    "waits for the person's approval and has not run: it runs by itself once it is approved; do not call it again"
)
PLAIN_LABELS: Final = frozenset({"desk", "tasks", "handoff"})  # no namespace before the names of their tools
LONGEST_CALL_ID: Final = 40  # characters; Chat Completions refuses longer ones, Responses those above 64
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
    - Call ids that are longer than some server allows are shortened.
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
    message = {"type": "message"} | {key: body[key] for key in MESSAGE_KEYS if body.get(key) is not None}
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
    return {"type": kind} | {key: value for key, value in body.items() if key in KEYS[kind] and value is not None}


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
        long = entry.body["type"] == "function_call" and len(entry.body["call_id"]) > LONGEST_CALL_ID
        yield {**entry.body, "call_id": shorter(entry.body["call_id"])} if long else entry.body
    for entry in run:
        if entry.body["type"] == "function_call":
            call_id = entry.body["call_id"]
            output = outputs.get(call_id, INTERRUPTED)
            yield {"type": "function_call_output", "call_id": shorter(call_id), "output": output}


def shorter(call_id: str) -> str:
    """An id that every server takes, the same each time: other models' ids may be longer than it allows."""
    if len(call_id) <= LONGEST_CALL_ID:
        return call_id
    return "call_" + blake2s(call_id.encode("utf-8", "replace"), digest_size=16).hexdigest()
