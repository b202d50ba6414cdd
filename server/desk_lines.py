"""A desk and what was found in it, as lines of text for a person, and as JSON for programs. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ..agents.agent import Agent, name_of
from ..agents.desk import Desk
from ..agents.review import Finding


def lines_of(desk: Desk[Any], findings: Sequence[Finding]) -> Iterator[str]:
    """The desk in short, then the findings, then how many there are."""
    yield f"{desk.name}: {_count(len(desk.agents), 'agent')}, {_count(len(desk.tasks), 'task function')}"
    for agent in desk.agents.values():
        yield f"  {agent.name}{' (is asked first)' if agent is desk.entry else ''}{_has(agent)}"
    for one in findings:
        yield f"{one.level}: {one.where}: {one.text}"
    warnings = sum(one.level == "warning" for one in findings)
    yield f"nothing is wrong; {_count(warnings, 'warning')}" if warnings else "nothing is wrong"


def as_object(desk: Desk[Any], findings: Sequence[Finding]) -> str:
    """The same as a JSON object."""
    agents = [
        {
            "name": agent.name,
            "entry": agent is desk.entry,
            "tools": [one.wire_name for one in agent.own_tools],
            "tasks": [one.name for one in agent.tasks],
            "handoffs": list(map(name_of, agent.colleagues)),
            "delegates": list(map(name_of, agent.delegates)),
        }
        for agent in desk.agents.values()
    ]
    found = {"desk": desk.name, "agents": agents, "tasks": sorted(desk.tasks), "findings": list(map(asdict, findings))}
    return json.dumps(found, ensure_ascii=False, indent=2)


def _has(agent: Agent) -> str:
    parts = [_count(len(agent.own_tools), "tool")] if agent.own_tools else []
    parts += [f"hands over to {', '.join(map(name_of, agent.colleagues))}"] if agent.handoffs else []
    parts += [f"delegates to {', '.join(map(name_of, agent.delegates))}"] if agent.delegates else []
    parts += [f"files {', '.join(one.name for one in agent.tasks)}"] if agent.tasks else []
    return f": {'; '.join(parts)}" if parts else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
