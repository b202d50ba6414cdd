"""Following tasks, and tasks as lines: what is news of a look, and what a person reads of it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from frontdesk.server.following import Following, event_of
from frontdesk.server.tail import Bars
from frontdesk.server.task_lines import chart, duration, line_of, lines_of, news_line, stats_lines


def task(number: int = 1, status: str = "running", **values: Any) -> dict[str, Any]:
    ended = status in ("succeeded", "failed", "cancelled", "held")
    found = {
        "id": f"task_{number}", "conversation": "conv_1", "label": f"T{number}", "name": "work", "title": "",
        "status": status, "progress": None, "message": "", "question": None, "error": None, "result": None,
        "result_size": 0, "attempt": 1, "cancel_requested": False, "finished_at": 1.0 if ended else None,
    }  # fmt: skip
    return {**found, **values}


def test_what_is_seen_for_the_first_time_or_has_changed_is_news() -> None:
    following = Following()
    assert following.seen([task(1), task(2, "queued")]) == [task(1), task(2, "queued")]
    assert following.seen([task(1), task(2, "queued")]) == []
    changed = task(1, progress=0.5)
    assert following.seen([changed, task(2, "queued")]) == [changed]
    assert following.seen([task(1, progress=0.5, started_at=3.0)]) == [], "nobody looks at that"


def test_what_has_ended_is_news_once_and_counts_when_it_did_not_end_well() -> None:
    following = Following()
    following.seen([task(number) for number in (1, 2, 3, 4)])
    assert following.missing([task(4)]) == ["task_1", "task_2", "task_3"]
    ended = [task(1, "succeeded"), task(2, "failed")]
    assert following.seen(ended) == ended
    following.forget("task_3")
    assert (list(following.live), following.unsuccessful) == (["task_4"], 1)
    assert following.missing([task(4)]) == []


def test_news_are_the_events_of_the_wire() -> None:
    assert event_of(task())["type"] == "frontdesk:task.updated"
    assert event_of(task(status="held")) == {
        "type": "frontdesk:task.finished",
        "conversation": "conv_1",
        "task": task(status="held"),
    }


def test_a_line_has_no_sign_that_could_steer_the_terminal() -> None:
    evil = task(title="a\x1b[2Jb\nc", message="x\x9by", progress=0.256)
    assert line_of(evil) == "task_1  T1   running   26%  a [2Jb c"
    assert news_line(evil).endswith(": x y")


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (task(message="halfway"), "halfway"),
        (task(status="waiting", question="Which?", message="halfway"), "Which?"),
        (task(status="failed", error="it broke", message="halfway"), "it broke"),
    ],
)
def test_a_piece_of_news_ends_with_the_last_words(shown: dict[str, Any], said: str) -> None:
    assert news_line(shown).endswith(f"work: {said}")
    assert news_line(task(status="succeeded", message="halfway")).endswith("work")


def test_a_task_is_shown_with_its_result_or_its_length() -> None:
    assert '  result: {\n  "a": 1\n}' in lines_of(task(status="succeeded", result={"a": 1}))
    assert "  result: 20,000 characters of JSON, too long to be shown here" in lines_of(task(result_size=20_000))
    assert "  it has been asked to stop" in lines_of(task(cancel_requested=True))
    assert "  retry_of: task_0" in lines_of(task(retry_of="task_0"))


def test_counts_are_put_into_words() -> None:
    found: dict[str, Any] = {
        "status": {"queued": 1_200, "running": 1}, "turns": {}, "queues": {"slow": {"queued": 1_200, "running": 1}},
        "names": {"work": {"queued": 1_201}}, "oldest_queued_seconds": 90.0,
        "workers": {"boot:pid:[1]/42/77/ab12": {"tasks": 1}, "tests": {"turns": 2}},
        "last_hour": {"succeeded": 3, "failed": 1}, "per_minute": [0] * 58 + [1, 3],
    }  # fmt: skip
    assert stats_lines(found) == [
        "tasks   1,200 queued, 1 running; the oldest has been waiting for 1.5 min",
        "turns   none",
        "  queue slow: 1,200 queued, 1 running",
        "  name work: 1,201 queued",
        "worker  ab12 of process 42: 1 tasks",
        "worker  tests: 2 turns",
        "ended   1 failed, 3 succeeded within an hour, 0.0667 per minute",
        "        60 min ago |" + " " * 58 + "▃█| now",
    ]
    quiet: dict[str, Any] = {
        **found,
        "status": {},
        "queues": {},
        "names": {},
        "workers": {},
        "oldest_queued_seconds": None,
    }
    assert stats_lines({**quiet, "last_hour": {}, "per_minute": [0] * 60}) == [
        "tasks   none",
        "turns   none",
        "ended   none within an hour, 0 per minute",
    ]


def test_a_chart_shows_small_numbers_and_nothing_for_none() -> None:
    assert chart([0, 1, 50, 100]) == " ▁▄█"


@pytest.mark.parametrize(("seconds", "text"), [(0.25, "0.25 s"), (59, "59 s"), (3_600, "1 h"), (200_000, "2.31 d")])
def test_a_duration_is_said_roughly(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_runs_has_a_bar_as_long_as_there_is_room() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=5)
    column = TextColumn("{task.description} {task.fields[said]}", markup=False)
    progress = Progress(column, console=console, auto_refresh=False)
    bars = Bars(progress)
    for number in (1, 2, 3):
        bars.news(task(number, progress=0.5, message=f"[red]{number}"))
    assert [(bar.description, bar.completed) for bar in progress.tasks] == [("T1 work", 0.5), ("T2 work", 0.5)]
    bars.news(task(1, "succeeded"))
    bars.news(task(2, "waiting", question="Which?"))
    bars.news(task(3, progress=None))
    (left,) = progress.tasks
    assert (left.description, left.total) == ("T3 work", None)
    bars.remark("and more")
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "succeeded" in said
    assert "Which?" in said
    assert "and more" in said
