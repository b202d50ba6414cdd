"""What arrives while a turn is running, taken at its boundaries: notices, messages to a delegated agent, a steer."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence

from ..broker.inbox import Entry
from ..broker.runs import Run
from ..tasks.states import TERMINAL
from . import openings
from .approvals import decisions
from .batch import Ref
from .entries import approval_note, asks, input_items, is_notice, notice_items
from .history import StoredItem
from .journal import Journal
from .model import JSON
from .response import Progress


class Arrivals:
    """Listens for one run. A boundary at which nothing was heard costs nothing."""

    def __init__(self, run: Run, conversation_id: str) -> None:
        self._run = run
        self._heard = False
        run.when_over(run.database.hub.listen("input", conversation_id, self.hear).stop)

    def hear(self) -> None:
        """Something may have come in."""
        self._heard = True

    async def take(self, ref: Ref, journal: Journal) -> bool:
        """Takes what has come in into the journal; whether the response is steered. Raises LeaseLost."""
        if not self._heard:
            return False
        self._heard = False
        await journal.settle()  # or what has entered would be found once more
        entries, steered = await self._run.database.read(openings.waiting, ref.conversation_id, ref.response_id)
        if entries:
            enter(journal, entries)
            await journal.commit("input")
        return steered


class Boundary:
    """What the loop asks between two replies."""

    def __init__(self, arrivals: Arrivals, ref: Ref, journal: Journal) -> None:
        self._arrivals, self._ref, self._journal = arrivals, ref, journal

    def hear(self) -> None:
        self._arrivals.hear()

    async def arrived(self) -> bool:
        return await self._arrivals.take(self._ref, self._journal)


def _is_told(entry: Entry, progress: Progress) -> bool:
    """Whether the model has read of this task's end in an output of its own."""
    if not is_notice(entry):
        return False
    task = entry.payload["task"]
    return task["id"] in progress.told and task["status"] in TERMINAL


def enter(journal: Journal, entries: Sequence[Entry]) -> None:
    """Puts inbox entries into the journal: inputs first, then notices, which the current agent is told. Commit it
    next.
    """
    response_id, progress = journal.about.response_id, journal.progress
    known = ChainMap({one.id: one for one in journal.items}, journal.past.by_id)
    if any(is_notice(entry) for entry in entries):
        progress.step += 1
    new = [entry for entry in entries if not _is_told(entry, progress)]
    notices = notice_items(new, response_id, progress.step, progress.path[-1])
    given = input_items(entries, response_id, known)
    settled = decisions([one.body for one in given], journal.owed.open, known)
    notices += _notes(journal, given)
    journal.enter(entries, given, notices)
    journal.settle_approvals(settled)
    for entry in entries:
        if asks(entry):
            _ask_for(journal, entry.payload["approval"])


def _notes(journal: Journal, given: Sequence[StoredItem]) -> list[StoredItem]:
    """What was answered to delegated runs."""
    agent, step = journal.progress.path[-1], journal.progress.step
    asked = [
        (request, one.body)
        for one in given
        if one.body.get("type") == "mcp_approval_response"
        and (request := journal.item(str(one.body["approval_request_id"]))) is not None
        and "frontdesk:task" in request.body
    ]
    return [approval_note(request, body, journal.about.response_id, step, agent) for request, body in asked]


def _ask_for(journal: Journal, wanted: JSON) -> None:
    """A delegated run asks: the person who follows this conversation can answer."""
    call: JSON = {name: wanted[name] for name in ("server_label", "name", "arguments")}
    call |= {"frontdesk:task": wanted["task"], "frontdesk:label": wanted["label"]}
    if journal.item(wanted["id"]) is None:
        journal.ask_approval(wanted["id"], wanted["agent"], call)
