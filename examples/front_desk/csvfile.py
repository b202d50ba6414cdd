"""Reading a table of text, whatever wrote it: how its lines are divided, whether it has a header, its rows in batches.

The standard library's ``csv.Sniffer`` is not used: it guesses from quotes that doubled quotes do not occur, and then
misreads the first that does.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, Final

from frontdesk.tasks import ToolError

from .values import number_of

DELIMITERS: Final = (",", ";", "\t", "|")
BATCH_ROWS: Final = 1_000
BATCH_BYTES: Final = 1024 * 1024
LONGEST_LINE: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lines of a table are divided. ``spaced``: a delimiter is followed by a space that does not belong to the
    value.
    """

    delimiter: str = ","
    spaced: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows, and the number of rows between them that could not be read (a quote that never closes)."""

    rows: list[list[str]]
    unreadable: int
    position: int  # bytes of the file that are read so far


def layout_of(sample: str) -> Layout:
    """The layout that divides the whole lines of ``sample`` into the most columns, most evenly. One column: commas."""
    whole, newline, _ = sample.rpartition("\n")
    lines = list(islice(io.StringIO(whole if newline else sample, newline=""), 200))
    candidates = [Layout(delimiter, spaced) for delimiter in DELIMITERS for spaced in (False, True)]
    return max(candidates, key=lambda layout: _evenness(lines, layout))  # the first of equals


def _evenness(lines: list[str], layout: Layout) -> tuple[float, int]:
    reader = csv.reader(lines, delimiter=layout.delimiter, skipinitialspace=layout.spaced)
    widths = [len(row) for row in reader if row]
    usual = max(widths, key=widths.count, default=0)
    if usual < 2:
        return (0.0, 0)
    return (widths.count(usual) / len(widths), usual)


def has_header(row: list[str], delimiter: str) -> bool:
    """Whether a first row names the columns: something is written in it, and no cell is a number."""
    return any(cell.strip() for cell in row) and all(number_of(cell.strip(), delimiter) is None for cell in row)


def column_names(row: list[str]) -> list[str]:
    """The names in a header, made present and unique: ``column 3`` for an empty one, ``name (2)`` for the second of a
    kind.
    """
    names: list[str] = []
    for number, cell in enumerate(row, start=1):
        plain = name = cell.strip() or f"column {number}"
        again = 2
        while name in names:
            name, again = f"{plain} ({again})", again + 1
        names.append(name)
    return names


class Table:
    """The rows of an open file. ``batches`` reads on from where it is; memory is bounded by a batch and by the longest
    row.

    Decoding errors come up as UnicodeDecodeError, everything else as ToolError.
    """

    __slots__ = ("_file", "_line", "_reader", "_text", "layout")

    def __init__(self, file: BinaryIO, encoding: str, sample: int) -> None:
        self._file: Final = file
        self._text: Final = io.TextIOWrapper(file, encoding, newline="")
        self.layout: Final = layout_of(self._text.read(sample))
        self._text.seek(0)
        self._line = 0
        self._reader: Final = csv.reader(
            self._lines(), delimiter=self.layout.delimiter, skipinitialspace=self.layout.spaced
        )

    def batches(self) -> Iterator[Batch]:
        """The rows that are not blank, in order."""
        rows: list[list[str]] = []
        unreadable = 0
        since = self._file.tell()
        while True:
            try:
                row = next(self._reader, None)
            except csv.Error:  # the reader goes on with the line after the one that was too much
                unreadable += 1
                continue
            if row:
                rows.append(row)
            position = self._file.tell()
            if row is None or len(rows) >= BATCH_ROWS or position - since > BATCH_BYTES:
                yield Batch(rows, unreadable, position)
                if row is None:
                    return
                rows, unreadable, since = [], 0, position

    def _lines(self) -> Iterator[str]:
        while line := self._text.readline(LONGEST_LINE):
            self._line += 1
            if len(line) >= LONGEST_LINE and not line.endswith("\n"):
                raise ToolError(
                    f"Line {self._line:,} is longer than {LONGEST_LINE:,} characters: this is not a table of rows."
                )
            yield line
