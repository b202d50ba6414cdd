"""What a process uses of the machine, as Linux tells it: processor time, by thread too, and memory. 0 elsewhere."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def _seconds(stat: Path) -> float:
    try:
        fields = stat.read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    return _seconds(Path(f"/proc/{pid}/stat"))


def of_threads(names: Mapping[int | None, str]) -> dict[str, float]:
    """Processor time of this process's threads, by their names without numbers; what ends is not counted."""
    found: defaultdict[str, float] = defaultdict(float)
    for native_id, name in names.items():
        found[name.rstrip("0123456789_-")] += _seconds(Path(f"/proc/self/task/{native_id}/stat"))
    return dict(found)


def resident(pid: int | None = None) -> float:
    """Memory of a process (by default this one) that is in use, in KiB."""
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return float(next((line.split()[1] for line in lines if line.startswith("VmRSS:")), 0))


def sockets() -> int:
    """How many this process has open."""
    found = 0
    for one in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one that lists them
            found += os.readlink(f"/proc/self/fd/{one}").startswith("socket:")
    return found
