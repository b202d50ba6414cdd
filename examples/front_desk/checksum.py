"""Checksums of a tree: SHA-256 of every file, and of the whole, which depends on names and contents alone."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Final

from frontdesk.tasks import ToolError

from .folder import Entry, Folder, Place, shown
from .steps import Pace, Progress, Steps
from .tree import Skipped, scan

LISTED_CHARACTERS: Final = 4_000_000  # of the files' checksums in the result; the tree's covers all of them


@dataclass(frozen=True, slots=True)
class FileChecksum:
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TreeChecksum:
    """``sha256`` is the digest of the lines ``<sha256 of file>  <path>``, in the order of the paths' bytes: what
    ``sha256sum`` would print, sorted by path, relative to ``path``. Files that could not be read are not part of it.
    """

    path: str
    sha256: str
    files: int
    bytes: int
    checksums: tuple[FileChecksum, ...]
    not_listed: int  # files whose checksums would have made the result too long
    skipped: Skipped


def checksum_tree(
    folder: Folder, top: Place, *, pace: Pace | None = None, listed: int = LISTED_CHARACTERS
) -> Steps[TreeChecksum]:
    """Reads every file below ``top``; lists as many as fit into about ``listed`` characters of the result.

    Raises ToolError when ``top`` is not a directory.
    """
    pace = pace or Pace()
    tree = yield from scan(folder, top, pace)
    expected = tree.bytes or 1
    whole = hashlib.sha256()
    checksums: list[FileChecksum] = []
    files = read = room = 0
    for entry in tree.files:
        try:
            digest, size = yield from _checksum(folder, entry, pace, read, expected)
        except ToolError as error:
            tree.skips.add(error)
            continue
        files += 1
        read += size
        below = entry.place if top == "." else entry.place[len(top) + 1 :]
        whole.update(f"{digest}  ".encode() + os.fsencode(below) + b"\n")
        room += len(shown(below)) + len(digest) + 40
        if room <= listed:
            checksums.append(FileChecksum(shown(below), size, digest))
    return TreeChecksum(
        path=shown(top),
        sha256=whole.hexdigest(),
        files=files,
        bytes=read,
        checksums=tuple(checksums),
        not_listed=files - len(checksums),
        skipped=tree.skips.result(),
    )


def _checksum(folder: Folder, entry: Entry, pace: Pace, before: int, expected: int) -> Steps[tuple[str, int]]:
    digest = hashlib.sha256()
    size = 0
    for chunk in folder.chunks(entry.place):
        digest.update(chunk)
        size += len(chunk)
        if pace.due():
            yield Progress(min((before + size) / expected, 1.0), shown(entry.place))
    return digest.hexdigest(), size
