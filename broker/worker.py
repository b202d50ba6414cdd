"""The worker: claims tasks under a lease and runs them, in a thread and an event loop of its own.

Turns and background tasks have separate slots. Nothing here knows what a task does: a handler is found by the task's name. What a worker never does: hold a
claim that nobody runs, or write for a run whose lease it has lost.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import TaskGroup

from . import leases, queue
from .clock import Owner
from .database import Database
from .errors import DatabaseClosed, DatabaseError, LeaseLost
from .heartbeat import Heartbeat
from .rows import Claim
from .runs import Handler, Run

log = logging.getLogger("frontdesk.worker")

LEASE: Final = 30.0
POLL: Final = 0.5
RECOVER_EVERY: Final = 20  # polls


@dataclass(slots=True)
class Slots:
    """The slots of one kind of work, and who handles each name."""

    slot: str
    size: int
    handlers: Mapping[str, Handler]
    running: dict[str, Run] = field(default_factory=dict[str, Run])
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def free(self) -> int:
        return self.size - len(self.running)


class Worker:
    """Runs tasks of a database until it is stopped. ``start`` and ``stop`` may be called from any thread but the worker's own."""

    def __init__(
        self,
        database: Database,
        turns: Mapping[str, Handler],
        tasks: Mapping[str, Handler],
        *,
        turn_slots: int = 8,
        task_slots: int = 16,
        lease: float = LEASE,
        grace: float = 10.0,
        closing: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._slots = (Slots("turn", turn_slots, turns), Slots("task", task_slots, tasks))
        self._lease, self._grace, self._closing = lease, grace, closing
        self.owner = Owner.here()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Event | None = None
        self._group: TaskGroup | None = None
        self._starting: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._beat = Heartbeat(database, lease, self._renewed)

    def start(self) -> None:
        """Starts the worker's thread; returns when it is about to claim. Raises what kept it from starting."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, args=(ready,), name="frontdesk-worker", daemon=True)
        self._thread.start()
        ready.result()

    async def stop(self, grace: float | None = None) -> None:
        """As `stop_blocking`, without blocking the caller's event loop."""
        await asyncio.get_running_loop().run_in_executor(None, self.stop_blocking, grace)

    def stop_blocking(self, grace: float | None = None) -> None:
        """Drains: claims nothing more, gives running work ``grace`` seconds, then gives it back so that others go on at once."""
        if grace is not None:
            self._grace = grace
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        try:
            loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            pass  # it has ended already
        thread.join()
        self._thread = None

    def running(self) -> int:
        """How many tasks it is running now."""
        return sum(len(slots.running) for slots in self._slots)

    def _drain(self) -> None:
        if self._draining is not None:
            self._draining.set()

    def _main(self, ready: Future[None]) -> None:
        try:
            anyio.run(self._serve, ready)
        except BaseException as error:
            if ready.done():
                log.exception("the worker ended with an error")
            else:
                ready.set_exception(error)

    async def _serve(self, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._draining = asyncio.Event()
        await self._database.write(leases.recover)
        self._beat.start(self._loop)
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                for slots in self._slots:
                    if slots.size and slots.handlers:
                        group.start_soon(self._dispatch, slots)
                group.start_soon(self._sweep)
                group.start_soon(self._starter)
                ready.set_result(None)
                await self._draining.wait()
                await self._finish_running()
                group.cancel_scope.cancel()
        finally:
            self._beat.stop()
            if self._closing is not None:
                await self._closing()

    async def _finish_running(self) -> None:
        """Waits for what runs, then gives back what is still running; what does not stop is left to its thread."""
        with anyio.move_on_after(self._grace):
            await self._idle()
        for run in self._runs():
            run.ask("drain")
        with anyio.move_on_after(1.0):
            await self._idle()
        for run in self._runs():
            run.left.set()
        with anyio.move_on_after(1.0):
            await self._idle()

    async def _idle(self) -> None:
        for slots in self._slots:
            while slots.running:
                slots.changed.clear()
                await slots.changed.wait()

    def _runs(self) -> list[Run]:
        return [run for slots in self._slots for run in slots.running.values()]

    async def _dispatch(self, slots: Slots) -> None:
        """Claims as much as there are free slots, whenever there may be something to claim."""
        assert self._draining is not None
        woken = asyncio.Event()
        listening = self._database.hub.listen("ready", slots.slot, woken.set)
        names = sorted(slots.handlers)
        try:
            while not self._draining.is_set():
                if slots.free <= 0:
                    slots.changed.clear()
                    await slots.changed.wait()
                    continue
                woken.clear()
                wanted = slots.free
                claims = await self._claim(slots.slot, names, wanted)
                for claim in claims:
                    self._start(slots, claim)
                if len(claims) < wanted:
                    with anyio.move_on_after(POLL):
                        await woken.wait()
        finally:
            listening.stop()

    async def _claim(self, slot: str, names: list[str], limit: int) -> list[Claim]:
        try:
            return await self._database.take(
                queue.release, queue.claim, slot, names, self.owner.text, self._lease, limit
            )
        except DatabaseClosed:
            raise
        except DatabaseError as error:
            log.error("claiming failed, trying again in a moment: %s", error)
            await anyio.sleep(POLL)
            return []

    def _start(self, slots: Slots, claim: Claim) -> None:
        assert self._group is not None and self._draining is not None
        if self._draining.is_set():
            self._group.start_soon(self._give_back, claim)
            return
        run = Run(claim, self._database, self._spawn)
        slots.running[claim.task_id] = run
        self._beat.add(claim)
        self._group.start_soon(self._run, slots, run)

    def _spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Starts a coroutine function beside the runs. It may be called from a callback of the loop, where a task group may not be used."""
        self._starting.put_nowait(function)

    async def _starter(self) -> None:
        assert self._group is not None
        while True:
            self._group.start_soon(await self._starting.get())

    async def _run(self, slots: Slots, run: Run) -> None:
        handler = slots.handlers[run.claim.name]
        listening = self._database.hub.listen("cancel", run.claim.task_id, lambda: self._cancel(run, handler))
        if run.claim.cancel_requested:
            self._cancel(run, handler)
        try:
            await self._guarded(run, handler)
        finally:
            listening.stop()
            run.close()
            self._beat.remove(run.claim)
            del slots.running[run.claim.task_id]
            slots.changed.set()

    async def _guarded(self, run: Run, handler: Handler) -> None:
        """Runs the handler and deals with every way in which it can end."""
        try:
            with run.scope:
                await handler.run(run)
            if run.scope.cancelled_caught and not run.over:
                with anyio.CancelScope(shield=True):
                    await self._stopped(run, handler)
        except LeaseLost as lost:
            log.warning("%s", lost)
        except DatabaseClosed:
            pass  # the process is ending; the lease ends with it
        except Exception as error:
            log.exception("the run of %s %s failed outside its own code", run.claim.kind, run.claim.name)
            if not run.over:
                await self._report_failure(run, handler, error)

    async def _report_failure(self, run: Run, handler: Handler, error: Exception) -> None:
        try:
            with anyio.CancelScope(shield=True):
                await handler.failed(run, error)
        except (LeaseLost, DatabaseError) as unsaid:
            log.error("the end of %s could not be written, its lease will end it: %s", run.claim.task_id, unsaid)

    async def _stopped(self, run: Run, handler: Handler) -> None:
        match run.stop:
            case "cancel":
                run.over = True
                await handler.cancelled(run, abandoned=False)
            case "lost":
                log.warning("the lease of %s was lost; its run was stopped", run.claim.task_id)
            case _:
                run.over = True
                await self._give_back(run.claim)

    async def _give_back(self, claim: Claim) -> None:
        await self._database.write_first(queue.release, [claim])

    def _cancel(self, run: Run, handler: Handler) -> None:
        if run.ask("cancel"):
            self._spawn(lambda: self._enforce(run, handler))

    async def _enforce(self, run: Run, handler: Handler) -> None:
        """A cancelled run that does not stop within the grace period loses its claim; its slot stays taken until it returns."""
        claim = run.claim
        with anyio.move_on_after(self._grace):
            while any(claim.task_id in slots.running for slots in self._slots):
                await asyncio.wait([asyncio.ensure_future(slots.changed.wait()) for slots in self._slots], timeout=0.2)
            return
        if not run.over:
            run.over = True
            try:
                await handler.cancelled(run, abandoned=True)
            except LeaseLost:
                pass  # it ended just now

    async def _sweep(self) -> None:
        """Looks after what no hint announces: leases that ended, timers, processes that died, cancels of other processes."""
        assert self._draining is not None
        round = 0
        while True:
            try:
                await self._database.write(leases.sweep)
                round += 1
                if round % RECOVER_EVERY == 0:
                    await self._database.write(leases.recover)
            except DatabaseClosed:
                return
            except DatabaseError as error:
                log.error("sweeping failed, trying again: %s", error)
            await anyio.sleep(POLL)

    def _renewed(self, lost: set[str], cancels: set[str]) -> None:
        """Called in the loop after each renewal."""
        for slots in self._slots:
            for task_id, run in slots.running.items():
                if task_id in lost and not run.over:
                    run.ask("lost")
                elif task_id in cancels:
                    self._cancel(run, slots.handlers[run.claim.name])
