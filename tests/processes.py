"""What tests see of processes: which there are, and what they have open."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from frontdesk.tests.works import until


def children() -> set[str]:
    """The processes that this one has started and not waited for, also those that have ended."""
    found: set[str] = set()
    for one in Path("/proc/self/task").iterdir():
        try:
            found.update((one / "children").read_text(encoding="ascii").split())
        except FileNotFoundError:  # a thread that has ended
            continue
    return found


def lives(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def open_files() -> list[str]:
    """What this process has open."""
    found: list[str] = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing itself
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted(found)


def said(file: Path) -> list[int]:
    """The process ids in a file."""
    return [int(word) for word in file.read_text(encoding="utf-8").split()]


async def begun(file: Path) -> int:
    """Waits until a function has said in which process it is."""
    await until(file.exists)
    return said(file)[0]


async def gone(*pids: int) -> None:
    await until(lambda: not any(lives(pid) for pid in pids))
