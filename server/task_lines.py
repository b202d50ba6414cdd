"""Tasks as lines of text, for a person who looks at them from a shell. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..broker.delays import IN_LINE

CONTROL: Final = dict.fromkeys((*range(32), *range(127, 160)), " ")  # what could steer the terminal
BARS: Final = "▁▂▃▄▅▆▇█"


def clean(text: str) -> str:
    """One line, without what could steer the terminal: titles and messages are written by models."""
    return text.translate(CONTROL)


def line_of(task: Mapping[str, Any]) -> str:
    """A task in one line."""
    progress = "" if task["progress"] is None else f" {task['progress']:.0%}"
    title = clean(task["title"] or task["name"])
    waits = task.get("waits_for", IN_LINE)
    why = "" if waits == IN_LINE else f" (waits: {clean(waits)})"
    return f"{task['id']}  {task['label']:<4} {task['status']:<9}{progress:<5} {title}{why}"


def news_line(task: Mapping[str, Any]) -> str:
    """What a task has come to, in one line: as `line_of`, with its last words."""
    said = task["question"] or task["error"] if task["finished_at"] or task["question"] else task["message"]
    return f"{line_of(task)}{f': {clean(said)}' if said else ''}"


def lines_of(task: Mapping[str, Any]) -> list[str]:
    """All that is shown of one task."""
    lines = [line_of(task)]
    lines += [
        f"  {name}: {clean(task[name])}"
        for name in ("conversation", "retry_of", "message", "question", "error")
        if task.get(name)
    ]
    if task.get("waits_for") == IN_LINE:
        lines.append(f"  waits: {IN_LINE}")
    if task["cancel_requested"] and task["finished_at"] is None:
        lines.append("  it has been asked to stop")
    if task["result"] is not None:
        lines.append(f"  result: {json.dumps(task['result'], ensure_ascii=False, indent=2)}")
    elif task["result_size"]:
        lines.append(f"  result: {task['result_size']:,} characters of JSON, too long to be shown here")
    elif task.get("result_expired"):
        lines.append("  result: it was kept for a time only, which is over")
    return [*lines, *map(_delivery_line, task.get("deliveries", ()))]


def _delivery_line(one: Mapping[str, Any]) -> str:
    """What came of telling a webhook."""
    attempts = f"{one['attempts']} attempt{'' if one['attempts'] == 1 else 's'}"
    following = "" if one["next_in_seconds"] is None else f", next in {duration(one['next_in_seconds'])}"
    said = f": {clean(one['last_error'])}" if one["last_error"] else ""
    return f"  webhook {clean(one['url'])}: {one['status']} ({attempts}{following}){said}"


def stats_lines(found: Mapping[str, Any]) -> list[str]:
    """A server's tasks, counted."""
    waited = found["oldest_queued_seconds"]
    since = "" if waited is None else f"; the oldest has been waiting for {duration(waited)}"
    lines = [f"tasks   {_counted(found['status'])}{since}", f"turns   {_counted(found['turns'])}"]
    for what in ("queues", "names"):
        lines += [f"  {what[:-1]} {clean(one)}: {_counted(of)}" for one, of in sorted(found[what].items())]
    lines += [f"worker  {_worker(owner)}: {_counted(of)}" for owner, of in sorted(found["workers"].items())]
    hour = sum(found["last_hour"].values())
    lines.append(f"ended   {_counted(found['last_hour'])} within an hour, {hour / 60:.3g} per minute")
    if hour:
        lines.append(f"        60 min ago |{chart(found['per_minute'])}| now")
    return lines


def schedule_line(one: Mapping[str, Any]) -> str:
    """A schedule in one line."""
    next_at = "paused" if one["paused"] else f"next {local(one['next_at'], one['timezone'])}"
    last_at = "never filed" if one["last_at"] is None else f"last {local(one['last_at'], one['timezone'])}"
    return f"{clean(one['name'])}  {clean(one['cron'])}  {clean(one['timezone'])}  {next_at}  {last_at}"


def local(at: float, zone: str) -> str:
    """A moment, as clocks in this zone show it; in UTC where the zone is not known."""
    known: tzinfo
    try:
        known = ZoneInfo(zone)
    except ZoneInfoNotFoundError:
        known = UTC
    return datetime.fromtimestamp(at, known).isoformat(" ", "minutes")


def chart(values: list[int]) -> str:
    """A number of bars, the highest for the greatest value; nothing for zero."""
    most = max(values)
    return "".join(BARS[-(-value * len(BARS) // most) - 1] if value else " " for value in values)


def duration(seconds: float) -> str:
    """Roughly how long that is, for a person."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.2g} s"


def _counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {state}" for state, number in sorted(found.items()) if number) or "none"


def _worker(owner: str) -> str:
    """A lease's owner (boot, process, its start, worker), by what a person can look for."""
    _, _, rest = owner.partition("/")
    process, _, rest = rest.partition("/")
    return f"{rest.rpartition('/')[2]} of process {process}" if rest else clean(owner)
