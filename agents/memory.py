"""A turn in memory: a desk's loop without a database, for scripts, notebooks and measurements. It ends with its
process.

There are no tasks here: ``create_task`` is answered with an error, and nothing is announced. `Desk.run` has all of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..tasks.request import new_id
from .desk import Desk
from .entries import user_message
from .history import StoredItem
from .journal import Journal
from .loop import TurnLoop
from .model import Usage
from .past import Past
from .response import INPUT_STEP, About, Outcome, Progress
from .stores import MemoryStore


@dataclass(frozen=True, slots=True)
class MemoryTurn:
    """A turn that was run: what it said, who has the conversation now, and the history to go on from."""

    text: str
    agent: str
    outcome: Outcome
    usage: Usage
    items: tuple[StoredItem, ...]


async def run_in_memory(
    desk: Desk[Any], text: str, items: Sequence[StoredItem] = (), *, agent: str | None = None
) -> MemoryTurn:
    """Runs one turn over ``items`` (of the turn before, or none), begun by ``agent`` (the entry agent by default).

    A model that fails ends the turn: its ``outcome`` says so. Raises KeyError for an agent that the desk does not have.
    """
    response_id = new_id("resp")
    asked = StoredItem(new_id("msg"), response_id, INPUT_STEP, "completed", "", user_message(text))
    about = About(response_id, "memory", "", time.time(), {}, model=desk.name)
    store = MemoryStore()
    who = desk.agents[agent].name if agent is not None else desk.entry.name
    journal = Journal(about, store, [asked], past=Past(items), progress=Progress(path=[who]))
    await TurnLoop(desk.team(), journal).run()
    outcome = store.outcome
    assert outcome is not None, "a turn without tasks is never parked"
    whole = (*items, *journal.items)
    return MemoryTurn(journal.last_message(), journal.progress.path[-1], outcome, journal.usage, whole)
