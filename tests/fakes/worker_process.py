"""A worker in a process of its own, which a test can stop and kill: ``python -m frontdesk.tests.fakes.worker_process
URL``.

It runs one task function, ``patient``: it says ``running`` on its standard output and then waits for a file. It ends
when its standard input is closed.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frontdesk.broker.database import Database
from frontdesk.broker.functions import FunctionRuns
from frontdesk.broker.worker import Worker
from frontdesk.tasks.context import TaskContext
from frontdesk.tasks.registry import TaskFunction, task


def say(text: str) -> None:
    os.write(sys.stdout.fileno(), f"{text}\n".encode())


def body(context: TaskContext[Any], file: str) -> str:
    """Waits until the file is there; says in which process and attempt it was."""
    say(f"running {context.attempt}")
    while not Path(file).exists():
        time.sleep(0.01)
    return f"process {os.getpid()}, attempt {context.attempt}"


again: TaskFunction[..., str] = task(name="again", idempotent=True)(body)
once: TaskFunction[..., str] = task(name="once")(body)
FUNCTIONS: dict[str, TaskFunction[..., Any]] = {"again": again, "once": once}


def main(functions: Mapping[str, TaskFunction[..., Any]] = FUNCTIONS) -> None:
    url, lease = sys.argv[1], float(sys.argv[2])
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    database = Database.open(url, durable=False, exclusive=False)
    runs = FunctionRuns(functions, lambda: None)
    worker = Worker(database, {}, dict.fromkeys(functions, runs), lease=lease, poll=0.05)
    worker.start()
    say("started")
    sys.stdin.read()
    worker.stop_blocking(10.0)
    database.close()


if __name__ == "__main__":
    main()
