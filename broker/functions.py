"""Runs task functions: arguments in, durable calls, progress, result or error out. Which ends are tried again is
decided by `ending_of`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, astuple, dataclass
from typing import Any, Final

import anyio

from ..tasks.context import Parked, TaskContext, TaskInfo
from ..tasks.errors import ArgumentsError, ReplayMismatch, ResultError, Retry, ToolError
from ..tasks.importable import check_place, place_of
from ..tasks.registry import TaskFunction, result_json
from ..tasks.replay import Recorded
from ..tasks.result import storable
from ..tasks.states import Action
from . import durable, queue
from .errors import DatabaseClosed, LeaseLost
from .groups import deciding
from .messages import Message
from .processes import Processes, ProcessLost
from .recorder import RunRecorder
from .runs import Run
from .supervision import SelfCancelled

log = logging.getLogger("frontdesk.functions")

LONG_TIMEOUT: Final = 60.0


class TimedOut(Exception):
    """The function took longer than its timeout."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took longer than its timeout of {seconds:g} s")


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of a run that raised: an action, or (``RETRY``) another attempt after ``delay`` seconds."""

    action: Action
    error: str | None
    kind: str
    delay: float = 0.0


def ending_of(
    error: BaseException, function: TaskFunction[..., Any], attempt: int, max_attempts: int, chance: float
) -> Ending:
    """Decides what an exception means. Pure; ``chance`` from 0 to 1 is the jitter.

    A `ToolError` is the function's own word that it failed. Other errors are tried again when the function is
    idempotent (or has ``on_crash="retry"``); `Retry` always is. After its attempts a task is held.
    """
    kind = type(error).__name__
    text = f"{kind}: {_first_line(error)}"
    if isinstance(error, ArgumentsError | ReplayMismatch):
        return Ending(Action.HOLD, str(error), kind)
    if isinstance(error, ToolError | ResultError):
        return Ending(Action.FAIL, str(error), kind)
    if isinstance(error, TimedOut):
        text, kind = str(error), "timeout"
    if isinstance(error, ProcessLost):
        text, kind = str(error), "process lost"
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
    """Handles tasks of kind ``function``, for one worker. Raises InvalidOption for one that no process could import."""

    def __init__(self, functions: Mapping[str, TaskFunction[..., Any]], dependencies: Callable[[], Any]) -> None:
        self._functions, self._dependencies = functions, dependencies
        self._processes = Processes()
        for one in functions.values():
            if one.runs_in == "process":
                check_place(one.function, name=one.name)

    async def run(self, run: Run) -> None:
        function = self._functions[run.claim.name]
        recorder = RunRecorder(run, self._functions)
        try:
            if function.runs_in == "process":
                stored = await self._call_in_process(run, function, recorder)
            else:
                arguments = await self._arguments(run, function, recorder)
                result = await self._call(run, function, arguments)
                stored = result_json(result, limit=function.result_limit, name=function.name)
        except Parked:
            return
        except (LeaseLost, DatabaseClosed):
            raise
        except BaseException as error:  # also SystemExit: a task may not end its worker
            await self._raised(run, recorder, function, error)
        else:
            await self._end(run, recorder, Ending(Action.SUCCEED, None, ""), result=stored)

    async def _arguments(self, run: Run, function: TaskFunction[..., Any], recorder: RunRecorder) -> dict[str, Any]:
        """What the function is called with. Raises ArgumentsError."""
        signature = function.signature
        arguments = signature.validate(run.claim.arguments)
        if signature.context is None and not signature.hidden:
            return arguments
        return await signature.settled(signature.inject(arguments, await self._context(run, recorder)))

    async def _context(self, run: Run, recorder: RunRecorder) -> TaskContext[Any]:
        return TaskContext(
            _info(run),
            recorder,
            await _records(run),
            dependencies=self._dependencies(),
            cancel=run.cancel,
            loop=asyncio.get_running_loop(),
        )

    async def _call(self, run: Run, function: TaskFunction[..., Any], arguments: dict[str, Any]) -> Any:
        """Calls the function; when it takes too long, the run is asked to stop."""
        with _timer(run):
            run.begun = True
            if function.signature.is_async:
                return await function.signature.call(function.function, arguments)
            return await _in_thread(run, lambda: function.signature.call(function.function, arguments))

    async def _call_in_process(self, run: Run, function: TaskFunction[..., Any], recorder: RunRecorder) -> str:
        """As `_call`, in a process of its own: there the arguments are checked, and the result is made JSON."""
        module, path = place_of(function.function, name=function.name)
        order: Message = {
            "module": module,
            "path": path,
            "name": function.name,
            "arguments": run.claim.arguments,
            "info": asdict(_info(run)),
            "records": [(position, *astuple(one)) for position, one in (await _records(run)).items()],
            "result_limit": function.result_limit,
            "memory_limit": function.memory_limit,
        }
        with _timer(run):
            return await self._processes.call(run, order, recorder)

    async def _raised(
        self, run: Run, recorder: RunRecorder, function: TaskFunction[..., Any], error: BaseException
    ) -> None:
        """Ends a run that raised, unless it was asked to stop: then what becomes of it is said by `cancelled`, or by
        its worker."""
        error = deciding(error)
        if isinstance(error, Parked):
            return
        if isinstance(error, LeaseLost | DatabaseClosed):
            raise error
        if run.stop is not None:
            with anyio.CancelScope(shield=True):
                await recorder.flush()
            return
        if isinstance(error, asyncio.CancelledError):
            error = SelfCancelled()
        claim = run.claim
        end = ending_of(error, function, claim.attempt, claim.max_attempts, random.random())
        level = logging.INFO if isinstance(error, ToolError | Retry | ArgumentsError) else logging.ERROR
        log.log(level, "task %s (%s) raised: %s", claim.task_id, claim.name, end.error, exc_info=error)
        await self._end(run, recorder, end)

    async def _end(self, run: Run, recorder: RunRecorder, end: Ending, *, result: str | None = None) -> None:
        """The last writes of a run; nothing can cancel them: what is over is not asked to stop any more."""
        run.over = True
        if run.stop is None:
            if recorder.busy:
                await recorder.flush()
            await self._write(run, end, result=result)
        else:
            with anyio.CancelScope(shield=True):
                await recorder.flush()
                await self._write(run, end, result=result)

    async def _write(self, run: Run, end: Ending, *, result: str | None = None, abandoned: bool = False) -> None:
        claim, write, slots = run.claim, run.database.write_freeing, None if abandoned else run.frees
        error = None if end.error is None else storable(end.error)
        if end.action is Action.RETRY:
            await run.persist(lambda: write(slots, queue.retry_later, claim, delay=end.delay, error=error or ""))
        else:
            await run.persist(
                lambda: write(
                    slots, queue.finish, claim, end.action, result=result, error=error, error_kind=end.kind,
                    abandoned=abandoned,
                )
            )  # fmt: skip

    async def cancelled(self, run: Run, *, abandoned: bool) -> None:
        claim = run.claim
        end = Ending(Action.CANCEL, None, "")
        if run.stop == "timeout" and claim.timeout is not None:
            function = self._functions[claim.name]
            end = ending_of(TimedOut(claim.timeout), function, claim.attempt, claim.max_attempts, random.random())
        await self._write(run, end, abandoned=abandoned)

    async def failed(self, run: Run, error: Exception) -> None:
        kind = type(error).__name__
        await self._write(run, Ending(Action.FAIL, f"{kind}: {_first_line(error)}", kind))


def _info(run: Run) -> TaskInfo:
    claim = run.claim
    return TaskInfo(
        claim.task_id, claim.label, claim.name, claim.title, claim.attempt, claim.tenant, claim.conversation_id
    )


async def _records(run: Run) -> dict[int, Recorded]:
    """The durable calls that the task has made in earlier runs."""
    if run.claim.epoch <= 1:
        return {}
    found = await run.persist(lambda: run.database.read(durable.records, run.claim.task_id))
    return {one.position: Recorded(one.kind, one.key, one.done, one.value) for one in found}


@contextlib.contextmanager
def _timer(run: Run) -> Generator[None]:
    """Asks the run to stop when it takes longer than its timeout. A long one is looked at now and then, by the worker:
    a timer for each run costs more than all else about it that does not come to pass."""
    if run.claim.timeout is None:
        yield
        return
    if run.claim.timeout > LONG_TIMEOUT:
        run.deadline = asyncio.get_running_loop().time() + run.claim.timeout
        try:
            yield
        finally:
            run.deadline = None
        return
    timer = asyncio.get_running_loop().call_later(run.claim.timeout, run.ask, "timeout")
    try:
        yield
    finally:
        timer.cancel()


async def _in_thread(run: Run, function: Callable[[], Any]) -> Any:
    """Runs a synchronous function in a thread of its own.

    A cancel is told through ``context.cancelled``; the slot stays taken until it returns, or nobody waits any more.
    """
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
        with anyio.CancelScope(shield=True):
            left = asyncio.ensure_future(run.left.wait())
            await asyncio.wait({waiting, left}, return_when=asyncio.FIRST_COMPLETED)
            left.cancel()
        if waiting.done() and not waiting.cancelled():
            waiting.exception()  # seen: it was cancelled, whatever it raised
        raise
