"""The worker with real threads: slots, heartbeats, cancels, time-outs, drains, and functions that misbehave."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import pytest
from pydantic_core import from_json

from frontdesk.broker import queue, recorder, supervision, transactions, worker
from frontdesk.broker.cancel import cancel_task
from frontdesk.broker.claims import Claims
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.errors import DatabaseClosed
from frontdesk.broker.functions import FunctionRuns
from frontdesk.broker.queue import finish
from frontdesk.broker.runs import Run
from frontdesk.broker.worker import Worker
from frontdesk.tasks.context import LINE_LENGTH, TaskContext
from frontdesk.tasks.errors import Retry, ToolError
from frontdesk.tasks.registry import TaskFunction, task
from frontdesk.tasks.retry import RetryPolicy
from frontdesk.tasks.states import Action
from frontdesk.tests.databases import Server
from frontdesk.tests.fakes.wire import Wire
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import DESK, Store
from frontdesk.tests.works import PATIENCE, POLL, Stop, Works, happened, logged, until

AT_ONCE = RetryPolicy(max_attempts=3, initial=0.0, maximum=0.0)


@pytest.fixture
def desk(sqlite_url: str) -> Iterator[Works]:
    database = Database.open(sqlite_url, durable=False)
    found = Works(database)
    yield found
    for one in found.workers:
        one.stop_blocking(0.0)
    if not database._closed:  # pyright: ignore[reportPrivateUsage]
        assert broken(found.store) == []
    database.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain does not wait for what does not stop."""
    monkeypatch.setattr(worker, "LAST_SECONDS", 0.05)


# --- functions and their results


async def test_functions_run_and_their_results_are_stored(desk: Works) -> None:
    @task
    async def double(number: int) -> int:
        return number * 2

    @task
    def shout(context: TaskContext[str], text: str) -> dict[str, Any]:
        return {"text": text.upper(), "by": context.dependencies, "key": context.idempotency_key}

    desk.work(double, shout)
    row = await desk.run(double, number=4)
    assert (row["status"], row["result"], row["attempt"], row["progress"]) == ("succeeded", "8", 1, 1.0)
    row = await desk.run(shout, text="hi")
    assert row["result"] == f'{{"text":"HI","by":"dependencies","key":"{row["id"]}"}}'
    assert len(desk.store.inbox(desk.conversation, "notice")) == 2


async def test_functions_of_a_kind_run_in_their_slots_and_no_more_at_once(desk: Works) -> None:
    lock, running, most = threading.Lock(), [0], [0]
    full = threading.Event()
    go = threading.Event()

    @task
    def busy() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            if running[0] == 3:
                full.set()
        assert go.wait(PATIENCE)
        with lock:
            running[0] -= 1

    desk.work(busy, task_slots=3)
    ids = [desk.file(busy) for _ in range(10)]
    await happened(full)
    assert sorted(desk.store.status(one) for one in ids) == ["queued"] * 7 + ["running"] * 3
    go.set()
    for one in ids:
        assert (await desk.ended(one))["status"] == "succeeded"
    assert most[0] == 3


class Turns:
    """Ends each turn as soon as it is claimed."""

    async def run(self, run: Run) -> None:
        store = Store(run.database)
        run.over = True
        await asyncio.to_thread(store.begin, run.claim)
        await asyncio.to_thread(store.end_turn, run.claim)

    async def cancelled(self, run: Run, *, abandoned: bool) -> None:
        raise AssertionError

    async def failed(self, run: Run, error: Exception) -> None:
        raise AssertionError


async def test_turns_go_on_while_every_slot_for_tasks_is_taken(desk: Works) -> None:
    stop = Stop()

    @task
    def busy() -> None:
        stop.wait()

    desk.work(busy, task_slots=1, turns={DESK: Turns()})
    ids = [desk.file(busy) for _ in range(3)]
    await happened(stop.here)
    accepted = desk.store.create(desk.conversation)
    news = asyncio.Event()
    listening = desk.database.hub.listen("input", desk.conversation, news.set)
    with anyio.fail_after(PATIENCE):
        while desk.store.turn(accepted.response_id)["status"] != "completed":
            await news.wait()
            news.clear()
    listening.stop()
    stop.go.set()
    for one in ids:
        await desk.ended(one)


async def test_an_urgent_task_goes_first_and_a_late_one_waits(desk: Works) -> None:
    order: list[str] = []

    @task
    def note(name: str) -> None:
        order.append(name)

    late = desk.file(note, {"name": "late"}, delay=0.1)
    ids = [desk.file(note, {"name": name}, priority=at) for at, name in enumerate(["last", "second", "first"])]
    desk.work(note, task_slots=1)
    for one in (*ids, late):
        await desk.ended(one)
    assert order == ["first", "second", "last", "late"]


# --- errors


@task
def tells() -> None:
    raise ToolError("the archive is closed on Sundays")


@task
def raises() -> None:
    raise ValueError("no")


@task(idempotent=True, retry=AT_ONCE)
async def raises_again() -> None:
    raise ValueError("no\nsecond line")


@task
def leaves() -> None:
    sys.exit(3)


@task
async def leaves_async() -> None:
    sys.exit(3)


@task
async def leaves_from_a_group() -> None:
    async def leave() -> None:
        sys.exit(3)

    async with asyncio.TaskGroup() as group:
        group.create_task(leave())
        await asyncio.sleep(PATIENCE)


@task
async def cancels_itself() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@task
def returns_a_thread() -> Any:
    return threading.current_thread()


@task(result_limit=100)
def returns_much() -> str:
    return "x" * 1000


@task
async def waits_for_itself(context: TaskContext[Any]) -> None:
    await context.wait(context.task_id)


@pytest.mark.parametrize(
    ("function", "status", "kind", "said", "attempts"),
    [
        (tells, "failed", "ToolError", "the archive is closed on Sundays", 1),
        (raises, "failed", "ValueError", "ValueError: no", 1),
        (raises_again, "held", "ValueError", "ValueError: no (after 3 attempts)", 3),
        (leaves, "failed", "SystemExit", "SystemExit: 3", 1),
        (leaves_async, "failed", "SystemExit", "SystemExit: 3", 1),
        (leaves_from_a_group, "failed", "SystemExit", "SystemExit: 3", 1),
        (cancels_itself, "failed", "SelfCancelled", "cancelled from inside", 1),
        (returns_a_thread, "failed", "NotSerializable", "which cannot be stored", 1),
        (returns_much, "failed", "ResultTooLarge", "raise result_limit", 1),
        (waits_for_itself, "failed", "CircularWait", "neither could end", 1),
    ],
)
async def test_what_a_function_raises_ends_its_task_and_nothing_else(
    desk: Works, function: TaskFunction[..., Any], status: str, kind: str, said: str, attempts: int
) -> None:
    @task
    async def well() -> str:
        return "well"

    desk.work(function, well)
    row = await desk.run(function)
    assert (row["status"], row["error_kind"], row["attempt"]) == (status, kind, attempts)
    assert said in row["error"]
    assert (await desk.run(well))["result"] == '"well"'


async def test_arguments_that_do_not_fit_hold_the_task(desk: Works) -> None:
    @task
    async def double(number: int) -> int:
        return number * 2

    desk.work(double)
    task_id = desk.store.enqueue(desk.conversation, name="double", arguments={"number": "many"})["id"]
    row = await desk.ended(task_id)
    assert (row["status"], row["error_kind"]) == ("held", "ArgumentsError")
    assert "number" in row["error"]


async def test_a_function_that_asks_for_another_try_gets_it_after_its_delay(desk: Works) -> None:
    clock: list[float] = []

    @task
    async def fussy(context: TaskContext[Any]) -> int:
        clock.append(await desk.database.read(Connection.now))
        if context.attempt < 3:
            raise Retry(0.05, "not yet")
        return context.attempt

    desk.work(fussy)
    row = await desk.run(fussy)
    assert (row["status"], row["result"], row["attempt"]) == ("succeeded", "3", 3)
    assert all(later - earlier >= 0.05 for earlier, later in itertools.pairwise(clock))


async def test_a_function_that_asks_for_too_many_tries_is_held(desk: Works) -> None:
    @task(retry=RetryPolicy(max_attempts=2))
    async def fussy() -> None:
        raise Retry(0.0, "never")

    desk.work(fussy)
    row = await desk.run(fussy)
    assert (row["status"], row["attempt"], row["error_kind"]) == ("held", 2, "Retry")
    assert "never (after 2 attempts)" in row["error"]


# --- time-outs


@pytest.mark.parametrize("on_crash", ["fail", "retry"])
async def test_a_function_that_takes_too_long_is_stopped(desk: Works, on_crash: Any) -> None:
    @task(timeout=0.05, on_crash=on_crash, retry=AT_ONCE)
    async def slow() -> None:
        await asyncio.sleep(PATIENCE)

    @task(timeout=0.05, on_crash=on_crash, retry=AT_ONCE)
    def slow_in_a_thread(context: TaskContext[Any]) -> None:
        while not context.cancelled:
            threading.Event().wait(0.005)

    desk.work(slow, slow_in_a_thread)
    for function in (slow, slow_in_a_thread):
        row = await desk.run(function)
        assert (row["status"], row["error_kind"]) == ("failed" if on_crash == "fail" else "held", "timeout")
        assert "longer than its timeout of 0.05 s" in row["error"]
        assert (row["attempt"], row["abandoned"]) == (1 if on_crash == "fail" else 3, 0)


async def test_a_thread_that_does_not_heed_its_timeout_is_abandoned_and_keeps_its_slot(desk: Works) -> None:
    stop = Stop()

    @task(timeout=0.05)
    def deaf() -> None:
        stop.wait()

    found = desk.work(deaf, grace=0.05, task_slots=1)
    row = await desk.run(deaf)
    assert (row["status"], row["error_kind"], row["abandoned"]) == ("failed", "timeout", 1)
    assert found.running() == 1
    waiting = desk.file(deaf)
    assert desk.store.status(waiting) == "queued"
    stop.go.set()
    assert (await desk.ended(waiting))["status"] == "succeeded"


# --- cancels


async def test_an_async_function_is_cancelled_at_its_next_await(desk: Works) -> None:
    here = threading.Event()
    cleaned: list[str] = []

    @task
    async def patient() -> None:
        try:
            here.set()
            await asyncio.sleep(PATIENCE)
        finally:
            cleaned.append("up")

    desk.work(patient)
    task_id = desk.file(patient)
    await happened(here)
    desk.store.cancel(task_id)
    row = await desk.ended(task_id)
    assert (row["status"], row["abandoned"], cleaned) == ("cancelled", 0, ["up"])


async def test_a_sync_function_sees_that_it_is_cancelled(desk: Works) -> None:
    here = threading.Event()

    @task
    def patient(context: TaskContext[Any]) -> str:
        here.set()
        while not context.cancelled:
            threading.Event().wait(0.005)
        return "half a result"

    desk.work(patient)
    task_id = desk.file(patient)
    await happened(here)
    desk.store.cancel(task_id)
    row = await desk.ended(task_id)
    assert (row["status"], row["abandoned"], row["result"]) == ("cancelled", 0, None)


async def test_a_function_that_turns_a_cancel_into_an_error_is_cancelled_all_the_same(desk: Works) -> None:
    here = threading.Event()

    @task
    async def grumpy() -> None:
        try:
            here.set()
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            raise ValueError("I was not ready") from None

    desk.work(grumpy)
    task_id = desk.file(grumpy)
    await happened(here)
    desk.store.cancel(task_id)
    assert (await desk.ended(task_id))["status"] == "cancelled"


async def test_a_thread_that_does_not_heed_a_cancel_is_abandoned_and_keeps_its_slot(desk: Works) -> None:
    stop = Stop()

    @task
    def deaf() -> None:
        stop.wait()

    found = desk.work(deaf, grace=0.05)
    task_id = desk.file(deaf)
    await happened(stop.here)
    desk.store.cancel(task_id)
    row = await desk.ended(task_id)
    assert (row["status"], row["abandoned"]) == ("cancelled", 1)
    assert found.running() == 1
    stop.go.set()
    other = desk.file(deaf)
    assert (await desk.ended(other))["status"] == "succeeded"
    assert desk.store.row(task_id)["status"] == "cancelled"


async def test_a_cancel_of_another_process_is_found_without_a_hint(desk: Works) -> None:
    """It publishes to its own hub only, as another process would."""
    here = threading.Event()

    @task
    async def patient() -> None:
        here.set()
        await asyncio.sleep(PATIENCE)

    desk.work(patient)
    task_id = desk.file(patient)
    await happened(here)

    def unheard(conn: Connection) -> None:
        cancel_task(conn, task_id, "")
        conn.hints.clear()

    desk.store.do(unheard)
    assert (await desk.ended(task_id))["status"] == "cancelled"


async def test_a_hint_that_everything_may_have_changed_cancels_nothing(desk: Works) -> None:
    """As it is given when another process has committed something, or nothing was heard for a while."""
    here, go = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    @task
    async def patient() -> str:
        loops.append(asyncio.get_running_loop())
        here.set()
        await go.wait()
        return "not cancelled"

    desk.work(patient)
    task_id = desk.file(patient)
    await happened(here)
    desk.database.hub.publish_everything()
    desk.database.hub.publish_keys([("cancel", task_id)])
    seen = threading.Event()
    loops[0].call_soon_threadsafe(seen.set)  # after what the hints have called
    await happened(seen)
    loops[0].call_soon_threadsafe(go.set)
    row = await desk.ended(task_id)
    assert (row["status"], row["result"]) == ("succeeded", '"not cancelled"')


async def test_a_task_that_is_cancelled_before_it_is_run_never_runs(desk: Works) -> None:
    ran: list[int] = []

    @task(idempotent=True)
    async def never() -> None:
        ran.append(1)

    task_id = desk.file(never)
    (claim,) = desk.store.claim(names=["never"])
    desk.store.cancel(task_id)
    desk.store.expire(claim)
    desk.work(never)
    assert (await desk.ended(task_id))["status"] == "cancelled"
    assert ran == []


# --- leases


async def test_a_lease_is_renewed_while_a_function_blocks_its_thread(desk: Works) -> None:
    stop = Stop()
    lease = 0.3

    @task
    def long() -> str:
        stop.wait()
        return "done"

    desk.work(long, lease=lease)
    task_id = desk.file(long)
    await happened(stop.here)
    first = desk.store.row(task_id)["lease_until"]
    await until(lambda: desk.store.row(task_id)["lease_until"] > first + 2 * lease)
    assert desk.store.row(task_id)["epoch"] == 1
    stop.go.set()
    row = await desk.ended(task_id)
    assert (row["result"], row["epoch"], row["attempt"]) == ('"done"', 1, 1)


async def test_a_worker_whose_event_loop_is_blocked_loses_its_lease_and_its_late_writes(
    desk: Works, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stop = Stop()
    runs: list[int] = []

    @task(idempotent=True)
    async def blocking(context: TaskContext[Any]) -> str:
        runs.append(context.attempt)
        if context.attempt == 1:
            stop.wait()  # the whole loop stands still
            context.report(0.5, "late")
        return f"attempt {context.attempt}"

    first = desk.work(blocking, lease=0.3)
    task_id = desk.file(blocking)
    await happened(stop.here)
    desk.work(blocking, lease=30.0)
    row = await desk.ended(task_id)
    assert (row["result"], row["attempt"]) == ('"attempt 2"', 2)
    stop.go.set()
    other = desk.file(blocking)
    await desk.ended(other)
    await first.stop(PATIENCE)
    assert desk.store.row(task_id) == row
    assert "leases are not renewed" in caplog.text
    assert "is rejected" in caplog.text


async def test_a_task_that_is_claimed_again_at_once_does_not_disturb_its_old_run(desk: Works) -> None:
    """Its child ends in the moment in which it parks: for a while two runs of one task are in one worker."""
    slow = Stop()

    @task
    async def child(number: int) -> int:
        return number

    @task
    async def parent(context: TaskContext[Any]) -> int:
        handle = await context.create(child, number=5)
        try:
            (outcome,) = await context.wait(handle)
        except BaseException:
            await asyncio.to_thread(slow.wait)  # it takes its time to unwind
            raise
        return int(outcome.unwrap())

    desk.work(child, parent)
    row = await desk.run(parent)
    assert (row["status"], row["result"]) == ("succeeded", "5")
    slow.go.set()
    assert (await desk.run(child, number=1))["status"] == "succeeded"


@pytest.fixture
def wire(postgresql: Server, postgresql_url: str) -> Iterator[Wire]:
    found = Wire(postgresql.socket_folder, postgresql_url.split("/")[3].split("?")[0])
    yield found
    found.stop()


async def test_claims_that_do_not_arrive_are_found_again(
    wire: Wire, postgresql_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection goes while a claim is committed, and the database stays away for longer than is waited for."""
    monkeypatch.setattr(transactions, "RECONNECT_SECONDS", 0.1)
    claimed: list[str] = []
    claim = queue.claim

    def cut(conn: Connection, *args: Any) -> Any:
        found = claim(conn, *args)
        if found and not claimed:
            claimed.append(found[0].task_id)
            wire.cut_at_commit("after")
            wire.refuse()
        return found

    @task
    async def work() -> str:
        return "done"

    monkeypatch.setattr(queue, "claim", cut)
    with ExitStack() as stack:
        here, there = Database.open(postgresql_url), Database.open(wire.url)
        stack.callback(here.close)
        stack.callback(there.close)
        desk = Works(here)
        found = Worker(there, {}, {"work": FunctionRuns({"work": work}, lambda: None)}, poll=POLL, lease=1e6)
        stack.callback(found.stop_blocking, 0.0)
        found.start()
        task_id = desk.file(work)
        await logged(caplog, "claiming failed")
        assert desk.store.status(task_id) == "running"
        wire.up()
        row = await desk.ended(task_id)
    assert claimed == [task_id]
    assert (row["status"], row["epoch"], row["attempt"]) == ("succeeded", 2, 1)


# --- drains


async def test_a_drain_waits_for_what_ends_in_time_and_claims_nothing_more(desk: Works) -> None:
    stop = Stop()

    @task
    def work() -> str:
        stop.wait()
        return "done"

    found = desk.work(work, task_slots=1)
    running, waiting = desk.file(work), desk.file(work)
    await happened(stop.here)
    stopping = asyncio.create_task(found.stop(PATIENCE))
    await until(lambda: found.draining)
    stop.go.set()
    await stopping
    assert desk.store.status(running) == "succeeded"
    assert desk.store.status(waiting) == "queued"
    await found.stop()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_drain_gives_back_what_may_be_run_again_and_ends_what_may_not(desk: Works, in_thread: bool) -> None:
    stops = {"twice": Stop(), "once": Stop()}

    async def sleep(name: str) -> None:
        stops[name].here.set()
        await asyncio.sleep(PATIENCE)

    def block(name: str) -> None:
        stops[name].wait()

    body: Any = block if in_thread else sleep
    twice = task(name="twice", idempotent=True)(body)
    once = task(name="once")(body)
    found = desk.work(twice, once)
    ids = {name: desk.file(one, {"name": name}) for name, one in (("twice", twice), ("once", once))}
    for stop in stops.values():
        await happened(stop.here)
    await found.stop(0.0)
    row = desk.store.row(ids["twice"])
    assert (row["status"], row["attempt"], row["owner"]) == ("queued", 1, "")
    row = desk.store.row(ids["once"])
    assert (row["status"], row["error_kind"]) == ("failed", "worker lost")
    for stop in stops.values():
        stop.go.set()


@pytest.mark.usefixtures("impatient")
async def test_a_drain_ends_although_a_function_swallows_every_cancellation(
    desk: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PATIENCE", 0.5)
    here, go = threading.Event(), threading.Event()

    @task(idempotent=True)
    async def stubborn() -> None:
        here.set()
        while not go.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    found = desk.work(stubborn)
    task_id = desk.file(stubborn)
    await happened(here)
    await found.stop(0.0)
    assert desk.store.status(task_id) == "queued"
    go.set()


async def test_what_was_claimed_and_not_begun_is_given_back_as_it_was(desk: Works) -> None:
    ran: list[int] = []

    @task
    async def once() -> None:
        ran.append(1)

    found = desk.work(once, start=False)
    claim = desk.store.started(desk.conversation, name="once")
    run = Run(claim, desk.database, lambda function: None)
    run.ask("drain")
    await supervision.supervise(run, FunctionRuns({"once": once}, lambda: None), lambda: 1.0)
    row = desk.store.row(claim.task_id)
    assert (row["status"], row["attempt"], ran) == ("queued", 1, [])
    found.stop_blocking()


async def test_a_worker_ends_quietly_when_its_database_is_closed(desk: Works, caplog: pytest.LogCaptureFixture) -> None:
    stop = Stop()

    @task
    def work() -> None:
        stop.wait()

    found = desk.work(work)
    desk.file(work)
    await happened(stop.here)
    await asyncio.to_thread(desk.database.close)
    stop.go.set()
    await found.stop(PATIENCE)
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


# --- what goes wrong around a run


class Broken:
    """A handler with mistakes of its own."""

    def __init__(self, error: BaseException) -> None:
        self.error, self.told = error, list[str]()

    async def run(self, run: Run) -> None:
        raise self.error

    async def cancelled(self, run: Run, *, abandoned: bool) -> None:
        raise AssertionError

    async def failed(self, run: Run, error: Exception) -> None:
        self.told.append(f"{type(error).__name__}: {error}")
        await run.database.write(finish, run.claim, Action.FAIL)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (SystemExit(1), "Exited: it raised SystemExit(1), which ends a task and no more"),
        (
            asyncio.CancelledError(),
            "SelfCancelled: it was cancelled from inside: something that it awaited had been cancelled",
        ),
    ],
)
async def test_a_handler_that_raises_is_told_and_the_worker_goes_on(
    desk: Works, error: BaseException, said: str
) -> None:
    @task
    async def well() -> str:
        return "well"

    handler = Broken(error)
    runs = FunctionRuns({"well": well}, lambda: None)
    found = Worker(desk.database, {}, {"broken": handler, "well": runs}, poll=POLL)
    desk.workers.append(found)
    found.start()
    task_id = desk.store.enqueue(desk.conversation, name="broken")["id"]
    assert (await desk.ended(task_id))["status"] == "failed"
    assert handler.told == [said]
    assert (await desk.run(well))["status"] == "succeeded"


async def test_a_mistake_in_claiming_is_told_and_the_worker_goes_on(
    desk: Works, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @task
    async def well() -> str:
        return "well"

    claiming: Any = Claims._now  # pyright: ignore[reportPrivateUsage] - where a mistake is put in
    mistakes = [None, None]

    async def mistaken(claims: Claims, *args: Any) -> Any:
        return mistakes.pop() if mistakes else await claiming(claims, *args)

    monkeypatch.setattr(Claims, "_now", mistaken)
    desk.work(well)
    assert (await desk.run(well))["status"] == "succeeded"
    assert mistakes == []
    assert "claiming failed in the worker's own code" in caplog.text


async def test_a_result_is_not_lost_when_the_disk_is_full(desk: Works, caplog: pytest.LogCaptureFixture) -> None:
    @task
    async def large() -> str:
        return "x" * 300_000

    def limit(conn: Connection, pages: int) -> None:
        conn.script(f"PRAGMA max_page_count={pages}")

    desk.store.do(limit, 90)
    desk.work(large)
    task_id = desk.file(large)
    await logged(caplog, "cannot be written, trying again")
    assert desk.store.status(task_id) == "running"
    desk.store.do(limit, 1_000_000)
    row = await desk.ended(task_id)
    assert (row["status"], len(row["result"]), row["epoch"]) == ("succeeded", 300_002, 1)


def test_a_worker_that_cannot_start_says_why(desk: Works) -> None:
    desk.database.close()
    with pytest.raises(DatabaseClosed):
        desk.work(raises)


# --- progress


async def test_progress_is_written_at_most_so_often_and_in_the_end(
    desk: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "INTERVAL", 1e6)
    written = threading.Event()

    @task
    def busy(context: TaskContext[Any]) -> None:
        context.report(0.0, "begun")
        assert written.wait(PATIENCE)
        for n in range(1000):
            context.report(n / 1000, f"step {n}")
            context.log(f"line {n}")

    desk.work(busy)
    listening = desk.database.hub.listen("events", desk.conversation, lambda: None)
    cursor = desk.store.about(desk.conversation)["last_cursor"]
    task_id = desk.file(busy)
    await desk.until(task_id, lambda row: row["message"] == "begun")
    written.set()
    row = await desk.ended(task_id)
    assert (row["message"], row["progress"]) == ("step 999", 1.0)
    assert from_json(row["log_tail"]) == [f"line {n}" for n in range(980, 1000)]
    told = desk.database.hub.recent(desk.conversation, cursor)
    assert told is not None
    assert sum('"progress":0.' in one.body for one in told) == 2, "at once, and at the end"
    listening.stop()


async def test_progress_is_a_fraction_and_a_short_message(desk: Works) -> None:
    @task
    async def odd(context: TaskContext[Any], given: float) -> None:
        await context.progress(given, "x" * 10_000)
        raise ToolError("enough")

    desk.work(odd)
    for given, shown in ((-1.0, 0.0), (2.0, 1.0), (0.25, 0.25)):
        row = await desk.run(odd, given=given)
        assert (row["progress"], len(row["message"])) == (shown, LINE_LENGTH)
