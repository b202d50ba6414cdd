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

from .asking import Asking, Reply, TimeUp
from .budgets import Budgets
from .call_runs import CallRuns, NoTasks, TaskTools
from .catalog import FILES, Catalog
from .checking import Checking
from .errors import FunctionFailed, ModelError, OutputInvalid, ToolChoiceError
from .guardrails import Tripped
from .hooks import TurnBegan, TurnParked
from .journal import Journal
from .limits import Reached, of_turn, too_many
from .model import JSON, FunctionCall
from .owed import requests_of
from .response import Outcome
from .shortening import Shortening
from .step import Answer, Kind, OpenCall, decide
from .team import Team
from .telling import Telling
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
        budgets: Budgets | None = None,
        shortening: Shortening | None = None,
        unanswered: frozenset[str] = frozenset(),
        has_client: bool = True,
    ) -> None:
        self._has_client = has_client
        self._team, self._journal, self._boundary, self._budgets = team, journal, boundary, budgets
        self._shortening = shortening
        self._telling = Telling(tuple(team.options.hooks), journal)
        self._asking = Asking(team, journal, self._telling, unanswered=unanswered)
        names = self._asking.client_names
        self._checking = Checking(team, journal, self._asking, self._telling, lambda: self.catalog)
        self._runs = CallRuns(team, journal, tasks or NoTasks(journal), lambda: self.catalog, names, self._telling)

    @property
    def catalog(self) -> Catalog:
        """What the current agent can call."""
        return self._team.catalogs[self._journal.progress.path[-1]]

    async def run(self) -> Over:
        """Runs the turn to its end, or until it is parked. Raises LeaseLost and what the database raises."""
        await self._telling(TurnBegan, resumed=self._journal.progress.model_calls > 0)
        over = await self._run()
        if over == "parked":
            await self._telling(TurnParked)
        return over

    async def _run(self) -> Over:
        journal = self._journal
        calls, resumed = self._runs.left_open(), True
        replied = journal.progress.tool_calls > 0  # a boundary comes after a reply and its calls
        while True:
            has_more = calls or journal.progress.handoff is not None
            if has_more and not await self._runs.act(calls, resumed=resumed):
                return "parked"
            if journal.asks_client:
                if (over := await self._finish(self._waiting())) is not None:
                    return over
                replied = True
            if replied and self._boundary is not None and await self._boundary.arrived():
                return await self._end(Outcome(status="incomplete", ended="steered", result=self._said()))
            calls = self._runs.left_open()  # those that were approved just now
            if calls or journal.asks_client:
                continue
            reply = await self._reply()
            if not isinstance(reply, Reply):
                return reply
            resumed, replied = False, True
            calls = await self._opened(reply.calls)
            if isinstance(decide(calls, journal.progress.path), Answer):
                if (over := await self._answer(reply)) is not None:
                    return over
            else:
                calls = await self._keep(reply, calls)

    async def _reply(self) -> Reply | Over:
        """The next reply that may be acted on, or the end of the turn."""
        try:
            limit = await self._limit()
            if limit is not None:
                return await self._stop(limit)
            if self._shortening is not None:
                await self._shortening.before_request()
            reply = await self._checking.reply()
        except ModelError as error:
            log.error("%s", error)
            return await self._end(Outcome(status="failed", ended="model", error=str(error)))
        except ToolChoiceError as error:
            return await self._end(Outcome(status="failed", ended="tool_choice", error=str(error)))
        except FunctionFailed as error:
            return await self._end(Outcome(status="failed", ended="function", error=str(error)))
        except OutputInvalid as error:
            return await self._end(Outcome(status="failed", ended="output", error=str(error)))
        except TimeUp:
            self._journal.interrupt()
            return await self._stop(of_turn(f"{self._team.options.limits.seconds:g} seconds"))
        return await self._trip(reply) if isinstance(reply, Tripped) else reply

    async def _limit(self) -> Reached | None:
        """The limit or budget that is reached."""
        if words := self._team.options.limits.reached(self._journal.spent()):
            return of_turn(words)
        return None if self._budgets is None else await self._budgets.reached()

    async def _answer(self, reply: Reply) -> Over | None:
        """The reply was the answer, and its commit is the turn's last one; None: something came for a delegated run."""
        self._journal.end_reply(reply.done.usage)
        finish = reply.done.finish
        result = reply.value if reply.has_value else self._said()
        if finish == "stop":
            outcome = Outcome(status="completed", result=result, requests=self._requests())
        else:
            outcome = Outcome(status="incomplete", ended=finish, limit=finish, result=result)
        return await self._finish(outcome)

    def _waiting(self) -> Outcome:
        """The response is complete, and its client has to say how it goes on."""
        required, requests = self._journal.required_input(), self._requests()
        return Outcome(status="completed", result=self._said(), required=required, requests=requests)

    def _requests(self) -> tuple[JSON, ...]:
        """What a run in the background asks a person for: it is not over before that is answered."""
        journal = self._journal
        return () if self._has_client else requests_of(journal.item(key) for key in journal.owed.open)

    async def _finish(self, outcome: Outcome) -> Over | None:
        """Ends the turn, or parks a delegated run; None: something has come for that, and it goes on."""
        over = await self._try_to_end(outcome)
        if over is None and self._boundary is not None:
            self._boundary.hear()
        return over

    async def _opened(self, calls: Sequence[FunctionCall]) -> list[OpenCall]:
        """The calls of a reply: what kind of tool each names, and why it is not run, if it is not."""
        most = self._team.options.limits.tool_calls
        room = most - self._journal.progress.tool_calls
        opened = [self._open(one, "" if place < room else too_many(most)) for place, one in enumerate(calls)]
        return await self._runs.asking_first(opened)

    def _open(self, call: FunctionCall, refusal: str) -> OpenCall:
        one = self.catalog.open(call, self._asking.client_names)
        refusal = refusal or self._asking.refusal(call.name)
        if not refusal and one.kind == "client" and not self._has_client:
            refusal = NOBODY
        return replace(one, kind="unknown", refusal=refusal) if refusal else one

    async def _keep(self, reply: Reply, opened: Sequence[OpenCall]) -> list[OpenCall]:
        """Commits the calls of a reply; those that are to be run. Those that are refused are answered in that commit:
        a run after a crash could not know of it.
        """
        catalog, names = self.catalog, self._asking.client_names

        def shown(call: FunctionCall, kind: Kind) -> tuple[FunctionCall, str, str, Form]:
            form: Form = "client" if kind == "client" else "approval" if kind == "approval" else "server"
            label, name = catalog.shown_as(call.name, names)
            return call, label, call.name if kind == "client" else name, form

        self._journal.progress.tool_calls += len(reply.calls)
        refused = {one.call.call_id: one.refusal for one in opened if one.refusal}
        kept = [one for one in opened if not one.refusal]
        await self._journal.reply(
            catalog.agent.name,
            [shown(call, one.kind) for call, one in zip(reply.calls, opened, strict=True)],
            reply.done.usage,
            with_output=bool(kept) and all(one.kind == "task" and one.call.name in FILES for one in kept),
            refused=refused,
        )
        return kept

    async def _stop(self, limit: Reached) -> Over:
        """A limit ends the turn with a clear answer."""
        self._say(limit.text)
        return await self._end(Outcome(status="incomplete", ended="limit", limit=limit.name, result=limit.text))

    async def _trip(self, tripped: Tripped) -> Over:
        """A guardrail ends the turn with its own answer."""
        self._say(tripped.text)
        return await self._end(
            Outcome(status="incomplete", ended="content_filter", guardrail=tripped.guardrail, result=tripped.text)
        )

    def _say(self, text: str) -> None:
        self._journal.progress.step += 1
        self._journal.end_message(self.catalog.agent.name, text)

    async def _end(self, outcome: Outcome) -> Over:
        """The turn's last commit."""
        over = await self._try_to_end(outcome)
        assert over is not None, "only a delegated run that has answered may go on"
        return over

    async def _try_to_end(self, outcome: Outcome) -> Over | None:
        """The same; None: a delegated run goes on."""
        verdict = await self._journal.finish(outcome)
        if verdict == "on":
            return None
        if verdict == "parked":
            return "parked"
        await self._telling.ended(outcome)
        return "finished"

    def _said(self) -> str:
        """The text of the turn's last message."""
        return self._journal.last_message()
