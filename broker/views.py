"""How a task is shown: as clients, people and the model see it, and in the events that tell of it. Nothing is read
here."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from pydantic_core import from_json, to_json

from .events import Event

TaskRow: TypeAlias = dict[str, Any]

SHOWN_RESULT: Final = 16_384  # characters of JSON that an event carries; the rest is read with the task


def view(row: TaskRow) -> dict[str, Any]:
    """A task as clients and people see it."""
    result = row["result"]
    return {**_view(row), "result": from_json(result) if _is_shown(result) else None}


def view_text(row: TaskRow) -> str:
    """`view` as JSON text, without reading the result's JSON."""
    result = row["result"]
    text = to_json(_view(row)).decode()
    shown = result if _is_shown(result) else "null"
    return f'{text[:-1]},"result":{shown}}}'


def is_expired(row: TaskRow) -> bool:
    """Whether the task had a result that was kept for a time, which is over."""
    return row["result_until"] is not None and row["result"] is None


def _is_shown(result: str | None) -> bool:
    return result is not None and len(result) <= SHOWN_RESULT


def _view(row: TaskRow) -> dict[str, Any]:
    result = row["result"]
    shown = {
        "id": row["id"],
        "label": row["label"],
        "kind": row["kind"],
        "name": row["name"],
        "title": row["title"],
        "agent": row["agent"],
        "status": row["status"],
        "progress": row["progress"],
        "message": row["message"],
        "question": row["question"],
        "result_size": 0 if result is None else len(result),
        "error": row["error"],
        "error_kind": row["error_kind"],
        "attempt": row["attempt"],
        "abandoned": bool(row["abandoned"]),
        "cancel_requested": bool(row["cancel_requested"]),
        "created_at": row["created_at"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
    }
    return {**shown, "result_expired": True} if is_expired(row) else shown


def told(row: TaskRow, what: str, view: str, *, passing: bool = False) -> Event:
    """The event that says so in the log of the task's conversation."""
    text = f'{{"type":"frontdesk:task.{what}","conversation":"{row["conversation_id"]}","task":{view}}}'
    return Event(text, deltas_of=row["id"] if passing else None)
