"""A desk looked over before it is served: what is wrong, and what its author may not have meant. Pure.

What cannot work at all is refused when a desk is constructed; what is said here works, perhaps not as it is meant to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..tasks.registry import TaskFunction
from .agent import Agent, name_of
from .desk import Desk
from .tool import Tool

Level: TypeAlias = Literal["warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at. ``where`` names the agent, tool or task; a warning is probably a mistake."""

    level: Level
    where: str
    text: str


def review(desk: Desk[Any]) -> list[Finding]:
    """Everything that is worth a look, warnings first."""
    found = [*_agents(desk), *_tools(desk), *_tasks(desk)]
    return sorted(found, key=lambda one: (one.level != "warning", one.where, one.text))


def offered(desk: Desk[Any]) -> set[str]:
    """The agents that a conversation, or a task, can come to from the entry agent."""
    reached: set[str] = set()
    waiting = [desk.entry.name]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            agent = desk.agents[name]
            waiting += [name_of(one) for one in (*agent.colleagues, *agent.delegates)]
    return reached


def _agents(desk: Desk[Any]) -> Iterator[Finding]:
    reached = offered(desk)
    for agent in desk.agents.values():
        where = f"agent {agent.name}"
        if agent.name not in reached:
            yield Finding("warning", where, "nobody hands over or delegates to it: only a client that names it as the "
                          "model reaches it")  # fmt: skip
        if not agent.instructions:
            yield Finding("warning", where, "it has no instructions")
        if agent is not desk.entry and not agent.description:
            yield Finding("warning", where, "it has no description: others cannot know what it is for")
        if agent.name in map(name_of, agent.colleagues):
            yield Finding("warning", where, "it hands over to itself, which is never taken")
        if not (agent is desk.entry or agent.handoffs) and _is_handed_over_to(desk, agent):
            yield Finding("note", where, "the conversation stays with it: it hands over to nobody")
    if desk.lacks_model:
        yield Finding("note", "desk", "it names no model: OPENAI_API_KEY decides whether a language model or the "
                      "rule-based stand-in answers")  # fmt: skip


def _is_handed_over_to(desk: Desk[Any], agent: Agent) -> bool:
    return any(agent.name in map(name_of, one.colleagues) for one in desk.agents.values())


def _tools(desk: Desk[Any]) -> Iterator[Finding]:
    for agent in desk.agents.values():
        for tool in agent.own_tools:
            yield from _described(f"tool {tool.wire_name} of {agent.name}", tool)


def _tasks(desk: Desk[Any]) -> Iterator[Finding]:
    given = {one.name for agent in desk.agents.values() for one in agent.tasks}
    for one in desk.tasks.values():
        yield from _described(f"task {one.name}", one)
        if one.name in given and one.timeout is None:
            yield Finding("note", f"task {one.name}", "it has no timeout: one that hangs keeps its slot")


def _described(where: str, one: Tool | TaskFunction[..., Any]) -> Iterator[Finding]:
    if not one.description:
        yield Finding("warning", where, "it has no docstring: a model knows only its name")
    if not one.signature.strict:
        yield Finding("note", where, "its arguments have no strict schema: a model may send what does not fit (it is "
                      "then told so)")  # fmt: skip
    for name, schema in one.signature.schema.get("properties", {}).items():
        if not schema:
            yield Finding("note", where, f"its parameter {name} may be anything: a type says more")
