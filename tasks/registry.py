"""``@task``: makes a durable task function of a typed function. A value with checked options; nothing is registered
anywhere.

A desk finds the task functions that its agents name; a worker is given them. Running one is the broker's work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, ParamSpec, TypeVar, overload

from pydantic import ValidationError

from .context import TaskContext
from .cron import Missed, Schedule, schedule_option
from .errors import ArgumentsError, InvalidOption
from .importable import place_of
from .options import key_of, key_option, keywords_option, memory_option, timeout_option
from .request import OnCrash, TaskRequest
from .result import result_json as result_json  # how a task function's result is stored
from .retry import RetryPolicy
from .signature import Signature, signature_of

P = ParamSpec("P")
R = TypeVar("R")

RunsIn = Literal["thread", "process"]

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True, eq=False)
class TaskFunction(Generic[P, R]):
    """A function that can be run as a task; made by `task`. Calling it runs the function itself, here and now,
    without any of its options.

    To change an option, copy: ``dataclasses.replace(refund_report, queue="slow")``.
    """

    function: Callable[P, R]
    signature: Signature = field(repr=False)
    name: str
    title: str
    description: str
    queue: str
    priority: int
    timeout: float | None
    retry: RetryPolicy
    idempotent: bool
    on_crash: OnCrash
    keywords: tuple[str, ...]
    result_limit: int
    runs_in: RunsIn = "thread"
    memory_limit: int | None = None
    unique_key: str | None = None
    unique_for: float | None = None
    concurrency_key: str | None = None
    concurrency_limit: int = 1
    schedule: Schedule | None = None
    webhook: str | None = None
    keep_result: float | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidOption(
                f"{self.name!r} cannot be a task's name: 1 to 64 letters, digits, '_', '-' or '.'; give name="
            )
        timeout_option(self.name, self.timeout)
        if not isinstance(self.retry, RetryPolicy):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(
                f"{self.name}: retry is a RetryPolicy, such as RetryPolicy(max_attempts=5), not {self.retry!r}"
            )
        if self.result_limit < 1:
            raise InvalidOption(f"{self.name}: result_limit is in bytes, 1 or more, not {self.result_limit!r}")
        self._check_where()
        for option, template in (("unique_key", self.unique_key), ("concurrency_key", self.concurrency_key)):
            key_option(self.name, option, template, self.signature.schema["properties"])
        self._requested({}, {})
        if self.schedule is not None:
            self.scheduled(self.schedule)

    def _check_where(self) -> None:
        if self.runs_in not in ("thread", "process"):
            raise InvalidOption(f"{self.name}: runs_in is 'thread' or 'process', not {self.runs_in!r}")
        if self.runs_in == "process":
            place_of(self.function, name=self.name)
            for one in self.signature.hidden:
                raise InvalidOption(
                    f"{self.name}: {one!r} is hidden, and another process has no dependencies to inject"
                )
        memory_option(self.name, self.memory_limit, in_process=self.runs_in == "process")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def request(self, arguments: Mapping[str, Any], **options: Any) -> TaskRequest:
        """What to hand to the broker to have this run with ``arguments``. ``options`` are fields of `TaskRequest`;
        they win over the declared ones.

        Raises:
            ArgumentsError: arguments that do not fit the function.
            InvalidOption: an option that does not exist, or with an impossible value.
        """
        return self._requested(self.signature.normalise(arguments), options)

    def scheduled(self, schedule: Schedule) -> TaskRequest:
        """What is filed at each tick of this schedule. Raises InvalidOption for arguments that do not fit."""
        try:
            return self.request(schedule.arguments)
        except ArgumentsError as error:
            raise InvalidOption(
                f"{self.name}: cron= files it with cron_arguments={dict(schedule.arguments)!r}: {error}"
            ) from error

    def _requested(self, arguments: dict[str, Any], options: dict[str, Any]) -> TaskRequest:
        declared: dict[str, Any] = {
            "title": self.title,
            "queue": self.queue,
            "priority": self.priority,
            "timeout": self.timeout,
            "max_attempts": self.retry.max_attempts,
            "on_crash": self.on_crash,
            "unique_for": self.unique_for if self.unique_key is not None else None,
            "concurrency_limit": self.concurrency_limit,
            "webhook": self.webhook,
            "keep_result": self.keep_result,
        }
        for option, template in (("unique_key", self.unique_key), ("concurrency_key", self.concurrency_key)):
            if template is not None:
                declared[option] = key_of(template, arguments)
        try:
            return TaskRequest.model_validate(
                {**declared, **options, "kind": "function", "name": self.name, "arguments": arguments}
            )
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, one['loc']))}={one['input']!r}: {one['msg']}" for one in error.errors()
            )
            raise InvalidOption(f"{self.name}: {wrong}") from error


@overload
def task(function: Callable[P, R], /) -> TaskFunction[P, R]: ...


@overload
def task(
    *,
    name: str | None = None,
    title: str | None = None,
    queue: str = "default",
    priority: int = 0,
    timeout: float | None = 3600.0,
    retry: RetryPolicy = ...,
    idempotent: bool = False,
    on_crash: OnCrash | None = None,
    keywords: Collection[str] = (),
    result_limit: int = 10_000_000,
    runs_in: RunsIn = "thread",
    memory_limit: int | None = None,
    unique_key: str | None = None,
    unique_for: float | None = None,
    concurrency_key: str | None = None,
    concurrency_limit: int = 1,
    cron: str | None = None,
    timezone: str = "UTC",
    missed: Missed = "once",
    cron_arguments: Mapping[str, Any] | None = None,
    webhook: str | None = None,
    keep_result: float | None = None,
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    title: str | None = None,
    queue: str = "default",
    priority: int = 0,
    timeout: float | None = 3600.0,
    retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - a frozen value
    idempotent: bool = False,
    on_crash: OnCrash | None = None,
    keywords: Collection[str] = (),
    result_limit: int = 10_000_000,
    runs_in: RunsIn = "thread",
    memory_limit: int | None = None,
    unique_key: str | None = None,
    unique_for: float | None = None,
    concurrency_key: str | None = None,
    concurrency_limit: int = 1,
    cron: str | None = None,
    timezone: str = "UTC",
    missed: Missed = "once",
    cron_arguments: Mapping[str, Any] | None = None,
    webhook: str | None = None,
    keep_result: float | None = None,
) -> Any:
    """Declare a function, async or not, as a durable task: ``@task`` or ``@task(timeout=60)``.

    A parameter annotated with `TaskContext` is injected; the others are filled by a model or a caller and need
    annotations.

    Args:
        name: What it is called in the database and by models; the function's own name by default. Give a changed
            function a new one.
        title: What people read; made of the name by default.
        queue: Which workers run it.
        priority: Higher goes first, from -1000 to 1000.
        timeout: Seconds of one run, None for no limit.
        retry: When a run that raised is run again.
        idempotent: Running it twice does no harm.
        on_crash: What happens when its worker died: ``retry``, or ``fail`` (reason: worker lost). ``retry`` by
            default if idempotent, else ``fail``.
        keywords: Words of any language that hint at this task; only the ``offline`` model reads them.
        result_limit: The largest result, in bytes of JSON.
        runs_in: Where a synchronous function runs. ``process`` is for one that computes: it does not hold up the
            worker, a crash in it (os._exit, a stack overflow, no memory) ends its own process alone, which counts as a
            worker that died (``on_crash``), and a cancel or a timeout really stops it: ``SystemExit`` is raised in it,
            and its process is killed when it goes on for longer than the worker's grace period. The process imports
            the function by its name, so it must be at the top of a module, and it has no ``context.dependencies``.
            Starting a process takes a good part of a second, which counts as time of the run; it is then kept for the
            next ones, with what a function has left in its module.
        memory_limit: With ``process``: the address space that its process may have during the run, in bytes; beyond
            it Python raises ``MemoryError``. The process itself needs some hundred million. macOS does not heed it.
        unique_key: Of a tenant's tasks with the same key only one is live: filing another finds it. Arguments are put
            in: ``unique_key="report:{month}"``.
        unique_for: Seconds since it was filed for which the key holds instead, whether the task has ended or not.
        concurrency_key: Of all tasks with the same key, whoever files them, ``concurrency_limit`` at most run at once;
            one that waits for tasks, a timer or an answer does not count. Arguments are put in as above.
        concurrency_limit: See ``concurrency_key``.
        cron: When it is filed by itself: minute, hour, day of month, month, day of week, as in crontab(5). Once for
            each tick, however many workers know it; it belongs to no conversation. `cron.Schedule` says what happens
            where clocks are put forward or back.
        timezone: With ``cron``: the IANA name of the zone that it is meant in.
        missed: With ``cron``: what becomes of ticks that passed while no worker ran: ``once``: it is filed once for all
            of them; ``skip``: not at all; ``all``: for each of the last hundred.
        cron_arguments: With ``cron``: its arguments, the same each time; needed when it has some without a default.
        webhook: An http or https URL of at most 2000 characters that is told of the task's end, however it ends: a
            POST signed as https://www.standardwebhooks.com says, with the secret in FRONTDESK_WEBHOOK_SECRET, tried
            again for some hours. It may come more than once: the receiver drops a ``webhook-id`` that it has seen.
        keep_result: Seconds after its end for which the result is kept, and longer for as long as who filed the task
            goes on or its webhook is to be told; then the task says ``result_expired``. None: for ever.

    Raises:
        InvalidOption: an option or a parameter that cannot work.
    """

    def declare(function: Callable[..., Any]) -> TaskFunction[..., Any]:
        signature = signature_of(function, name=name, context_types=(TaskContext,))
        return TaskFunction(
            function=function,
            signature=signature,
            name=signature.name,
            title=_title(signature.name) if title is None else title,
            description=signature.description,
            queue=queue,
            priority=priority,
            timeout=timeout,
            retry=retry,
            idempotent=idempotent,
            on_crash=on_crash or ("retry" if idempotent else "fail"),
            keywords=keywords_option(signature.name, keywords),
            result_limit=result_limit,
            runs_in=runs_in,
            memory_limit=memory_limit,
            unique_key=unique_key,
            unique_for=unique_for,
            concurrency_key=concurrency_key,
            concurrency_limit=concurrency_limit,
            schedule=schedule_option(signature.name, cron, timezone=timezone, missed=missed, arguments=cron_arguments),
            webhook=webhook,
            keep_result=keep_result,
        )

    return declare if function is None else declare(function)


def _title(name: str) -> str:
    spaced = re.sub(r"[_.-]+", " ", name).strip()
    return spaced[:1].upper() + spaced[1:]
