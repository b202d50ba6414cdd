"""Carries out the calls of a reply: tools side by side, then waits, then the handoff. What is to be done is decided by
``step``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from .agent import Agent, AgentTool
from .approvals import needs_approval
from .calls import Call, CallOutput, run_calls, run_tool, unknown_tool
from .catalog import Catalog
from .context import Context
from .hooks import CallBegan, CallEnded, HandedOver
from .journal import Journal
from .model import FunctionCall
from .nested import NestedCall, NestedTools
from .requests import may_run_side_by_side
from .result_runs import ResultRuns
from .results import READ_RESULT
from .step import OpenCall, Plan, decide, has_taken_over, refuse_returned
from .team import Team
from .telling import Telling
from .tool import Tool


class TaskTools(Protocol):
    """The task tools of a run (see ``task_calls``)."""

    @property
    def nested(self) -> NestedTools:
        """Runs the agents that are used as tools."""
        ...

    async def run(self, call: Call, agent: str) -> None:
        """Runs a call that does not wait; its output is committed."""
        ...

    async def wait(self, call: Call, *, resumed: bool) -> bool:
        """Runs a call that may wait; False: the turn has been parked, and its run is over."""
        ...


class NoTasks:
    """For a turn without a database: nothing can be filed. ``nested`` runs agents that are used as tools."""

    def __init__(self, journal: Journal, nested: NestedTools | None = None) -> None:
        self._journal, self._nested = journal, nested

    @property
    def nested(self) -> NestedTools:
        if self._nested is None:
            raise RuntimeError("this turn was made without anything that runs agents")
        return self._nested

    async def run(self, call: Call, agent: str) -> None:
        await self._journal.output(CallOutput(call.call_id, "There are no tasks here: do it yourself.", True, "error"))

    async def wait(self, call: Call, *, resumed: bool) -> bool:
        await self.run(call, "")
        return True


class CallRuns:
    """The calls of one turn. ``catalog`` says what the current agent can call."""

    def __init__(
        self,
        team: Team,
        journal: Journal,
        tasks: TaskTools,
        catalog: Callable[[], Catalog],
        client_names: frozenset[str],
        telling: Telling,
    ) -> None:
        self._team, self._journal, self._tasks, self._telling = team, journal, tasks, telling
        self._catalog, self._client_names = catalog, client_names
        self._results = ResultRuns(team, journal)

    def left_open(self) -> list[OpenCall]:
        """Calls of this turn that a crash, a drain or a park left without an output."""
        found: list[OpenCall] = []
        for call_id, item in self._journal.open_calls():
            label, name = str(item.body.get("server_label")), str(item.body["name"])
            wire = name if label in ("desk", "tasks", "handoff") else f"{label}-{name}"
            call = FunctionCall(call_id, wire, str(item.body.get("arguments", "")))
            catalog = self._team.catalogs.get(item.agent)  # who called: the conversation may have moved since
            if catalog is None:
                found.append(OpenCall(Call(call_id, wire, call.arguments), "unknown"))
            else:
                has_not_begun = call_id in self._journal.approved
                interrupted = not has_not_begun and not self._journal.is_kept(call_id)
                found.append(catalog.left_open(call, self._client_names, interrupted=interrupted))
        return found

    async def asking_first(self, calls: Sequence[OpenCall]) -> list[OpenCall]:
        """The calls of a reply, of which those that a person must approve are not to be run now."""
        return [replace(one, kind="approval") if await self._needs_approval(one) else one for one in calls]

    async def _needs_approval(self, one: OpenCall) -> bool:
        tool = self._of(one).tools.get(one.call.name) if one.kind in ("tool", "agent") else None
        if tool is None or tool.needs_approval is False:
            return False
        return await needs_approval(tool, one.call.arguments, self._context(one))

    def _of(self, one: OpenCall) -> Catalog:
        """The catalog of who called."""
        return self._team.catalogs[one.agent] if one.agent else self._catalog()

    async def act(self, calls: Sequence[OpenCall], *, resumed: bool) -> bool:
        """Carries out what the step decides about the calls of a reply; False: the turn has been parked."""
        journal = self._journal
        decision = decide(calls, journal.progress.path)
        plan = decision if isinstance(decision, Plan) else Plan()  # no call is left, only the handoff that they led to
        for refusal in plan.refused:
            journal.answer(CallOutput(refusal.call.call_id, refusal.text, True, "error"))
        if plan.refused:
            await journal.commit("output")
        if not await self._run_all(plan):
            return False
        for one in plan.wait:
            began = await self._begins(one.call)
            if not await self._tasks.wait(one.call, resumed=resumed):
                return False
            await self._ends(one.call, began, "result")
        for refusal in plan.not_taken:
            journal.answer(CallOutput(refusal.call.call_id, refusal.text))
        target = journal.progress.handoff
        if plan.handoff is not None:
            target = plan.handoff.target
            journal.answer(CallOutput(plan.handoff.call.call_id, has_taken_over(target)))
        if target is not None:
            before = journal.progress.path[-1]
            journal.move(target)
            await journal.commit("handoff")
            await self._telling(HandedOver, before=before)
        return True

    async def _run_all(self, plan: Plan) -> bool:
        """Runs tools and nested agents beside each other, as far as they may; False: the turn has been parked."""
        nested = [NestedCall(tool, one.call) for one in plan.nested if (tool := self._agent_tool(one)) is not None]
        at_once = may_run_side_by_side(self._catalog(), self._journal.about.request)
        groups = [[one] for one in nested] if not at_once else [nested] if nested else []
        who = self._catalog().agent.name
        if at_once and nested:
            await self._tasks.nested.begin(nested, who)
        if plan.run:
            await self._run(plan)
        for group in groups:
            if not at_once:
                await self._tasks.nested.begin(group, who)
            began = {one.call.call_id: await self._begins(one.call) for one in group}
            if not await self._tasks.nested.join(group, self._fit):
                return False
            for one in group:
                await self._ends(one.call, began[one.call.call_id], "result")
        return True

    def _agent_tool(self, one: OpenCall) -> AgentTool | None:
        tool = self._of(one).tools.get(one.call.name)
        return tool if isinstance(tool, AgentTool) else None

    async def _fit(self, one: NestedCall, output: CallOutput) -> CallOutput:
        return await self._results.fit(one.tool, one.call, output, self._catalog().agent)

    async def _run(self, plan: Plan) -> None:
        """Runs calls side by side. Whatever they do becomes an output, and is committed as soon as it is there."""
        calls = {one.call.call_id: one for one in plan.run}
        began: dict[str, float] = {}

        async def one(call: Call) -> CallOutput:
            began[call.call_id] = await self._begins(call)
            return await self._one(calls[call.call_id])

        async def done(output: CallOutput) -> None:
            if isinstance(output.value, Agent):
                output = self._returned(plan, output, output.value)
            if calls[output.call_id].kind != "task":  # those have committed it themselves
                await self._journal.output(output)
            await self._ends(calls[output.call_id].call, began[output.call_id], output.kind)

        await run_calls(
            [one.call for one in plan.run],
            one,
            parallel=may_run_side_by_side(self._catalog(), self._journal.about.request),
            alone=lambda call: self._is_alone(calls[call.call_id]),
            done=done,
        )

    async def _begins(self, call: Call) -> float:
        """Tells that a call is run; when it began."""
        await self._telling(CallBegan, call_id=call.call_id, name=call.name, arguments=call.arguments)
        return time.monotonic()

    async def _ends(self, call: Call, began: float, kind: str) -> None:
        if self._telling:
            said = self._journal.output_of(call.call_id)
            whose = {"call_id": call.call_id, "name": call.name, "seconds": time.monotonic() - began}
            await self._telling(CallEnded, **whose, output=said, kind=kind)

    def _is_alone(self, one: OpenCall) -> bool:
        tool = self._of(one).tools.get(one.call.name)
        return tool is not None and tool.alone

    def _returned(self, plan: Plan, output: CallOutput, agent: Agent) -> CallOutput:
        """A tool that returns an agent hands over to it, once the other calls of the reply are answered."""
        progress = self._journal.progress
        first = plan.handoff.target if plan.handoff is not None else progress.handoff
        refusal = refuse_returned(agent.name, first, progress.path, self._team.catalogs)
        if refusal:
            return CallOutput(output.call_id, refusal)
        progress.handoff = agent.name
        return CallOutput(output.call_id, has_taken_over(agent.name))

    async def _one(self, one: OpenCall) -> CallOutput:
        call = one.call
        if one.kind == "task":
            await self._tasks.run(call, self._catalog().agent.name)
            return CallOutput(call.call_id, "")
        tool = None if one.kind == "unknown" else self._of(one).tools.get(call.name)
        if tool is None and call.name == READ_RESULT:
            return await self._results.read(call)
        if tool is None:
            return CallOutput(call.call_id, self._unknown(one), True, "unknown_tool")
        team = self._team
        output = await self._results.kept(call) or await run_tool(
            tool, call, self._context(one), limiter=team.limiter, places=team.places, text=_text_of(tool)
        )
        return await self._results.fit(tool, call, output, self._of(one).agent)

    def _context(self, one: OpenCall) -> Context[Any]:
        return self._team.context(self._journal.about, self._of(one).agent.name, one.call.call_id)

    def _unknown(self, one: OpenCall) -> str:
        """The text for a call of a tool that the agent does not have; it may know a colleague's from the history."""
        catalog, name = self._of(one), one.call.name
        owner = next((agent for agent, other in self._team.catalogs.items() if name in other.tools), None)
        if owner is None or owner == catalog.agent.name:
            return unknown_tool(name, catalog.names())
        way = next((wire for wire, target in catalog.handoffs.items() if target == owner), None)
        advice = f"{way} hands over to it" if way else "use your own, or answer without it"
        return f"Not run: {name} is a tool of {owner}, and you are {catalog.agent.name}: {advice}."


def _text_of(tool: Tool) -> Callable[[Any], str]:
    """What a model reads of a result; an agent is dealt with by `CallRuns`."""
    return lambda value: "" if isinstance(value, Agent) else tool.text(value)
