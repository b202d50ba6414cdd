"""What is in a CSV file: per column types, missing and distinct values, range, mean, quantiles. For files larger than
memory.

Rows are read once, in batches, into sketches whose size does not depend on the file's. What is estimated is said, with
its error.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from frontdesk.tasks import ToolError

from .csvfile import Table, column_names, has_header
from .folder import Folder, Place, shown
from .sketches import Distinct, Quantiles
from .steps import Pace, Progress, Steps
from .textfile import SAMPLE, open_text
from .values import Kind, is_missing, kind_of

PERCENTS: Final = (5, 25, 50, 75, 95)
LONGEST_SHOWN: Final = 80
_NUMERIC: Final = frozenset({Kind.INTEGER, Kind.NUMBER})
_TIMES: Final = frozenset({Kind.DATE, Kind.DATETIME})


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much memory a profile may use. ``values`` are the texts (and numbers) kept over all columns, shared out
    evenly.
    """

    columns: int = 1_000
    values: int = 400_000
    most: int = 4096  # kept per column, however few columns there are
    least: int = 256

    def per_column(self, columns: int) -> int:
        return max(self.least, min(self.most, self.values // columns))


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column. ``minimum``, ``maximum``, ``mean`` and ``quantiles`` are those of its numbers; without numbers, the
    first and last in the order of dates or of text. ``distinct`` counts different texts; it and the quantiles are exact
    where their error is 0.
    """

    name: str
    type: str  # one of Kind, "empty", or "mixed": then see kinds
    kinds: dict[str, int]
    missing: int
    distinct: int
    distinct_error: float  # standard error, as a part of the count
    minimum: int | float | str | None
    maximum: int | float | str | None
    mean: float | None
    quantiles: dict[str, int | float]
    quantile_error: float  # by how much a rank may be off, at most, as a part of all numbers


@dataclass(frozen=True, slots=True)
class CsvProfile:
    """A whole file."""

    path: str
    rows: int
    columns: tuple[ColumnProfile, ...]
    columns_left_out: int
    encoding: str
    delimiter: str
    header: bool
    ragged_rows: int  # more or fewer cells than the first row; missing cells count as missing, further ones are ignored
    unreadable_rows: int  # a quote that does not close within 131,072 characters


def profile_csv(
    folder: Folder, place: Place, *, header: bool | None = None, sizes: Sizes = Sizes(), pace: Pace | None = None
) -> Steps[CsvProfile]:
    """Profiles the file at ``place``. ``header`` says whether the first row names the columns; None decides by its
    look.

    Raises ToolError when the file is missing, empty, not text, or not a table.
    """
    pace = pace or Pace()
    file, encoding = open_text(folder, place)
    file.close()
    try:
        return (yield from _profile(folder, place, encoding, header, sizes, pace))
    except UnicodeDecodeError:
        if encoding == "utf-16":
            raise ToolError(f"{shown(place)!r} is damaged: not all of it is UTF-16.") from None
    # Not UTF-8 after all, further down: once more, in the encoding that fits every byte.
    return (yield from _profile(folder, place, "latin-1", header, sizes, pace))


def _profile(
    folder: Folder, place: Place, encoding: str, header: bool | None, sizes: Sizes, pace: Pace
) -> Steps[CsvProfile]:
    with folder.open(place) as file:
        size = file.seek(0, 2) or 1
        file.seek(0)
        table = Table(file, encoding, SAMPLE)
        rows = _Rows(table.layout.delimiter, header, sizes)
        for batch in table.batches():
            rows.add(batch.rows)
            rows.unreadable += batch.unreadable
            if pace.due():
                yield Progress(min(batch.position / size, 1.0), f"{rows.count:,} rows")
    if rows.columns is None:
        raise ToolError(f"{shown(place)!r} is empty: there are no rows in it.")
    return rows.result(shown(place), encoding)


class _Rows:
    """Takes rows, knows the header, deals the cells out to the columns."""

    def __init__(self, delimiter: str, header: bool | None, sizes: Sizes) -> None:
        self.delimiter: Final = delimiter
        self.header = header
        self.sizes: Final = sizes
        self.columns: list[_Column] | None = None
        self.width = 0
        self.count = self.ragged = self.unreadable = 0

    def add(self, rows: list[list[str]]) -> None:
        if self.columns is None:
            if not rows:
                return
            self.columns = self._start(rows[0])
            rows = rows[1:] if self.header else rows
        self.count += len(rows)
        self.ragged += sum(len(row) != self.width for row in rows)
        for index, column in enumerate(self.columns):
            column.add([row[index] if index < len(row) else "" for row in rows])

    def _start(self, first: list[str]) -> list[_Column]:
        if self.header is None:
            self.header = has_header(first, self.delimiter)
        self.width = len(first)
        names = column_names(first if self.header else [""] * self.width)[: self.sizes.columns]
        return [_Column(name, self.delimiter, self.sizes.per_column(len(names))) for name in names]

    def result(self, path: str, encoding: str) -> CsvProfile:
        columns = tuple(column.result() for column in self.columns or ())
        left_out = self.width - len(columns)
        header = bool(self.header)
        return CsvProfile(
            path, self.count, columns, left_out, encoding, self.delimiter, header, self.ragged, self.unreadable
        )


class _Column:
    """The sketches of one column."""

    def __init__(self, name: str, delimiter: str, size: int) -> None:
        self.name: Final = name
        self.delimiter: Final = delimiter
        self.kinds: Counter[Kind] = Counter()
        self.missing = 0
        self.distinct: Final = Distinct(size)
        self.quantiles: Final = Quantiles(max(2, size // 4))
        self.integers = 0  # their sum, exact
        self.numbers = 0.0  # the sum of the others
        self.lowest: int | float | None = None
        self.highest: int | float | None = None
        self.first: str | None = None
        self.last: str | None = None

    def add(self, cells: Sequence[str]) -> None:
        numbers: list[int | float] = []
        texts: list[str] = []
        for cell, times in Counter(cells).items():
            text = cell.strip()
            if is_missing(text):
                self.missing += times
                continue
            self.distinct.add(text)
            kind, number = kind_of(text, self.delimiter)
            self.kinds[kind] += times
            if number is None:
                texts.append(text[:LONGEST_SHOWN])
            else:
                numbers += [number] * times
        if numbers:
            self._add_numbers(numbers)
        if texts:
            self.first = min(texts if self.first is None else (self.first, *texts))
            self.last = max(texts if self.last is None else (self.last, *texts))

    def _add_numbers(self, numbers: list[int | float]) -> None:
        self.quantiles.add(numbers)
        self.integers += sum(number for number in numbers if isinstance(number, int))
        self.numbers = math.fsum((self.numbers, *(number for number in numbers if isinstance(number, float))))
        self.lowest = min(numbers if self.lowest is None else (self.lowest, *numbers))
        self.highest = max(numbers if self.highest is None else (self.highest, *numbers))

    def _type(self) -> str:
        kinds = frozenset(self.kinds)
        if not kinds:
            return "empty"
        if len(kinds) == 1:
            return next(iter(kinds)).value
        if kinds == _NUMERIC:
            return Kind.NUMBER.value
        return Kind.DATETIME.value if kinds == _TIMES else "mixed"

    def result(self) -> ColumnProfile:
        count = self.quantiles.count
        whole = count > 0 and self.kinds[Kind.NUMBER] == 0
        return ColumnProfile(
            name=self.name,
            type=self._type(),
            kinds={kind.value: times for kind, times in sorted(self.kinds.items())},
            missing=self.missing,
            distinct=self.distinct.count(),
            distinct_error=round(self.distinct.error(), 4),
            minimum=self.first if count == 0 else self.lowest,
            maximum=self.last if count == 0 else self.highest,
            mean=self.integers / count + self.numbers / count if count else None,
            quantiles={f"p{percent}": self._quantile(percent, whole) for percent in PERCENTS} if count else {},
            quantile_error=_rounded_up(self.quantiles.error()),
        )

    def _quantile(self, percent: int, whole: bool) -> int | float:
        value = self.quantiles.value(percent)
        return int(value) if whole and abs(value) <= 2**53 else value


def _rounded_up(error: float) -> float:
    return math.ceil(error * 10_000) / 10_000
