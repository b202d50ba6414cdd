"""The hub's memory of a conversation's newest events: what it holds, and when it sends its reader to the database."""

from __future__ import annotations

import asyncio

import pytest

from frontdesk.broker import wakeups
from frontdesk.broker.wakeups import RING_ROWS, CancelAsked, Events, Hint, Hub, InputArrived, TasksReady, TurnOpened

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


@pytest.mark.parametrize(
    ("hints", "holds"),
    [
        ([], False),
        ([TurnOpened(X)], True),
        ([InputArrived(X), TurnOpened(X)], True),
        ([TurnOpened(X), InputArrived(X)], False),
        ([TurnOpened(X), InputArrived("conv_y"), TasksReady("turn"), row(1)], True),
        ([TurnOpened(X), CancelAsked("task_1")], False),
    ],
)
async def test_a_turn_that_was_read_holds_until_something_is_heard_of_it(hints: list[Hint], holds: bool) -> None:
    hub = Hub()
    hub.publish(hints)
    assert [hub.still_holds(X), hub.still_holds(X)] == [holds, False], "it is asked once"


async def test_what_another_process_has_written_may_concern_any_turn_that_was_read() -> None:
    hub = Hub()
    hub.publish([TurnOpened(X)])
    hub.publish_everything()
    assert not hub.still_holds(X)


async def test_turns_that_never_begin_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "MOST_OPENED", 2)
    hub = Hub()
    hub.publish([TurnOpened("conv_1"), TurnOpened("conv_2"), TurnOpened("conv_3")])
    assert [hub.still_holds(f"conv_{number}") for number in (1, 2, 3)] == [False, False, True]
