"""Runs turns and delegated agents for a worker: from a claim to the loop, and from every way of stopping to an ended response."""

from __future__ import annotations

import logging
from typing import Any

from pydantic_core import from_json

from ..broker import queue
from ..broker.connection import Connection
from ..broker.inbox import Entry
from ..broker.runs import Run
from . import storage
from .agent import Agent
from .entries import input_items, notice_items, user_message
from .events import said_in
from .history import StoredItem
from .journal import INPUT_STEP, About, Journal, Progress
from .loop import Team, TurnLoop
from .model import Usage
from .storage import Begun, Ref
from .stores import DurableStore
from .task_calls import TaskCalls

log = logging.getLogger("frontdesk.turns")

MOST_ATTEMPTS = 3
RETRY_SECONDS = 1.0


class TurnRuns:
    """Handles tasks of kind ``turn`` and ``agent``."""

    def __init__(self, team: Team, entry: str) -> None:
        self._team, self._entry = team, entry
        self._journals: dict[str, Journal] = {}  # of the turns that are running here

    async def run(self, run: Run) -> None:
        begun = await run.database.write(storage.begin_turn, run.claim)
        journal = self._journal(run, begun)
        self._journals[run.claim.task_id] = journal
        try:
            await self._go_on(run, begun, journal)
        finally:
            if run.over:
                self._journals.pop(run.claim.task_id, None)

    def _journal(self, run: Run, begun: Begun) -> Journal:
        turn = begun.turn
        ref = Ref(run.claim, turn["id"], turn["conversation_id"])
        about = About(
            turn["id"], turn["conversation_id"], turn["tenant"], turn["created_at"], from_json(turn["request"]),
            turn["previous_id"], turn["triggers"],
        )  # fmt: skip
        progress = Progress(**from_json(turn["state"]))
        if not progress.path:
            progress.path.append(self._first_agent(begun))
        return Journal(
            about,
            DurableStore(run, ref),
            begun.items,
            sequence=turn["next_sequence"],
            progress=progress,
            usage=Usage(**from_json(turn["usage"])),
            spawn=run.spawn,
        )

    def _first_agent(self, begun: Begun) -> str:
        """Who takes the turn: whom the client named, else the conversation's agent, else the entry agent."""
        wanted = begun.turn["agent"] or begun.agent
        if wanted and wanted not in self._team.catalogs:
            log.warning("agent %s is not part of this desk any more; %s takes the turn", wanted, self._entry)
        return wanted if wanted in self._team.catalogs else self._entry

    async def _go_on(self, run: Run, begun: Begun, journal: Journal) -> None:
        await self._enter(begun, journal)
        claim = run.claim
        if begun.turn["cancel_requested"] or claim.cancel_requested:
            await journal.finish("cancelled", ended="cancelled")
            return
        if claim.attempt > max(claim.max_attempts, MOST_ATTEMPTS):
            text = f"this turn was given up: its worker was lost {claim.attempt - 1} times while running it"
            await journal.finish("failed", ended="held", error=text)
            return
        ref = Ref(claim, journal.about.response_id, journal.about.conversation_id)
        boundary = Arrivals(run, ref, journal)
        loop = TurnLoop(
            self._team,
            journal,
            tasks=TaskCalls(run, ref, journal, lambda: loop.catalog, self._agents()),
            boundary=boundary,
            unanswered=_unanswered(begun),
        )
        await loop.run()

    def _agents(self) -> dict[str, Agent]:
        return {name: catalog.agent for name, catalog in self._team.catalogs.items()}

    async def _enter(self, begun: Begun, journal: Journal) -> None:
        """The first commit of a run: what came in, or what a crash left half said."""
        turn = begun.turn
        entered = input_items(begun.entries, turn["id"], {one.id for one in begun.items})
        if begun.first and turn["started_by"] == "delegate":
            text = str(from_json(turn["request"]).get("input", ""))
            entered.insert(
                0, StoredItem(f"msg_{turn['id']}", turn["id"], INPUT_STEP, "completed", "", user_message(text))
            )
        half = {one: said_in(texts) for one, texts in begun.deltas.items() if _is_said(begun, one)}
        await journal.begin(entered, first=begun.first, half=half)
        await _show_notices(journal, begun.entries)

    async def cancelled(self, run: Run, *, abandoned: bool) -> None:
        journal = self._journals.pop(run.claim.task_id, None)
        if journal is None:
            begun = await run.database.write(storage.begin_turn, run.claim)
            journal = self._journal(run, begun)
            await self._enter(begun, journal)
        await journal.finish("cancelled", ended="cancelled")

    async def failed(self, run: Run, error: Exception) -> None:
        """The database or our own code failed: what is committed is whole, so the turn is run again from there."""
        self._journals.pop(run.claim.task_id, None)
        await run.database.write_first(
            queue.retry_later, run.claim, delay=RETRY_SECONDS, error=f"{type(error).__name__}: {error}"[:300]
        )


def _is_said(begun: Begun, item_id: str) -> bool:
    """Whether an unfinished item was being streamed; a call that is still open is not: it is gone on with."""
    return any(one.id == item_id and one.body.get("type") != "mcp_call" for one in begun.items)


def _unanswered(begun: Begun) -> frozenset[str]:
    """Calls that the client has not answered yet, when the turn was started by a notice and not by the client."""
    if begun.turn["started_by"] != "notice":
        return frozenset()
    bodies: list[dict[str, Any]] = [one.body for one in begun.items]
    answered = {body.get("call_id") for body in bodies if body.get("type") == "function_call_output"}
    called = {str(body.get("call_id")) for body in bodies if body.get("type") == "function_call"}
    return frozenset(called - answered)


async def _show_notices(journal: Journal, entries: list[Entry]) -> None:
    if any(entry.kind in ("notice", "note") for entry in entries):
        journal.progress.step += 1
        agent = journal.progress.path[-1]
        notices = notice_items(entries, journal.about.response_id, journal.progress.step, agent)
        await journal.enter([], notices)


class Arrivals:
    """What arrives while a turn is running, taken at its boundaries."""

    def __init__(self, run: Run, ref: Ref, journal: Journal) -> None:
        self._run, self._ref, self._journal = run, ref, journal
        self._news = True
        self._listening = run.database.hub.listen("input", ref.conversation_id, self._heard)
        run.when_over(self._listening.stop)

    def _heard(self) -> None:
        self._news = True

    async def arrived(self) -> bool:
        """Takes notices and messages into the journal; whether the response is steered. Raises LeaseLost."""
        if not self._news:
            return False
        self._news = False
        if not await self._run.database.read(_anything, self._ref):
            return False
        found = await self._run.database.write(storage.take_input, self._ref)
        known = {one.id for one in self._journal.items}
        await self._journal.enter(input_items(found.entries, self._ref.response_id, known), [])
        await _show_notices(self._journal, found.entries)
        return found.steered


def _anything(conn: Connection, ref: Ref) -> bool:
    return storage.something_waits(conn, ref)
