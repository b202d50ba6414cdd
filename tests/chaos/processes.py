"""Processes that are killed: workers, and one that files tasks. Forked from one that has everything imported, so that
the next one is there in milliseconds."""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from frontdesk.broker.database import Database
from frontdesk.broker.functions import FunctionRuns
from frontdesk.broker.queue import Origin, enqueue
from frontdesk.broker.worker import Worker
from frontdesk.tests.chaos import poison, works
from frontdesk.tests.playback.process import CONTEXT
from frontdesk.tests.store import Store

PATIENCE = 30.0
FUNCTIONS: Final = works.FUNCTIONS | poison.FUNCTIONS


def work(url: str, folder: str, number: int, options: dict[str, Any]) -> None:
    """A worker, until it is told to end (SIGTERM).

    ``memory``: how many bytes of address space it may have; other options are those of `Worker`.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.basicConfig(filename=f"{folder}/worker-{number}.log", level=logging.INFO, force=True)
    database = Database.open(url, durable=False, exclusive=False)
    runs = FunctionRuns(FUNCTIONS, lambda: Path(folder))
    memory = options.pop("memory", None)
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    options = {"poll": 0.05, "task_slots": 1, **options}
    worker = Worker(database, {}, dict.fromkeys(FUNCTIONS, runs), **options)
    worker.start()
    works.note(Path(folder), "started", str(os.getpid()))
    signal.sigwait({signal.SIGTERM})
    worker.stop_blocking(PATIENCE)
    database.close()


def file(url: str, folder: str, name: str, conversations: Sequence[str], count: int, seed: int) -> None:
    """Files ``count`` tasks and ends. When it was killed, the next one begins a little before the place that was
    reached: a repeat finds the task that is there."""
    logging.basicConfig(filename=f"{folder}/filing.log", level=logging.INFO, force=True)
    place = Path(folder)
    database = Database.open(url, durable=False, exclusive=False)
    store = Store(database)
    for number in range(max(0, works.noted(place, "filed") - 5), count):
        of = name if name != "again" or number % 20 else "family"
        request = works.FUNCTIONS[of].request({"number": number}, announce="note")
        origin = Origin(conversation_id=conversations[number % len(conversations)], created_by=f"{seed}/{number}")
        store.do(enqueue, request, origin)
        works.note(place, "filed", str(number))
    database.close()


class Process:
    """A process of a test, which may be killed and replaced by another one like it."""

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        self._target, self._args = target, args
        self.kills = 0
        self._start()

    def _start(self) -> None:
        self._process = CONTEXT.Process(target=self._target, args=self._args, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it lives."""
        return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> bool:
        """``kill -9``; False when it had ended before."""
        self._process.kill()
        self._process.join(PATIENCE)
        killed = self.exit_code == -signal.SIGKILL
        self.kills += killed
        return killed

    def again(self) -> None:
        """Another one in its place."""
        self._process.join(PATIENCE)
        self._start()

    def revive(self) -> bool:
        """Another one in its place when it has died; whether it had."""
        if self.exit_code is None:
            return False
        self.again()
        return True

    def end(self) -> int | None:
        """Lets it end by itself; its exit code."""
        if self.exit_code is None:
            self._process.terminate()
            self._process.join(PATIENCE)
        return self.exit_code

    def stop(self) -> None:
        self._process.kill()
        self._process.join(PATIENCE)


class Fleet:
    """Worker processes at one database, in one folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.processes: list[Process] = []

    def worker(self, url: str | None = None, **options: Any) -> Process:
        return self._add(Process(work, url or self.url, str(self.folder), len(self.processes), options))

    def filing(self, name: str, conversations: Sequence[str], count: int, seed: int) -> Process:
        return self._add(Process(file, self.url, str(self.folder), name, list(conversations), count, seed))

    def _add(self, process: Process) -> Process:
        self.processes.append(process)
        return process

    def started(self) -> int:
        """How many workers have begun to claim."""
        return works.noted(self.folder, "started")

    def logs(self) -> str:
        """The ends of what they have logged, for a failure's message."""
        return "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in sorted(self.folder.glob("*.log")))

    def stop(self) -> None:
        for process in self.processes:
            process.stop()
