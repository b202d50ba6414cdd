"""Outputs of tools put into words: facts as ``key: value``, lists as lines, tasks as people speak of them. Nothing
is added to what was found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, cast

from ..model import JSON
from .offline_combine import written
from .offline_schema import as_list, as_object
from .offline_tasks import TASK_TOOLS
from .offline_turn import NOTICE, Made

_LINES: Final = 20
_LONG: Final = 4000
_SHORT: Final = 600
_ENDED: Final = {
    "succeeded": "finished",
    "completed": "finished",
    "failed": "failed",
    "held": "was given up",
    "cancelled": "was cancelled",
}
_STATE_KEYS: Final = frozenset({"task", "status"})


def outputs_text(made: Iterable[Made], known: Mapping[str, str]) -> list[str]:
    """What the calls of a turn have brought, in their order; tasks that were created share a line."""
    lines: list[str] = []
    shown = [one for one in made if one.output is not None and not one.name.startswith("transfer_to_")]
    created = [one for one in shown if one.name == "create_task" and not one.failed]
    if created:
        lines.append(_created(created))
    others = [one for one in shown if one not in created]
    for one in others:
        lines.append(output_text(one, known, labelled=len(others) > 1))
    return [line for line in lines if line]


def output_text(one: Made, known: Mapping[str, str], *, labelled: bool) -> str:
    """One output. ``labelled``: with the name of its tool, when it does not say itself what it is about."""
    if one.failed:
        return _failure(one)
    if one.name in TASK_TOOLS and (states := _states(one)):
        return "\n".join(task_line(state, known) for state in states[:_LINES]) + _more(len(states))
    if one.name == "list_tasks" and one.data in ([], {}, {"tasks": []}, ""):
        return "There are no tasks."
    if one.name in TASK_TOOLS and isinstance(one.data, dict):
        facts = as_object(cast(object, one.data))
        return _shortened(phrase(facts.get("result", facts.get("text", facts))), _LONG)
    text = phrase(one.data) if not isinstance(one.data, str) else one.data.strip()
    if labelled and not (isinstance(one.data, str) and len(text) > 20):
        text = f"{title(one.name)}: {text}" if "\n" not in text else f"{title(one.name)}:\n{text}"
    return _shortened(text, _LONG)


def title(name: str) -> str:
    """``orders-add_pizza_to_cart`` as words."""
    return re.sub(r"[_\s]+", " ", name.rpartition("-")[2]).strip() or name


def _failure(one: Made) -> str:
    error = as_object(one.data).get("error", one.output)
    text = as_object(error).get("message", error)
    said = str(text).strip()
    return said if one.name in said or title(one.name) in said else f"{title(one.name)} did not work: {said}"


# -- tasks -----------------------------------------------------------------------------------------


def _created(created: list[Made]) -> str:
    fresh: list[str] = []
    running: list[str] = []
    for one in created:
        output = as_object(one.data)
        task = as_object(one.arguments.get("task"))
        named = " ".join(filter(None, (str(output.get("task", "")), str(task.get("name", output.get("name", ""))))))
        again = any(output.get(key) for key in ("existing", "repeated", "duplicate", "already_running", "already"))
        (running if again else fresh).append(named or (one.output or "a task"))
    lines = (
        [f"Created {', '.join(fresh)}. I will tell you when {'it is' if len(fresh) == 1 else 'they are'} done."]
        if fresh
        else []
    )
    return "\n".join([*lines, *(f"{one} is already under way; I did not create it again." for one in running)])


def _states(one: Made) -> list[JSON]:
    """The states of tasks in an output: one object, a list of them, or an object that holds such a list."""
    data = one.data
    listed = as_list(data) or as_list(as_object(data).get("tasks"))
    found = [as_object(state) for state in listed] if listed else [as_object(data)]
    return found if all(state.keys() >= _STATE_KEYS or {"label", "status"} <= state.keys() for state in found) else []


def task_line(state: JSON, known: Mapping[str, str]) -> str:
    """``T1 find_duplicates: running, 43 %, comparing`` · ``T2 profile_csv finished: 120 rows``."""
    label = str(state.get("label", state.get("task", "")))
    name = str(state.get("name") or known.get(label) or "")
    named = f"{label} {name}".strip()
    status = str(state.get("status", ""))
    question = state.get("question")
    if status in _ENDED:
        about = state.get("error") if status in ("failed", "held") else state.get("result")
        about = about if about is not None else state.get("message")
        return f"{named} {_ENDED[status]}" + (
            f": {_shortened(phrase(about), _SHORT)}" if about not in (None, "") else "."
        )
    if question:
        return f"{named} asks: {phrase(question)} (say “answer {label} with …”)"
    return f"{named}: " + ", ".join(filter(None, (status, *_progress(state))))


def _progress(state: JSON) -> Iterable[str]:
    progress = state.get("progress")
    inner = as_object(progress)
    fraction = inner.get("fraction", progress)
    if isinstance(fraction, int | float) and not isinstance(fraction, bool) and 0 <= fraction <= 100:
        yield f"{round(fraction * 100) if fraction <= 1 else round(fraction)} %"
    elif isinstance(progress, str):
        yield progress
    yield str(state.get("message") or inner.get("message") or "")
    if isinstance(note := state.get("note"), str):
        yield note


def notices_text(made: Iterable[Made], known: Mapping[str, str]) -> list[str]:
    """What the desk has announced of tasks."""
    return [line for one in made if one.name == NOTICE and (line := output_text(one, known, labelled=False))]


# -- values ----------------------------------------------------------------------------------------


def phrase(value: Any, *, depth: int = 0) -> str:
    """A JSON value as a person would read it out."""
    if isinstance(value, dict):
        return _facts(as_object(cast(object, value)), depth)
    if isinstance(value, list):
        return _listed(as_list(cast(object, value)), depth)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return written(value).replace(",", "")
    return "none" if value is None else str(value)


def _facts(facts: JSON, depth: int) -> str:
    if not facts:
        return "nothing"
    some = list(islice(facts.items(), _LINES * 2))
    flat = [f"{title(key)}: {phrase(one, depth=depth + 1)}" for key, one in some if depth > 0 or not _long(one)]
    blocks = [f"{title(key)}:\n{phrase(one, depth=depth)}" for key, one in some if depth == 0 and _long(one)]
    text = ", ".join([*flat, "…"] if len(facts) > len(some) else flat)
    return f"({text})" if depth > 1 else "\n".join(filter(None, (text, *blocks)))


def _long(value: object) -> bool:
    return any(isinstance(one, dict | list) for one in as_list(value)) or len(as_list(value)) > 5


def _listed(values: list[Any], depth: int) -> str:
    if not values:
        return "nothing"
    if depth > 0:
        return ", ".join(phrase(one, depth=2) for one in values[:_LINES]) + (" …" if len(values) > _LINES else "")
    return "\n".join(f"- {phrase(one, depth=1)}" for one in values[:_LINES]) + _more(len(values))


def _more(count: int) -> str:
    return f"\n… and {count - _LINES} more" if count > _LINES else ""


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rstrip()} …"
