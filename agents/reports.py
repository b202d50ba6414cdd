"""How a task is told to a model: in a check, in a list, in a notice, when it was created. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .events import encoded
from .model import JSON

SHOWN: Final = 4_000  # characters of a result that a report holds
GONE: Final = "its result was kept for a time only, which is over; create the task again if it is needed"


def task_report(
    task: dict[str, Any], *, poll_after: float | None = None, log: Sequence[str] = (), result: str | None = None
) -> JSON:
    """A task's view (`views.view`): its state, its progress, its result as far as it fits. No empty fields.

    ``result`` is the whole result as JSON text, where it is at hand: a view leaves out what is long.
    """
    running = task["status"] == "running"
    report: JSON = {
        "task": task["label"] or task["id"],
        "name": task["name"],
        "title": task["title"] if task["title"] != task["name"] else None,
        "status": task["status"],
        "progress": round(task["progress"], 3) if running and task["progress"] is not None else None,
        "message": task["message"] if task["status"] in ("running", "waiting") else None,
        "question": task["question"],
        "log": list(log) or None,
        "error": task["error"],
        **_result(task, result),
        "poll_after_seconds": poll_after,
    }
    return {name: value for name, value in report.items() if value is not None and value != ""}


def _result(task: dict[str, Any], whole: str | None) -> JSON:
    """What a report shows of a result: all of it, or its beginning and how to get the rest."""
    if task.get("result_expired"):
        return {"result_expired": GONE}
    size, shown = task["result_size"], task["result"]
    if not size or (shown is None and size <= SHOWN):
        return {}  # none, or null
    text = whole if whole is not None else "" if shown is None else encoded(shown)
    if shown is not None and len(text) <= SHOWN:
        return {"result": shown}
    cut = f"{size} characters in all: read_task_result(task, offset) gives the rest"
    return {"result": text[:SHOWN] or None, "result_cut": cut}


def created_report(task: dict[str, Any], *, twin: bool, elsewhere: bool = False, unique: bool = False) -> JSON:
    """What ``create_task`` returns. ``twin``: the same task was there; ``unique``: another one has its unique key, in
    another conversation if ``elsewhere``."""
    if unique:
        note = "a task that stands for the same was filed already: nothing was created, and again=true does not help"
        if elsewhere:
            return {
                "task": None,
                "name": task["name"],
                "status": task["status"],
                "note": f"{note}; it is not this conversation's",
            }
        return {"task": task["label"], "name": task["name"], "status": task["status"], "note": note}
    report: JSON = {"task": task["label"], "name": task["name"], "status": task["status"]}
    if twin:
        report["note"] = "the same task is live already: nothing was created; again=true runs it once more"
    return report
