"""The child's end of the socket between a worker and the process of a task function, and the recorder over it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import count
from queue import SimpleQueue
from typing import Any, Final

from pydantic_core import from_json

from ..tasks.context import LINE_LENGTH, LOG_LINES, TaskHandle
from ..tasks.request import TaskRequest
from ..tasks.result import STEP_LIMIT, result_json
from .messages import HEADER, Message, error_heard, framed, length_of, message_of

INTERVAL: Final = 0.1  # seconds between two reports


class Pipe:
    """Any thread may say something and wait for an answer; a thread of its own reads.

    ``orders`` holds what is to be run, None at the end; ``cancel`` is set when the run is to stop.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket, self._lock = connected, threading.Lock()
        self._busy = False
        self._numbers = count()
        self._answers: dict[int, Future[Any]] = {}
        self.orders: SimpleQueue[Message | None] = SimpleQueue()
        self.cancel = threading.Event()
        threading.Thread(target=self._read, name="frontdesk-pipe", daemon=True).start()

    def say(self, message: Message) -> None:
        data = framed(message)
        with self._lock:
            self._socket.sendall(data)

    def rest(self, outcome: Message) -> None:
        """Says how a run has ended; the process is idle then, and free to end."""
        self._busy = False
        self.say(outcome)

    def ask(self, method: str, *args: Any) -> Any:
        """Has a method of the run's recorder called in the worker. Raises what it raises."""
        number = next(self._numbers)
        answer = self._answers[number] = Future()
        self.say({"call": method, "number": number, "args": args})
        return answer.result()

    def close(self) -> None:
        self._socket.close()

    def _read(self) -> None:
        while (message := self._next()) is not None:
            if "answer" in message:
                self._answered(self._answers.pop(message["answer"]), message)
            elif "stop" in message:
                self.cancel.set()
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
            else:
                self._busy = True
                self.orders.put(message)
        if self._busy:  # the worker is gone: so is the run, with all that it has started
            os.killpg(0, signal.SIGKILL)
        self.orders.put(None)

    def _answered(self, waiting: Future[Any], message: Message) -> None:
        if "error" in message:
            waiting.set_exception(error_heard(message["error"]))
        else:
            waiting.set_result(message["value"])

    def _next(self) -> Message | None:
        header = self._exactly(HEADER.size)
        text = header and self._exactly(length_of(header))
        return message_of(text) if text else None

    def _exactly(self, size: int) -> bytes | None:
        parts: list[bytes] = []
        while size:
            try:
                part = self._socket.recv(min(size, 1 << 20))
            except OSError:
                return None
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class PipeRecorder:
    """Records in the worker what a run in this process reports and calls; a `tasks.context.Recorder`.

    ``report`` and ``log`` never wait: a thread sends the latest of them ten times a second. The durable calls block the
    thread in which they are made.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe, self._lock, self._sending = pipe, threading.Lock(), threading.Lock()
        self._report: Message = {}
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self._news, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def report(self, fraction: float | None, message: str | None) -> None:
        with self._lock:
            self._report["fraction"] = fraction
            if message is not None:
                self._report["message"] = message[:LINE_LENGTH]
            self._touch()

    def log(self, line: str) -> None:
        with self._lock:
            self._lines.append(line[:LINE_LENGTH])
            self._touch()

    def flush(self) -> None:
        """Sends what has not been sent yet."""
        with self._sending:
            with self._lock:
                report, lines = self._report, list(self._lines)
                self._report = {}
                self._lines.clear()
            if report or lines:
                self._pipe.say({"report": report, "lines": lines})

    def close(self) -> None:
        """The run is over: what is left is sent, what comes later is not."""
        self._closed.set()
        self._news.set()
        self.flush()
        if self._thread is not None:
            self._thread.join()

    def _touch(self) -> None:
        self._news.set()
        if self._thread is None and not self._closed.is_set():
            self._thread = threading.Thread(target=self._flush_soon, name="frontdesk-report", daemon=True)
            self._thread.start()

    def _flush_soon(self) -> None:
        while not self._closed.is_set():
            self._news.wait()
            self._news.clear()
            with contextlib.suppress(OSError):  # the worker is gone, and this process with it
                self.flush()
            self._closed.wait(INTERVAL)

    def _ask(self, method: str, *args: Any) -> Any:
        self.flush()
        return self._pipe.ask(method, *args)

    async def create(self, position: int, key: str, request: TaskRequest) -> TaskHandle:
        return TaskHandle(**self._ask("create", position, key, request.model_dump(mode="json")))

    async def wait(self, position: int, key: str, ids: Sequence[str], need: int | None) -> list[Any] | None:
        found: list[Any] | None = self._ask("wait", position, key, ids, need)
        return found

    async def sleep(self, position: int, key: str, seconds: float) -> None:
        self._ask("sleep", position, key, seconds)

    async def resume_sleep(self, position: int, key: str, until: float) -> bool:
        return bool(self._ask("resume_sleep", position, key, until))

    async def ask(self, position: int, key: str, question: str) -> None:
        self._ask("ask", position, key, question)

    async def step(self, position: int, key: str, value: Any) -> Any:
        stored = from_json(result_json(value, limit=STEP_LIMIT, name=f"step {key!r}"))
        self._ask("step", position, key, stored)
        return stored
