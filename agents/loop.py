"""The loop of a turn: ask the model, keep what it says, run what it calls, until it answers, hands over, parks or hits a limit.

What follows from a reply is decided by ``step``; what is kept, and in which commit, by ``journal``. A run never waits for a client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, assert_never

from anyio import CapacityLimiter

from .agent import Agent
from .calls import Call, CallOutput, run_calls, run_tool, unknown_tool
from .catalog import Catalog
from .context import Context
from .errors import ModelError, ModelUnavailable
from .history import StoredItem, model_items
from .journal import Journal
from .model import (
    FunctionCall,
    Message,
    Model,
    ModelRequest,
    ModelSettings,
    Reasoning,
    ReasoningDelta,
    ReplyDone,
    TextDelta,
    ToolSpec,
)
from .step import Answer, OpenCall, Plan, decide

log = logging.getLogger("frontdesk.loop")

Over = Literal["finished", "parked"]
After = Literal["on", "parked", "client"]

STREAM_REPEATS = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """What one turn may use."""

    model_calls: int = 32
    tool_calls: int = 128


class TaskTools(Protocol):
    """The task tools of a run (see ``task_tools``)."""

    async def run(self, call: Call, agent: str) -> CallOutput: ...
    async def wait(self, call: Call, *, resumed: bool) -> CallOutput | None:
        """The output, or None: the turn has been parked, and its run is over."""
        ...


class Boundary(Protocol):
    """What has come in between two replies."""

    async def arrived(self) -> bool:
        """Takes notices and messages into the journal; whether the response is steered."""
        ...


@dataclass(frozen=True, slots=True)
class Team:
    """The agents of a desk as the loop needs them."""

    catalogs: Mapping[str, Catalog]
    model_of: Callable[[Agent], Model]
    dependencies: Callable[[], Any]
    limiter: CapacityLimiter | None = None
    limits: Limits = Limits()


@dataclass(slots=True)
class Reply:
    """What a model has said and called."""

    calls: list[FunctionCall]
    thoughts: list[StoredItem]
    done: ReplyDone


class TurnLoop:
    """One turn's run. Make it, then await ``run`` once."""

    def __init__(
        self,
        team: Team,
        journal: Journal,
        *,
        tasks: TaskTools | None = None,
        boundary: Boundary | None = None,
        unanswered: frozenset[str] = frozenset(),
    ) -> None:
        self._team, self._journal, self._tasks, self._boundary = team, journal, tasks, boundary
        self._pending = unanswered  # calls that wait for the client, and are not shown to the model
        request = journal.about.request
        self._client = tuple(_client_spec(one) for one in request.get("tools") or () if one.get("type") == "function")
        self._client_names = frozenset(one.name for one in self._client)
        self.catalog = team.catalogs[journal.progress.path[-1]]

    @property
    def agent(self) -> str:
        return self.catalog.agent.name

    async def run(self) -> Over:
        """Runs the turn to its end, or until it is parked. Raises LeaseLost and what the database raises."""
        journal = self._journal
        calls, resumed = self._left_open(), True
        while True:
            if calls:
                after = await self._act(calls, resumed=resumed)
                if after == "parked":
                    return "parked"
                if after == "client":
                    await journal.finish("completed", result=self._said())
                    return "finished"
            if self._boundary is not None and await self._boundary.arrived():
                await journal.finish("incomplete", ended="steered", result=self._said())
                return "finished"
            limit = self._limit()
            if limit:
                return await self._stop(limit)
            try:
                reply = await self._ask()
            except ModelError as error:
                log.error("%s", error)
                await journal.finish("failed", ended="model", error=str(error))
                return "finished"
            resumed = False
            calls = [self.catalog.open(one, self._client_names) for one in reply.calls]
            if isinstance(decide(calls, journal.progress.path), Answer):
                return await self._answer(reply)
            await self._keep(reply)

    async def _answer(self, reply: Reply) -> Over:
        """The reply was the answer: its commit is the turn's last one."""
        journal = self._journal
        journal.finish_reply(reply.thoughts, reply.done.usage)
        if reply.done.finish == "stop":
            await journal.finish("completed", result=self._said())
        else:
            await journal.finish("incomplete", ended=reply.done.finish, limit=reply.done.finish, result=self._said())
        return "finished"

    async def _keep(self, reply: Reply) -> None:
        shown = [
            (call, *self.catalog.shown_as(call.name, self._client_names), self._is_client(call)) for call in reply.calls
        ]
        await self._journal.reply(self.agent, reply.thoughts, shown, reply.done.usage)

    def _is_client(self, call: FunctionCall) -> bool:
        return self.catalog.kind(call.name, self._client_names) == "client"

    def _limit(self) -> str:
        progress, limits = self._journal.progress, self._team.limits
        if progress.model_calls >= limits.model_calls:
            return f"{limits.model_calls} model calls"
        if progress.tool_calls >= limits.tool_calls:
            return f"{limits.tool_calls} tool calls"
        return ""

    async def _stop(self, limit: str) -> Over:
        """A limit ends the turn with a clear answer."""
        self._journal.progress.step += 1
        text = f"I stopped here: this turn has used its {limit}. Say how to go on, or ask for less at a time."
        self._journal.end_message(self.agent, text)
        await self._journal.finish("incomplete", ended="limit", limit=limit, result=text)
        return "finished"

    # Asking

    async def _ask(self) -> Reply:
        """Asks the model once; a stream that breaks is asked again, and what it had said stays visible as incomplete."""
        for repeat in range(STREAM_REPEATS):
            journal = self._journal
            journal.progress.step += 1
            journal.progress.model_calls += 1
            try:
                return await self._one_reply()
            except ModelUnavailable as error:
                if repeat == STREAM_REPEATS - 1 or not journal.is_talking():
                    raise
                log.warning("asking again after a broken stream: %s", error)
                journal.interrupt()
        raise AssertionError("the loop above returns or raises")

    async def _one_reply(self) -> Reply:
        journal, agent = self._journal, self.catalog.agent
        model = self._team.model_of(agent)
        calls: list[FunctionCall] = []
        thoughts: list[StoredItem] = []
        async with aclosing(model.stream(self._request(model))) as events:
            async for event in events:
                match event:
                    case TextDelta():
                        journal.say(agent.name, event.text)
                    case Message():
                        journal.end_message(agent.name, event.text)
                    case FunctionCall():
                        calls.append(event)
                    case Reasoning():
                        thoughts.append(journal.think(agent.name, event.body, model.name))
                    case ReplyDone():
                        return Reply(_unique(calls, journal.items), thoughts, event)
                    case ReasoningDelta():
                        pass  # shown with the finished reasoning item
                    case _:
                        assert_never(event)
        raise ModelUnavailable(model.name, "its answer ended before it was complete")

    def _request(self, model: Model) -> ModelRequest:
        journal, agent = self._journal, self.catalog.agent
        request = journal.about.request
        extra = request.get("instructions")
        return ModelRequest(
            instructions=f"{agent.instructions}\n\n{extra}" if extra else agent.instructions,
            items=model_items(journal.items, model=model.name, pending=self._pending),
            tools=(*self.catalog.specs, *self._client),
            settings=self._settings(agent.settings),
            agent=agent.name,
        )

    def _settings(self, own: ModelSettings) -> ModelSettings:
        """The agent's settings with what the client asked for. A forced choice holds for the first request only, or it would never end."""
        request = self._journal.about.request
        choice: Any = request.get("tool_choice") or own.tool_choice
        if isinstance(choice, Mapping):
            choice = choice.get("name")
        if self._journal.progress.model_calls > 1 and choice not in (None, "auto", "none"):
            choice = "auto"
        given = {
            name: request[name]
            for name in ("temperature", "top_p", "max_output_tokens")
            if request.get(name) is not None
        }
        parallel = self._parallel() and own.parallel_tool_calls
        return replace(own, tool_choice=choice, parallel_tool_calls=parallel if parallel is not None else None, **given)

    def _parallel(self) -> bool:
        return (
            self.catalog.agent.parallel_tool_calls
            and self._journal.about.request.get("parallel_tool_calls") is not False
        )

    # Acting

    def _left_open(self) -> list[OpenCall]:
        """Calls of this turn that a crash, a drain or a park left without an output."""
        found: list[OpenCall] = []
        for one in self._journal.items:
            if one.response_id == self._journal.about.response_id and one.status == "in_progress":
                call_id, name = one.body.get("frontdesk:call_id"), str(one.body.get("name", ""))
                if one.body.get("type") != "mcp_call" or call_id is None:
                    continue
                label = one.body.get("server_label")
                wire = name if label in ("desk", "tasks", "handoff") else f"{label}-{name}"
                call = FunctionCall(str(call_id), wire, str(one.body.get("arguments", "")))
                found.append(self.catalog.open(call, self._client_names, interrupted=True))
        return found

    async def _act(self, calls: Sequence[OpenCall], *, resumed: bool) -> After:
        """Carries out what the step decides about the calls of a reply."""
        journal = self._journal
        plan = decide(calls, journal.progress.path)
        assert isinstance(plan, Plan)
        journal.progress.tool_calls += len(calls)
        for refusal in plan.refused:
            await journal.output(CallOutput(refusal.call.call_id, refusal.text, True, "error"))
        returned = await self._run(plan.run)
        for one in plan.wait:
            assert self._tasks is not None
            output = await self._tasks.wait(one.call, resumed=resumed)
            if output is None:
                return "parked"
            await journal.output(output)
        for refusal in plan.not_taken:
            await journal.output(CallOutput(refusal.call.call_id, refusal.text))
        target = plan.handoff.target if plan.handoff is not None else None
        if plan.handoff is not None and target is not None:
            await self._hand_over(CallOutput(plan.handoff.call.call_id, f"{target} has taken over."), target)
        elif returned is not None:
            await self._hand_over(*returned)
        return "client" if plan.client else "on"

    async def _run(self, calls: Sequence[OpenCall]) -> tuple[CallOutput, str] | None:
        """Runs calls side by side; when one returned an agent, its output and that agent's name: the handoff that it is."""
        handoffs: list[tuple[CallOutput, str]] = []

        async def done(output: CallOutput) -> None:
            if isinstance(output.value, Agent) and not handoffs:
                handoffs.append((output, output.value.name))
            else:
                await self._journal.output(output)

        kinds = {one.call.call_id: one for one in calls}
        await run_calls(
            [one.call for one in calls],
            lambda call: self._run_one(kinds[call.call_id]),
            parallel=self._parallel(),
            alone=self._alone,
            done=done,
        )
        return handoffs[0] if handoffs else None

    def _alone(self, call: Call) -> bool:
        tool = self.catalog.tools.get(call.name)
        return tool is not None and tool.alone

    async def _run_one(self, one: OpenCall) -> CallOutput:
        call = one.call
        if one.kind == "task":
            assert self._tasks is not None
            return await self._tasks.run(call, self.agent)
        tool = self.catalog.tools.get(call.name)
        if tool is None:
            return CallOutput(call.call_id, unknown_tool(call.name, self.catalog.names()), True, "unknown_tool")
        about = self._journal.about
        context = Context(
            self._team.dependencies(),
            about.conversation_id,
            about.response_id,
            call.call_id,
            self.agent,
            about.tenant,
            f"{about.response_id}/{call.call_id}",
        )

        def text(value: Any) -> str:
            return f"{value.name} has taken over." if isinstance(value, Agent) else tool.text(value)

        return await run_tool(tool, call, context, limiter=self._team.limiter, text=text)

    async def _hand_over(self, output: CallOutput, target: str) -> None:
        if target not in self._team.catalogs:
            text = f"{target} is not an agent of this desk."
            await self._journal.output(CallOutput(output.call_id, text, True, "error"))
            return
        before = self.agent
        self.catalog = self._team.catalogs[target]
        await self._journal.move(output, before, target)

    def _said(self) -> str:
        """The text of the turn's last message."""
        about = self._journal.about
        for one in reversed(self._journal.items):
            if one.response_id == about.response_id and one.step >= 0 and one.body.get("type") == "message":
                return "".join(str(part.get("text", "")) for part in one.body["content"])
        return ""


def _client_spec(tool: Mapping[str, Any]) -> ToolSpec:
    """A function that the client runs, as the model sees it."""
    return ToolSpec(
        name=str(tool["name"]),
        description=str(tool.get("description") or ""),
        parameters=dict(tool.get("parameters") or {"type": "object", "properties": {}}),
        strict=tool.get("strict") is True,
        kind="client",
    )


def _unique(calls: list[FunctionCall], items: Sequence[StoredItem]) -> list[FunctionCall]:
    """Some servers count their calls from the beginning in each reply: an id that the history has is made another one."""
    if not calls:
        return calls
    known = {one.body.get("frontdesk:call_id") or one.body.get("call_id") for one in items}
    unique: list[FunctionCall] = []
    for call in calls:
        call_id, number = call.call_id, 2
        while not call_id or call_id in known:
            call_id, number = f"{call.call_id or 'call'}_{number}", number + 1
        known.add(call_id)
        unique.append(call if call_id == call.call_id else replace(call, call_id=call_id))
    return unique
