"""Statements over many rows at once: one parameter, a JSON array of objects, whose fields are columns of ``given``. For
a few rows SQLite is given their values themselves, which it reads in half the time.

A statement costs a trip to PostgreSQL, and on SQLite a turn of Python's lock, however many rows it is about. The SQL is
written out, because both dialects read it; what differs between them is filled in here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import sqlalchemy as sa
from pydantic_core import to_json
from sqlmodel import SQLModel

from .statements import DialectName, dialect_of, table

Type: TypeAlias = Literal["text", "bigint", "double precision"]

WORDS: Final[dict[DialectName, dict[str, str]]] = {
    "sqlite": {"lock": "", "skip_locked": "", "nowait": "", "in_order": ""},
    "postgresql": {
        "lock": "FOR UPDATE",
        "skip_locked": "FOR UPDATE SKIP LOCKED",
        "nowait": "FOR UPDATE NOWAIT",
        "in_order": 'COLLATE "C"',  # the order in which Python sorts
    },
}


FEW: Final = 4  # rows; each number of them is a statement of its own


class Bulk:
    """One statement for both dialects. In its text ``{given}`` is the table of what is given, and ``{lock}``,
    ``{skip_locked}``, ``{nowait}`` and ``{in_order}`` are what only PostgreSQL needs. ``returns``: it returns rows."""

    __slots__ = ("_columns", "_few", "_ready", "_text", "returns", "writes")

    def __init__(self, text: str, columns: dict[str, Type]) -> None:
        self._text, self._columns = text, columns
        self.writes = not text.lstrip().startswith("SELECT")
        self.returns = not self.writes or "RETURNING" in text
        self._ready: dict[DialectName, str] = {}
        self._few: dict[int, str] = {}

    def bind(self, dialect: DialectName, given: Sequence[Mapping[str, Any]]) -> tuple[str, Sequence[Any]]:
        """The text for this dialect and so many rows, and its parameters."""
        if dialect != "sqlite" or len(given) > FEW:
            return self.sql(dialect), (self.pick(given),)
        found = self._few.get(len(given))
        if found is None:
            found = self._few[len(given)] = self._text.format(
                given=_values(self._columns, len(given)), **WORDS[dialect]
            )
        columns = self._columns
        return found, [row[name] for row in given for name in columns]

    def pick(self, given: Sequence[Mapping[str, Any]]) -> str:
        """The parameter: of each row what the statement is given."""
        columns = self._columns
        return to_json([{name: row[name] for name in columns} for row in given]).decode()

    def sql(self, dialect: DialectName) -> str:
        """The text for this dialect; its one parameter is the JSON."""
        found = self._ready.get(dialect)
        if found is None:
            given = given_in(dialect, self._columns)
            found = self._ready[dialect] = self._text.format(given=given, **WORDS[dialect])
        return found


def given_in(dialect: DialectName, columns: dict[str, Type]) -> str:
    """The table of what is given."""
    if dialect == "postgresql":
        typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        return f"json_to_recordset(%s::json) AS given({typed})"
    read = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in columns)
    return f"(SELECT {read} FROM json_each(?)) AS given"


def _values(columns: dict[str, Type], count: int) -> str:
    """So many rows of what is given, as SQLite reads them."""
    first = ", ".join(f"? AS {name}" for name in columns)
    more = f" UNION ALL SELECT {', '.join('?' * len(columns))}"
    return f"(SELECT {first}{more * (count - 1)}) AS given"


def insert_all(model: type[SQLModel], names: tuple[str, ...]) -> Bulk:
    """INSERT of many rows with these columns; others have the database's defaults."""
    of = table(model)
    listed = ", ".join(names)
    return Bulk(
        f"INSERT INTO {of.name} ({listed}) SELECT {listed} FROM {{given}}",
        {name: _kind(of.c[name]) for name in names},
    )


def _kind(column: sa.Column[object]) -> Type:
    text = str(column.type.compile(dialect_of("postgresql"))).upper()
    if "INT" in text:
        return "bigint"
    return "double precision" if "FLOAT" in text or "DOUBLE" in text else "text"


def ids(found: Sequence[str]) -> list[dict[str, str]]:
    """What is given where only ids are, in their order."""
    return [{"id": one} for one in sorted(set(found))]
