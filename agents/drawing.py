"""A desk as a picture: its agents in columns, by how far they are from the entry agent, with what each of them has.

Mermaid for pages that show it, SVG for everything else. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final, Literal, TypeAlias

from .agent import Agent, name_of
from .desk import Desk

Kind: TypeAlias = Literal["handoff", "delegate"]

LINE: Final = 20  # pixels, as everything below
LETTER: Final = 7.4
PADDING: Final = 14
GAP: Final = (110, 36)  # between columns, between rows
MARGIN: Final = 24
LEGEND: Final = "solid: hands the conversation over · dashed: delegates a task · ⏱ files a task"
LEGEND_WIDTH: Final = LETTER * len(LEGEND)
STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #1d2733; }
  .name { font-weight: 600; }
  .task { fill: #7a4a00; }
  rect { fill: #f5f8fc; stroke: #8aa0b8; }
  .entry { fill: #e6f3ea; stroke: #4d8a63; }
  path { fill: none; stroke: #4a6079; stroke-width: 1.4; }
  .delegate { stroke-dasharray: 5 4; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4ebf3; } .task { fill: #f0c27a; } rect { fill: #1d2733; stroke: #5f7690; }
    .entry { fill: #1d3326; stroke: #5fa377; } path { stroke: #9db2c9; }
  }
"""


@dataclass(frozen=True, slots=True)
class Box:
    """Where an agent is drawn, and its lines: its name, then its tools, then its tasks."""

    agent: Agent
    lines: tuple[tuple[str, str], ...]  # style, text
    x: float
    y: float
    width: float

    @property
    def height(self) -> float:
        return 2 * PADDING + LINE * len(self.lines) - 6


def edges(desk: Desk[Any]) -> Iterator[tuple[str, str, Kind]]:
    """Who hands over, and who delegates, to whom."""
    for agent in desk.agents.values():
        for one in agent.colleagues:
            yield agent.name, name_of(one), "handoff"
        for one in agent.delegates:
            yield agent.name, name_of(one), "delegate"


def columns(desk: Desk[Any]) -> list[list[Agent]]:
    """The agents by how many steps they are from the entry agent; those that nobody reaches come last."""
    depth = {desk.entry.name: 0}
    waiting = [desk.entry.name]
    for name in waiting:
        for start, end, _ in edges(desk):
            if start == name and end not in depth:
                depth[end] = depth[name] + 1
                waiting.append(end)
    last = max(depth.values()) + 1
    found: list[list[Agent]] = [[] for _ in range(last + 1)]
    for agent in desk.agents.values():
        found[depth.get(agent.name, last)].append(agent)
    return [column for column in found if column]


def mermaid(desk: Desk[Any]) -> str:
    """The desk as a Mermaid flowchart."""
    ids = {name: f"a{number}" for number, name in enumerate(desk.agents)}
    lines = ["flowchart LR"]
    for agent in desk.agents.values():
        label = "<br>".join(_quoted(text) for _, text in _lines(agent))
        lines.append(f'    {ids[agent.name]}["{label}"]')
    lines += [
        f"    {ids[start]} {'-->' if kind == 'handoff' else '-. delegates .->'} {ids[end]}"
        for start, end, kind in edges(desk)
    ]
    lines.append(f"    style {ids[desk.entry.name]} stroke-width:3px")
    return "\n".join(lines) + "\n"


def svg(desk: Desk[Any]) -> str:
    """The desk as an SVG picture: solid arrows hand the conversation over, dashed ones delegate a task."""
    boxes = {box.agent.name: box for box in _boxes(columns(desk))}
    width = max(max(box.x + box.width for box in boxes.values()) + GAP[0], LEGEND_WIDTH) + MARGIN
    height = max(box.y + box.height for box in boxes.values()) + MARGIN + 2 * LINE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(desk.name)}">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto-start-reverse">'
        '<path d="M1 1 L7 4 L1 7"/></marker></defs>',
        *(_arrow(boxes[start], boxes[end], kind, both=both) for start, end, kind, both in _once(edges(desk))),
        *(_drawn(box, is_entry=box.agent is desk.entry) for box in boxes.values()),
        f'<text x="{MARGIN}" y="{height - MARGIN / 2:.0f}">{LEGEND}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _once(found: Iterator[tuple[str, str, Kind]]) -> Iterator[tuple[str, str, Kind, bool]]:
    """Each pair of agents once, with whether it goes both ways."""
    known = list(found)
    for start, end, kind in known:
        both = start != end and (end, start, kind) in known
        if not both or known.index((start, end, kind)) < known.index((end, start, kind)):
            yield start, end, kind, both


def _lines(agent: Agent) -> tuple[tuple[str, str], ...]:
    return (
        ("name", agent.name),
        *(("tool", one.wire_name) for one in agent.own_tools),
        *(("task", f"⏱ {one.name}") for one in agent.tasks),
    )


def _boxes(found: Sequence[Sequence[Agent]]) -> Iterator[Box]:
    x = float(MARGIN)
    for column in found:
        y = float(MARGIN)
        width = 2 * PADDING + LETTER * max(len(text) for agent in column for _, text in _lines(agent))
        for agent in column:
            box = Box(agent, _lines(agent), x, y, width)
            yield box
            y += box.height + GAP[1]
        x += width + GAP[0]


def _drawn(box: Box, *, is_entry: bool) -> str:
    style = "entry" if is_entry else "agent"
    place = f'x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}"'
    shape = f'<rect class="{style}" {place} rx="8"/>'
    texts = [
        f'<text class="{kind}" x="{box.x + PADDING:.0f}" y="{box.y + PADDING + 10 + LINE * row:.0f}">'
        f"{escape(text)}</text>"
        for row, (kind, text) in enumerate(box.lines)
    ]
    return "\n".join([shape, *texts])


def _arrow(start: Box, end: Box, kind: Kind, *, both: bool) -> str:
    """From one side of a box to the facing side of another; in one column, around the right."""
    y1, y2 = start.y + PADDING + 5, end.y + PADDING + 5
    if kind == "delegate":
        y1, y2 = y1 + 9, y2 + 9
    if end.x > start.x:
        x1, x2 = start.x + start.width, end.x
    elif end.x < start.x:
        x1, x2 = start.x, end.x + end.width
    else:
        x1 = x2 = start.x + start.width
    bend = (x2 - x1) / 2 if x1 != x2 else min(GAP[0] - 10, 30 + abs(y2 - y1) / 6)
    back = x2 - bend if x1 != x2 else x2 + bend
    curve = f"M{x1:.0f} {y1:.0f} C{x1 + bend:.0f} {y1:.0f} {back:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    tips = 'marker-start="url(#tip)" marker-end="url(#tip)"' if both else 'marker-end="url(#tip)"'
    return f'<path class="{kind}" d="{curve}" {tips}/>'


def _quoted(text: str) -> str:
    """Text inside a Mermaid label."""
    return escape(text).replace("`", "&#96;")
