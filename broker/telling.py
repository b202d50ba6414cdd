"""Telling of many tasks at once: their events and notices, counted in their conversations, in a few statements.

What one task tells is in `rows.tell` and `notices`; this writes the same rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..tasks.states import Status
from . import events, notices, turns, views
from .bulk import Bulk, ids, insert_all
from .connection import Answer, Connection
from .rows import Claim
from .tables import InboxEntry, LogRow
from .views import TaskRow
from .wakeups import Events, InputArrived

LOCK_CONVERSATIONS: Final = Bulk(
    """SELECT id, last_cursor, last_label, last_input FROM frontdesk_conversation
    WHERE id IN (SELECT given.id FROM {given}) ORDER BY id {in_order} {lock}""",
    {"id": "text"},
)
THERE: Final = Bulk("SELECT id FROM frontdesk_conversation WHERE id IN (SELECT given.id FROM {given})", {"id": "text"})
COUNT_ON: Final = Bulk(
    """UPDATE frontdesk_conversation SET last_cursor = last_cursor + given.events,
    last_label = last_label + given.labels, last_input = last_input + given.inputs
    FROM {given} WHERE frontdesk_conversation.id = given.id
    RETURNING frontdesk_conversation.id, last_cursor, last_label, last_input""",
    {"id": "text", "events": "bigint", "labels": "bigint", "inputs": "bigint"},
)
LIVE_TURNS: Final = Bulk(
    """SELECT conversation_id, status FROM frontdesk_task WHERE kind = 'turn' AND finished_at IS NULL
    AND conversation_id IN (SELECT given.id FROM {given}) {nowait}""",
    {"id": "text"},
)
INSERT_EVENTS: Final = insert_all(LogRow, events.COLUMNS)
INSERT_NOTICES: Final = insert_all(InboxEntry, notices.COLUMNS)


@dataclass(slots=True)
class Counter:
    """The numbers that one conversation has just given out; ``take`` hands them out in order."""

    cursor: int
    label: int
    number: int


def lock_conversations(conn: Connection, found: Collection[str | None]) -> Callable[[], None]:
    """Locks conversations, in the order of their ids, before whatever is asked next. What is returned waits for them,
    and notes how far they have counted."""
    if conn.dialect == "sqlite":
        return _nothing
    wanted = [one for one in found if one is not None]
    answer = conn.ask_bulk(LOCK_CONVERSATIONS, ids(wanted))

    def locked() -> None:
        conn.holds.update(dict.fromkeys(wanted))
        for row in answer.rows():
            conn.hold(str(row[0]), row[1:])

    return locked


def _nothing() -> None:
    """Nothing is locked where the writer's transaction is the only one."""


def those_gone(conn: Connection, found: Collection[str]) -> set[str]:
    """Which of these conversations there are no more: they are in nobody's way, and none of the others is locked."""
    return set(found) - {str(row[0]) for row in conn.bulk(THERE, ids(list(found)))}


def count_each(conn: Connection, wanted: Sequence[tuple[str, int, int, int]]) -> Callable[[], dict[str, Counter]]:
    """Counts conversations on by so many events, labels and inputs each, given more than once if need be, and locks
    them. What is returned waits for their numbers, unless the transaction knows them; what was given out begins after
    them. Those that are gone are missing.
    """
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for conversation_id, *numbers in wanted:
        found = sums[conversation_id]
        for place, number in enumerate(numbers):
            found[place] += number
    given = [{"id": one, "events": new[0], "labels": new[1], "inputs": new[2]} for one, new in sums.items()]
    answer = conn.ask_bulk(COUNT_ON, given)

    def counted() -> dict[str, Counter]:
        found: dict[str, Counter] = {}
        for conversation_id, cursor, label, number in answer.rows():
            new = sums[conversation_id]
            found[conversation_id] = Counter(cursor - new[0], label - new[1], number - new[2])
            if conversation_id in conn.holds:
                conn.holds[conversation_id] = cursor, label, number
        return found

    def known() -> dict[str, Counter]:
        found: dict[str, Counter] = {}
        for conversation_id, new in sums.items():
            if (before := conn.holds[conversation_id]) is not None:
                found[conversation_id] = Counter(*before)
                conn.holds[conversation_id] = before[0] + new[0], before[1] + new[1], before[2] + new[2]
        return found

    if sums.keys() <= conn.holds.keys():
        at_once = known()
        return lambda: at_once

    return counted


def insert_events(conn: Connection, told: Sequence[tuple[str, int, events.Event]]) -> None:
    """Writes one event for each (conversation, cursor, event), whose cursors the caller has just counted."""
    now = conn.wall()
    found = [
        Events(conversation_id, cursor, 1, event.response_id, event.text) for conversation_id, cursor, event in told
    ]
    given = [events.row_of(row, None, now) for row in found]
    conn.insert_each(events.INSERT, INSERT_EVENTS, given)
    for row in found:
        conn.publish(row)


def tell_each(conn: Connection, found: Sequence[TaskRow], what: str) -> None:
    """As `rows.tell` for each of these tasks."""
    owned = [row for row in found if row["conversation_id"] is not None and row["kind"] != "turn"]
    counting = count_each(conn, [(row["conversation_id"], 1, 0, 0) for row in owned])
    made = [views.told(row, what, views.view_text(row)) for row in owned]
    counted = counting()
    told: list[tuple[str, int, events.Event]] = []
    for row, event in zip(owned, made, strict=True):
        counter = counted.get(row["conversation_id"])
        if counter is not None:
            counter.cursor += 1
            told.append((row["conversation_id"], counter.cursor, event))
    insert_events(conn, told)


def ask_live_turns(conn: Connection, claims: Sequence[Claim]) -> Answer:
    """Asks for the live turns of the conversations that will have a notice when these runs end. Lock them first."""
    noticed = {one.conversation_id for one in claims if one.conversation_id and one.announce in notices.KINDS}
    return conn.ask_bulk(LIVE_TURNS, ids(list(noticed)))


def finished_each(conn: Connection, found: Sequence[TaskRow], living: Answer) -> None:
    """As `notices.finished` for each of these tasks; ``living``: `ask_live_turns`."""
    owned = [row for row in found if row["conversation_id"] is not None]
    kinds = [notices.KINDS.get(row["announce"]) for row in owned]
    counting = count_each(
        conn,
        [(row["conversation_id"], 1, 0, int(kind is not None)) for row, kind in zip(owned, kinds, strict=True)],
    )
    noticed = {row["conversation_id"] for row, kind in zip(owned, kinds, strict=True) if kind is not None}
    shown = [views.view_text(row) for row in owned]
    counted = counting()
    told: list[tuple[str, int, events.Event]] = []
    put: list[TaskRow] = []
    for row, kind, view in zip(owned, kinds, shown, strict=True):
        conversation_id = row["conversation_id"]
        counter = counted.get(conversation_id)
        if counter is None:
            continue
        counter.cursor += 1
        told.append((conversation_id, counter.cursor, views.told(row, "finished", view)))
        if kind is not None:
            counter.number += 1
            put.append(notices.row_of(conn, conversation_id, counter.number, row["id"], f'{{"task":{view}}}', kind))
    insert_events(conn, told)
    conn.insert_each(notices.INSERT, INSERT_NOTICES, put)
    _advance_each(conn, noticed & counted.keys(), {str(row[0]): row[1] for row in living.rows()})


def _advance_each(conn: Connection, conversations: Collection[str], live: Mapping[str, str]) -> None:
    """As `turns.advance` for each: those whose turn is under way (``live``: its status) are only told that there is
    something new."""
    for one in sorted(conversations):
        if one in live and live[one] != Status.WAITING:
            conn.publish(InputArrived(one))
        else:
            turns.advance(conn, one, idle=one not in live)
