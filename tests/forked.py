"""Programs in processes of their own, forked from one that has everything imported: what takes a fresh interpreter half
a second of processor time takes a few milliseconds, and otherwise they are the same.

``Popen`` and ``run`` are those of `subprocess`, as far as the tests need them, for commands that begin with
``[sys.executable, "-c", code]`` or ``[sys.executable, "-m", module]``. What is tested about being imported or started
takes `subprocess` itself.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import types
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, Final, Self

PRELOADED: Final = ("frontdesk.tasks", "frontdesk.broker", "frontdesk.agents", "frontdesk.server")
STATUS: Final = struct.Struct("=i")
SIZE: Final = struct.Struct("=I")


class Popen:
    """A running program. ``stdin``, ``stdout``, ``stderr``: None for those of the tests, or what `subprocess` takes."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        text: bool = False,
    ) -> None:
        assert command[0] == sys.executable and command[1] in ("-c", "-m"), "it is forked, and not executed"  # noqa: PT018
        self.args = list(command)
        self.returncode: int | None = None
        ours, theirs = zip(*(_ends(given, of) for of, given in enumerate((stdin, stdout, stderr))), strict=True)
        if stderr == subprocess.STDOUT:
            os.dup2(theirs[1], theirs[2])
        self._said, theirs_said = os.pipe()
        order = {
            "argv": list(command[1:]),
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
        }
        try:
            _order(order, [*theirs, theirs_said])
        finally:
            for descriptor in (*theirs, theirs_said):
                os.close(descriptor)
        self.pid = self._hear(60.0)
        mode = "" if text else "b"
        buffering = 1 if text else -1
        self.stdin: IO[Any] | None = None if ours[0] is None else open(ours[0], "w" + mode, buffering)  # noqa: SIM115
        self.stdout: IO[Any] | None = None if ours[1] is None else open(ours[1], "r" + mode)  # noqa: SIM115
        self.stderr: IO[Any] | None = None if ours[2] is None else open(ours[2], "r" + mode)  # noqa: SIM115

    def _hear(self, seconds: float | None) -> int:
        """The next number from who waits for the program. Raises TimeoutError."""
        if not select.select([self._said], [], [], seconds)[0]:
            raise TimeoutError
        found = os.read(self._said, STATUS.size)
        assert found, "the process that forks programs has ended"
        return int(STATUS.unpack(found)[0])

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end; the exit code, or the signal as a negative number. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            try:
                self.returncode = os.waitstatus_to_exitcode(self._hear(timeout))
            except TimeoutError as error:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from error
            os.close(self._said)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, given: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Writes what is given, reads until both ends, waits. Raises `subprocess.TimeoutExpired`."""
        until = None if timeout is None else time.monotonic() + timeout
        found: dict[str, Any] = {}

        def read(name: str, stream: IO[Any]) -> None:
            found[name] = stream.read()

        reading = [
            threading.Thread(target=read, args=(name, stream), daemon=True)
            for name, stream in (("stdout", self.stdout), ("stderr", self.stderr))
            if stream is not None and not stream.closed
        ]
        for thread in reading:
            thread.start()
        if self.stdin is not None and not self.stdin.closed:
            try:
                if given:
                    self.stdin.write(given)
                self.stdin.close()
            except BrokenPipeError:
                pass
        for thread in reading:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))
            if thread.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        self.wait(None if until is None else max(0.0, until - time.monotonic()))
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        return found.get("stdout"), found.get("stderr")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr, self.stdin):
            if stream is not None:
                stream.close()
        self.wait()


def run(
    command: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    input: Any = None,
    capture_output: bool = False,
    text: bool = False,
    timeout: float | None = None,
    check: bool = False,
) -> subprocess.CompletedProcess[Any]:
    """As `subprocess.run`."""
    kept = subprocess.PIPE if capture_output else None
    given = subprocess.DEVNULL if input is None else subprocess.PIPE
    process = Popen(command, cwd=cwd, env=env, stdin=given, stdout=kept, stderr=kept, text=text)
    try:
        out, err = process.communicate(input, timeout)
    except BaseException:
        process.kill()
        process.wait(20)
        raise
    done = subprocess.CompletedProcess(process.args, process.wait(), out, err)
    if check:
        done.check_returncode()
    return done


def _ends(given: int | IO[Any] | None, of: int) -> tuple[int | None, int]:
    """Our end of a stream, if we have one, and that of the program."""
    if given == subprocess.PIPE:
        read, write = os.pipe()
        return (write, read) if of == 0 else (read, write)
    if given == subprocess.DEVNULL:
        return None, os.open(os.devnull, os.O_RDWR)
    if given is None or given == subprocess.STDOUT:
        return None, os.dup(of)
    return None, os.dup(given if isinstance(given, int) else given.fileno())


@cache
def _forker() -> tuple[socket.socket, threading.Lock]:
    """The process that forks, which ends with this one."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "frontdesk.tests.forked", str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait(60)

    atexit.register(end)
    return ours, threading.Lock()


def _order(order: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    sock, lock = _forker()
    text = json.dumps(order).encode()
    with lock:
        socket.send_fds(sock, [SIZE.pack(len(text))], descriptors)
        sock.sendall(text)


# --- the process that forks


def main() -> None:
    """Imports everything, then forks a program for each order, until its socket is closed."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    sys.path[0] = ""
    for name in PRELOADED:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        head, descriptors, _, _ = socket.recv_fds(sock, SIZE.size, 4)
        if not head:
            return
        text = b""
        while len(text) < SIZE.unpack(head)[0]:
            text += sock.recv(SIZE.unpack(head)[0] - len(text))
        if os.fork() == 0:
            sock.close()
            _attend(json.loads(text), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _attend(order: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Forks the program, says its process id, waits for it, says its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, say = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(say)
        _become(order, streams)
    for descriptor in streams:
        os.close(descriptor)
    os.write(say, STATUS.pack(pid))
    _, status = os.waitpid(pid, 0)
    os.write(say, STATUS.pack(status))
    os._exit(0)


def _become(order: dict[str, Any], streams: Sequence[int]) -> None:
    """The program's whole life."""
    code = 1
    try:
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["env"])
        if hasattr(time, "tzset"):
            time.tzset()
        kind, what, *arguments = order["argv"]
        sys.argv[:] = [kind, *arguments]
        try:
            if kind == "-c":
                module = types.ModuleType("__main__")
                sys.modules["__main__"] = module
                exec(compile(what, "<string>", "exec"), module.__dict__)
            else:
                sys.path[0] = order["cwd"]
                runpy.run_module(what, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as ended:
            code = _code(ended)
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)


def _code(ended: SystemExit) -> int:
    if ended.code is None or isinstance(ended.code, int):
        return (ended.code or 0) & 0xFF
    sys.stderr.write(f"{ended.code}\n")
    return 1


if __name__ == "__main__":
    main()
