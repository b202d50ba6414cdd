"""Task functions that harm their worker, and ones that come too late."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from frontdesk.tasks.context import TaskContext
from frontdesk.tasks.registry import TaskFunction, task
from frontdesk.tasks.retry import RetryPolicy
from frontdesk.tests.chaos.scale import scaled
from frontdesk.tests.chaos.works import again, note

POLICY: Final = RetryPolicy(max_attempts=3, initial=0.0)
POISON_TIMEOUT: Final = scaled(60.0, 1200.0)  # by then the test is over, or has failed


@task(idempotent=True, retry=POLICY)
def exits() -> None:
    """Ends the process, without any clean-up."""
    os._exit(7)


@task(idempotent=True, retry=POLICY)
def killed() -> None:
    """What the kernel does to a process that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


@task(idempotent=True, retry=POLICY)
def overflows() -> None:
    """Calls itself until the stack is full, in a thread whose stack is small."""
    sys.setrecursionlimit(10**9)

    def deeper(one: Any) -> list[Any]:
        return list(map(deeper, [one]))

    threading.stack_size(65_536)
    thread = threading.Thread(target=deeper, args=(0,))
    thread.start()
    thread.join()


@task(idempotent=True, retry=POLICY)
def swells() -> int:
    """Wants more memory than its process may have."""
    return len(bytearray(1 << 36))


@task(idempotent=True)
def late(context: TaskContext[Path], go: str) -> str:
    """Its first run waits for a file and then writes everything that a run can write; what came of each is noted."""
    if context.attempt > 1:
        return "in time"
    note(context.dependencies, "late", "waits")
    until = time.monotonic() + POISON_TIMEOUT
    while not (context.dependencies / go).exists() and time.monotonic() < until:
        time.sleep(0.01)
    context.report(0.9, "late")
    context.log("late")
    _try(context, "step", lambda: context.step("late", lambda: "late"))
    _try(context, "create", lambda: context.create(again, number=1))
    _try(context, "sleep", lambda: context.sleep(0.0))
    _try(context, "ask", lambda: context.ask("Late?"))
    return "late"


def _try(context: TaskContext[Path], what: str, function: Callable[[], Awaitable[Any]]) -> None:
    try:
        context.call(function)
    except BaseException as error:
        note(context.dependencies, "late", f"{what}:{type(error).__name__[:9]}")
    else:
        note(context.dependencies, "late", f"{what}:kept")


@task(idempotent=True)
def blocks_thread(context: TaskContext[Path], seconds: float) -> str:
    """Blocks its own thread."""
    note(context.dependencies, "starts", context.task_id[-12:])
    time.sleep(seconds)
    return f"attempt {context.attempt}"


@task(idempotent=True)
async def blocks_loop(context: TaskContext[Path], seconds: float) -> str:
    """Its first run blocks the event loop of the whole worker."""
    note(context.dependencies, "starts", context.task_id[-12:])
    if context.attempt == 1:
        time.sleep(seconds)  # noqa: ASYNC251 - that is the fault
        context.report(0.9, "late")
    return f"attempt {context.attempt}"


FUNCTIONS: Final[dict[str, TaskFunction[..., Any]]] = {
    one.name: one for one in (exits, killed, overflows, swells, late, blocks_thread, blocks_loop)
}
