"""Figures of several rounds as text: medians with their range, ratios inside each round. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

Figures: TypeAlias = Mapping[str, float]
"""What one subject measured in one round, by name."""

Rounds: TypeAlias = Mapping[str, Sequence[Figures]]
"""The rounds of each subject that could be measured."""


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a table; ``over`` names the subject that its ratio is taken to."""

    key: str
    title: str
    over: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise: ``subject`` over ``floor`` in figure ``key`` is at most (or at least) ``bound``. Without a floor, the
    figure itself is, in ``unit``.
    """

    words: str
    subject: str
    floor: str
    key: str
    bound: float
    at_least: bool = False
    unit: str = "×"


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, the subjects in their order, the columns."""

    title: str
    subjects: Sequence[str]
    columns: Sequence[Column]


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which ``share`` of the values lie. Raises ValueError when there are none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ratios(rounds: Rounds, subject: str, floor: str, key: str) -> list[float]:
    """``subject`` over ``floor``, round by round: what moves the whole machine moves both."""
    pairs = zip(rounds.get(subject, ()), rounds.get(floor, ()), strict=False)
    return [ours[key] / theirs[key] for ours, theirs in pairs if key in ours and theirs.get(key)]


def number(value: float) -> str:
    """Three significant digits, and thousands with a comma."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 or value == 0 else f"{value:.3f}"


def spread(values: Sequence[float]) -> str:
    """``median (min–max)``; a dash when there is nothing."""
    if not values:
        return "–"
    if len(values) == 1 or min(values) == max(values):
        return number(median(values))
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})"


def cell(rounds: Rounds, subject: str, column: Column) -> str:
    if column.over:
        return spread(ratios(rounds, subject, column.over, column.key))
    return spread([one[column.key] for one in rounds.get(subject, ()) if column.key in one])


def render(table: Table, rounds: Rounds) -> str:
    """The table in Markdown, readable as it is."""
    lines = [["", *(column.title for column in table.columns)]]
    for subject in table.subjects:
        if subject in rounds:
            lines.append([subject, *(cell(rounds, subject, column) for column in table.columns)])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    rows = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    rows.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([f"### {table.title}", "", *rows])


def verdict(goal: Goal, rounds: Rounds) -> str:
    """One line: what was promised, what was measured."""
    if goal.floor:
        found = ratios(rounds, goal.subject, goal.floor, goal.key)
    else:
        found = [one[goal.key] for one in rounds.get(goal.subject, ()) if goal.key in one]
    wanted = f"goal {'≥' if goal.at_least else '≤'} {goal.bound:g} {goal.unit}"
    if not found:
        return f"- {goal.words}: not measured ({wanted})"
    kept = median(found) >= goal.bound if goal.at_least else median(found) <= goal.bound
    return f"- {goal.words}: {spread(found)} {goal.unit} ({wanted}: {'met' if kept else 'missed'})"
