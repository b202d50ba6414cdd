"""A history that the database itself keeps: triggers of the test note every transition of a task and every durable
call, each in the transaction that made it. What was rolled back or rejected leaves no trace."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from frontdesk.tasks.states import TERMINAL

Row = tuple[Any, ...]
OURS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'frontdesk'"

TABLES = (
    "CREATE TABLE chaos_moves (task_id TEXT, old TEXT, new TEXT, epoch INTEGER, attempt INTEGER)",
    "CREATE TABLE chaos_calls (task_id TEXT, position INTEGER, kind TEXT, value TEXT)",
)
MOVED = "INSERT INTO chaos_moves VALUES (NEW.id, OLD.status, NEW.status, NEW.epoch, NEW.attempt);"
CALLED = "INSERT INTO chaos_calls VALUES (NEW.task_id, NEW.position, NEW.kind, NEW.value);"
SQLITE = (
    "CREATE TRIGGER chaos_moved AFTER UPDATE OF status ON frontdesk_task WHEN OLD.status <> NEW.status "
    f"BEGIN {MOVED} END",
    f"CREATE TRIGGER chaos_called AFTER INSERT ON frontdesk_durable_call BEGIN {CALLED} END",
)
POSTGRESQL = (
    f"CREATE FUNCTION chaos_moved() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {MOVED} RETURN NULL; END$$",
    f"CREATE FUNCTION chaos_called() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {CALLED} RETURN NULL; END$$",
    "CREATE TRIGGER chaos_moved AFTER UPDATE OF status ON frontdesk_task FOR EACH ROW "
    "WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION chaos_moved()",
    "CREATE TRIGGER chaos_called AFTER INSERT ON frontdesk_durable_call FOR EACH ROW EXECUTE FUNCTION chaos_called()",
)
DROP = ("DROP TABLE chaos_moves", "DROP TABLE chaos_calls")
DROP_POSTGRESQL = ("DROP FUNCTION chaos_moved CASCADE", "DROP FUNCTION chaos_called CASCADE", *DROP)


class History:
    """The history of a database, on a connection of its own, from one thread. Call ``begin`` when the tables are there,
    ``end`` to leave it as it was, or ``close``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._is_sqlite = url.startswith("sqlite")
        self._raw: Any = None

    def _connect(self) -> Any:
        if self._is_sqlite:
            return sqlite3.connect(self._url.removeprefix("sqlite:///"), timeout=30.0, isolation_level=None)
        return psycopg.connect(self._url, autocommit=True)

    def ask(self, *statements: str) -> list[Row]:
        """Runs SQL; the rows of the last statement. After an error it connects again the next time."""
        if self._raw is None:
            self._raw = self._connect()
        try:
            cursor = self._raw.cursor()
            for statement in statements:
                cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        except (psycopg.Error, sqlite3.Error):
            self.close()
            raise

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()
            self._raw = None

    def number(self, statement: str) -> int:
        return int(self.ask(statement)[0][0])

    def begin(self) -> None:
        self.ask(*TABLES, *(SQLITE if self._is_sqlite else POSTGRESQL))

    def end(self) -> None:
        if not self._is_sqlite:
            self.ask(*DROP_POSTGRESQL)
        self.close()

    def connections(self) -> int:
        """How many connections there are, or on SQLite, how many files of the database this process has open."""
        if self._is_sqlite:
            name = self._url.removeprefix("sqlite:///")
            return sum(one.resolve().name.startswith(Path(name).name) for one in Path("/proc/self/fd").iterdir())
        return self.number(f"SELECT count(*) {OURS}")

    def busy(self) -> int:
        """How many connections are in a transaction, or hold the lock to write."""
        if self._is_sqlite:
            self.ask("BEGIN IMMEDIATE", "ROLLBACK")  # it raises when it cannot
            return 0
        return self.number(f"SELECT count(*) {OURS} AND state LIKE '%transaction%'")

    def moves(self) -> Counter[tuple[str, str]]:
        """How often tasks went from one status to another."""
        return Counter((old, new) for old, new in self.ask("SELECT old, new FROM chaos_moves"))

    def claims(self) -> int:
        return self.number("SELECT count(*) FROM chaos_moves WHERE new = 'running'")

    def live(self) -> int:
        """How many tasks have not ended."""
        return self.number("SELECT count(*) FROM frontdesk_task WHERE finished_at IS NULL")

    def steps(self) -> dict[str, str]:
        """What the step of each task has recorded, as JSON."""
        return dict(self.ask("SELECT task_id, value FROM chaos_calls WHERE kind = 'step'"))

    def twice(self) -> list[str]:
        """What happened to a task other than once: its end, a durable call."""
        ends: Counter[str] = Counter()
        for task_id, new in self.ask("SELECT task_id, new FROM chaos_moves"):
            ends[task_id] += new in TERMINAL
        wrong = [f"{task_id} has ended {count} times" for task_id, count in ends.items() if count > 1]
        wrong += [
            f"{task_id} left its end: {old} to {new}"
            for task_id, old, new in self.ask("SELECT task_id, old, new FROM chaos_moves")
            if old in TERMINAL
        ]
        again = self.ask(
            "SELECT task_id, position, kind, count(*) FROM chaos_calls GROUP BY 1, 2, 3 HAVING count(*) > 1"
        )
        return wrong + [
            f"{task_id}: call {place} ({kind}) was recorded {many} times" for task_id, place, kind, many in again
        ]
