"""The event log on every engine, and the hub that wakes its readers: in order, without gaps, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from frontdesk.broker import events, wakeups
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.errors import ConversationNotFound
from frontdesk.broker.events import Event
from frontdesk.broker.wakeups import CancelAsked, Events, Hub, InputArrived, TasksReady
from frontdesk.tests.store import Store, at_once

PATIENCE = 10.0


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def event(number: int, response: str = "", deltas_of: str | None = None) -> Event:
    return Event(f'{{"type":"test","n":{number}}}', response, deltas_of)


def cursors(store: Store, conversation: str, after: int = 0) -> list[int]:
    rows = store.see(events.read_after, conversation, after)
    return [cursor for row in rows for cursor, _ in events.texts(row, after)]


# --- the log


def test_events_are_read_with_their_cursors_in_them(store: Store) -> None:
    conversation = store.conversation()
    assert store.see(events.last_cursor, conversation) == 0
    assert store.do(events.append, conversation, [event(1), event(2)]) == 2
    assert store.do(events.append, conversation, [event(3)]) == 3
    assert store.log(conversation) == [
        {"cursor": "1", "type": "test", "n": 1},
        {"cursor": "2", "type": "test", "n": 2},
        {"cursor": "3", "type": "test", "n": 3},
    ]
    assert store.see(events.last_cursor, conversation) == 3
    assert store.see(events.last_cursor, "conv_none") is None


def test_the_log_is_read_from_any_cursor_also_inside_a_row(store: Store) -> None:
    conversation = store.conversation()
    number = 0
    for size in (1, 5, 2, 7):
        store.do(events.append, conversation, [event(number + n) for n in range(size)])
        number += size
    for after in range(17):
        assert cursors(store, conversation, after) == list(range(after + 1, 16))


def test_what_is_committed_together_is_one_row_for_each_response(store: Store) -> None:
    conversation = store.conversation()
    store.do(
        events.append, conversation, [event(1, "a"), event(2, "a"), event(3), event(4, "b", "item"), event(5, "b")]
    )
    rows = store.see(events.read_after, conversation, 0)
    assert [(row.first, row.count, row.response_id) for row in rows] == [
        (1, 2, "a"),
        (3, 1, ""),
        (4, 1, "b"),
        (5, 1, "b"),
    ]


def test_a_long_log_is_read_piece_by_piece(store: Store) -> None:
    conversation = store.conversation()
    for number in range(25):
        store.do(events.append, conversation, [event(number), event(number)])
    after = 0
    pieces: list[int] = []
    while rows := store.see(events.read_after, conversation, after, 10):
        pieces.append(len(rows))
        after = rows[-1].first + rows[-1].count - 1
    assert pieces == [10, 10, 5]
    assert after == 50


def test_cursors_have_no_gaps_and_no_doubles_when_many_append_at_once(opened: Callable[..., Database]) -> None:
    stores = [Store(opened()) for _ in range(2)]
    conversation = stores[0].conversation()
    last = at_once(20, lambda n: stores[n % 2].do(events.append, conversation, [event(n)] * (1 + n % 3)))
    total = sum(1 + n % 3 for n in range(20))
    assert max(last) == total
    assert cursors(stores[0], conversation) == list(range(1, total + 1))


def test_a_reader_never_skips_an_event_that_is_committed_later(opened: Callable[..., Database]) -> None:
    """It reads on from the last cursor that it has seen while others append: it must see every one."""
    writers = [Store(opened()) for _ in range(2)]
    reader = Store(opened())
    conversation = reader.conversation()
    seen: list[int] = []

    def act(number: int) -> None:
        if number < 4:
            for n in range(15):
                writers[number % 2].do(events.append, conversation, [event(n)])
        else:
            while len(seen) < 60:
                seen.extend(cursors(reader, conversation, seen[-1] if seen else 0))

    at_once(5, act)
    assert seen == list(range(1, 61))


def test_deltas_go_with_the_commit_that_writes_what_they_add_up_to(store: Store) -> None:
    conversation = store.conversation()
    store.do(events.append, conversation, [event(1)])
    for number in (2, 3):
        store.do(events.append, conversation, [event(number, "r", "item"), event(number, "r", "item")])
    store.do(events.append, conversation, [event(4, "r", "other")])
    assert [from_json(text)["n"] for text in store.see(events.deltas, conversation, "item")] == [2, 2, 3, 3]

    def done(conn: Connection) -> None:
        events.drop_deltas(conn, conversation, "item")
        events.append(conn, conversation, [event(5, "r")])

    store.do(done)
    assert [one["n"] for one in store.log(conversation)] == [1, 4, 5]
    assert cursors(store, conversation) == [1, 6, 7]
    for after in range(1, 6):
        assert cursors(store, conversation, after) == [6, 7], "a cursor of a delta that is gone"
    assert store.see(events.deltas, conversation, "item") == []


def test_an_event_is_one_line_and_belongs_to_a_conversation(store: Store) -> None:
    conversation = store.conversation()
    with pytest.raises(ValueError, match="one line"):
        store.do(events.append, conversation, [Event('{\n"type":"test"}')])
    with pytest.raises(ConversationNotFound):
        store.do(events.append, "conv_none", [event(1)])
    assert store.see(events.last_cursor, conversation) == 0


def test_an_append_that_is_not_committed_leaves_no_gap(store: Store) -> None:
    conversation = store.conversation()

    def fails(conn: Connection) -> None:
        events.append(conn, conversation, [event(1)])
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.do(fails)
    assert store.do(events.append, conversation, [event(2)]) == 1


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5), st.integers(0, 6))
def test_any_text_survives_the_log(texts: list[str], after: int) -> None:
    bodies = [to_json({"type": "test", "text": text}).decode() for text in texts]
    row = Events("conv", 1, len(bodies), "", "\n".join(bodies))
    found = [(cursor, from_json(text)) for cursor, text in events.texts(row, after)]
    assert found == [
        (n, {"cursor": str(n), "type": "test", "text": text}) for n, text in enumerate(texts, 1) if n > after
    ]


# --- the hub


async def woken(event: asyncio.Event) -> None:
    with anyio.fail_after(PATIENCE):
        await event.wait()
    event.clear()


async def turn_over() -> None:
    """Lets calls that threads have put into the loop happen."""
    for _ in range(3):
        await asyncio.sleep(0)


def row(first: int, count: int = 1, conversation: str = "c", body: str = "{}") -> Events:
    return Events(conversation, first, count, "", body)


async def test_a_listener_is_woken_for_what_it_listens_to_and_nothing_else() -> None:
    hub = Hub()
    heard: list[str] = []
    kinds = {"events": "c", "input": "c", "ready": "task", "cancel": "t"}
    listening = [hub.listen(kind, name, partial(heard.append, kind)) for kind, name in kinds.items()]
    for hint, kind in (
        (row(1), "events"),
        (InputArrived("c"), "input"),
        (TasksReady("task"), "ready"),
        (CancelAsked("t"), "cancel"),
    ):
        hub.publish([hint])
        await turn_over()
        assert heard == [kind]
        heard.clear()
    hub.publish([row(1, conversation="d"), InputArrived("d"), TasksReady("turn"), CancelAsked("u")])
    await turn_over()
    assert heard == []
    hub.publish_everything()
    await turn_over()
    assert sorted(heard) == sorted(kinds)
    for one in listening:
        one.stop()
        one.stop()
    hub.publish_everything()
    await turn_over()
    assert len(heard) == len(kinds)


async def test_a_burst_wakes_a_listener_once() -> None:
    hub = Hub()
    heard: list[int] = []
    listening = hub.listen("events", "c", lambda: heard.append(1))
    hub.publish([row(n) for n in range(1, 100)])
    await turn_over()
    assert heard == [1]
    listening.stop()


async def test_recent_events_are_in_memory_while_somebody_listens() -> None:
    hub = Hub()
    hub.publish([row(1)])
    assert hub.recent("c", 0) is None, "nobody listened"
    listening = hub.listen("events", "c", lambda: None)
    assert hub.recent("c", 1) is None, "what came before is not known"
    hub.publish([row(2, 3), row(5)])
    assert hub.recent("c", 0) is None
    assert hub.recent("c", 1) == [row(2, 3), row(5)]
    assert hub.recent("c", 3) == [row(2, 3), row(5)], "inside a row"
    assert hub.recent("c", 4) == [row(5)]
    assert hub.recent("c", 5) == []
    listening.stop()
    assert hub.recent("c", 5) is None


async def test_memory_is_bounded_by_rows_and_by_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "RING_ROWS", 10)
    monkeypatch.setattr(wakeups, "RING_CHARACTERS", 100)
    hub = Hub()
    listening = hub.listen("events", "c", lambda: None)
    hub.publish([row(n) for n in range(1, 31)])
    assert hub.recent("c", 19) is None
    assert hub.recent("c", 20) == [row(n) for n in range(21, 31)]
    large = row(31, body="x" * 500)
    hub.publish([large])
    assert hub.recent("c", 29) is None
    assert hub.recent("c", 30) == [large], "the newest is always kept"
    hub.publish([row(32)])
    assert hub.recent("c", 30) is None
    assert hub.recent("c", 31) == [row(32)]
    listening.stop()


@pytest.mark.parametrize("heard", [True, False], ids=["told", "not told"])
async def test_events_of_another_process_leave_no_hole(heard: bool) -> None:
    """Events 2 to 4 were written elsewhere: who is at 1 must read the database, told of them or not."""
    hub = Hub()
    listening = hub.listen("events", "c", lambda: None)
    hub.publish([row(1)])
    if heard:
        hub.publish_keys([("events", "c")])
        assert hub.recent("c", 1) is None
    hub.publish([row(5)])
    assert hub.recent("c", 1) is None
    assert hub.recent("c", 4) == [row(5)]
    listening.stop()


async def test_listeners_of_a_loop_that_has_ended_are_dropped() -> None:
    hub = Hub()
    news = asyncio.Event()
    here = hub.listen("ready", "task", news.set)

    async def listen() -> None:
        hub.listen("ready", "task", lambda: None)
        hub.listen("events", "c", lambda: None)

    await asyncio.to_thread(asyncio.run, listen())
    for _ in range(2):
        hub.publish([TasksReady("task"), row(1)])
        await woken(news)
    assert hub.recent("c", 0) is None
    here.stop()


async def test_a_listener_that_raises_does_not_keep_others_asleep(caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub()
    news = asyncio.Event()

    def fails() -> None:
        raise ValueError("no")

    listening = [hub.listen("ready", "task", fails), hub.listen("ready", "task", news.set)]
    hub.publish([TasksReady("task")])
    await woken(news)
    assert "a listener to ('ready', 'task') failed" in caplog.text
    for one in listening:
        one.stop()


async def test_threads_publish_while_listeners_come_and_go() -> None:
    hub = Hub()
    stop = asyncio.Event()
    heard: list[int] = []

    def publish(number: int) -> None:
        for n in range(300):
            hub.publish([row(n, conversation=str(number)), TasksReady("task")])

    async def come_and_go() -> None:
        while not stop.is_set():
            found = [hub.listen("events", str(n), lambda: heard.append(1)) for n in range(4)]
            found.append(hub.listen("ready", "task", lambda: heard.append(1)))
            await asyncio.sleep(0)
            for one in found:
                one.stop()

    async with anyio.create_task_group() as group:
        group.start_soon(come_and_go)
        await asyncio.to_thread(at_once, 4, publish)
        stop.set()
    assert hub._listeners == {}  # pyright: ignore[reportPrivateUsage]
    assert hub._rings == {}  # pyright: ignore[reportPrivateUsage]


async def test_a_reader_of_ring_and_log_misses_nothing_and_repeats_nothing(database: Database) -> None:
    """What the server does: memory where it reaches, else the database, always from the last cursor."""
    conversation = Store(database).conversation()
    seen: list[int] = []
    news = asyncio.Event()
    listening = database.hub.listen("events", conversation, news.set)

    async def read() -> None:
        while len(seen) < 300:
            after = seen[-1] if seen else 0
            rows: Any = database.hub.recent(conversation, after)
            if rows is None:
                rows = await database.read(events.read_after, conversation, after, 7)
                if rows:
                    news.set()
            for one in rows:
                seen.extend(cursor for cursor, _ in events.texts(one, after))
            if len(seen) < 300:
                await news.wait()
                news.clear()

    async def append() -> None:
        for number in range(100):
            await database.write(events.append, conversation, [event(number)] * 3)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(append)
            group.start_soon(read)
    assert seen == list(range(1, 301))
    listening.stop()
