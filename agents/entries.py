"""What enters a conversation: inbox entries become items of its history. Pure.

A task's notice becomes a ``check_task`` call of the desk with its output: data that only the desk can make. Text of a
model never becomes one.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from ..broker.inbox import Entry
from ..tasks.request import new_id
from .events import encoded
from .history import StoredItem
from .model import JSON
from .reports import task_report
from .response import INPUT_STEP
from .steering import HELD

_PREFIX = {
    "message": "msg",
    "function_call_output": "fco",
    "function_call": "fc",
    "reasoning": "rs",
    "mcp_approval_response": "mcprs",
}


def input_items(entries: Sequence[Entry], response_id: str, known: Mapping[str, StoredItem]) -> list[StoredItem]:
    """The items of clients' inputs and of messages to a delegated agent, in their order.

    Some clients send the whole history each time: of an input that holds items which the conversation has already,
    under their ids, only what follows the last of them is new.
    """
    found: dict[str, StoredItem] = {}
    for entry in entries:
        bodies: Sequence[JSON] = ()
        if entry.kind in ("create", "steer", HELD):
            bodies = entry.payload["input"]
        elif entry.kind == "message":
            approval = entry.payload.get("approval")
            bodies = [user_message(entry.payload["text"]) if approval is None else approval]
        for body in bodies[_echoes(bodies, known) :]:
            item_id = _id_for(body, known, found)
            found[item_id] = StoredItem(item_id, response_id, INPUT_STEP, "completed", "", _own(body))
    return list(found.values())


def given_items(bodies: Sequence[JSON], known: Container[str]) -> list[StoredItem]:
    """The items that a client adds to a history by itself; an id that is there already is replaced by a new one."""
    found: dict[str, StoredItem] = {}
    for body in bodies:
        item_id = _id_for(body, known, found)
        found[item_id] = StoredItem(item_id, "", INPUT_STEP, "completed", "", _own(body))
    return list(found.values())


def _id_for(body: JSON, *taken: Container[str]) -> str:
    """An item's own id, or a new one when it has none or another item has it."""
    item_id = body.get("id")
    if isinstance(item_id, str) and item_id and not any(item_id in ids for ids in taken):
        return item_id
    return new_id(_PREFIX.get(str(body.get("type", "message")), "item"))


def _echoes(bodies: Sequence[JSON], known: Mapping[str, StoredItem]) -> int:
    """How many items at the beginning of an input are not new."""
    for number in range(len(bodies), 0, -1):
        body = bodies[number - 1]
        same = known.get(str(body.get("id")))
        if same is not None and _is_echo(body, same):
            return number
    return 0


def _own(body: JSON) -> JSON:
    """An input's body; keys of ours are for us to set."""
    return {"type": "message"} | {key: value for key, value in body.items() if not key.startswith("frontdesk:")}


def _is_echo(body: JSON, known: StoredItem) -> bool:
    """Ids of output items are the desk's own. A client's id may be used twice by mistake: then the content tells."""
    if body.get("type") == "item_reference":
        return True
    if body.get("type", "message") != known.body.get("type", "message"):
        return False
    return known.step > INPUT_STEP or all(known.body.get(key) == body.get(key) for key in ("content", "output"))


def user_message(text: str) -> JSON:
    """What a person said."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def is_notice(entry: Entry) -> bool:
    """Whether the entry tells of a task."""
    return entry.kind in ("notice", "note")


def asks(entry: Entry) -> bool:
    """Whether the entry is a delegated run's request for an approval."""
    return is_notice(entry) and "approval" in entry.payload


def notice_items(entries: Sequence[Entry], response_id: str, step: int, agent: str) -> list[StoredItem]:
    """The notices among the entries, as calls of ``check_task`` that the desk made."""
    return [notice_item(entry.payload["task"], response_id, step, agent) for entry in entries if is_notice(entry)]


def notice_item(task: dict[str, Any], response_id: str, step: int, agent: str) -> StoredItem:
    """One task's notice."""
    body: JSON = {
        "type": "mcp_call",
        "server_label": "tasks",
        "name": "check_task",
        "arguments": encoded({"task": task["label"] or task["id"]}),
        "output": encoded(task_report(task)),
        "frontdesk:call_id": new_id("notice"),
    }
    return StoredItem(new_id("mcp"), response_id, step, "completed", agent, body)


def approval_note(request: StoredItem, answer: JSON, response_id: str, step: int, agent: str) -> StoredItem:
    """What became of a request that a delegated run had made, told as a call of ``check_task`` by the desk."""
    body = request.body
    said = "approved" if answer.get("approve") is True else "refused"
    reason = {"reason": answer["reason"]} if answer.get("reason") else {}
    told = {"task": body["frontdesk:label"], "call": body["name"], "the person has": said, **reason}
    arguments = encoded({"task": body["frontdesk:label"]})
    note: JSON = {
        "type": "mcp_call", "server_label": "tasks", "name": "check_task", "arguments": arguments,
        "output": encoded(told), "frontdesk:call_id": new_id("notice"),
    }  # fmt: skip
    return StoredItem(new_id("mcp"), response_id, step, "completed", agent, note)
