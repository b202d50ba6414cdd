"""The processes of task functions with ``runs_in="process"``: the worker's side.

A process runs one function at a time and is kept for the next; one that was stopped, that died or that ran out of
memory is not. Each belongs to a coroutine of its own (`Processes._live`) beside the runs: the worker ends it with
everything else, so no process outlives its worker. There are never more than there were runs at once, which the
worker's slots bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

import anyio

from ..tasks.context import Parked, Recorder
from ..tasks.request import TaskRequest
from .errors import DatabaseClosed, LeaseLost
from .messages import HEADER, Message, error_heard, error_said, framed, length_of, message_of
from .runs import Run, Spawn

IDLE: Final = 60.0  # seconds for which a process is kept without work
RUNS: Final = 100  # of one process: what functions leave behind in it is thrown away in the end
LAST_SECONDS: Final = 0.5  # for a process that ends by itself
CALLS: Final = frozenset({"create", "wait", "sleep", "resume_sleep", "ask", "step"})
# A process of its own, not multiprocessing's: that one imports the main script again, and has nothing to talk over
# while a function runs.
START: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    f"from {__package__}.child import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)


class ProcessLost(Exception):
    """The process of a function ended by itself: os._exit, a signal, no memory."""

    def __init__(self, code: int) -> None:
        super().__init__(f"its process ended with {_how(code)}")


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"


class Child:
    """A process and the socket to it. It belongs to the worker's loop."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.process, self._reader, self._writer = process, reader, writer
        self._due: int | None = None  # bytes of the message whose header has been read
        self.ended = asyncio.Event()  # set when the process is gone, and all that it has started
        self.begun = False  # the function of its present run has begun
        self.runs = 0

    @classmethod
    async def start(cls) -> Child:
        """Starts a process. In the thread that lives as long as the worker: Linux ends a process with that thread."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", START, str(theirs.fileno()), str(os.getpid()), json.dumps(sys.path, default=str),
                stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), start_new_session=True,
            )  # fmt: skip
            return cls(process, *await asyncio.open_connection(sock=ours))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    def say(self, message: Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(framed(message))

    async def hear(self) -> Message | None:
        """The next message; None when there will be none. It may be cancelled and called again."""
        try:
            if self._due is None:
                self._due = length_of(await self._reader.readexactly(HEADER.size))
            text = await self._reader.readexactly(self._due)
        except (asyncio.IncompleteReadError, OSError):
            return None
        self._due = None
        return message_of(text)

    def part(self) -> None:
        """Lets it end, when it is idle."""
        self._writer.close()

    def kill(self) -> None:
        """Ends the process and what it has started (in its session), at once."""
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Ends it, whatever it does, and waits until it is gone."""
        self.part()
        try:
            with anyio.move_on_after(LAST_SECONDS):
                await self.process.wait()
        finally:
            self.kill()
            await self._gone()
            self.ended.set()

    async def _gone(self) -> None:
        """Waits for a process that was killed, also when a loop that ends cancels this: it is a moment, and nobody else
        would wait for it."""
        cancelled: asyncio.CancelledError | None = None
        while self.process.returncode is None:
            try:
                await self.process.wait()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


class Processes:
    """The processes of one worker."""

    def __init__(self) -> None:
        self._idle: list[Child] = []

    async def call(self, run: Run, order: Message, recorder: Recorder) -> str:
        """Has a function run as `child` takes the order; its result as JSON. When the run is asked to stop, the process
        is: at once if the lease is lost, else it is killed when the grace period is over.

        Raises what the function raised, Parked, ProcessLost.
        """
        fresh = False
        while True:
            child = await self._take(run.spawn, fresh=fresh)
            outcome = await self._run(child, run, order, recorder)
            if outcome is not None:
                return self._result(child, outcome)
            if child.begun or child.runs == 1:
                raise ProcessLost(child.process.returncode or 0)
            fresh = True  # it was idle for too long for somebody; nothing of the function has run in it

    async def _run(self, child: Child, run: Run, order: Message, recorder: Recorder) -> Message | None:
        """The last message of a run; None when its process died."""
        child.runs += 1
        child.begun = False
        run.begun = True
        run.kill = child.kill
        try:
            child.say(order)
            outcome = await _listen(child, recorder)
            if outcome is None:
                with anyio.move_on_after(LAST_SECONDS):
                    await child.ended.wait()
                child.kill()
                await child.ended.wait()
            return outcome
        except BaseException:
            with anyio.CancelScope(shield=True):
                await _stop(child, run, recorder)
            raise
        finally:
            run.kill = None

    def _result(self, child: Child, outcome: Mapping[str, Any]) -> str:
        error = outcome.get("error")
        if error is not None and error["kind"] == "MemoryError":
            child.part()
        else:
            self._keep(child)
        if error is not None:
            raise error_heard(error)
        if "parked" in outcome:
            raise Parked
        return str(outcome["result"])

    async def _take(self, spawn: Spawn, *, fresh: bool) -> Child:
        while self._idle and not fresh:
            child = self._idle.pop()
            if not child.ended.is_set():
                return child
        ready: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        spawn(lambda: self._live(ready))
        try:
            return await asyncio.shield(ready)
        except asyncio.CancelledError:
            ready.add_done_callback(self._unreceived)
            raise

    async def _live(self, ready: asyncio.Future[Child]) -> None:
        """The life of one process."""
        try:
            child = await Child.start()
        except Exception as error:
            ready.set_exception(error)
            return
        except BaseException:
            ready.cancel()
            raise
        ready.set_result(child)
        try:
            await child.process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await child.close()
            if child in self._idle:
                self._idle.remove(child)

    def _unreceived(self, ready: asyncio.Future[Child]) -> None:
        if not ready.cancelled() and ready.exception() is None:
            self._keep(ready.result())

    def _keep(self, child: Child) -> None:
        if child.ended.is_set() or child.runs >= RUNS:
            child.part()
        else:
            self._idle.append(child)
            asyncio.get_running_loop().call_later(IDLE, self._expire, child, child.runs)

    def _expire(self, child: Child, runs: int) -> None:
        if child in self._idle and child.runs == runs:
            self._idle.remove(child)
            child.part()


async def _listen(child: Child, recorder: Recorder) -> Message | None:
    """Does what a run in a process asks for, until it has ended: its last message, or None when its process died.
    Raises LeaseLost, DatabaseClosed."""
    while (message := await child.hear()) is not None:
        if "call" in message:
            child.say(await _answer(message, recorder))
        elif "report" in message:
            if message["report"]:
                recorder.report(message["report"].get("fraction"), message["report"].get("message"))
            for line in message["lines"]:
                recorder.log(line)
        elif "begun" in message:
            child.begun = True
        else:
            return message
    return None


async def _answer(message: Message, recorder: Recorder) -> Message:
    number = {"answer": message["number"]}
    try:
        return {**number, "value": await _called(recorder, message["call"], *message["args"])}
    except (LeaseLost, DatabaseClosed):
        raise
    except Exception as error:
        return {**number, "error": error_said(error)}


async def _called(recorder: Recorder, name: str, *args: Any) -> Any:
    if name == "create":
        position, key, request = args
        handle = await recorder.create(position, key, TaskRequest.model_validate(request))
        return {"id": handle.id, "label": handle.label}
    if name not in CALLS:
        raise ValueError(f"no call {name!r}")
    return await getattr(recorder, name)(*args)


async def _stop(child: Child, run: Run, recorder: Recorder) -> None:
    """Ends the process of a run: it is asked first, where there is time, and killed when nobody waits any more.

    The grace period is the supervision's: it calls ``run.kill`` at its end. A drain has had it already.
    """
    waiting = [asyncio.ensure_future(child.ended.wait()), asyncio.ensure_future(run.left.wait())]
    if run.stop in ("cancel", "timeout", "drain"):
        child.say({"stop": True})
        listening = asyncio.ensure_future(_listen(child, recorder))  # what it reports still counts
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        await asyncio.wait([listening])
        if not listening.cancelled():
            listening.exception()  # seen: the run is over, whatever it called
    child.kill()
    await child.ended.wait()
    for one in waiting:
        one.cancel()
