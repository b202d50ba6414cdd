"""Another process that serves, for as long as a block lasts. What it serves is its own business."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .rounds import environment

PROGRAM = ("-c", "from frontdesk.server.cli import main; main()")  # what the script `frontdesk` does


@dataclass(frozen=True, slots=True)
class Serving:
    """Where it is, without the scheme, and which process it is."""

    address: str
    pid: int


@contextmanager
def serving(arguments: Sequence[str], folder: Path) -> Generator[Serving]:
    """Runs Python with these arguments until its first line names an address. Raises RuntimeError."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, cwd=folder, env=environment()
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://([\d.:]+)", line)
        if found is None:
            raise RuntimeError(f"{' '.join(arguments)} did not start: {line!r}")
        yield Serving(found[1], process.pid)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
