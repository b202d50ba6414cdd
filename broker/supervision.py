"""Supervision: runs one claim through its handler and deals with every way in which that can end. It never raises."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from . import leases, queue
from .errors import DatabaseClosed, DatabaseError, LeaseLost
from .runs import Handler, Run

log = logging.getLogger("frontdesk.supervision")

KILL_SECONDS: Final = 5.0  # for what was ended by force to be gone


class SelfCancelled(Exception):
    """The code of a run raised CancelledError although nobody had cancelled it."""

    def __init__(self) -> None:
        super().__init__("it was cancelled from inside: something that it awaited had been cancelled")


class Exited(Exception):
    """The code of a run raised something that is meant to end the process."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"it raised {type(error).__name__}({error}), which ends a task and no more")


async def supervise(run: Run, handler: Handler, grace: Callable[[], float]) -> None:
    """Runs the handler. A run that was asked to stop and does not within ``grace()`` seconds loses its claim; its slot
    stays taken until it returns."""
    run.when_asked(lambda: run.spawn(lambda: _enforce(run, handler, grace())))
    await _guarded(run, handler)
    await _stopped(run, handler)


async def abandon(run: Run) -> None:
    """Gives up the claim of a run that does not stop although its worker ends. It never raises."""
    if not run.over:
        run.over = True
        await _said(run, lambda: _give_up(run))


async def _said(run: Run, end: Callable[[], Awaitable[None]]) -> None:
    """Awaits ``end()``, which ends a claim, and deals with what keeps it from being written."""
    try:
        with anyio.CancelScope(shield=True):
            await end()
    except LeaseLost as lost:
        log.info("%s", lost)
    except DatabaseClosed:
        return  # the process is ending; the lease ends with it
    except DatabaseError as unsaid:
        log.error("the end of %s could not be written, its lease will end it: %s", run.claim.task_id, unsaid)
    except Exception:
        log.exception("the end of %s could not be written, its lease will end it", run.claim.task_id)


async def _guarded(run: Run, handler: Handler) -> None:
    """Runs the handler, unless the run was asked to stop before it began. It raises nothing but cancellation."""
    if run.stop is None:
        try:
            with run.scope:
                await handler.run(run)
        except LeaseLost as lost:
            log.info("%s", lost)
            return
        except DatabaseClosed:
            return
        except asyncio.CancelledError:
            if run.stop is not None:
                raise
            await _failed(run, handler, SelfCancelled())
        except BaseException as error:
            log.exception("the run of %s %s failed outside its own code", run.claim.kind, run.claim.name)
            await _failed(run, handler, error if isinstance(error, Exception) else Exited(error))


async def _failed(run: Run, handler: Handler, error: Exception) -> None:
    if not run.over:
        run.over = True
        await _said(run, lambda: handler.failed(run, error))


async def _stopped(run: Run, handler: Handler) -> None:
    """The run has stopped because it was asked to; its handler has left the claim as it is."""
    if run.over:
        return
    match run.stop:
        case "cancel" | "timeout":
            run.over = True
            await _said(run, lambda: handler.cancelled(run, abandoned=run.left.is_set()))
        case "drain":
            await abandon(run)
        case "lost":
            log.warning("the lease of %s was lost; its run was stopped", run.claim.task_id)
        case None:
            return


async def _give_up(run: Run) -> None:
    if run.begun:
        await run.persist(lambda: run.database.write_first(leases.give_up, run.claim))
    else:
        await run.persist(lambda: run.database.write_first(queue.release, [run.claim]))


async def _enforce(run: Run, handler: Handler, grace: float) -> None:
    with anyio.move_on_after(grace):
        await run.gone.wait()
        return
    if run.kill is not None:
        log.warning("%s does not stop within %g s: its process is killed", run.claim.task_id, grace)
        run.kill()
        with anyio.move_on_after(KILL_SECONDS):
            await run.gone.wait()
            return
    if not run.over:
        run.over = True
        log.warning("%s does not stop: its claim is ended, its slot stays taken until it returns", run.claim.task_id)
        await _said(run, lambda: handler.cancelled(run, abandoned=True))
