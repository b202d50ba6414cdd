"""What a storage function is given: one connection inside one transaction. Functions use nothing else and may be run
again.

``def claim(conn: Connection, …)``: a plain synchronous function; several compose into one commit by being called on one
connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, cast

from .bulk import Bulk
from .clock import wall
from .engine import Cursor, Engine
from .statements import DialectName, Statement
from .wakeups import Hint

Row: TypeAlias = Sequence[Any]
Counted: TypeAlias = tuple[int, int, int]  # a conversation's last cursor, label and input


class Answer(Protocol):
    """What is answered to a statement that was asked."""

    def rows(self) -> list[Row]:
        """Waits for the answer. Raises for this statement, or for one that came before it."""
        ...


class Fetched:
    """An answer that was there at once."""

    __slots__ = ("_rows",)

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def rows(self) -> list[Row]:
        return self._rows


class Foreseen:
    """An answer that is asked for when it is read."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Callable[[], list[Row]]) -> None:
        self._ask = ask

    def rows(self) -> list[Row]:
        return self._ask()


class Connection:
    """One transaction on one connection. It is valid only while the function runs."""

    __slots__ = (
        "_cursor",
        "_dialect",
        "_engine",
        "_moments",
        "_now",
        "_send",
        "estimates",
        "hints",
        "holds",
        "keyed",
        "written",
    )

    def __init__(self, engine: Engine, cursor: Cursor, estimates: dict[Any, Any] | None = None) -> None:
        self._engine, self._cursor = engine, cursor
        self._now: float | None = None
        self._send: Callable[[str, Sequence[Any]], Answer] | None = getattr(cursor, "send", None)
        self.estimates = {} if estimates is None else estimates  # of this process; nothing may depend on their truth
        self._dialect: DialectName = engine.dialect
        self._moments = 0
        self.holds: dict[str, Counted | None] = {}  # conversations that the transaction has locked; None: it is gone
        self.keyed = False  # whether the transaction holds the row of a concurrency key
        self.written = False  # whether the function has run a statement that may have changed something
        self.hints: list[Hint] = []

    @property
    def dialect(self) -> DialectName:
        return self._dialect

    @property
    def alone(self) -> bool:
        """Whether no other process can have this database open."""
        return self._engine.alone

    @property
    def raw(self) -> Any:
        """The driver's connection, for what is run by another library inside this transaction."""
        self.written = True
        return cast(Any, self._cursor).connection

    def all(self, statement: Statement, given: Mapping[str, Any] | None = None) -> list[Row]:
        """Runs the statement; every row is fetched before this returns."""
        sql, values = statement.bind(self._dialect, given or {})
        if statement.writes:
            self.written = True
        self._cursor.execute(sql, values)
        return self._cursor.fetchall()

    def one(self, statement: Statement, given: Mapping[str, Any] | None = None) -> Row | None:
        """The first row, or None."""
        rows = self.all(statement, given)
        return rows[0] if rows else None

    def ask(self, statement: Statement, given: Mapping[str, Any] | None = None) -> Answer:
        """As `all`, without waiting where that is a trip: what is asked for one after the other is one. Statements run
        in the order in which they are given, asked or not."""
        if self._send is None:
            return Fetched(self.all(statement, given))
        if statement.writes:
            self.written = True
        return self._send(*statement.bind(self._dialect, given or {}))

    def foresee(self, statement: Statement, given: Mapping[str, Any] | None = None) -> Answer:
        """As `ask`, for what is read once and only perhaps: where a statement is no trip it is run when it is read, so
        nothing that changes its answer may come between."""
        if self._send is None:
            return Foreseen(lambda: self.all(statement, given))
        return self.ask(statement, given)

    def run(self, statement: Statement, given: Mapping[str, Any] | None = None) -> None:
        """Runs a statement whose answer nobody needs. It may fail as late as at the commit, which then keeps
        nothing."""
        sql, values = statement.bind(self._dialect, given or {})
        self.written = True
        self._cursor.execute(sql, values)

    def changed(self, statement: Statement, given: Mapping[str, Any] | None = None) -> int:
        """Runs a statement that returns no rows; how many rows it changed."""
        self.run(statement, given)
        return self._cursor.rowcount

    def run_each(self, statement: Statement, given: Sequence[Mapping[str, Any]]) -> None:
        """Runs a statement that returns no rows once for each of ``given``."""
        if len(given) == 1:
            self.run(statement, given[0])
        elif given:
            self.written = True
            bound = [statement.bind(self._dialect, one) for one in given]
            self._cursor.executemany(bound[0][0], [values for _, values in bound])

    def bulk(self, statement: Bulk, given: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Runs a statement over many rows at once; what it returns. Nothing is run for none."""
        if not given:
            return []
        if statement.writes:
            self.written = True
        self._cursor.execute(*statement.bind(self._dialect, given))
        return self._cursor.fetchall() if statement.returns else []

    def ask_bulk(self, statement: Bulk, given: Sequence[Mapping[str, Any]]) -> Answer:
        """As `bulk`, without waiting where that is a trip; see `ask`."""
        if self._send is None or not given:
            return Fetched(self.bulk(statement, given))
        if statement.writes:
            self.written = True
        return self._send(*statement.bind(self._dialect, given))

    def insert_each(self, statement: Statement, in_bulk: Bulk, given: Sequence[Mapping[str, Any]]) -> None:
        """Inserts many rows, in the way that costs this database least."""
        if len(given) == 1 or self._dialect == "sqlite":
            self.run_each(statement, given)
        else:
            self.bulk(in_bulk, given)

    def script(self, sql: str) -> list[Row]:
        """Runs plain SQL, for what has no Core form (pragmas, locks)."""
        self.written = True
        self._cursor.execute(sql)
        return self._cursor.fetchall() if self._cursor.description is not None else []

    def now(self) -> float:
        """The database's clock in seconds; the same value throughout one function."""
        if self._now is None:
            self._now = self._engine.now(self._cursor)
        return self._now

    def moment(self) -> float:
        """The database's clock, a microsecond later each time, so that what one function makes has an order."""
        self._moments += 1
        return self.now() + (self._moments - 1) * 1e-6

    def wall(self) -> float:
        """Wall time, for what is shown to people."""
        return wall()

    def hold(self, conversation_id: str, counted: Sequence[Any]) -> None:
        """Notes a conversation that the transaction has locked: its last cursor, label and input. Where a function may
        be undone alone nothing is noted: what it has counted would be undone too."""
        if self._dialect != "sqlite":
            cursor, label, number = counted
            self.holds[conversation_id] = int(cursor), int(label), int(number)

    def publish(self, hint: Hint) -> None:
        """Wakes listeners after the commit; dropped when the transaction fails."""
        self.hints.append(hint)

    def renewed(self) -> None:
        """A new function begins on this connection. A clock that costs a trip is read once in a transaction."""
        if self._dialect == "sqlite":
            self._now = None
        self._moments = 0
        self.written = False
