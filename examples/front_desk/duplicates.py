"""Files with the same content, found with little reading: first by size, then by their first bytes, then as a whole.

Hard links are one file under several names, so they are no duplicates and save no space; empty files are counted, not
listed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from frontdesk.tasks import ToolError

from .folder import Entry, Folder, Place, shown
from .steps import Pace, Progress, Steps
from .tree import Skipped, Skips, Tree, scan

BEGINNING: Final = 16 * 1024
MOST_GROUPS: Final = 1_000
MOST_PATHS: Final = 100

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Files of one content. ``paths`` are at most a hundred of the ``files``."""

    size: int  # of each, in bytes
    files: int
    paths: tuple[str, ...]

    @property
    def wasted(self) -> int:
        return self.size * (self.files - 1)


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """The groups that waste the most come first; at most a thousand of the ``groups_found``."""

    path: str
    files: int
    groups_found: int
    wasted_bytes: int
    groups: tuple[Duplicates, ...]
    empty_files: int
    hard_links: int  # names beyond the first of a file
    skipped: Skipped


def find_duplicates(folder: Folder, top: Place, *, pace: Pace | None = None) -> Steps[DuplicateReport]:
    """Compares the files below ``top``. Raises ToolError when ``top`` is not a directory."""
    pace = pace or Pace()
    tree = yield from scan(folder, top, pace)
    empty = sum(entry.size == 0 for entry in tree.files)
    singles = _without_hard_links(entry for entry in tree.files if entry.size)
    same_size = _groups((entry.size, entry) for entry in singles)
    beginnings = yield from _digests(folder, same_size, BEGINNING, tree.skips, pace, (0.0, 0.3))
    short = [group for group in beginnings if group[0].size <= BEGINNING]
    long = [group for group in beginnings if group[0].size > BEGINNING]
    contents = yield from _digests(folder, long, None, tree.skips, pace, (0.3, 1.0))
    return _report(top, tree, [*short, *contents], empty, len(tree.files) - empty - len(singles))


def _without_hard_links(entries: Iterable[Entry]) -> list[Entry]:
    """One name of each file: the first."""
    first: dict[tuple[int, int], Entry] = {}
    for entry in entries:
        first.setdefault(entry.identity, entry)
    return list(first.values())


def _groups(keyed: Iterable[tuple[K, Entry]]) -> list[list[Entry]]:
    groups: defaultdict[K, list[Entry]] = defaultdict(list)
    for key, entry in keyed:
        groups[key].append(entry)
    return [group for group in groups.values() if len(group) > 1]


def _digests(
    folder: Folder, groups: list[list[Entry]], limit: int | None, skips: Skips, pace: Pace, span: tuple[float, float]
) -> Steps[list[list[Entry]]]:
    """Divides groups further, by the digest of each file's first ``limit`` bytes."""
    entries = [entry for group in groups for entry in group]
    expected = sum(min(entry.size, limit or entry.size) for entry in entries) or 1
    start, end = span
    read = 0
    keyed: list[tuple[tuple[int, bytes], Entry]] = []
    for entry in entries:
        try:
            digest = hashlib.blake2b(digest_size=32)
            for chunk in _contents(folder, entry, limit):
                digest.update(chunk)
                read += len(chunk)
                if pace.due():
                    yield Progress(start + (end - start) * min(read / expected, 1.0), shown(entry.place))
            keyed.append(((entry.size, digest.digest()), entry))
        except ToolError as error:
            skips.add(error)
    return _groups(keyed)


def _contents(folder: Folder, entry: Entry, limit: int | None) -> Iterator[bytes]:
    """The first ``limit`` bytes of a file. Raises ToolError when it has no longer the size that it had."""
    whole = limit is None or entry.size <= limit
    wanted = entry.size if whole else limit or 0
    size = 0
    for chunk in folder.chunks(entry.place, wanted + whole):  # one byte further shows that it has grown
        size += len(chunk)
        yield chunk
    if size != wanted:
        raise ToolError(f"{shown(entry.place)!r} changed while it was read.")


def _report(top: Place, tree: Tree, groups: list[list[Entry]], empty: int, hard_links: int) -> DuplicateReport:
    found = [
        Duplicates(group[0].size, len(group), tuple(shown(entry.place) for entry in group[:MOST_PATHS]))
        for group in groups
    ]
    found.sort(key=lambda same: (-same.wasted, same.paths))
    return DuplicateReport(
        path=shown(top),
        files=len(tree.files),
        groups_found=len(found),
        wasted_bytes=sum(same.wasted for same in found),
        groups=tuple(found[:MOST_GROUPS]),
        empty_files=empty,
        hard_links=hard_links,
        skipped=tree.skips.result(),
    )
