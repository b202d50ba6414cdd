"""PostgreSQL as an engine, through synchronous psycopg 3 on our own threads, out of reach of any cancelled scope.

Cancelling a scope over an asynchronous driver leaves its backend running the query; a thread that always finishes its transaction does not.
"""

from __future__ import annotations

from typing import Any

import psycopg

from .engine import Cursor, hide_password
from .errors import DatabaseReadOnly, DatabaseUnreachable
from .statements import DialectName


class PostgreSQL:
    """A PostgreSQL database, version 14 or later."""

    dialect: DialectName = "postgresql"
    group = 1  # a transaction per function: locks are held as briefly as can be

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self.name = hide_password(url)

    def open_writer(self) -> psycopg.Connection[Any]:
        return self._connect()

    def open_reader(self) -> psycopg.Connection[Any]:
        raw = self._connect()
        raw.read_only = True
        return raw

    def _connect(self) -> psycopg.Connection[Any]:
        try:
            return psycopg.connect(self._url, connect_timeout=5, application_name="frontdesk")
        except psycopg.Error as error:
            raise self.translate(error) from error

    def cursor(self, raw: psycopg.Connection[Any]) -> Cursor:
        return raw.cursor()

    def begin(self, raw: psycopg.Connection[Any], *, write: bool) -> None:
        """psycopg begins a transaction by itself at the first statement."""

    def in_transaction(self, raw: psycopg.Connection[Any]) -> bool:
        return raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE

    def now(self, cursor: Cursor) -> float:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        return float(cursor.fetchall()[0][0])

    def may_be_repeated(self, error: Exception) -> bool:
        """A deadlock, a serialization failure, or a unique key that another transaction took first."""
        return isinstance(error, psycopg.errors.UniqueViolation | psycopg.errors.TransactionRollback)

    def translate(self, error: Exception) -> Exception:
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction | psycopg.errors.InsufficientPrivilege):
            return DatabaseReadOnly(self.name)
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return DatabaseUnreachable(self.name, " ".join(str(error).split()))
        return error

    def release(self) -> None:
        """Nothing is held besides the connections."""
