"""A mailbox and a gate do what asyncio's Queue and Event would, for a connection's one reader."""

from __future__ import annotations

import asyncio

import pytest

from frontdesk.server.mailbox import Gate, Mailbox


async def test_things_come_out_in_the_order_in_which_they_went_in() -> None:
    box = Mailbox[int](asyncio.get_running_loop())
    assert box.empty()
    for number in range(3):
        box.put_nowait(number)
    assert not box.empty()
    assert [await box.get() for _ in range(3)] == [0, 1, 2]
    assert box.empty()


async def test_a_reader_that_waits_gets_what_comes() -> None:
    box = Mailbox[str](asyncio.get_running_loop())
    reader = asyncio.create_task(box.get())
    await asyncio.sleep(0)
    box.put_nowait("a")
    box.put_nowait("b")
    assert (await reader, await box.get()) == ("a", "b")


async def test_a_reader_that_is_cancelled_has_taken_nothing() -> None:
    box = Mailbox[str](asyncio.get_running_loop())
    reader = asyncio.create_task(box.get())
    await asyncio.sleep(0)
    box.put_nowait("a")  # it has been woken, and does not come to take it
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await box.get() == "a"


async def test_who_comes_after_one_that_is_cancelled_waits_like_the_first() -> None:
    box = Mailbox[str](asyncio.get_running_loop())
    first = asyncio.create_task(box.get())
    await asyncio.sleep(0)
    first.cancel()
    asyncio.get_running_loop().call_later(0.01, box.put_nowait, "a")
    assert await box.get() == "a"  # begins to wait before the first has ended
    assert first.cancelled()


async def test_what_a_cancelled_reader_was_woken_for_goes_to_the_next() -> None:
    box = Mailbox[str](asyncio.get_running_loop())
    first, second = (asyncio.create_task(box.get()) for _ in range(2))
    await asyncio.sleep(0)
    box.put_nowait("a")
    first.cancel()
    assert await second == "a"


async def test_each_reader_gets_one() -> None:
    box = Mailbox[int](asyncio.get_running_loop())
    readers = [asyncio.create_task(box.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for number in range(3):
        box.put_nowait(number)
    assert await asyncio.gather(*readers) == [0, 1, 2]
    assert box.empty()


async def test_an_open_gate_holds_nobody() -> None:
    gate = Gate()
    assert gate.is_set()
    await gate.wait()


async def test_all_who_wait_go_on_when_it_has_been_opened_even_if_it_is_closed_again() -> None:
    gate = Gate()
    gate.clear()
    waiting = [asyncio.create_task(gate.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(one.done() for one in waiting)
    gate.set()
    gate.clear()
    late = asyncio.create_task(gate.wait())
    await asyncio.gather(*waiting)
    assert not late.done()
    assert not gate.is_set()
    gate.set()
    await late
