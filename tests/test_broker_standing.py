"""Claims in the very commit that makes a task ready, and what a commit tells the event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from frontdesk.broker import posts, queue, rows
from frontdesk.broker.claims import Claims
from frontdesk.broker.clock import Owner
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.rows import Claim, TaskRow
from frontdesk.broker.slots import Slots
from frontdesk.tasks.request import TaskRequest


def stand(database: Database, limit: int = 1) -> asyncio.Future[list[Claim]]:
    return database.take_when_ready("task", queue.release, queue.claim, "task", ["count"], "test", 30.0, limit)


def filed(conn: Connection) -> TaskRow:
    return queue.enqueue(conn, TaskRequest(name="count"))


@pytest.fixture
def database(tmp_path: Path) -> Any:
    found = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    yield found
    found.close()


async def test_what_a_commit_makes_ready_is_claimed_in_it(database: Database) -> None:
    standing = stand(database)
    row = await database.write(filed)
    assert standing.done(), "both callers are told by one post"
    (claim,) = standing.result()
    assert (claim.task_id, claim.epoch) == (row["id"], 1)
    after = await database.read(rows.read, row["id"])
    assert after is not None
    assert after["status"] == "running"


async def test_a_claim_that_nobody_waits_for_any_more_is_not_made(database: Database) -> None:
    standing = stand(database)
    standing.cancel()
    row = await database.write(filed)
    after = await database.read(rows.read, row["id"])
    assert after is not None
    assert (after["status"], after["epoch"]) == ("queued", 0)


async def test_a_claim_is_made_once_and_only_for_what_was_committed(database: Database) -> None:
    standing = stand(database)

    def raising(conn: Connection) -> None:
        filed(conn)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.write(raising)
    assert not standing.done()
    first = await database.write(filed)
    second = await database.write(filed)
    assert [claim.task_id for claim in await standing] == [first["id"]]
    after = await database.read(rows.read, second["id"])
    assert after is not None
    assert after["status"] == "queued"


async def test_a_claim_in_whose_place_another_stands_can_be_withdrawn(database: Database) -> None:
    first, second = stand(database), stand(database)
    row = await database.write(filed)
    assert [claim.task_id for claim in await second] == [row["id"]]
    assert not first.done()
    assert not database.withdraw("task", second), "it has its claim"
    assert database.withdraw("task", first), "it would be waited for for ever"
    first.cancel()


async def test_a_claim_that_came_with_its_commit_is_not_followed_by_another_look(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    stands = asyncio.Event()
    take, take_when_ready = database.take, database.take_when_ready

    async def noted(*args: Any) -> Any:
        looks.append(args[1].__name__)
        return await take(*args)

    def standing(*args: Any) -> Any:
        found = take_when_ready(*args)
        stands.set()
        return found

    monkeypatch.setattr(database, "take", noted)
    monkeypatch.setattr(database, "take_when_ready", standing)
    handler: Any = None
    slots = Slots("task", 4, {"count": handler})
    received: asyncio.Queue[str] = asyncio.Queue()

    async def receive() -> None:
        async for claim in Claims(database, Owner.here(), lease=30.0, poll=60.0).of(slots, until=asyncio.Event()):
            received.put_nowait(claim.task_id)

    receiving = asyncio.create_task(receive())
    for _ in range(3):
        with anyio.fail_after(30):
            await stands.wait()
            stands.clear()
            row = await database.write(filed)
            assert await received.get() == row["id"]
    with anyio.fail_after(30):
        await stands.wait()
    assert looks == ["claim"], "it looked when it began, and then waited"
    receiving.cancel()


async def test_what_a_transaction_posts_wakes_a_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    woken: list[Callable[[], None]] = []
    said: list[str] = []

    def note(function: Callable[..., None], *args: Any) -> None:
        woken.append(partial(function, *args))

    monkeypatch.setattr(loop, "call_soon_threadsafe", note)
    with posts.gathered():
        for word in ("one", "two"):
            posts.post(loop, partial(said.append, word), partial(said.append, "gone"))
        assert woken == []
    (wake,) = woken
    wake()
    assert said == ["one", "two"]


def test_a_post_to_a_loop_that_has_ended_says_so_to_its_sender() -> None:
    loop, said = asyncio.new_event_loop(), list[str]()
    loop.close()
    posts.post(loop, lambda: said.append("done"), lambda: said.append("gone"))
    with posts.gathered():
        posts.post(loop, lambda: said.append("done"), lambda: said.append("gone again"))
    assert said == ["gone", "gone again"]


async def test_slots_count_what_they_have_heard() -> None:
    slots = Slots("task", 1, {})
    slots.wake()
    slots.wake()
    assert slots.woken == 2
    assert slots.news.is_set()
    assert slots.free == 1
