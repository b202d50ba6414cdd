"""Another process that serves, for as long as a block lasts. What it serves is its own business."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .rounds import environment

PROGRAM = ("-c", "from frontdesk.server.cli import main; main()")  # what the script `frontdesk` does


@dataclass(frozen=True, slots=True)
class Serving:
    """Where it is, without the scheme, and which process it is."""

    address: str
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, what: str, **fields: Any) -> dict[str, Any]:
        """Asks a server that listens to its standard input (``watched``), and waits for the answer."""
        self.tell(what, **fields)
        return self.heard()

    def tell(self, what: str, **fields: Any) -> None:
        """Asks without waiting; the answer is to be `heard` before the next question."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what, **fields}) + "\n")
        self.process.stdin.flush()

    def heard(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@contextmanager
def serving(arguments: Sequence[str], folder: Path) -> Generator[Serving]:
    """Runs Python with these arguments until its first line names an address. Raises RuntimeError."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
        env=environment(),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://([\d.:]+)", line)
        if found is None:
            raise RuntimeError(f"{' '.join(arguments)} did not start: {line!r}")
        yield Serving(found[1], process)
    finally:
        process.terminate()
        process.wait(30)
        process.stdin.close()
        process.stdout.close()
