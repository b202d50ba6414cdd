"""Outputs of tools put into words: facts as ``key: value``, lists as lines, tasks as people speak of them. Nothing
is added to what was found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, cast

from pydantic_core import from_json

from ...model import JSON
from .combine import written
from .schema import as_list, as_object
from .tasks import TASK_TOOLS
from .turn import NOTICE, Made

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
_SUMMARIES: Final = ("summary", "message")
_LOOKING: Final = re.compile(r"^(?:get|fetch|show|read|look up|lookup|query)[_\s]+(?=\w)")
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
    data = _whole(one.data) if one.name in TASK_TOOLS else one.data  # a piece of a result
    text = phrase(data) if not isinstance(data, str) else data.strip()
    if labelled and not (isinstance(one.data, str) and len(text) > 20):
        text = f"{title(one.name)}: {text}" if "\n" not in text else f"{title(one.name)}:\n{text}"
    return _shortened(text, _LONG)


def title(name: str) -> str:
    """``orders-add_pizza_to_cart`` as words; a verb of looking is left out (``get_oil_price``: oil price)."""
    return re.sub(r"[_\s]+", " ", _LOOKING.sub("", name.rpartition("-")[2])).strip() or name


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
        again = "note" in output  # the desk's word for: nothing was created, the same task is live
        (running if again else fresh).append(named or (one.output or "a task"))
    they = "It runs" if len(fresh) == 1 else "They run"
    lines = [f"Created {', '.join(fresh)}. {they} in the background."] if fresh else []
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
        ended = f"{named} {_ENDED[status]}"
        if about not in (None, ""):
            return f"{ended}: {_shortened(phrase(_whole(about)), _SHORT)}"
        return (
            f"{ended}. Its result is long; say “show the result of {label}”." if "result_cut" in state else f"{ended}."
        )
    if question:
        return f"{named} asks: {phrase(question)} (say “answer {label} with …”)"
    return f"{named}: " + ", ".join(filter(None, (status, *_progress(state))))


def _whole(value: object) -> object:
    """The beginning of a long JSON text as the value that it begins; anything else as it is."""
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return cast(object, from_json(value, allow_partial=True))
    except ValueError:
        return value


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


def phrase(value: Any, *, inside: bool = False) -> str:
    """A JSON value as a person would read it out. ``inside``: within a line."""
    if isinstance(value, dict):
        facts = as_object(cast(object, value))
        return f"({_line(facts)})" if inside else _facts(facts)
    if isinstance(value, list):
        return _listed(as_list(cast(object, value)), inside)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return written(value).replace(",", "")
    return "none" if value is None else str(value)


def _facts(facts: JSON) -> str:
    """What an object says: its summary first, then short facts in a line, then its lists."""
    summary = next((facts[key] for key in _SUMMARIES if isinstance(facts.get(key), str) and facts[key]), None)
    others = {key: one for key, one in facts.items() if summary is None or one is not summary}
    flat = _line({key: one for key, one in others.items() if not _long(one)})
    blocks = [f"{title(key)}:\n{phrase(one)}" for key, one in islice(others.items(), _LINES) if _long(one)]
    return "\n".join(filter(None, (summary, flat, *blocks))) or "nothing"


def _line(facts: JSON) -> str:
    said = {key: one for key, one in islice(facts.items(), 2 * _LINES) if one not in ("", None)}
    flat = [f"{title(key)}: {phrase(one, inside=True)}" for key, one in said.items()]
    return ", ".join([*flat, "…"] if len(facts) > 2 * _LINES else flat)


def _long(value: object) -> bool:
    listed = as_list(value)
    return len(listed) > _LINES or any(isinstance(one, dict | list) for one in listed)


def _listed(values: list[Any], inside: bool) -> str:
    if not values:
        return "none"
    if inside:
        return ", ".join(phrase(one, inside=True) for one in values[:_LINES]) + (" …" if len(values) > _LINES else "")
    return "\n".join(f"- {_entry(one)}" for one in values[:_LINES]) + _more(len(values))


def _entry(value: Any) -> str:
    return _line(as_object(value)) if as_object(value) else phrase(value, inside=True)


def _more(count: int) -> str:
    return f"\n… and {count - _LINES} more" if count > _LINES else ""


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rstrip()} …"
