"""Workers of a queue under test that are processes of their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence


class WorkerProcesses:
    """``python -m module arguments``, ``wanted`` of them."""

    def __init__(self, module: str, arguments: Sequence[str], wanted: int) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self.wanted = wanted
        self._running: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        for _ in range(self.wanted):
            started = await asyncio.create_subprocess_exec(*self._command, stdout=subprocess.DEVNULL)
            self._running.append(started)

    @property
    def pids(self) -> list[int]:
        return [one.pid for one in self._running]

    async def stop(self) -> None:
        """Asks them to end, and ends them when they do not."""
        for one in self._running:
            if one.returncode is None:
                one.terminate()
        for one in self._running:
            try:
                await asyncio.wait_for(one.wait(), 5.0)
            except TimeoutError:
                one.kill()
                await one.wait()
        self._running.clear()
