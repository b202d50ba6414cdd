"""Clocks and the identity of a process. Two clocks, never mixed: wall time is shown, the database's clock decides.

On SQLite the database's clock is this machine's time since boot (it also counts sleep; a change of the wall clock
does not move it), plus an offset stored in the database so that it goes on after a reboot. On PostgreSQL it is the
database server's clock.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path


def wall() -> float:
    """Seconds since 1970, for people."""
    return time.time()


def since_boot() -> float:
    """Seconds since this machine started, sleep included where the system tells it."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def boot_id() -> str:
    """Names this boot of this machine: the time that `since_boot` counts from."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return f"{socket.gethostname()}-{round((time.time() - since_boot()) / 60)}"


def process_space() -> str:
    """Names the boot and, on Linux, the space in which process ids count (a container has its own)."""
    try:
        return f"{boot_id()}:{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return boot_id()


def _start_time(pid: int) -> str | None:
    """When the process started, in the kernel's ticks; None when there is no such process, "" when that is unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
        return "" if _exists(pid) else None
    except OSError:
        return ""
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lease: a worker of a process. ``text`` is what is stored; ``boot`` also names the process ids'
    space."""

    boot: str
    pid: int
    started: str
    worker: str

    @classmethod
    def here(cls) -> Owner:
        """A new worker of this process."""
        pid = os.getpid()
        return cls(process_space(), pid, _start_time(pid) or "", secrets.token_hex(4))

    @property
    def text(self) -> str:
        return f"{self.process}/{self.worker}"

    @property
    def process(self) -> str:
        """What the texts of all workers of this process begin with."""
        return f"{self.boot}/{self.pid}/{self.started}"


def is_dead(owner: str) -> bool:
    """Whether the process that wrote this owner text ran on this boot of this machine and is gone. False when it cannot
    be known."""
    try:
        boot, pid, started, _ = owner.split("/")
        number = int(pid)
    except ValueError:
        return False
    if boot != process_space():
        return False
    now = _start_time(number)
    return now is None or (bool(now) and bool(started) and now != started)
