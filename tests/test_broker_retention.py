"""How long the event log is kept, on both engines: by age, by size, and what is said of the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.agents.clearing import Clearing
from frontdesk.broker import events, queue, retention
from frontdesk.broker.database import Database
from frontdesk.broker.events import Event
from frontdesk.broker.retention import DAY, Keep, beginning, overdue, shorten_log
from frontdesk.broker.statements import Statement, p
from frontdesk.tests.store import Store

AGE: Statement = Statement(
    sa.update(retention.row)
    .where(retention.row.c.conversation_id == p("id"), retention.row.c.first <= p("until"))
    .values(created_at=p("at"))
)
MONTH = Keep(seconds=30 * DAY, events=0)


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def event(number: int, deltas_of: str | None = None) -> Event:
    return Event(f'{{"type":"e{number}"}}', deltas_of=deltas_of)


def logged(store: Store, *marks: str | None) -> str:
    """A conversation with one row of its log for each mark: None, or whose delta it is."""
    conversation = store.conversation()
    for number, mark in enumerate(marks, 1):
        store.do(events.append, conversation, [event(number, mark)])
    return conversation


def be_old(store: Store, conversation: str, until: int) -> None:
    """Events up to this cursor are two months old."""
    store.do(lambda conn: conn.run(AGE, {"id": conversation, "until": until, "at": conn.wall() - 60 * DAY}))


def kept(store: Store, conversation: str) -> list[int]:
    return [row.first for row in store.see(events.read_after, conversation, 0)]


def due(store: Store, keep: Keep) -> list[str]:
    found, after = store.see(overdue, keep, "")
    assert after == ""
    return found


def test_what_is_too_old_goes_and_the_log_says_from_where_it_is_whole(store: Store) -> None:
    conversation, other = logged(store, *[None] * 6), logged(store, None)
    be_old(store, conversation, 4)
    assert due(store, MONTH) == [conversation]
    assert store.do(shorten_log, conversation, MONTH) == 4
    assert kept(store, conversation) == [5, 6]
    assert [store.see(events.removed_until, one) for one in (conversation, other)] == [4, 0]
    assert due(store, MONTH) == []
    assert store.do(shorten_log, conversation, MONTH) == 0


def test_a_conversation_keeps_its_newest_events(store: Store) -> None:
    conversation, small = logged(store, *[None] * 9), logged(store, *[None] * 3)
    keep = Keep(seconds=0, events=3)
    assert due(store, keep) == [conversation]
    assert store.do(shorten_log, conversation, keep) == 6
    assert kept(store, conversation) == [7, 8, 9]
    assert kept(store, small) == [1, 2, 3]


def test_for_ever_is_for_ever(store: Store) -> None:
    conversation = logged(store, *[None] * 5)
    be_old(store, conversation, 5)
    keep = Keep(seconds=0, events=0)
    assert due(store, keep) == []
    assert store.do(shorten_log, conversation, keep) == 0


def test_the_last_event_stays_however_old_it_is_so_that_a_gap_can_be_told(store: Store) -> None:
    conversation = logged(store, *[None] * 5)
    be_old(store, conversation, 5)
    assert store.do(shorten_log, conversation, MONTH) == 4
    assert store.see(events.resume, conversation, 0)[0] == 4


def test_a_log_never_begins_with_deltas_whose_end_would_look_like_a_loss(store: Store) -> None:
    conversation = logged(store, None, None, "msg", "msg", "msg", None)
    be_old(store, conversation, 4)
    assert store.do(shorten_log, conversation, MONTH) == 1
    assert kept(store, conversation) == [2, 3, 4, 5, 6]
    store.do(events.drop_deltas, conversation, "msg")
    assert store.see(events.removed_until, conversation) == 1


def test_it_goes_in_small_commits(store: Store) -> None:
    conversation = logged(store, *[None] * 10)
    be_old(store, conversation, 10)
    removed = [store.do(shorten_log, conversation, MONTH, 4) for _ in range(5)]
    assert removed == [3, 3, 3, 0, 0]


def test_all_conversations_are_gone_round(store: Store) -> None:
    conversations = sorted(logged(store, None, None) for _ in range(7))
    for one in conversations:
        be_old(store, one, 1)
    found: list[str] = []
    place = ""
    while True:
        some, place = store.see(overdue, MONTH, place, 3)
        found += some
        if not place:
            break
    assert found == conversations


async def test_a_worker_clears_beside_its_work(store: Store) -> None:
    conversations = [logged(store, None, None, None) for _ in range(3)]
    for one in conversations:
        be_old(store, one, 2)
    clearing, draining = Clearing(store.database, MONTH), asyncio.Event()
    for _ in range(2):  # from somewhere to the end, and from the beginning
        await clearing.look(draining)
    assert [kept(store, one) for one in conversations] == [[3]] * 3


def test_progress_is_kept_once(store: Store) -> None:
    """Of a task that runs for days: what is said last says more than all before it."""
    conversation = store.conversation()
    claim = store.started(conversation)
    for number in range(5):
        store.do(queue.report, claim, progress=number / 5, message=f"at {number}", log_tail=[])
    told = [one["task"]["message"] for one in store.log(conversation) if one["type"] == "frontdesk:task.updated"]
    assert told[-1] == "at 4"
    assert [one for one in told if one] == ["at 4"]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.floats(0, 100), st.booleans()), max_size=20),
    st.integers(0, 30),
    st.floats(0, 100),
)
def test_what_goes_was_to_go_and_what_stays_begins_well(
    made: list[tuple[int, float, bool]], most: int, seconds: float
) -> None:
    rows: list[Any] = []
    first = 1
    for count, age, is_delta in made:
        rows.append((first, count, -age, "msg" if is_delta else None))
        first += count
    keep = Keep(seconds=seconds, events=most)
    found = beginning(rows, keep, now=0.0, last_cursor=first - 1)
    if found is None:
        return
    gone = [row for row in rows if row[0] < found]
    assert gone
    assert all(keep.is_over(row[2], row[0] + row[1] - 1, now=0.0, last_cursor=first - 1) for row in gone)
    assert next(row for row in rows if row[0] == found)[3] is None
