"""A turn in memory: a desk's loop without a database, for scripts, notebooks and measurements. It ends with its
process.

There are no tasks here: ``create_task`` is answered with an error, and nothing is announced. `Desk.run` has all of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio

from ..tasks.errors import ArgumentsError
from ..tasks.request import new_id
from .approvals import decisions
from .call_runs import NoTasks
from .calls import CallOutput
from .desk import Desk
from .entries import user_message
from .history import StoredItem
from .journal import Journal
from .loop import TurnLoop
from .model import JSON, Usage
from .nested import DEEPEST, Fit, NestedCall
from .past import Past
from .response import INPUT_STEP, About, Outcome, Progress
from .stores import MemoryStore
from .team import Team


@dataclass(frozen=True, slots=True)
class MemoryTurn:
    """A turn that was run: what it said, who has the conversation now, and the history to go on from."""

    text: str
    agent: str
    outcome: Outcome
    usage: Usage
    items: tuple[StoredItem, ...]


async def run_in_memory(
    desk: Desk[Any], text: str | Sequence[JSON], items: Sequence[StoredItem] = (), *, agent: str | None = None
) -> MemoryTurn:
    """Runs one turn over ``items`` (of the turn before, or none), begun by ``agent`` (the entry agent by default).

    ``text`` may be input items instead: answers to the approvals and calls that the turn before has asked for
    (``outcome.required``). A model that fails ends the turn: its ``outcome`` says so. Raises KeyError for an agent that
    the desk does not have.
    """
    who = desk.agents[agent].name if agent is not None else desk.entry.name
    return await _turn(desk.team(), desk.name, who, text, items)


async def _turn(
    team: Team,
    desk: str,
    agent: str,
    text: str | Sequence[JSON],
    items: Sequence[StoredItem] = (),
    *,
    depth: int = 0,
) -> MemoryTurn:
    response_id = new_id("resp")
    given = [user_message(text)] if isinstance(text, str) else text
    asked = [StoredItem(new_id("in"), response_id, INPUT_STEP, "completed", "", one) for one in given]
    about = About(response_id, "memory", "", time.time(), {}, model=desk)
    store, past = MemoryStore(), Past(items)
    journal = Journal(about, store, asked, past=past, progress=Progress(path=[agent]))
    journal.settle_approvals(decisions(given, past.owed.open, past.by_id))
    tasks = NoTasks(journal, _NestedTurns(team, journal, depth))
    await TurnLoop(team, journal, tasks=tasks, has_client=not depth).run()
    outcome = store.outcome
    assert outcome is not None, "a turn without tasks is never parked"
    whole = (*items, *journal.items)
    return MemoryTurn(journal.last_message(), journal.progress.path[-1], outcome, journal.usage, whole)


class _NestedTurns:
    """Agents as tools, each a turn in memory beside the others."""

    def __init__(self, team: Team, journal: Journal, depth: int) -> None:
        self._team, self._journal, self._depth = team, journal, depth

    async def begin(self, calls: Sequence[NestedCall], agent: str) -> None:
        """They are begun when they are waited for."""

    async def join(self, calls: Sequence[NestedCall], fit: Fit) -> bool:
        async with anyio.create_task_group() as tasks:
            for one in calls:
                tasks.start_soon(self._run, one, fit)
        return True

    async def _run(self, one: NestedCall, fit: Fit) -> None:
        await self._journal.output(await fit(one, await self._output(one)))

    async def _output(self, one: NestedCall) -> CallOutput:
        try:
            text = one.asked()
        except ArgumentsError as error:
            return CallOutput(one.call.call_id, str(error), True, "error")
        if self._depth >= DEEPEST:
            return one.too_deep()
        with anyio.move_on_after(one.tool.timeout):
            name = one.tool.agent.name
            team = replace(self._team, output=None).within(one.tool.limits)
            turn = await _turn(team, self._journal.about.model, name, text, depth=self._depth + 1)
            if turn.outcome.requests:
                return one.failed("waits for an approval, and nobody is asked here.")
            failed = turn.outcome.status == "failed"
            return one.failed(f"did not answer (failed): {turn.outcome.error}") if failed else one.said(turn.text)
        return one.timed_out()
