"""The hub's memory of a conversation's newest events: what it holds, and when it sends its reader to the database."""

from __future__ import annotations

import asyncio

from frontdesk.broker.wakeups import RING_ROWS, Events, Hub

X = "conv_x"


def row(first: int, count: int = 1) -> Events:
    return Events(X, first, count, "resp_1", "\n".join(f'{{"n":{first + number}}}' for number in range(count)))


async def test_nothing_is_remembered_of_what_nobody_listens_to() -> None:
    hub = Hub()
    hub.publish([row(1)])
    assert hub.recent(X, 0) is None


async def test_without_a_start_the_memory_begins_with_its_first_row() -> None:
    hub = Hub()
    listening = hub.listen("events", X, lambda: None)
    assert hub.recent(X, 0) is None
    hub.publish([row(4, 2), row(6)])
    assert hub.recent(X, 2) is None
    assert hub.recent(X, 3) == [row(4, 2), row(6)]
    assert hub.recent(X, 5) == [row(6)]
    assert hub.recent(X, 6) == []
    listening.stop()
    assert hub.recent(X, 6) is None


async def test_with_a_start_nothing_after_it_is_asked_of_the_database() -> None:
    hub = Hub()
    listening = hub.listen("events", X, lambda: None, start=3)
    assert hub.recent(X, 2) is None
    assert hub.recent(X, 3) == []
    hub.publish([row(4)])
    assert hub.recent(X, 3) == [row(4)]
    listening.stop()


async def test_what_was_committed_before_the_start_may_be_published_after_it() -> None:
    hub = Hub()
    listening = hub.listen("events", X, lambda: None, start=3)
    hub.publish([row(2, 2), row(4)])
    assert hub.recent(X, 3) == [row(4)]
    assert hub.recent(X, 1) == [row(2, 2), row(4)]
    listening.stop()


async def test_a_hole_behind_the_start_is_for_the_database() -> None:
    hub = Hub()
    listening = hub.listen("events", X, lambda: None, start=3)
    hub.publish([row(6)])
    assert hub.recent(X, 3) is None
    assert hub.recent(X, 5) == [row(6)]
    listening.stop()


async def test_the_memory_is_bounded() -> None:
    hub = Hub()
    listening = hub.listen("events", X, lambda: None, start=0)
    hub.publish([row(number) for number in range(1, RING_ROWS + 2)])
    assert hub.recent(X, 0) is None
    assert len(hub.recent(X, 1) or ()) == RING_ROWS
    listening.stop()


async def test_a_listener_that_another_thread_registers_is_called_in_the_loop_it_names() -> None:
    hub = Hub()
    loop, called = asyncio.get_running_loop(), asyncio.Event()
    listening = await asyncio.to_thread(lambda: hub.listen("events", X, called.set, loop=loop, start=0))
    await asyncio.to_thread(hub.publish, [row(1)])
    await asyncio.wait_for(called.wait(), 10)
    listening.stop()
