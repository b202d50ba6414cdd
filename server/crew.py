"""Several worker processes under one: each is started again when it ends by itself, and all are drained together.

Nothing of a desk is loaded in this process; a crash of one worker costs nobody else anything.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..broker.sqlite import SQLite
from ..broker.urls import engine_of
from .commands import Exit, fail
from .settings import Settings

log = logging.getLogger("frontdesk.crew")

SOON: Final = 60.0  # seconds; a worker that ends sooner after its start than this is started again more slowly
PAUSES: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before a start, after so many early ends
LOOK_SECONDS: Final = 0.2
PROGRAM: Final = (sys.executable, "-c", "from frontdesk.server.cli import main; main()")
PATIENCE: Final = 15.0  # seconds beyond the grace period, with a worker that is to stop


@dataclass(slots=True)
class _Member:
    """One place of the crew, and the process that has it now."""

    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    early: int = 0  # ends in a row that came soon after a start
    not_before: float = 0.0


def run_crew(chosen: Settings, desk: str | None, folder: Path, processes: int) -> int:
    """Runs so many workers until SIGINT or SIGTERM, then drains them; the exit code."""
    engine = engine_of(chosen.database or "sqlite:///frontdesk.db")
    if isinstance(engine, SQLite) and engine.alone:
        fail(Exit.DATABASE, "this SQLite takes one process at a time (safe for several from 3.51.3): run one worker, "
             "or use PostgreSQL")  # fmt: skip
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopping.set())
    command = [*PROGRAM, "worker", *([desk] if desk else []), "--folder", str(folder), *_as_options(chosen)]
    crew = [_Member() for _ in range(processes)]
    print(f"{processes} workers (Ctrl-C stops them)", flush=True)  # noqa: T201 - this is the program
    while not stopping.wait(LOOK_SECONDS):
        for member in crew:
            _look_after(member, command)
    return _drain(crew, chosen.grace_seconds + PATIENCE)


def _as_options(chosen: Settings) -> list[str]:
    """What was set, as options of one worker."""
    given = {"database": chosen.database, "turns": chosen.turns, "tasks": chosen.tasks, "queues": chosen.queues}
    return [word for name, value in given.items() if value not in (None, "") for word in (f"--{name}", str(value))]


def _look_after(member: _Member, command: list[str]) -> None:
    """Starts the member's process, or starts it again when it has ended."""
    now = time.monotonic()
    if member.process is not None:
        code = member.process.poll()
        if code is None:
            return
        member.early = member.early + 1 if now - member.started < SOON else 0
        pause = PAUSES[min(member.early, len(PAUSES) - 1)]
        log.error("worker %d ended with %s; another is started in %g s", member.process.pid, code, pause)
        member.process, member.not_before = None, now + pause
    if now >= member.not_before:
        # A group of its own: Ctrl-C at the terminal reaches this process, which drains the others.
        member.process = subprocess.Popen(command, start_new_session=True)
        member.started = now


def _drain(crew: list[_Member], patience: float) -> int:
    """Asks every worker to stop, waits, and kills what does not; the exit code."""
    running = [member.process for member in crew if member.process is not None]
    for process in running:
        process.terminate()
    until = time.monotonic() + patience
    killed = 0
    for process in running:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.error("worker %d does not stop; it is killed, its leases are released by the others", process.pid)
            process.kill()
            process.wait()
            killed += 1
    return 1 if killed else 0
