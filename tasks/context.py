"""What a task function sees of its run: progress, log, cancellation, and the durable calls.

**A function that waits is run again.** ``wait``, ``ask`` and ``sleep`` unwind the function and free its worker; when
the time has come it is run from the top, and every durable call that was recorded returns at once what it returned
before. So: make durable calls in the same order each time, keep everything that is not repeatable (clocks, random
numbers, requests) inside ``step``, and expect the plain code between them to run again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

from typing_extensions import TypeVar as TypeVarWithDefault

from .errors import InvalidOption, ToolError
from .replay import Recorded, Replay
from .request import TaskRequest

LOG_LINES: Final = 20  # of a task's log that are kept
LINE_LENGTH: Final = 500

T = TypeVar("T")
D = TypeVarWithDefault("D", default=Any)
P = ParamSpec("P")


class Parked(BaseException):
    """The run was parked: the function is left, and run again when it is woken."""


@dataclass(frozen=True, slots=True)
class TaskHandle:
    """A task that was created: ``id`` is global, ``label`` (T3) is its name in the conversation."""

    id: str
    label: str


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """How an awaited task stands. ``result`` is its result as JSON values; ``error`` says why there is none."""

    id: str
    label: str
    status: str
    result: Any
    error: str | None

    def unwrap(self) -> Any:
        """The result. Raises ToolError when the task did not succeed, or when its result was kept for a time only."""
        if self.status != "succeeded" or self.error is not None:
            raise ToolError(f"{self.label or self.id} {self.status}: {self.error or 'no result'}")
        return self.result


class Requestable(Protocol):
    """Something that a task can be made of: a task function."""

    def request(self, arguments: Any, /) -> TaskRequest: ...


class Recorder(Protocol):
    """What a worker gives to a run, for its durable calls; each method that writes is one commit."""

    def report(self, fraction: float | None, message: str | None) -> None: ...
    def log(self, line: str) -> None: ...
    async def create(self, position: int, key: str, request: TaskRequest) -> TaskHandle: ...
    async def wait(self, position: int, key: str, ids: Sequence[str], need: int | None) -> list[Any] | None: ...
    async def sleep(self, position: int, key: str, seconds: float) -> None: ...
    async def resume_sleep(self, position: int, key: str, until: float) -> bool: ...
    async def ask(self, position: int, key: str, question: str) -> None: ...
    async def step(self, position: int, key: str, value: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """The facts of a run. ``attempt`` counts from 1 and grows when a run raised or lost its worker, never by
    waiting."""

    id: str
    label: str
    name: str
    title: str
    attempt: int
    tenant: str
    conversation_id: str | None


class TaskContext(Generic[D]):
    """Injected into a task function's parameter that is annotated with `TaskContext`; never part of its schema.

    A synchronous function runs in a thread: it calls ``report`` and ``log`` as they are, looks at ``cancelled``
    between pieces of work, and makes the asynchronous calls through ``call``: ``context.call(context.sleep, 60)``.
    The same holds in a process of its own (``runs_in="process"``), where there are no ``dependencies``.
    """

    def __init__(
        self,
        info: TaskInfo,
        recorder: Recorder,
        records: dict[int, Recorded],
        *,
        dependencies: D,
        cancel: threading.Event,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.info = info
        self.dependencies = dependencies
        self._recorder, self._replay = recorder, Replay(records)
        self._cancel, self._loop = cancel, loop

    @property
    def task_id(self) -> str:
        return self.info.id

    @property
    def label(self) -> str:
        return self.info.label

    @property
    def attempt(self) -> int:
        return self.info.attempt

    @property
    def idempotency_key(self) -> str:
        """The same in every run of this task: give it to the services that you call, so that a repeat changes
        nothing."""
        return self.info.id

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for this task to be cancelled, or its worker is stopping. Asynchronous functions are
        cancelled anyway."""
        return self._cancel.is_set()

    def report(self, fraction: float | None, message: str | None = None) -> None:
        """Notes how far the task is: ``fraction`` from 0 to 1 (or None: unknown) and a short message. Written at most
        five times a second."""
        if fraction is not None and not 0 <= fraction <= 1:
            fraction = min(1.0, max(0.0, fraction)) if fraction == fraction else None
        self._recorder.report(fraction, message)

    async def progress(self, fraction: float | None, message: str | None = None) -> None:
        """As `report`, and lets others run: a cancel takes effect here."""
        self.report(fraction, message)
        await asyncio.sleep(0)

    def log(self, line: str) -> None:
        """Adds a line to the task's log; ``check_task`` shows the last ones."""
        self._recorder.log(line)

    def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Makes an asynchronous call of this context from a synchronous function's thread or process, and waits for
        it."""

        async def run() -> T:
            return await function(*args, **kwargs)

        if self._loop is None:  # a process of its own: the calls go through its recorder, not through a loop
            return asyncio.run(run())
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    async def create(self, task: Requestable | TaskRequest, /, **arguments: Any) -> TaskHandle:
        """Durable: files a child task, once. Raises ArgumentsError when the arguments do not fit."""
        request = task if isinstance(task, TaskRequest) else task.request(arguments)
        position, found = self._replay.take("create", request.name)
        if found is not None:
            return TaskHandle(found.value["id"], found.value["label"])
        request = request.model_copy(update={"announce": "none"})  # the parent reads it; the conversation need not
        return await self._recorder.create(position, request.name, request)

    async def wait(self, *tasks: TaskHandle | str, until: Literal["all", "any"] | int = "all") -> list[TaskOutcome]:
        """Durable: waits until all, any or so many of the tasks have ended; holds no worker meanwhile. Outcomes in
        the order given.

        The function is unwound and run again (see the top of this module). Raises CircularWait.
        """
        ids = [one.id if isinstance(one, TaskHandle) else one for one in tasks]
        need = None if until == "all" else 1 if until == "any" else until
        if need is not None and not 0 < need <= len(ids):
            raise InvalidOption(f"wait(until=…) takes 'all', 'any' or a number from 1 to {len(ids)}, not {until!r}")
        key = f"{until}:{','.join(ids)}"
        position, found = self._replay.take("wait", key)
        views = found.value if found is not None and found.done else None
        if views is None:
            views = await self._recorder.wait(position, key, ids, need)
        if views is None:
            raise Parked
        return [TaskOutcome(**view) for view in views]

    async def sleep(self, seconds: float) -> None:
        """Durable: waits for so many seconds of elapsed time, also across restarts; holds no worker meanwhile."""
        if not 0 <= seconds < float("inf"):
            raise InvalidOption(f"sleep takes seconds, zero or more, not {seconds!r}")
        position, found = self._replay.take("sleep", "")
        if found is None:
            await self._recorder.sleep(position, "", seconds)
            raise Parked
        if not found.done and not await self._recorder.resume_sleep(position, "", found.value):
            raise Parked

    async def ask(self, question: str) -> Any:
        """Durable: asks the person (or the agent) that the conversation belongs to, and waits for the answer; holds
        no worker meanwhile."""
        position, found = self._replay.take("ask", question)
        if found is not None and found.done:
            return found.value
        await self._recorder.ask(position, question, question)
        raise Parked

    @overload
    async def step(self, key: str, function: Callable[[], Awaitable[T]]) -> T: ...

    @overload
    async def step(self, key: str, function: Callable[[], T]) -> T: ...

    async def step(self, key: str, function: Callable[[], Any]) -> Any:
        """Durable: runs ``function`` and records what it returned (JSON); a finished step is never run again, one
        that a crash interrupted is."""
        position, found = self._replay.take("step", key)
        if found is not None and found.done:
            return found.value
        result = function()
        if isawaitable(result):
            result = await result
        return await self._recorder.step(position, key, result)
