"""Who belongs to a desk: every agent that can be reached, every task function that is named. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tasks.hidden import MissingDependency, dependency
from ..tasks.registry import TaskFunction
from .agent import Agent, AgentTool
from .errors import DeskError


def reachable(given: Iterable[Agent]) -> dict[str, Agent]:
    """Every agent that can be reached, by name. Raises DeskError."""
    found: dict[str, Agent] = {}
    named: list[tuple[str, str]] = []
    waiting = list(given)
    while waiting:
        agent = waiting.pop(0)
        known = found.setdefault(agent.name, agent)
        if known is not agent:
            raise DeskError(f"two agents are named {agent.name!r}; names are unique in a desk")
        used = [one.agent for one in agent.own_tools if isinstance(one, AgentTool)]
        for one in (*agent.colleagues, *agent.delegates, *used):
            if isinstance(one, str):
                named.append((agent.name, one))
            elif found.get(one.name) is not one:
                waiting.append(one)
    for who, wanted in named:
        if wanted not in found:
            raise DeskError(
                f"agent {who} names {wanted!r}, which is not an agent of this desk; give it with Desk(…, agents=[…])"
            )
    return found


def task_functions(functions: Iterable[TaskFunction[..., Any]]) -> dict[str, TaskFunction[..., Any]]:
    """Task functions by name. Raises DeskError when two have one name."""
    found: dict[str, TaskFunction[..., Any]] = {}
    for one in functions:
        if found.setdefault(one.name, one) is not one:
            raise DeskError(f"two task functions are named {one.name!r}; give one of them another name=")
    return found


def check_hidden(agents: Iterable[Agent], dependencies: Any) -> None:
    """Whether the dependencies have what the tools' hidden parameters ask for by name. Raises DeskError."""
    for agent in agents:
        for tool in agent.own_tools:
            for name, mark in tool.signature.hidden.items():
                if mark.source is not None or tool.signature.may_leave_out(name):
                    continue
                try:
                    dependency(dependencies, name)
                except MissingDependency as error:
                    raise DeskError(f"{tool.wire_name} of agent {agent.name}: {error}") from None
