"""The worker: claims tasks under a lease and runs them, in a thread and an event loop of its own.

Turns and background tasks have separate slots. Nothing here knows what a task does: a handler is found by the task's
name. What a worker never does: hold a claim that nobody runs, or write for a run whose lease it has lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

import anyio

from ..tasks.registry import TaskFunction
from . import leases
from .claims import Claims
from .clock import Owner
from .database import Database
from .errors import DatabaseClosed, DatabaseError
from .eventloop import StubbornLoop
from .heartbeat import Heartbeat
from .presence import Presence
from .queue import Held
from .rows import Claim
from .runs import Handler, Run, stop_late
from .schedules import Schedules
from .slots import Slots
from .supervision import abandon, supervise
from .webhooks import Sender

log = logging.getLogger("frontdesk.worker")

LEASE: Final = 30.0
POLL: Final = 0.5
RECOVER_EVERY: Final = 20  # polls
LAST_SECONDS: Final = 1.0  # of a drain: for runs that were asked to stop, then for writing how they ended
PATIENCE: Final = 10.0  # beyond the grace period, with a worker that is to stop


class Worker:
    """Runs tasks of a database until it is stopped.

    ``start`` and ``stop`` may be called from any thread but the worker's own. ``lease`` and ``poll`` are in seconds;
    ``grace`` too: how long a run that is asked to stop may take. ``queues``: those whose tasks it runs (None: all);
    turns are in none. ``schedules``: functions that it files at the ticks of their schedules. ``webhooks`` sends what
    webhooks are to be told. ``beside`` runs beside its work, each until the event is set. ``closing`` is awaited in the
    worker's loop at its end.
    """

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
        poll: float = POLL,
        queues: Collection[str] | None = None,
        schedules: Iterable[TaskFunction[..., Any]] = (),
        webhooks: Sender | None = None,
        beside: Iterable[Callable[[asyncio.Event], Coroutine[Any, Any, None]]] = (),
        closing: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._slots = (Slots("turn", turn_slots, turns), Slots("task", task_slots, tasks))
        self._lease, self._grace, self._poll, self._closing = lease, grace, poll, closing
        self._webhooks, self._beside = webhooks, tuple(beside)
        self.owner = Owner.here()
        self._claims = Claims(database, self.owner, lease=lease, poll=poll, queues=queues)
        self._presence = Presence(
            self.owner.text,
            {slots.slot: frozenset(slots.handlers) for slots in self._slots if slots.size},
            queues,
            3 * RECOVER_EVERY * poll,
        )
        self._schedules = Schedules(database, schedules)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining = asyncio.Event()
        self._cancels = asyncio.Event()  # a hint: somebody may have asked for a cancel
        self._tasks: set[asyncio.Task[None]] = set()
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
        """Drains: claims nothing more, gives running work ``grace`` seconds, then gives it back so that others go on at
        once."""
        if grace is not None:
            self._grace = grace
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        with contextlib.suppress(RuntimeError):  # its loop has ended already
            loop.call_soon_threadsafe(self._drain)
        thread.join(self._grace + PATIENCE)
        if thread.is_alive():
            log.error("the worker does not stop: something blocks its event loop; its thread is left behind")
        self._thread = None

    def _drain(self) -> None:
        self._draining.set()
        for slots in self._slots:  # nobody stands for claims any more
            slots.changed.set()
            slots.news.set()

    @property
    def draining(self) -> bool:
        """Whether it claims nothing more."""
        return self._draining.is_set()

    def running(self) -> int:
        """How many tasks it is running now."""
        return sum(len(slots.running) for slots in self._slots)

    def _main(self, ready: Future[None]) -> None:
        try:
            anyio.run(self._serve, ready, backend_options={"loop_factory": StubbornLoop})
        except BaseException as error:
            if ready.done():
                log.exception("the worker ended with an error")
            else:
                ready.set_exception(error)

    async def _serve(self, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        await self._database.write(leases.recover, self._presence)
        await self._schedules.register()
        self._beat.start(self._loop)
        try:
            async with anyio.create_task_group() as group:
                for slots in self._slots:
                    if slots.size and slots.handlers:
                        group.start_soon(self._dispatch, slots)
                group.start_soon(self._look_after)
                group.start_soon(self._hear_cancels)
                if self._webhooks is not None:
                    group.start_soon(self._webhooks.run, self._draining)
                for one in self._beside:
                    group.start_soon(one, self._draining)
                ready.set_result(None)
                await self._draining.wait()
                await self._finish_running()
                group.cancel_scope.cancel()
        finally:
            self._beat.stop()
            await self._cancel_all()
            if self._closing is not None:
                await self._closing()

    async def _finish_running(self) -> None:
        """Waits for what runs, then gives back what is still running; what does not stop is left to its thread."""
        with anyio.move_on_after(self._grace):
            await self._idle()
            if self._webhooks is not None:
                await self._webhooks.drained()
        for run in self._runs():
            run.ask("drain")
        with anyio.move_on_after(LAST_SECONDS):
            await self._idle()
        for run in self._runs():
            run.left.set()
        with anyio.move_on_after(LAST_SECONDS):
            await self._idle()
        for run in self._runs():
            log.error("%s (%s) does not stop; its claim is given up", run.claim.task_id, run.claim.name)
            self._beat.remove(run.held)
            await abandon(run)

    async def _idle(self) -> None:
        for slots in self._slots:
            while slots.running:
                slots.changed.clear()
                await slots.changed.wait()

    def _runs(self) -> list[Run]:
        return [run for slots in self._slots for run in slots.running.values()]

    def _spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Starts a coroutine function beside everything else, also from a callback of the loop. What it raises is
        logged. (A task group costs three times as much, and a run is started for every task.)"""
        assert self._loop is not None
        started = self._loop.create_task(function(*args))
        self._tasks.add(started)
        started.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a run, or something beside it, failed in the worker's own code", exc_info=error)

    async def _cancel_all(self) -> None:
        """Nothing that was started may outlive the worker, unless it ignores being cancelled."""
        with anyio.CancelScope(shield=True):
            started = self._tasks.union(*(slots.tasks.values() for slots in self._slots))
            for task in started:
                task.cancel()
            if started:
                await asyncio.wait(started, timeout=LAST_SECONDS)

    async def _dispatch(self, slots: Slots) -> None:
        """Starts what is claimed for these slots until nothing more is."""
        await self._claims.each(slots, partial(self._start, slots), until=self._draining)

    def _start(self, slots: Slots, claim: Claim) -> None:
        run = Run(claim, self._database, self._spawn)
        run.frees = slots.freed
        slots.running[run.held] = run
        self._beat.add(run.held)
        if self._draining.is_set():
            run.ask("drain")  # before it has begun: it is given back as it was
        slots.tasks[run.held] = asyncio.get_running_loop().create_task(self._run(slots, run))

    async def _run(self, slots: Slots, run: Run) -> None:
        measures, begun = self._database.measures, time.monotonic()
        measures.count("claim", slots.slot)
        try:
            if run.claim.cancel_requested:
                run.ask("cancel")
            await supervise(run, slots.handlers[run.claim.name], lambda: self._grace)
        except Exception:
            log.exception("a run failed in the worker's own code")
        finally:
            measures.took("run", time.monotonic() - begun, run.claim.kind)
            self._beat.remove(run.held)
            del slots.running[run.held], slots.tasks[run.held]
            run.close()
            slots.changed.set()

    async def _hear_cancels(self) -> None:
        """Looks which runs are to be cancelled whenever a hint says that one may be, even if it is not known which."""
        listening = self._database.hub.listen("cancel", "", self._cancels.set)
        try:
            while True:
                await self._cancels.wait()
                self._cancels.clear()
                if self.running():
                    await self._look_for_cancels()
        finally:
            listening.stop()

    async def _look_for_cancels(self) -> None:
        try:
            self._renewed(set(), await self._database.read(leases.cancels_asked))
        except DatabaseClosed:
            return
        except Exception as error:
            log.warning("cancels cannot be looked for, this is done again in a moment: %s", error)

    async def _look_after(self) -> None:
        """Does what no hint announces: leases that ended, timers, processes that died, cancels of other processes."""
        for number in itertools.count(1):
            try:
                await self._look(recover=number % RECOVER_EVERY == 0)
            except DatabaseClosed:
                return
            except DatabaseError as error:
                log.error("looking after leases failed, trying again: %s", error)
            except Exception:
                log.exception("looking after leases failed, trying again")
            await anyio.sleep(self._poll)

    async def _look(self, *, recover: bool) -> None:
        stop_late(self._runs(), asyncio.get_running_loop().time())
        await self._database.write(leases.sweep)
        await self._schedules.fire()
        if recover:
            await self._database.write(leases.recover, self._presence)
        await self._claims.give_back_unreceived()
        if self.running():
            self._renewed(set(), await self._database.read(leases.cancels_asked))

    def _renewed(self, lost: set[Held], cancels: set[Held]) -> None:
        """Called in the loop with claims that are lost and those that are to be cancelled, also other workers'."""
        for run in self._runs():
            if run.held in lost and not run.over:
                run.ask("lost")
            elif run.held in cancels:
                run.ask("cancel")
