"""The loop of a turn: ask the model, keep what it says, run what it calls, until it answers, hands over, parks or hits
a limit.

What follows from a reply is decided by ``step``; what is kept, and in which commit, by ``journal``. A run never waits
for a client.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, Protocol

from .asking import Asking, Reply
from .call_runs import CallRuns, NoTasks, TaskTools
from .catalog import FILES, Catalog
from .errors import ModelError, ToolChoiceError
from .journal import Journal
from .model import FunctionCall
from .response import Outcome
from .step import Answer, Kind, OpenCall, decide
from .team import Team
from .transcript import Form

log = logging.getLogger("frontdesk.loop")

NOBODY: Final = (
    "Not run: this call needs the client of a conversation, and a run in the background has none. Do without it, or "
    "say what is needed."
)

Over = Literal["finished", "parked"]


class Boundary(Protocol):
    """What has come in between two replies."""

    def hear(self) -> None:
        """Something has come in, for sure."""
        ...

    async def arrived(self) -> bool:
        """Takes notices and messages into the journal; whether the response is steered."""
        ...


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
        has_client: bool = True,
    ) -> None:
        self._has_client = has_client
        self._team, self._journal, self._boundary = team, journal, boundary
        self._asking = Asking(team, journal, unanswered=unanswered)
        self._runs = CallRuns(team, journal, tasks or NoTasks(journal), lambda: self.catalog, self._asking.client_names)

    @property
    def catalog(self) -> Catalog:
        """What the current agent can call."""
        return self._team.catalogs[self._journal.progress.path[-1]]

    async def run(self) -> Over:
        """Runs the turn to its end, or until it is parked. Raises LeaseLost and what the database raises."""
        journal = self._journal
        calls, resumed = self._runs.left_open(), True
        replied = journal.progress.tool_calls > 0  # a boundary comes after a reply and its calls
        while True:
            has_more = calls or journal.progress.handoff is not None
            if has_more and not await self._runs.act(calls, resumed=resumed):
                return "parked"
            if journal.asks_client:
                required = journal.required_input()
                await journal.finish(Outcome(status="completed", result=self._said(), required=required))
                return "finished"
            if replied and self._boundary is not None and await self._boundary.arrived():
                await journal.finish(Outcome(status="incomplete", ended="steered", result=self._said()))
                return "finished"
            limit = self._team.limits.reached(journal.progress, journal.usage)
            if limit:
                return await self._stop(limit)
            try:
                reply = await self._asking.reply(self.catalog)
            except (ModelError, ToolChoiceError) as error:
                log.error("%s", error)
                ended = "model" if isinstance(error, ModelError) else "tool_choice"
                await journal.finish(Outcome(status="failed", ended=ended, error=str(error)))
                return "finished"
            resumed, replied = False, True
            calls = await self._runs.asking_first([self._opened(one) for one in reply.calls])
            if not self._has_client:
                calls = [
                    replace(one, kind="unknown", refusal=NOBODY) if one.kind == "approval" else one for one in calls
                ]
            if not isinstance(decide(calls, journal.progress.path), Answer):
                await self._keep(
                    reply, calls, with_output=all(one.kind == "task" and one.call.name in FILES for one in calls)
                )
            elif (over := await self._answer(reply)) is not None:
                return over

    def _opened(self, call: FunctionCall) -> OpenCall:
        """A call of the reply: what kind of tool it names, and why it is not run, if it is not."""
        one = self.catalog.open(call, self._asking.client_names)
        refusal = self._asking.refusal(call.name)
        if not refusal and one.kind == "client" and not self._has_client:
            refusal = NOBODY
        return replace(one, kind="unknown", refusal=refusal) if refusal else one

    async def _answer(self, reply: Reply) -> Over | None:
        """The reply was the answer, and its commit is the turn's last one; None: something came for a delegated run."""
        self._journal.end_reply(reply.done.usage)
        finish = reply.done.finish
        if finish == "stop":
            outcome = Outcome(status="completed", result=self._said())
        else:
            outcome = Outcome(status="incomplete", ended=finish, limit=finish, result=self._said())
        verdict = await self._journal.finish(outcome)
        if verdict == "on":
            if self._boundary is not None:
                self._boundary.hear()
            return None
        return "parked" if verdict == "parked" else "finished"

    async def _keep(self, reply: Reply, opened: Sequence[OpenCall], *, with_output: bool) -> None:
        catalog, names = self.catalog, self._asking.client_names

        def shown(call: FunctionCall, kind: Kind) -> tuple[FunctionCall, str, str, Form]:
            form: Form = "client" if kind == "client" else "approval" if kind == "approval" else "server"
            label, name = catalog.shown_as(call.name, names)
            return call, label, call.name if kind == "client" else name, form

        self._journal.progress.tool_calls += len(reply.calls)
        calls = [shown(call, one.kind) for call, one in zip(reply.calls, opened, strict=True)]
        await self._journal.reply(catalog.agent.name, calls, reply.done.usage, with_output=with_output)

    async def _stop(self, limit: str) -> Over:
        """A limit ends the turn with a clear answer."""
        self._journal.progress.step += 1
        text = f"I stopped here: this turn has used its {limit}. Say how to go on, or ask for less at a time."
        self._journal.end_message(self.catalog.agent.name, text)
        await self._journal.finish(Outcome(status="incomplete", ended="limit", limit=limit, result=text))
        return "finished"

    def _said(self) -> str:
        """The text of the turn's last message."""
        return self._journal.last_message()
