"""What a file's first bytes say about it: text or not, and in which encoding."""

from __future__ import annotations

import codecs
from typing import BinaryIO, Final

from frontdesk.tasks import ToolError

from .folder import Folder, Place, shown

SAMPLE: Final = 64 * 1024

_CONTROLS: Final = bytes(sorted(set(range(32)) - set(b"\t\n\r\f\b\x1b")))


def encoding_of(sample: bytes) -> str | None:
    """The encoding of a file that starts with ``sample``, or None when it is not text.

    A mark at the start decides (UTF-8, UTF-16). Else it is UTF-8 when that fits, and Latin-1, which always fits, when
    it does not. Whoever reads on may still meet bytes that are not UTF-8 further down.
    """
    if sample.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if 0 in sample or controls > len(sample) / 20:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # not final: the sample may end inside a character
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def open_text(folder: Folder, place: Place) -> tuple[BinaryIO, str]:
    """Opens a text file at its start: the open file and its encoding. Raises ToolError when it cannot be read or is not
    text.
    """
    file = folder.open(place)
    try:
        encoding = encoding_of(file.read(SAMPLE))
        file.seek(0)
    except OSError as error:
        file.close()
        raise ToolError(f"{shown(place)!r} cannot be read: {error.strerror or 'unknown error'}.") from None
    if encoding is None:
        file.close()
        raise ToolError(f"{shown(place)!r} is a binary file, not text.")
    return file, encoding
