"""Statements: SQLAlchemy Core, compiled once per dialect to SQL and the order of its parameters.

Executing Core each time costs more than SQLite itself; the driver's cursor with ready SQL does not. Parameters are
written ``p("name")`` and given by name. Their types need no conversion: tables hold only text, integers, floats (see
``tasks/table.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, Literal, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy.sql.expression import Executable
from sqlmodel import SQLModel

DialectName = Literal["sqlite", "postgresql"]
Values: TypeAlias = Sequence[Any]
Bind: TypeAlias = Callable[[Mapping[str, Any]], Values]

_PREFIX = "p_"  # SQLAlchemy reserves the columns' own names inside INSERT and UPDATE


def p(name: str) -> sa.BindParameter[Any]:
    """A parameter that is given at each execution."""
    return sa.bindparam(_PREFIX + name)


def word(value: str) -> sa.ColumnClause[str]:
    """A constant written into the SQL itself: SQLite serves a partial index only to a condition that it can read."""
    return sa.literal_column(f"'{value}'")


def table(model: type[SQLModel]) -> sa.Table:
    """The Core table of a SQLModel class."""
    return cast(sa.Table, cast(Any, model).__table__)


def insert_row(model: type[SQLModel]) -> sa.Insert:
    """INSERT with a parameter for every column."""
    of = table(model)
    return of.insert().values({column.name: p(column.name) for column in of.columns})


def defaults(model: type[SQLModel]) -> dict[str, Any]:
    """The values of the columns that have a default. An object would know them too, but the first one configures all of
    SQLAlchemy's mappers, which nobody else needs.
    """
    return {name: field.get_default() for name, field in model.model_fields.items() if not field.is_required()}


@cache
def dialect_of(name: DialectName) -> sa.Dialect:
    """SQLAlchemy's dialect as the driver wants its parameters; loaded when it is the one that is used."""
    if name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.dialect(paramstyle="qmark")
    from sqlalchemy.dialects import postgresql

    return postgresql.psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]


class Statement:
    """One statement, ready for both dialects. Immutable in meaning: compilation is cached, nothing else changes.

    ``writes``: whether it can change a row.
    """

    __slots__ = ("_core", "_ready", "writes")

    def __init__(self, core: Executable) -> None:
        self._core = core
        self.writes = not core.is_select
        self._ready: dict[DialectName, tuple[str, Bind]] = {}

    def bind(self, dialect: DialectName, given: Mapping[str, Any]) -> tuple[str, Values]:
        """SQL text and its parameters in order. A parameter that is not given raises KeyError with its name."""
        ready = self._ready.get(dialect)
        if ready is None:
            ready = self._ready[dialect] = self._compile(dialect)
        return ready[0], ready[1](given)

    def _compile(self, dialect: DialectName) -> tuple[str, Bind]:
        compiled = cast(Any, self._core).compile(dialect=dialect_of(dialect))
        names: list[str] = list(compiled.positiontup or ())
        constants: dict[str, Any] = {name: compiled.params[name] for name in names if not name.startswith(_PREFIX)}
        return str(compiled), _binder(tuple(name.removeprefix(_PREFIX) for name in names), constants)


def _binder(names: tuple[str, ...], constants: dict[str, Any]) -> Bind:
    """Puts values into the order of ``names``; in C where that is possible, because every statement comes here."""
    if constants:
        first = next(place for place, name in enumerate(names) if name in constants)
        if all(name in constants for name in names[first:]):  # LIMIT and OFFSET come last
            pick, last = _binder(names[:first], {}), tuple(constants[name] for name in names[first:])
            return lambda given: (*pick(given), *last)
        return lambda given: [constants[name] if name in constants else given[name] for name in names]
    match names:
        case ():
            return lambda given: ()
        case (name,):
            return lambda given: (given[name],)
        case _:
            return cast(Bind, itemgetter(*names))
