"""The folder that a desk may read: every path that a person or a model names is checked here, and nowhere else.

What counts is where a path really leads, links followed: inside the folder it is fine, outside it is refused, however
it is written. Checking a path and opening it are two moments, and a link may be slipped in between. So ``locate`` gives
a path free of links, and ``open`` walks down that path from the folder's own descriptor and follows none: what was a
folder and is now a link is an error. Nothing here writes.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, NewType

from frontdesk.tasks import ToolError

Place = NewType("Place", str)
"""A path below the folder, with ``/``, without links or ``..``: only ``Folder`` makes one. ``.`` is the folder itself.
"""

Kind = Literal["file", "directory", "link", "other"]

HAS_DESCRIPTORS: Final = os.open in os.supports_dir_fd and os.scandir in os.supports_fd and hasattr(os, "O_NOFOLLOW")
CHUNK: Final = 1024 * 1024
_DIRECTORY: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_ESCAPE: Final = re.compile(rb"\\x([0-9a-f]{2})")


def shown(name: str) -> str:
    """A file's name as text that any JSON can hold: bytes that are not UTF-8 become ``\\xe9``, and ``locate``
    understands them.
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _unshown(name: str) -> str:
    return os.fsdecode(
        _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), name.encode("utf-8", "surrogateescape"))
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """What one directory entry is. Links are named, never followed."""

    place: Place
    kind: Kind
    size: int
    modified: float  # seconds since 1970
    identity: tuple[int, int]  # device and inode: equal for hard links
    links: int

    @property
    def name(self) -> str:
        return self.place.rpartition("/")[2]


class Folder:
    """Read access to one folder and everything below it.

    ``hidden`` are places inside it that belong to the desk itself (its state): not listed, not opened.
    ``descriptors`` chooses how a file is opened where the system has both ways; leave it alone.
    """

    __slots__ = ("_descriptors", "_hidden", "root")

    def __init__(self, root: Path, *, hidden: tuple[Path, ...] = (), descriptors: bool = HAS_DESCRIPTORS) -> None:
        self.root: Final = Path(os.path.realpath(root))
        real = [Path(os.path.realpath(path)) for path in hidden]
        inside = {path.relative_to(self.root).as_posix() for path in real if path.is_relative_to(self.root)}
        self._hidden: Final = frozenset(inside - {"."})
        self._descriptors: Final = descriptors

    def locate(self, name: str) -> Place:
        """Where ``name`` really is. It may be relative to the folder or absolute; it need not exist.

        Raises ToolError when it leads outside, belongs to the desk, or cannot be a path.
        """
        try:
            real = Path(os.path.realpath(self.root / name))
            if "\\x" in name and not os.path.lexists(real):
                real = Path(os.path.realpath(self.root / _unshown(name)))
        except (OSError, ValueError):
            raise ToolError(f"{name!r} is not a path.") from None
        if not real.is_relative_to(self.root):
            raise ToolError(
                f"{name!r} is outside the folder that this desk may read. Name a path inside it, such as sales/may.csv."
            )
        place = real.relative_to(self.root)
        if any(above.as_posix() in self._hidden for above in (place, *place.parents)):
            raise ToolError(f"{name!r} belongs to the desk itself and is not readable.")
        return Place(place.as_posix())

    def open(self, place: Place) -> BinaryIO:
        """Opens a regular file. Raises ToolError that says why it cannot be read. Never waits for a pipe."""
        with _translated(place):
            descriptor = self._descend(place, _FILE)
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode):
                return os.fdopen(descriptor, "rb")
            os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise ToolError(f"{shown(place)!r} is a folder, not a file. list_files shows what is in it.")
        raise ToolError(f"{shown(place)!r} is not a regular file.")

    def chunks(self, place: Place, limit: int | None = None) -> Iterator[bytes]:
        """The contents of a file in pieces of at most a megabyte, ``limit`` bytes in all. Raises ToolError as ``open``
        does.
        """
        with _translated(place), self.open(place) as file:
            left = sys.maxsize if limit is None else limit
            while left and (chunk := file.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk

    def entries(self, place: Place) -> list[Entry]:
        """What is in one directory, sorted by the bytes of the names. Raises ToolError when it cannot be read."""
        with _translated(place):
            if not self._descriptors:
                entries = self._read(self.root / place, place)
                self._check(place)
                return entries
            descriptor = self._descend(place, _DIRECTORY)
            try:
                return self._read(descriptor, place)
            finally:
                os.close(descriptor)

    def _read(self, directory: int | Path, place: Place) -> list[Entry]:
        with os.scandir(directory) as found:
            entries = [entry for item in found if (entry := self._entry(item, place)) is not None]
        return sorted(entries, key=lambda entry: os.fsencode(entry.name))

    def _entry(self, item: os.DirEntry[str], place: Place) -> Entry | None:
        inside = Place(item.name if place == "." else f"{place}/{item.name}")
        if inside in self._hidden:
            return None
        try:
            status = item.stat(follow_symlinks=False)
        except FileNotFoundError:  # removed since the directory was read
            return None
        identity = (status.st_dev, status.st_ino)
        return Entry(inside, _kind(status.st_mode), status.st_size, status.st_mtime, identity, status.st_nlink)

    def _descend(self, place: Place, flags: int) -> int:
        """Opens ``place`` without following any link below the root. The caller closes the descriptor."""
        if not self._descriptors:
            return self._open_and_check(place, flags)
        parts = [] if place == "." else place.split("/")
        descriptor = os.open(self.root, _DIRECTORY)
        for number, part in enumerate(parts, start=1):
            above = descriptor
            try:
                wanted = flags if number == len(parts) else _DIRECTORY
                descriptor = os.open(part, wanted | os.O_NOFOLLOW, dir_fd=above)
            finally:
                os.close(above)
        return descriptor

    def _open_and_check(self, place: Place, flags: int) -> int:
        """For systems without ``openat``: opens, then looks whether the path still leads where it should."""
        path = self.root / place
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory", str(path))
        descriptor = os.open(path, flags)
        try:
            self._check(place)
            if not os.path.samestat(os.fstat(descriptor), os.stat(path)):
                raise OSError(errno.ELOOP, "was exchanged", str(path))
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _check(self, place: Place) -> None:
        path = self.root / place
        if Path(os.path.realpath(path)) != path:
            raise OSError(errno.ELOOP, "became a link", str(path))


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "other"


@contextmanager
def _translated(place: Place) -> Generator[None]:
    """The system's errors in words for the model."""
    name = repr(shown(place))
    try:
        yield
    except FileNotFoundError:
        raise ToolError(f"There is no {name} in the folder. find_files finds a file by a part of its name.") from None
    except PermissionError:
        raise ToolError(f"{name} may not be read: permission denied.") from None
    except NotADirectoryError:
        raise ToolError(f"{name} is not a folder, or a part of its path is a file or a link.") from None
    except IsADirectoryError:
        raise ToolError(f"{name} is a folder, not a file. list_files shows what is in it.") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ToolError(f"{name} is a link that leads in a circle, or became a link while it was opened.") from None
        raise ToolError(f"{name} cannot be read: {error.strerror or 'unknown error'}.") from None
