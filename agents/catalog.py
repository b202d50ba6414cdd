"""The catalog of an agent inside its desk: every tool that its model is offered, and what each name stands for.

Built once per agent when the desk is constructed; immutable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..tasks.registry import TaskFunction
from .agent import Agent, AgentTool
from .calls import Call
from .handoff import ItemFilter
from .model import JSON, FunctionCall, ToolSpec
from .results import READ_RESULT
from .step import Kind, OpenCall
from .tool import Tool

HANDOFF_PREFIX = "transfer_to_"
NO_ARGUMENTS: JSON = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
ASK = "ask"  # of delegated runs (``questions``)
WAITS = frozenset({"wait_for_tasks", "check_task", ASK})
FILES = frozenset({"create_task"})  # these act in the commit that holds their output, and nowhere else


@dataclass(frozen=True, slots=True)
class Catalog:
    """What one agent can call. ``specs`` is what its model is offered."""

    agent: Agent
    specs: tuple[ToolSpec, ...]
    tools: Mapping[str, Tool]
    task_tools: frozenset[str]
    handoffs: Mapping[str, str]  # wire name -> agent
    functions: Mapping[str, TaskFunction[..., object]] = field(default_factory=dict[str, TaskFunction[..., object]])
    delegates: frozenset[str] = frozenset()
    filters: Mapping[str, ItemFilter] = field(default_factory=dict[str, ItemFilter])  # by who hands over to it

    def kind(self, name: str, client_tools: frozenset[str]) -> Kind:
        """What a name stands for."""
        tool = self.tools.get(name)
        if tool is not None:
            return "client" if tool.manual else "agent" if isinstance(tool, AgentTool) else "tool"
        if name == READ_RESULT and name not in client_tools:
            return "tool"
        if name in WAITS and name in self.task_tools:
            return "wait"
        if name in self.task_tools:
            return "task"
        if name in self.handoffs:
            return "handoff"
        return "client" if name in client_tools else "unknown"

    def left_open(self, call: FunctionCall, client_tools: frozenset[str], *, interrupted: bool) -> OpenCall:
        """A call of this agent that an earlier run, or an approval, has left to be run: by the server, or by nobody."""
        one = replace(self.open(call, client_tools, interrupted=interrupted), agent=self.agent.name)
        return replace(one, kind="unknown") if one.kind == "client" else one

    def open(self, call: FunctionCall, client_tools: frozenset[str], *, interrupted: bool = False) -> OpenCall:
        """A call of the model as the pure step sees it."""
        kind = self.kind(call.name, client_tools)
        tool = self.tools.get(call.name)
        return OpenCall(
            Call(call.call_id, call.name, call.arguments),
            kind,
            self.handoffs.get(call.name, ""),
            repeatable=tool is None or tool.idempotent,
            interrupted=interrupted,
        )

    def shown_as(self, name: str, client_tools: frozenset[str]) -> tuple[str, str]:
        """Label and name under which clients see a call."""
        tool = self.tools.get(name)
        if tool is not None:
            return tool.namespace or "desk", tool.name
        kind = self.kind(name, client_tools)
        return {"task": "tasks", "wait": "tasks", "handoff": "handoff"}.get(kind, "desk"), name

    def names(self) -> Sequence[str]:
        """Every name that the model may call."""
        return [spec.name for spec in self.specs]


def handoff_spec(target: Agent, description: str = "") -> ToolSpec:
    """The tool that moves the conversation to another agent; ``description``: what for, by default the agent's own."""
    words = {word for tool in target.own_tools for word in (tool.name, *tool.keywords)}
    words |= {word for function in target.tasks for word in (function.name, *function.keywords)}
    about = description or target.description
    purpose = f": {about}" if about else "."
    return ToolSpec(
        name=HANDOFF_PREFIX + target.name,
        description=f"Hand the conversation over to {target.name}{purpose}",
        parameters=NO_ARGUMENTS,
        keywords=(*target.keywords, *sorted(words)),
        kind="handoff",
    )
