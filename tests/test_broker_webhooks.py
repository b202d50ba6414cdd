"""Webhooks, from a task's end to a receiver on a real port: signed, tried again, never in the way of the worker, and
sent again when a worker was killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
import sqlalchemy as sa
from starlette.responses import Response

from frontdesk.broker import deliveries
from frontdesk.broker.database import Database
from frontdesk.broker.queue import Origin, enqueue
from frontdesk.broker.signatures import WRONG, Signer
from frontdesk.broker.statements import Statement, p
from frontdesk.broker.webhooks import Sender
from frontdesk.tasks.errors import InvalidOption
from frontdesk.tasks.registry import task
from frontdesk.tests import forked
from frontdesk.tests.fakes.hook_worker import quick
from frontdesk.tests.fakes.receiver import SECRET, receiving
from frontdesk.tests.invariants import broken
from frontdesk.tests.processes import open_files
from frontdesk.tests.store import Store
from frontdesk.tests.works import PATIENCE, POLL, Works, until

OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BE_DUE: Statement = Statement(
    sa.update(deliveries.delivery).where(deliveries.IS_PENDING).values(next_at=p("at")),
)


@task
def fails() -> None:
    """Raises."""
    raise ValueError("on purpose")


@pytest.fixture
def desk(opened: Callable[..., Database]) -> Iterator[Works]:
    found = Works(opened())
    yield found
    for one in found.workers:
        one.stop_blocking(0.0)
    assert broken(found.store) == []


def work(desk: Works, secret: str = SECRET, **options: Any) -> Any:
    given: dict[str, Any] = {"poll": POLL, "timeout": PATIENCE, "lease": 1e6, **options}
    sender = Sender(desk.database, secret, **given)
    return desk.work(quick, fails, webhooks=sender)


def told(desk: Works, task_id: str) -> dict[str, Any]:
    (one,) = desk.store.see(deliveries.of_task, task_id)
    return one


async def settled(desk: Works, task_id: str, status: str = "delivered") -> dict[str, Any]:
    await desk.ended(task_id)
    await until(lambda: told(desk, task_id)["status"] == status)
    return told(desk, task_id)


async def tried(desk: Works, task_id: str, attempts: int = 1) -> dict[str, Any]:
    """The delivery of a task that ends, when so many attempts have been written down."""
    await desk.ended(task_id)
    await until(
        lambda: bool((one := told(desk, task_id))["attempts"] >= attempts and (one["last_error"] or one["last_status"]))
    )
    return told(desk, task_id)


def be_due(desk: Works) -> None:
    """The pauses are over."""
    desk.store.do(lambda conn: conn.run(BE_DUE, {"at": conn.now() - 1}))


# --- what a receiver gets


async def test_a_receiver_is_told_how_a_task_ended_with_a_signature_that_the_library_accepts(desk: Works) -> None:
    async with receiving() as receiver:
        work(desk)
        good, bad = desk.file(quick, webhook=receiver.url), desk.file(fails, webhook=receiver.url)
        await receiver.has(2)
        found = {one.body["data"]["id"]: one for one in receiver.came}
        one = found[good]
        assert (one.body["type"], one.body["data"]["status"]) == ("task.finished", "succeeded")
        assert one.body["data"]["result"] == "done"
        assert found[bad].body["data"]["status"] == "failed"
        assert "on purpose" in found[bad].body["data"]["error"]
        assert one.headers["content-type"] == "application/json"
        delivery = await settled(desk, good)
        assert (delivery["id"], delivery["last_status"], delivery["attempts"]) == (one.id, 204, 1)


async def test_a_body_of_any_language_is_signed_as_it_is_sent(desk: Works) -> None:
    async with receiving() as receiver:
        work(desk)
        desk.file(quick, webhook=receiver.url, title="보고서 — “ready” 🎉")
        await receiver.has(1)
        assert receiver.came[0].body["data"]["title"] == "보고서 — “ready” 🎉"


async def test_while_a_secret_is_changed_receivers_of_both_accept(desk: Works) -> None:
    async with receiving() as old, receiving() as new:
        new.secret = OTHER
        work(desk, f"{SECRET} {OTHER}")
        desk.file(quick, webhook=old.url)
        desk.file(quick, webhook=new.url)
        await old.has(1)
        await new.has(1)


async def test_a_receiver_that_refuses_the_signature_is_tried_again_later(desk: Works) -> None:
    async with receiving() as receiver:
        work(desk, OTHER)
        found = await tried(desk, desk.file(quick, webhook=receiver.url))
        assert (found["status"], found["last_status"]) == ("pending", 400)
        assert receiver.came == []


# --- receivers in trouble


async def test_one_in_trouble_is_told_again_with_the_same_id(desk: Works) -> None:
    sorry = Response("the database\nis away", 503)
    async with receiving(lambda number: sorry if number == 1 else Response()) as receiver:
        work(desk)
        task_id = desk.file(quick, webhook=receiver.url)
        found = await tried(desk, task_id)
        assert (found["status"], found["last_error"]) == ("pending", "answered 503: the database is away")
        assert 0 < found["next_in_seconds"] <= 5
        be_due(desk)
        assert (await settled(desk, task_id))["attempts"] == 2
        assert len(receiver.ids) == 2
        assert len(set(receiver.ids)) == 1


async def test_one_that_asks_for_a_pause_gets_it(desk: Works) -> None:
    async with receiving(lambda number: Response(status_code=429, headers={"Retry-After": "600"})) as receiver:
        work(desk)
        task_id = desk.file(quick, webhook=receiver.url)
        assert 500 < (await tried(desk, task_id))["next_in_seconds"] <= 600


async def test_one_that_is_gone_is_told_nothing_more(desk: Works) -> None:
    async with receiving(lambda number: Response(status_code=410)) as receiver:
        work(desk)
        found = await settled(desk, desk.file(quick, webhook=receiver.url), "failed")
        assert (found["attempts"], found["last_status"]) == (1, 410)
        assert found["finished_at"] is not None


async def test_a_redirect_is_not_followed(desk: Works) -> None:
    async with receiving() as other:
        to = {"Location": other.url}
        async with receiving(lambda number: Response(status_code=307, headers=to)) as receiver:
            work(desk)
            task_id = desk.file(quick, webhook=receiver.url)
            assert "redirects are not followed" in (await tried(desk, task_id))["last_error"]
            assert (len(receiver.came), other.came) == (1, [])


async def test_of_a_long_answer_only_the_beginning_is_read(desk: Works) -> None:
    async with receiving(lambda number: Response("x" * 50_000_000, 500)) as receiver:
        work(desk)
        task_id = desk.file(quick, webhook=receiver.url)
        found = await tried(desk, task_id)
        assert found["last_error"] == "answered 500: " + "x" * 286


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/hook", "http://no-such-host.invalid/hook", "https://[::1]:1/"])
async def test_nobody_who_answers_is_tried_again(desk: Works, address: str) -> None:
    work(desk)
    task_id = desk.file(quick, webhook=address)
    found = await tried(desk, task_id)
    assert (found["status"], found["last_status"]) == ("pending", None)
    assert found["last_error"].startswith("no connection: ")


async def test_one_that_hangs_is_left_after_the_timeout(desk: Works) -> None:
    async with receiving(lambda number: None) as receiver:
        work(desk, timeout=0.2)
        task_id = desk.file(quick, webhook=receiver.url)
        assert (await tried(desk, task_id))["last_error"] == "no answer within 0.2 seconds"
        await until(lambda: receiver.open == 0)


async def test_those_that_hang_hold_so_many_sends_and_nothing_else(desk: Works) -> None:
    async with receiving(lambda number: None) as slow, receiving() as fast:
        worker = work(desk, sends=3)
        ids = [desk.file(quick, webhook=slow.url) for _ in range(8)]
        await slow.has(3)
        for one in ids:
            await desk.ended(one)
        assert (await desk.run(quick))["status"] == "succeeded", "the worker goes on"
        assert (slow.open, slow.most, len(slow.came)) == (3, 3, 3)
        await worker.stop(0.0)
        assert [told(desk, one)["status"] for one in ids] == ["pending"] * 8
        assert desk.store.see(deliveries.is_due), "what was cut off is due at once, for another worker"
        slow.answer = lambda number: Response()
        work(desk, sends=3)
        for one in ids:
            await settled(desk, one)
        assert slow.most == 3
        assert fast.came == []
        assert len(set(slow.ids)) == 8


async def test_a_worker_that_drains_lets_a_send_end(desk: Works) -> None:
    gate = asyncio.Event()
    async with receiving(gate=gate) as receiver:
        worker = work(desk)
        task_id = desk.file(quick, webhook=receiver.url)
        await receiver.has(1)
        await desk.ended(task_id)
        stopping = asyncio.create_task(worker.stop(PATIENCE))
        await asyncio.sleep(0)
        assert not stopping.done()
        gate.set()
        with anyio.fail_after(PATIENCE):
            await stopping
        assert told(desk, task_id)["status"] == "delivered"
        assert len(receiver.came) == 1


async def test_nothing_is_left_open(opened: Callable[..., Database]) -> None:
    opened().close()  # what the first one leaves open for all others
    before = open_files()
    async with receiving() as receiver:
        desk = Works(opened())
        worker = work(desk)
        for _ in range(3):
            await settled(desk, desk.file(quick, webhook=receiver.url))
        await worker.stop(PATIENCE)
        desk.database.close()
    await until(lambda: len(open_files()) <= len(before))


# --- secrets


async def test_without_a_secret_nothing_is_sent_and_the_record_says_what_to_do(desk: Works) -> None:
    async with receiving() as receiver:
        work(desk, "")
        found = await settled(desk, desk.file(quick, webhook=receiver.url), "failed")
        assert "set FRONTDESK_WEBHOOK_SECRET" in found["last_error"]
        assert (receiver.came, receiver.refused) == ([], [])


NO_SECRETS = ["x", "whsec_!!!!", "whsec_c2hvcnQ=", "whsec_" + "a" * 100, SECRET.removeprefix("whsec_"), f"{SECRET} x"]


@pytest.mark.parametrize("secret", NO_SECRETS)
def test_what_is_no_secret_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        Signer(secret)
    assert str(raised.value) == WRONG


# --- several workers, and workers that are killed


async def test_several_workers_tell_each_end_once(opened: Callable[..., Database]) -> None:
    fleet = [Works(opened()) for _ in range(3)]
    async with receiving() as receiver:
        for one in fleet:
            work(one)
        ids = [one.file(quick, webhook=receiver.url) for _ in range(10) for one in fleet]
        for task_id in ids:
            await until(lambda task_id=task_id: fleet[0].store.status(task_id) == "succeeded")  # type: ignore[misc]
        await receiver.has(30)
        await until(lambda: all(told(fleet[0], one)["status"] == "delivered" for one in ids))
        assert sorted(one.body["data"]["id"] for one in receiver.came) == sorted(ids)
        assert len(set(receiver.ids)) == 30
        for one in fleet:
            await asyncio.to_thread(one.workers[0].stop_blocking, PATIENCE)


def start(url: str, failpoint: str) -> forked.Popen:
    command = [sys.executable, "-m", "frontdesk.tests.fakes.hook_worker", url, failpoint]
    return forked.Popen(command, stdin=subprocess.PIPE)


async def ended(process: forked.Popen) -> int:
    return await asyncio.to_thread(process.wait, 60)


async def goes_on(url: str, store: Store, task_id: str) -> None:
    """Another worker ends what is left."""
    process = start(url, "")
    try:
        with anyio.fail_after(60):
            while not [one for one in store.see(deliveries.of_task, task_id) if one["status"] == "delivered"]:  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(POLL)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert await ended(process) == 0


@pytest.mark.parametrize(
    ("failpoint", "times"),
    [
        ("before:finish", 1),
        ("after:finish", 1),
        ("before:claim_deliveries", 1),
        ("after:claim_deliveries", 1),
        ("before:settle_delivery", 2),
        ("after:settle_delivery", 1),
    ],
)
async def test_killed_at_a_commit_an_end_is_told_all_the_same(
    opened: Callable[..., Database], url: str, failpoint: str, times: int
) -> None:
    store = Store(opened())
    async with receiving() as receiver:
        process = start(url, failpoint)
        row = store.do(enqueue, quick.request({}, webhook=receiver.url), Origin())
        assert await ended(process) == -signal.SIGKILL
        assert process.stdin is not None
        process.stdin.close()
        await goes_on(url, store, row["id"])
        assert len(receiver.came) == times
        assert len(set(receiver.ids)) == 1, "by its id, a receiver knows a repeat"
        assert store.status(row) == "succeeded"


async def test_a_worker_killed_while_it_sends_leaves_the_rest_to_another(
    opened: Callable[..., Database], url: str
) -> None:
    store = Store(opened())

    def answer(number: int) -> Response | None:
        return None if number == 1 else Response()

    async with receiving(answer) as receiver:
        process = start(url, "")
        row = store.do(enqueue, quick.request({}, webhook=receiver.url), Origin())
        await receiver.has(1)
        process.kill()
        await ended(process)
        assert process.stdin is not None
        process.stdin.close()
        await goes_on(url, store, row["id"])
        assert receiver.ids == [receiver.ids[0]] * 2


@pytest.mark.parametrize("side", ["before", "after"])
async def test_killed_while_it_gives_back_what_it_was_sending(
    opened: Callable[..., Database], url: str, side: str
) -> None:
    store = Store(opened())
    async with receiving(lambda number: None if number == 1 else Response()) as receiver:
        process = start(url, f"{side}:give_back_deliveries")
        row = store.do(enqueue, quick.request({}, webhook=receiver.url), Origin())
        await receiver.has(1)
        assert process.stdin is not None
        process.stdin.close()  # it drains, without grace
        assert await ended(process) == -signal.SIGKILL
        await goes_on(url, store, row["id"])
        assert receiver.ids == [receiver.ids[0]] * 2
