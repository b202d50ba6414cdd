"""Commits counted where they end: in SQLite's write-ahead log (https://sqlite.org/fileformat2.html#walformat)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEADER = struct.Struct(">8I")
FRAME = struct.Struct(">6I")


@dataclass(frozen=True, slots=True)
class Written:
    """What a log holds: transactions that changed something, and the pages that they wrote."""

    commits: int
    pages: int

    def __sub__(self, before: Written) -> Written:
        return Written(self.commits - before.commits, self.pages - before.pages)


def written(database: Path) -> Written:
    """Reads the log of a database that may be in use. Only what fits before its next checkpoint can be counted."""
    log = Path(f"{database}-wal")
    sizes = list(_frames(log.read_bytes())) if log.exists() else []
    return Written(sum(size > 0 for size in sizes), len(sizes))


def _frames(raw: bytes) -> Iterator[int]:
    """For each valid frame: the size of the database after its commit, 0 inside of a transaction."""
    if len(raw) < HEADER.size:
        return
    _, _, page, _, salt_1, salt_2, _, _ = HEADER.unpack_from(raw)
    for place in range(HEADER.size, len(raw) - FRAME.size - page + 1, FRAME.size + page):
        _, size, first, second, _, _ = FRAME.unpack_from(raw, place)
        if (first, second) != (salt_1, salt_2):
            return  # left over from before the last checkpoint
        yield size
