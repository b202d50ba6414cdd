"""How much of the log is read at once: so many rows that they are about as long as a good read, however long each is.
Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..broker.wakeups import Events

READ_ROWS: Final = 100  # of the log at once, at most
FIRST_ROWS: Final = 8  # while it is not known how long they are
READ_CHARACTERS: Final = 256_000  # of the log at once, about


def next_rows(rows: Sequence[Events], limit: int) -> int:
    """How many rows to read next, after these were found under a limit."""
    size = sum(len(row.body) for row in rows)
    fitting = len(rows) * READ_CHARACTERS // size if size else READ_ROWS
    return max(1, min(2 * limit, fitting, READ_ROWS))
