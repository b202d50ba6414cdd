"""What enters a conversation: inbox entries become items of its history. Pure.

A task's notice becomes a ``check_task`` call of the desk with its output: data that only the desk can make. Text of a model never becomes one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ..broker.inbox import Entry
from ..tasks.table import new_id
from .events import encoded
from .history import StoredItem
from .journal import INPUT_STEP
from .model import JSON

_PREFIX = {"message": "msg", "function_call_output": "fco", "function_call": "fc", "reasoning": "rs"}


def input_items(entries: Sequence[Entry], response_id: str, known: Collection[str]) -> list[StoredItem]:
    """The items of clients' inputs and of messages to a delegated agent, in their order."""
    found: list[StoredItem] = []
    for entry in entries:
        if entry.kind in ("create", "steer"):
            bodies: Sequence[JSON] = entry.payload["input"]
        elif entry.kind == "message":
            bodies = [user_message(entry.payload["text"])]
        else:
            continue
        for body in bodies:
            found.append(_item(body, response_id, known, found))
    return found


def _item(body: JSON, response_id: str, known: Collection[str], found: Sequence[StoredItem]) -> StoredItem:
    item_id = body.get("id")
    if not isinstance(item_id, str) or item_id in known or any(one.id == item_id for one in found):
        item_id = new_id(_PREFIX.get(str(body.get("type", "message")), "item"))
    return StoredItem(item_id, response_id, INPUT_STEP, "completed", "", {"type": "message", **body})


def user_message(text: str) -> JSON:
    """What a person said."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def notice_items(entries: Sequence[Entry], response_id: str, step: int, agent: str) -> list[StoredItem]:
    """The notices among the entries, as calls of ``check_task`` that the desk made."""
    return [
        notice_item(entry.payload["task"], response_id, step, agent)
        for entry in entries
        if entry.kind in ("notice", "note")
    ]


def notice_item(task: dict[str, Any], response_id: str, step: int, agent: str) -> StoredItem:
    """One task's notice."""
    body: JSON = {
        "type": "mcp_call",
        "server_label": "tasks",
        "name": "check_task",
        "arguments": encoded({"task": task["label"] or task["id"]}),
        "output": encoded(task_report(task)),
        "error": None,
        "frontdesk:call_id": new_id("notice"),
    }
    return StoredItem(new_id("mcp"), response_id, step, "completed", agent, body)


SHOWN = 4_000  # characters of a result that a report holds


def task_report(task: dict[str, Any], *, poll_after: float | None = None, log: Sequence[str] = ()) -> JSON:
    """A task as the model sees it: its state, what is known of its progress, its result as far as it fits. No empty fields."""
    result = task["result"]
    report: JSON = {
        "task": task["label"] or task["id"],
        "name": task["name"],
        "title": task["title"] if task["title"] != task["name"] else None,
        "status": task["status"],
        "progress": round(task["progress"], 3)
        if task["progress"] is not None and task["status"] == "running"
        else None,
        "message": task["message"] if task["status"] in ("running", "waiting") else None,
        "question": task["question"],
        "log": list(log) or None,
        "result": result,
        "error": task["error"],
        "poll_after_seconds": poll_after,
    }
    size = task["result_size"]
    text = "" if result is None else encoded(result)
    if size and (result is None or len(text) > SHOWN):
        report["result"] = text[:SHOWN] or None
        report["result_cut"] = f"{size} characters in all: read_task_result(task, offset) gives the rest"
    return {name: value for name, value in report.items() if value is not None and value != ""}
