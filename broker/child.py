"""The process of a task function with ``runs_in="process"``: what runs inside it, one function at a time.

Its worker starts it with `main` and talks to it over a socket. It ends when the worker closes the socket or is gone. No
database is here: what a function records, the worker writes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from ..tasks.context import Parked, TaskContext, TaskInfo
from ..tasks.errors import InvalidOption
from ..tasks.importable import found
from ..tasks.registry import TaskFunction
from ..tasks.replay import Recorded
from ..tasks.result import result_json
from ..tasks.signature import Signature, signature_of
from .groups import deciding
from .messages import Message, error_said
from .pipe import Pipe, PipeRecorder

PR_SET_PDEATHSIG: Final = 1  # <sys/prctl.h>


class Stopped(SystemExit):
    """Raised in the function when its run is to stop, so that its ``finally`` and ``with`` blocks run."""


class ProcessContext(TaskContext[Any]):
    """A run as a function in a process of its own sees it."""

    def __init__(self, info: TaskInfo, recorder: PipeRecorder, records: dict[int, Recorded], pipe: Pipe) -> None:
        super().__init__(info, recorder, records, dependencies=None, cancel=pipe.cancel, loop=None)
        del self.dependencies  # so that asking for them says why there are none

    def __getattr__(self, name: str) -> NoReturn:
        if name != "dependencies":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise InvalidOption(
            "context.dependencies are in the worker's process, and this function runs in one of its own: make what it "
            "needs in the function, take it as an argument, or declare the function with runs_in='thread'"
        )


def main(number: int, parent: int) -> None:
    """Runs what the process ``parent`` orders over the socket with this file number, until it is closed."""
    _end_with(parent)
    os.set_inheritable(number, False)
    pipe = Pipe(socket.socket(fileno=number))
    os.register_at_fork(before=_fork, after_in_parent=_forked, after_in_child=lambda: _is_forked(pipe))
    with contextlib.suppress(Stopped):
        while (order := pipe.orders.get()) is not None:
            signal.signal(signal.SIGTERM, lambda _number, _frame: _asked(pipe))  # a function may have set its own
            outcome = _performed(order, pipe)
            if pipe.cancel.is_set():
                break
            pipe.rest(outcome)
        else:
            return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)  # not held up by threads that the function has left


def _end_with(parent: int) -> None:
    """The kernel ends this process when its worker is gone, also while a C function holds the interpreter. (Elsewhere,
    the end of the socket does, as soon as the interpreter is free.)"""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _asked(pipe: Pipe) -> None:
    """SIGTERM stops the function when its worker says so; one that is sent to every process of a service does not: the
    worker drains."""
    if pipe.cancel.is_set():
        raise Stopped


def _fork() -> None:
    """A signal to what is being forked waits until it is its own process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _forked() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _is_forked(pipe: Pipe) -> None:
    """A process that the function has forked is not this one: it holds no end of the socket, and SIGTERM ends it."""
    pipe.close()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _forked()


def _performed(order: Message, pipe: Pipe) -> Message:
    """Runs a function; how it ended, as a message. Raises Stopped."""
    recorder = PipeRecorder(pipe)
    try:
        function, signature = _function(order)
        arguments = signature.validate(order["arguments"])
        if signature.context is not None:
            records = {one[0]: Recorded(*one[1:]) for one in order["records"]}
            arguments[signature.context] = ProcessContext(TaskInfo(**order["info"]), recorder, records, pipe)
        pipe.say({"begun": True})
        with _memory(order["memory_limit"]):
            value = signature.call(function, arguments)
        return {"result": result_json(value, limit=order["result_limit"], name=order["name"])}
    except Stopped:
        raise
    except BaseException as error:  # also SystemExit: it is an error, as in a thread
        error = deciding(error)
        return {"parked": True} if isinstance(error, Parked) else {"error": error_said(error)}
    finally:
        recorder.close()


def _function(order: Mapping[str, Any]) -> tuple[Any, Signature]:
    """The plain function that an order names: what `task` was given, or made."""
    target = found(order["module"], order["path"])
    if isinstance(target, TaskFunction):
        task = cast("TaskFunction[..., Any]", target)
        return task.function, task.signature
    return target, signature_of(target, name=order["name"], context_types=(TaskContext,))


@contextlib.contextmanager
def _memory(limit: int | None) -> Generator[None]:
    """Bounds the address space of this process, in bytes. Raises InvalidOption when it is larger than that already."""
    if limit is None:
        yield
        return
    import resource

    with contextlib.suppress(FileNotFoundError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        if (size := pages * resource.getpagesize()) >= limit:
            raise InvalidOption(
                f"memory_limit is {limit:,} bytes, and the process has {size:,} before the function begins; raise it"
            )
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
