"""Runs turns and delegated agents for a worker: from a claim to the loop, and from every way of stopping to an ended
response.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Final

import anyio
from pydantic_core import from_json

from ..broker import queue
from ..broker.runs import Run
from ..tasks.errors import FrontdeskError
from ..tasks.states import Action
from . import items, openings
from .arrivals import Arrivals, Boundary, enter
from .batch import Ref
from .budgets import DurableBudgets
from .entries import asks, is_notice, user_message
from .history import StoredItem
from .journal import Journal
from .limits import Limits
from .loop import Over, TurnLoop
from .model import JSON, Usage
from .nested_calls import NestedCalls
from .openings import Opening
from .past import Past, Pasts
from .questions import may_ask
from .response import INPUT_STEP, About, Outcome, Progress, triggers_of
from .shortening import Shortening
from .stores import DurableStore
from .summaries import Summary
from .task_calls import TaskCalls
from .team import Team
from .telling import Telling

log = logging.getLogger("frontdesk.turns")

MOST_ATTEMPTS: Final = 3
RETRY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Opened:
    """A turn that has been read."""

    opening: Opening
    past: Past
    items: list[StoredItem]  # of its own: a run before this one made them
    summary: Summary | None  # of some of them, and all before


class TurnRuns:
    """Handles tasks of kind ``turn`` and ``agent``."""

    def __init__(self, team: Team, entry: str) -> None:
        self._team, self._entry, self._pasts = team, entry, Pasts()
        self._journals: dict[Run, tuple[DurableStore, Journal]] = {}  # of the turns that are running here

    async def run(self, run: Run) -> None:
        arrivals = None if run.claim.kind == "agent" else Arrivals(run, str(run.claim.conversation_id))
        opened = await self._open(run)
        if opened is None:
            return
        opening = opened.opening
        if arrivals is None:
            arrivals = Arrivals(run, opening.turn["conversation_id"])
            arrivals.hear()  # something may have come in since the turn was read
        if opening.steered:
            arrivals.hear()
        store, journal = await self._begin(run, opened)
        if journal.progress.waits:
            arrivals.hear()
        shortening = Shortening(run, journal, self._team, opening.desk)
        try:
            over = await self._go_on(run, opening, store, journal, arrivals, shortening)
        finally:
            if not journal.is_settled:
                with anyio.CancelScope(shield=True):
                    await journal.settle()
        ended = over == "finished" and run.claim.kind == "turn"
        if ended:
            journal.hand_over()
        is_long = ended and shortening.is_long()
        self._pasts.keep(store.ref.conversation_id, opened.past)
        if is_long:
            await shortening.file()

    async def _open(self, run: Run) -> Opened | None:
        """The turn; None when its conversation was deleted, and then its task has been ended."""
        past = Past() if run.claim.kind == "agent" else self._pasts.take(str(run.claim.conversation_id))
        brought, opening = run.claim.opened, None
        if brought is not None and run.database.hub.still_holds(brought.turn["conversation_id"]):
            opening = openings.opening_of(brought, past.counted, past.summarised)
        if opening is None:
            opening = await run.database.read(openings.open_turn, run.claim, past.counted, past.summarised)
        if opening is None:
            text = "its conversation was deleted"
            await run.database.write_first(queue.finish, run.claim, Action.CANCEL, error=text, error_kind="deleted")
            run.over = True
            return None
        page = opening.page
        found, size = page.items, page.size
        while page.more:
            page = await run.database.read(items.after, opening.turn["conversation_id"], page.last)
            found, size = found + page.items, size + page.size
        if not opening.known:
            past = Past()
        own = [one for one in found if one.response_id == opening.turn["id"]]
        before = found[: len(found) - len(own)]  # they are the last ones
        past.extend(before, counted=opening.counted - len(own) - past.counted, size=size)
        of_own = opening.summary is not None and any(one.id == opening.summary.item_id for one in own)
        if opening.summarised != past.summarised and not of_own:
            past.summarise(opening.summary)
        return Opened(opening, past, own, opening.summary if of_own else None)

    async def _begin(self, run: Run, opened: Opened) -> tuple[DurableStore, Journal]:
        """The first commit of a run: what came in, and what a crash left half said.

        A turn that begins asks its model meanwhile: nothing is done for the model before both are committed.
        """
        opening = opened.opening
        turn = opening.turn
        store = DurableStore(run, Ref(run.claim, turn["id"], turn["conversation_id"]))
        triggers = self._triggers(opening)
        journal = self._journal(run, opened, store, triggers)
        if opening.first and turn["started_by"] == "delegate":
            text = str(journal.about.request.get("input", ""))
            asked = StoredItem(f"msg_{turn['id']}", turn["id"], INPUT_STEP, "completed", "", user_message(text))
            journal.enter((), [asked], ())
        half: dict[str, str] = {}
        ids = [one.id for one in opened.items if _is_half_said(one)]
        if ids:
            half = await run.database.read(openings.half_said, turn["conversation_id"], ids)
        journal.begin(first=opening.first, half=half)
        # A wait that goes on may tell of the tasks itself: their notices are taken at the boundary after it; a
        # person is asked at once.
        waits = journal.progress.waits
        entering = [entry for entry in opening.entries if not (waits and is_notice(entry) and not asks(entry))]
        enter(journal, entering)
        if opening.first and run.claim.kind == "turn" and not journal.approved:
            await journal.soon("begin")
        elif opening.first or half or entering:
            await journal.commit("begin")
        self._journals[run] = store, journal
        run.when_over(lambda: self._forget(run))
        return store, journal

    def _forget(self, run: Run) -> None:
        self._journals.pop(run, None)

    def _triggers(self, opening: Opening) -> str:
        turn = opening.turn
        if turn["started_by"] != "notice" or not opening.first:
            return str(turn["triggers"])
        return triggers_of([entry.target_id or "" for entry in opening.entries if is_notice(entry)]) or turn["triggers"]

    def _journal(self, run: Run, opened: Opened, store: DurableStore, triggers: str) -> Journal:
        opening = opened.opening
        turn = opening.turn
        request = from_json(turn["request"])
        about = About(
            turn["id"], turn["conversation_id"], turn["tenant"], turn["created_at"], request,
            model=request.get("model") or opening.desk, previous_id=turn["previous_id"], triggers=triggers,
        )  # fmt: skip
        progress = Progress(**from_json(turn["state"]))
        if not progress.path or progress.path[-1] not in self._team.catalogs:
            progress.path.append(self._first_agent(opening))
        journal = Journal(
            about,
            store,
            opened.items,
            past=opened.past,
            sequence=turn["next_sequence"],
            progress=progress,
            usage=Usage(**from_json(turn["usage"])),
            spawn=run.spawn,
        )
        if opened.summary is not None:
            journal.summarise(opened.summary)
        return journal

    def _first_agent(self, opening: Opening) -> str:
        """Who takes the turn: whom the client named, else the conversation's agent, else the entry agent."""
        wanted = opening.agent
        if wanted in self._team.catalogs:
            return wanted
        if wanted:
            log.warning("agent %s is not part of this desk any more; %s takes the turn", wanted, self._entry)
        return self._entry

    async def _go_on(
        self,
        run: Run,
        opening: Opening,
        store: DurableStore,
        journal: Journal,
        arrivals: Arrivals,
        shortening: Shortening,
    ) -> Over:
        claim = run.claim
        nested = NestedCalls(run, store, journal)
        if opening.turn["cancel_requested"] or claim.cancel_requested:
            await nested.stop()
            await self._end(journal, Outcome(status="cancelled", ended="cancelled"))
            return "finished"
        most = max(claim.max_attempts, MOST_ATTEMPTS)
        if claim.attempt > most:
            text = f"this turn was given up: {most} times its worker was lost, or failed, while running it"
            await nested.stop()
            await self._end(journal, Outcome(status="failed", ended="held", error=text))
            return "finished"
        options = self._team.options
        asks = bool(claim.label) and claim.announce != "none"  # whoever delegated is told of a question
        loop = TurnLoop(
            self._team if claim.kind == "turn" else self._team_of(journal.about.request, asks=asks),
            journal,
            tasks=TaskCalls(run, store, journal, arrivals, lambda: loop.catalog, options),
            boundary=Boundary(arrivals, store.ref, journal),
            budgets=DurableBudgets(run, store.ref, journal, options),
            shortening=shortening,
            unanswered=journal.past.unanswered if opening.turn["started_by"] == "notice" else frozenset(),
            has_client=claim.kind != "agent",
        )
        before = len(journal.progress.steps)
        try:
            return await loop.run()
        finally:
            for step in journal.progress.steps[before:]:
                if "until" in step:  # else it was broken off
                    run.database.measures.took(
                        "model", step["until"] - step["at"], str(step["model"]).replace(" ", "_")
                    )

    def _team_of(self, request: JSON, *, asks: bool) -> Team:
        """The team as a delegated run needs it; a call that asks for it may have limits of its own. ``asks``: it may
        ask whoever delegated.
        """
        limits = request.get("limits")
        team = replace(self._team, output=None).within(None if limits is None else Limits(**limits))
        return may_ask(team) if asks else team

    async def cancelled(self, run: Run, *, abandoned: bool) -> None:
        store, journal = self._journals.get(run, (None, None))
        if store is None or journal is None or journal.has_failed:
            opened = await self._open(run)
            if opened is None:
                return
            store, journal = await self._begin(run, opened)
        await NestedCalls(run, store, journal).stop()
        await self._end(journal, Outcome(status="cancelled", ended="cancelled"))

    async def _end(self, journal: Journal, outcome: Outcome) -> None:
        """Ends a turn whose loop does not run."""
        await journal.finish(outcome)
        await Telling(tuple(self._team.options.hooks), journal).ended(outcome)

    async def failed(self, run: Run, error: Exception) -> None:
        """The database or our own code failed: what is committed is whole, so the turn is run again from there."""
        text = str(error)[:300] if isinstance(error, FrontdeskError) else f"internal error ({type(error).__name__})"
        await run.database.write_first(queue.retry_later, run.claim, delay=RETRY_SECONDS, error=text)


def _is_half_said(one: StoredItem) -> bool:
    """A call that is open is not half said: it is gone on with."""
    return one.status == "in_progress" and one.body.get("type") == "message"
