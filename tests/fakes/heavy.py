"""Task functions that run in processes of their own. They lie here, because a process has to import them.

``python -m frontdesk.tests.fakes.heavy URL LEASE`` is a worker for two of them, as `worker_process` says.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from frontdesk.broker.errors import TaskNotFound
from frontdesk.tasks.context import TaskContext
from frontdesk.tasks.errors import InvalidOption, ReplayMismatch, Retry, ToolError
from frontdesk.tasks.registry import TaskFunction, task
from frontdesk.tasks.retry import RetryPolicy

AT_ONCE = RetryPolicy(max_attempts=3, initial=0.0, maximum=0.0)


class Report(BaseModel):
    """A result that is no plain JSON."""

    number: int
    text: str


class Refused(ToolError):
    """A function's own kind of ToolError."""


def pid(file: str) -> None:
    """Says which process this is: the file is there when all of it is."""
    Path(f"{file}.new").write_text(str(os.getpid()), encoding="utf-8")
    Path(f"{file}.new").rename(file)


# --- what is the same in a thread and in a process: plain functions, which the tests make tasks of


def adds(number: int, text: str = "none") -> Report:
    return Report(number=number + 1, text=text)


def tells() -> None:
    raise ToolError("the archive is closed on Sundays")


def refuses() -> None:
    raise Refused("not you")


def raises() -> None:
    raise KeyError("no\nsecond line")


def leaves() -> None:
    sys.exit(3)


def groups() -> None:
    raise BaseExceptionGroup("two", [ValueError("first"), ToolError("second")])


def retries(context: TaskContext[Any]) -> int:
    if context.attempt < 3:
        raise Retry(0.01, "not yet")
    return context.attempt


def mismatches() -> None:
    raise ReplayMismatch(1, "sleep", "ask")


def options() -> None:
    raise InvalidOption("no such thing")


def returns_much() -> str:
    return "x" * 1000


def returns_a_lock() -> Any:
    return threading.Lock()


def surrogates() -> None:
    raise ValueError("half \ud800 of a pair")


def knows(context: TaskContext[Any]) -> dict[str, Any]:
    same = context.idempotency_key == context.task_id
    return {"label": context.label, "name": context.info.name, "attempt": context.attempt, "same": same}


def waits_for_itself(context: TaskContext[Any]) -> None:
    context.call(context.wait, context.task_id)


def reports(context: TaskContext[Any]) -> None:
    for number in range(100):
        context.report(number / 100, f"at {number}")
        context.log(f"line {number}")
    context.report(0.5)


SAME: tuple[Callable[..., Any], ...] = (
    adds, tells, refuses, raises, leaves, groups, retries, mismatches, options, returns_much, returns_a_lock,
    surrogates, knows, waits_for_itself, reports,
)  # fmt: skip


def both(function: Callable[..., Any], **options: Any) -> tuple[TaskFunction[..., Any], TaskFunction[..., Any]]:
    """The function as a task in a thread and in a process."""
    name = function.__name__
    return (
        task(name=f"{name}_in_thread", runs_in="thread", **options)(function),
        task(name=f"{name}_in_process", runs_in="process", **options)(function),
    )


# --- what ends


@task(runs_in="process", timeout=None)
def spins(file: str) -> None:
    """Computes for ever."""
    pid(file)
    while True:
        pass


@task(runs_in="process", name="spins_timed", timeout=3.0)
def spins_timed(file: str) -> None:
    pid(file)
    while True:
        pass


@task(runs_in="process", timeout=None)
def waits(file: str) -> None:
    """Computes until there is a file named "go"."""
    pid(file)
    while not (Path(file).parent / "go").exists():
        pass


@task(runs_in="process", timeout=None)
def holds(file: str) -> None:
    """A C function that holds the interpreter, and no thread or signal handler of Python gets a turn."""
    pid(file)
    ctypes.PyDLL(None).sleep(1000)


@task(runs_in="process", timeout=None)
def ignores(file: str) -> None:
    """Goes on whatever is raised in it."""
    pid(file)
    while True:
        try:
            while True:
                time.sleep(0.01)
        except SystemExit:
            continue


@task(runs_in="process", timeout=None)
def tidies(context: TaskContext[Any], file: str) -> None:
    """Cleans up when it is stopped."""
    try:
        pid(file)
        while True:
            pass
    finally:
        Path(f"{file}.tidy").write_text(str(context.cancelled), encoding="utf-8")
        context.log("tidied up")


@task(runs_in="process", timeout=None)
def starts_others(file: str) -> None:
    """Starts a program, and forks."""
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
    forked.start()
    Path(f"{file}.others").write_text(f"{program.pid} {forked.pid}", encoding="utf-8")
    pid(file)
    while True:
        time.sleep(1)


@task(runs_in="process")
def stops_its_own() -> int | None:
    """A process that it has forked ends by SIGTERM, as it would anywhere."""
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
    forked.start()
    forked.terminate()
    forked.join()
    return forked.exitcode


def exits() -> None:
    os._exit(3)


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def overflows() -> None:
    ctypes.string_at(0)


exits_once = task(runs_in="process", name="exits_once")(exits)
exits_again = task(runs_in="process", name="exits_again", idempotent=True, retry=AT_ONCE)(exits)
killed_once = task(runs_in="process", name="killed_once")(is_killed)
segfaults_once = task(runs_in="process", name="segfaults_once")(overflows)


@task(runs_in="process", idempotent=True, retry=AT_ONCE)
def dies_twice(context: TaskContext[Any]) -> int:
    if context.attempt < 3:
        os._exit(1)
    return context.attempt


@task(runs_in="process", memory_limit=1_000_000_000)
def eats(gigabytes: float) -> int:
    return len(b"x" * int(gigabytes * 1e9))


@task(runs_in="process", memory_limit=1_000_000)
def too_little() -> None:
    return None


# --- what it can use


@task(runs_in="process")
def which() -> int:
    return os.getpid()


@task(runs_in="process")
def wants_dependencies(context: TaskContext[Any]) -> Any:
    return context.dependencies


@task(runs_in="process")
def durable(context: TaskContext[Any]) -> list[Any]:
    """Every durable call."""
    first = context.call(context.step, "first", lambda: {"pid": os.getpid()})
    child = context.call(context.create, adds_one, number=first["pid"])
    context.call(context.sleep, 0.01)
    (outcome,) = context.call(context.wait, child)
    answer = context.call(context.ask, "Go on?")
    refused = ""
    try:
        context.call(context.wait, "task_none")
    except TaskNotFound as error:
        refused = type(error).__name__
    return [outcome.unwrap() - first["pid"], outcome.label == child.label, answer, refused]


@task(runs_in="process")
def adds_one(number: int) -> int:
    return number + 1


@task(runs_in="process")
def prints() -> None:
    sys.stdout.write("said on the standard output\n")


if __name__ == "__main__":
    from frontdesk.tests.fakes import worker_process

    worker_process.main({"spins": spins, "holds": holds})
