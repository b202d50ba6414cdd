"""Runs task functions: arguments in, durable calls, progress, result or error out. Which ends are tried again is decided by `ending_of`."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import anyio

from ..tasks.context import Parked, TaskContext, TaskInfo
from ..tasks.errors import ArgumentsError, ReplayMismatch, ResultError, Retry, ToolError
from ..tasks.registry import TaskFunction, result_json
from ..tasks.replay import Recorded
from ..tasks.states import Action
from . import durable, queue
from .errors import LeaseLost
from .recorder import RunRecorder
from .rows import Claim
from .runs import Run

log = logging.getLogger("frontdesk.functions")


class TimedOut(Exception):
    """The function took longer than its timeout."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took longer than its timeout of {seconds:g} s")


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of a run that raised: an action, or (``RETRY``) another attempt after ``delay`` seconds."""

    action: Action
    error: str
    kind: str
    delay: float = 0.0


def ending_of(
    error: BaseException, function: TaskFunction[..., Any], attempt: int, max_attempts: int, chance: float
) -> Ending:
    """Decides what an exception means. Pure; ``chance`` from 0 to 1 is the jitter.

    A `ToolError` is the function's own word that it failed. Other errors are tried again when the function is idempotent (or has
    ``on_crash="retry"``); `Retry` always is. After its attempts a task is held.
    """
    kind = type(error).__name__
    text = f"{kind}: {_first_line(error)}"
    if isinstance(error, ArgumentsError | ReplayMismatch):
        return Ending(Action.HOLD, str(error), kind)
    if isinstance(error, ToolError | ResultError):
        return Ending(Action.FAIL, str(error), kind)
    if isinstance(error, TimedOut):
        text, kind = str(error), "timeout"
    if not isinstance(error, Retry) and function.on_crash != "retry":
        return Ending(Action.FAIL, text, kind)
    if attempt >= max_attempts:
        return Ending(Action.HOLD, f"{text} (after {attempt} attempts)", kind)
    delay = error.delay if isinstance(error, Retry) else function.retry.delay(attempt, chance)
    return Ending(Action.RETRY, text, kind, delay)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "no message"


class FunctionRuns:
    """Handles tasks of kind ``function``."""

    def __init__(self, functions: Mapping[str, TaskFunction[..., Any]], dependencies: Callable[[], Any]) -> None:
        self._functions, self._dependencies = functions, dependencies

    async def run(self, run: Run) -> None:
        claim = run.claim
        function = self._functions[claim.name]
        recorder = RunRecorder(run)
        try:
            result = await self._call(run, function, recorder)
            stored = result_json(result, limit=function.result_limit)
        except Parked:
            return
        except LeaseLost:
            raise
        except asyncio.CancelledError:
            raise
        except BaseExceptionGroup as group:
            await self._ended_in_group(run, recorder, function, group)
        except BaseException as error:  # also SystemExit: a task may not end its worker
            await self._raised(run, recorder, function, error)
        else:
            run.over = True
            with anyio.CancelScope(shield=True):
                await recorder.flush()
                await run.database.write_first(queue.finish, claim, Action.SUCCEED, result=stored)

    async def _call(self, run: Run, function: TaskFunction[..., Any], recorder: RunRecorder) -> Any:
        claim = run.claim
        arguments = function.signature.validate(claim.arguments)
        if function.signature.context is not None:
            arguments[function.signature.context] = await self._context(run, recorder)
        if claim.timeout is None:
            return await _invoke(run, function, arguments)
        with anyio.move_on_after(claim.timeout) as scope:
            return await _invoke(run, function, arguments)
        assert scope.cancelled_caught
        raise TimedOut(claim.timeout)

    async def _context(self, run: Run, recorder: RunRecorder) -> TaskContext[Any]:
        claim = run.claim
        records: dict[int, Recorded] = {}
        if claim.epoch > 1:
            found = await run.database.read(durable.records, claim.task_id)
            records = {one.position: Recorded(one.kind, one.key, one.done, one.value) for one in found}
        info = TaskInfo(
            claim.task_id, claim.label, claim.name, claim.title, claim.attempt, claim.tenant, claim.conversation_id
        )
        return TaskContext(
            info,
            recorder,
            records,
            dependencies=self._dependencies(),
            cancel=run.cancel,
            loop=asyncio.get_running_loop(),
        )

    async def _ended_in_group(
        self,
        run: Run,
        recorder: RunRecorder,
        function: TaskFunction[..., Any],
        group: BaseExceptionGroup[BaseException],
    ) -> None:
        """A function's own task group wraps what was raised inside it; parking from within one is still parking."""
        leaves = _leaves(group)
        if any(isinstance(leaf, LeaseLost) for leaf in leaves):
            raise LeaseLost(run.claim.task_id, run.claim.epoch)
        if any(isinstance(leaf, Parked) for leaf in leaves):
            return
        await self._raised(run, recorder, function, leaves[0])

    async def _raised(
        self, run: Run, recorder: RunRecorder, function: TaskFunction[..., Any], error: BaseException
    ) -> None:
        claim = run.claim
        end = ending_of(error, function, claim.attempt, claim.max_attempts, random.random())
        level = logging.INFO if isinstance(error, ToolError | Retry | ArgumentsError) else logging.ERROR
        log.log(level, "task %s (%s) raised: %s", claim.task_id, claim.name, end.error, exc_info=error)
        run.over = True
        with anyio.CancelScope(shield=True):
            await recorder.flush()
            await self._write(run, claim, end)

    async def _write(self, run: Run, claim: Claim, end: Ending) -> None:
        if end.action is Action.RETRY:
            await run.database.write_first(queue.retry_later, claim, delay=end.delay, error=end.error)
        else:
            await run.database.write_first(queue.finish, claim, end.action, error=end.error, error_kind=end.kind)

    async def cancelled(self, run: Run, *, abandoned: bool) -> None:
        await run.database.write_first(queue.finish, run.claim, Action.CANCEL, abandoned=abandoned)

    async def failed(self, run: Run, error: Exception) -> None:
        text = f"{type(error).__name__}: {_first_line(error)}"
        await run.database.write_first(
            queue.finish, run.claim, Action.FAIL, error=text, error_kind=type(error).__name__
        )


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def _invoke(run: Run, function: TaskFunction[..., Any], arguments: dict[str, Any]) -> Any:
    if function.signature.is_async:
        return await function.function(**arguments)
    return await _in_thread(run, lambda: function.function(**arguments))


async def _in_thread(run: Run, function: Callable[[], Any]) -> Any:
    """Runs a synchronous function in a thread of its own. A cancel is told through ``context.cancelled``; the slot stays taken until it returns."""
    outcome: Future[Any] = Future()

    def body() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=body, name=f"frontdesk-{run.claim.name}", daemon=True).start()
    waiting = asyncio.wrap_future(outcome)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        run.cancel.set()
        with anyio.CancelScope(shield=True):
            left = asyncio.ensure_future(run.left.wait())
            await asyncio.wait({waiting, left}, return_when=asyncio.FIRST_COMPLETED)
            left.cancel()
        if waiting.done() and not waiting.cancelled():
            waiting.exception()  # seen: it was cancelled, whatever it raised
        raise
