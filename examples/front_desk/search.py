"""Quick looks into the folder: what is in it, where a file is, how it begins, where a text occurs. Every answer is
bounded and says so.

These are for seconds; what reads whole trees for minutes is a task.
"""

from __future__ import annotations

import fnmatch
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Final

from frontdesk.tasks import ToolError

from .folder import Entry, Folder, Place, shown
from .textfile import open_text
from .tree import Skips, in_order, walk

MOST_LISTED: Final = 200
MOST_LINES: Final = 200
MOST_MATCHES: Final = 50
LONGEST_LINE: Final = 500
LARGEST_SEARCHED: Final = 20_000_000  # bytes of one file
SECONDS: Final = 10.0

_LAST_SECOND: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class FileInfo:
    path: str
    kind: str  # file, directory, link, other
    size: int
    modified: str  # UTC


@dataclass(frozen=True, slots=True)
class Listing:
    """``found`` may be more than are listed in ``files``. ``complete`` is false when looking took too long."""

    path: str
    found: int
    files: tuple[FileInfo, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Head:
    """The first lines of a file. ``more``: whether the file goes on."""

    path: str
    encoding: str
    lines: tuple[str, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Match:
    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """``complete`` is false when there may be more matches: too many, or looking took too long."""

    text: str
    files_searched: int
    matches: tuple[Match, ...]
    complete: bool


def list_files(folder: Folder, place: Place) -> Listing:
    """What is directly in one folder."""
    entries = folder.entries(place)
    return Listing(shown(place), len(entries), tuple(_info(entry) for entry in entries[:MOST_LISTED]))


def find_files(folder: Folder, pattern: str, top: Place, *, clock: Clock = time.monotonic) -> Listing:
    """The files below ``top`` whose name, or path when ``pattern`` has a slash, fits. Without ``*?[`` it is a part of
    the name.
    """
    fits = name_filter(pattern)
    entries, complete = _files(folder, top, clock() + SECONDS, clock)
    found = [entry for entry in entries if fits(_below(entry.place, top))]
    return Listing(shown(top), len(found), tuple(_info(entry) for entry in found[:MOST_LISTED]), complete)


def read_head(folder: Folder, place: Place, lines: int) -> Head:
    """The first ``lines`` lines of a text file, at most 200, each cut after 500 characters."""
    wanted = max(1, min(lines, MOST_LINES))
    file, encoding = open_text(folder, place)
    with io.TextIOWrapper(file, encoding, errors="replace") as text:
        read = [_cut(line) for line in islice(_lines(text), wanted)]
        return Head(shown(place), encoding, tuple(read), more=bool(text.read(1)))


def search_files(folder: Folder, text: str, pattern: str, top: Place, *, clock: Clock = time.monotonic) -> SearchResult:
    """Lines that contain ``text``, in either case, in the text files below ``top`` that fit ``pattern``."""
    if not text.strip():
        raise ToolError("Say which text to search for.")
    fits = name_filter(pattern)
    wanted = text.casefold()
    deadline = clock() + SECONDS
    entries, complete = _files(folder, top, deadline, clock)
    matches: list[Match] = []
    searched = 0
    for entry in entries:
        if not fits(_below(entry.place, top)) or entry.size > LARGEST_SEARCHED:
            continue
        if clock() > deadline or len(matches) > MOST_MATCHES:
            complete = False
            break
        searched += 1
        matches += _matches(folder, entry.place, wanted)
    return SearchResult(text, searched, tuple(matches[:MOST_MATCHES]), complete and len(matches) <= MOST_MATCHES)


def name_filter(pattern: str) -> Callable[[str], bool]:
    """Whether a path fits: ``*.csv`` by name, ``sales/**/*.csv`` by path, ``may`` is a part of the name."""
    folded = pattern.casefold().removeprefix("./")
    if "/" in folded:
        parts = [part for part, following in pairwise([*folded.split("/"), ""]) if (part, following) != ("**", "**")]
        return lambda path: _path_fits(path.casefold().split("/"), parts)
    if any(sign in folded for sign in "*?["):
        return lambda path: fnmatch.fnmatchcase(path.rpartition("/")[2].casefold(), folded)
    return lambda path: folded in path.rpartition("/")[2].casefold()


def _path_fits(parts: list[str], pattern: list[str]) -> bool:
    """``**`` stands for any number of folders; ``*`` and ``?`` stay inside one name."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_path_fits(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _path_fits(parts[1:], pattern[1:])


def _files(folder: Folder, top: Place, deadline: float, clock: Clock) -> tuple[list[Entry], bool]:
    """The files below ``top``, or ``top`` if it is one, and whether they are all."""
    above = Place(top.rpartition("/")[0] or ".")
    if single := [entry for entry in folder.entries(above) if entry.place == top and entry.kind == "file"]:
        return single, True
    files: list[Entry] = []
    for found in walk(folder, top, Skips()):
        files += found
        if clock() > deadline:
            return in_order(files), False
    return in_order(files), True


def _below(place: Place, top: Place) -> str:
    return place if top in (".", place) else place[len(top) + 1 :]


def _matches(folder: Folder, place: Place, wanted: str) -> list[Match]:
    """The first matches in one file; none when it cannot be read or is not text."""
    try:
        file, encoding = open_text(folder, place)
        with io.TextIOWrapper(file, encoding, errors="replace") as text:
            numbered = enumerate(_lines(text), start=1)
            found = (Match(shown(place), number, _cut(line)) for number, line in numbered if wanted in line.casefold())
            return list(islice(found, MOST_MATCHES + 1))
    except (ToolError, OSError):
        return []


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a text, a line longer than a megabyte in several pieces."""
    return iter(lambda: text.readline(1024 * 1024), "")


def _cut(line: str) -> str:
    line = line.rstrip("\r\n")
    return line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + " …"


def _info(entry: Entry) -> FileInfo:
    seconds = min(max(entry.modified, 0.0), _LAST_SECOND)  # a file system may hold any number
    modified = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    return FileInfo(shown(entry.place), entry.kind, entry.size, modified)
