"""A turn as its run finds it: read in one go, or brought along by its claim. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import from_json

from ..broker import events, inbox, turns
from ..broker.connection import Connection, Row
from ..broker.inbox import Entry
from ..broker.openings import Opened, opened
from ..broker.rows import Claim
from ..broker.turns import TurnRow
from . import items, summary_storage
from .events import said_in
from .items import Page
from .steering import HELD
from .summaries import Summary


@dataclass(frozen=True, slots=True)
class Opening:
    """A turn as its run finds it."""

    turn: TurnRow
    agent: str  # who takes it, as far as the database knows: named by the client, else the conversation's
    desk: str
    entries: list[Entry]  # what is to enter the conversation with it
    known: int  # the history before it is known already; 0 when it has to be read from its beginning
    counted: int  # the conversation's counter of items
    page: Page  # the first page of the history after ``known``
    summarised: int  # up to which position there is a summary
    summary: Summary | None  # the summary, unless its run knows it already
    steered: bool = False  # since before this run: a steer that came before a crash or a park

    @property
    def first(self) -> bool:
        """Whether nothing of it has been emitted yet."""
        return bool(self.turn["status"] == "queued")


def open_turn(conn: Connection, claim: Claim, known: int = 0, summarised: int = 0) -> Opening | None:
    """A claimed turn; None when its conversation is gone. Reads only.

    ``known``: up to which count of items its run knows the history; it is read from the beginning when what follows
    does not fit to that. ``summarised``: up to which position it knows a summary of it.
    """
    found = opened(conn, claim.task_id)
    if found is None:
        return None
    conversation_id, counted, until = found.turn["conversation_id"], found.counted, found.summarised
    agent = found.turn["agent"] or found.agent
    if _follows(found):
        before = turns.read(conn, found.turn["previous_id"])
        agent = agent if before is None else before["agent"] or agent
    page = items.after(conn, conversation_id, known)
    if known and (len(page.items) != min(items.PAGE, counted - known) or page.last not in (0, known + len(page.items))):
        known, page = 0, items.after(conn, conversation_id, 0)
    summary = None if known and until == summarised else summary_storage.read(conn, conversation_id, until)
    return _opening(found, agent, known, page, summary)


def opening_of(found: Opened, known: int, summarised: int) -> Opening | None:
    """A turn as its claim has brought it along; None when something more must be read, see `open_turn`."""
    if (found.counted, found.summarised) != (known, summarised) or _follows(found):
        return None
    return _opening(found, found.turn["agent"] or found.agent, known, items.NOTHING, None)


def _follows(found: Opened) -> bool:
    """Whether the response that it follows says which agent takes it."""
    return found.turn["started_by"] == "steer" and not found.turn["agent"] and bool(found.turn["previous_id"])


def _opening(found: Opened, agent: str, known: int, page: Page, summary: Summary | None) -> Opening:
    by_person = found.turn["started_by"] in ("create", "steer")
    entries, steered = _entries(found.waiting, found.turn["id"], held=by_person)
    return Opening(
        found.turn, str(agent), found.desk, entries, known, found.counted, page, found.summarised, summary, steered
    )


def half_said(conn: Connection, conversation_id: str, ids: Sequence[str]) -> dict[str, str]:
    """What messages that a crash left half said have said so far, as clients have seen it. Reads only."""
    return {one: said_in(events.deltas(conn, conversation_id, one)) for one in ids}


def waiting(
    conn: Connection, conversation_id: str, response_id: str, *, held: bool = False
) -> tuple[list[Entry], bool]:
    """What waits to enter with this response (its own inputs, notices, messages), and whether it is steered. Reads
    only.
    """
    return _entries(conn.all(inbox.WAITING, {"id": conversation_id}), response_id, held=held)


def _entries(found: Sequence[Row], response_id: str, *, held: bool) -> tuple[list[Entry], bool]:
    entries: list[Entry] = []
    steered = False
    for number, kind, of_response, target_id, payload in found:
        if of_response == response_id or (kind == HELD and held) or kind not in ("create", "steer", HELD):
            entries.append(Entry(int(number), str(kind), of_response, target_id, from_json(payload)))
        steered = steered or (kind == "steer" and target_id == response_id)
    return entries, steered
