"""All files below a folder, found in steps. Links are counted and never followed: a tree with circles ends, and nothing
is counted twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from frontdesk.tasks import ToolError

from .folder import Entry, Folder, Place, shown
from .steps import Pace, Progress, Steps

MOST_FILES: Final = 1_000_000  # about 400 bytes of memory each
MOST_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Skipped:
    """What a job left out. ``examples`` says why, for the first few."""

    unreadable: int
    links: int
    special: int
    examples: tuple[str, ...]


@dataclass(slots=True)
class Skips:
    """Counts what a job leaves out."""

    unreadable: int = 0
    links: int = 0
    special: int = 0  # pipes, sockets, devices
    examples: list[str] = field(default_factory=list[str])

    def add(self, reason: ToolError) -> None:
        """Counts one file or directory that could not be read."""
        self.unreadable += 1
        if len(self.examples) < MOST_NAMED:
            self.examples.append(str(reason))

    def result(self) -> Skipped:
        return Skipped(self.unreadable, self.links, self.special, tuple(self.examples))


@dataclass(frozen=True, slots=True)
class Tree:
    """The regular files below a folder, sorted by the bytes of their paths: the same on every file system."""

    files: tuple[Entry, ...]
    skips: Skips

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.files)


def walk(folder: Folder, top: Place, skips: Skips) -> Iterator[list[Entry]]:
    """The files of one directory after another. Directories that cannot be read are counted in ``skips``; ``top``
    itself must be readable.

    Raises ToolError when ``top`` is not a directory.
    """
    found = folder.entries(top)
    todo: list[Place] = []
    while True:
        skips.links += sum(entry.kind == "link" for entry in found)
        skips.special += sum(entry.kind == "other" for entry in found)
        todo += [entry.place for entry in reversed(found) if entry.kind == "directory"]
        yield [entry for entry in found if entry.kind == "file"]
        if not todo:
            return
        try:
            found = folder.entries(todo.pop())
        except ToolError as error:
            skips.add(error)
            found = []


def scan(folder: Folder, top: Place, pace: Pace, *, most: int = MOST_FILES) -> Steps[Tree]:
    """Finds every file below ``top``. Raises ToolError as ``walk`` does, and when there are more than ``most``."""
    files: list[Entry] = []
    skips = Skips()
    for found in walk(folder, top, skips):
        files += found
        if len(files) > most:
            raise ToolError(f"There are more than {most:,} files below {shown(top)!r}. Choose a smaller folder.")
        if pace.due():
            yield Progress(0.0, f"found {len(files):,} files")
    return Tree(tuple(in_order(files)), skips)


def in_order(files: Iterable[Entry]) -> list[Entry]:
    """Sorted by the bytes of the paths."""
    return sorted(files, key=lambda entry: os.fsencode(entry.place))
