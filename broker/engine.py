"""What an engine is: one kind of database at one place. How to connect, how to begin, what an error means.

What is stored is the same on every engine; only what differs between them belongs to one, and none knows a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from .statements import DialectName
from .wakeups import Hint, Hub


class Cursor(Protocol):
    """What both drivers' cursors have in common."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Any: ...
    def execute(self, query: Any, params: Any = ..., /) -> Any: ...
    def executemany(self, query: Any, params: Any, /) -> Any: ...
    def fetchall(self) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class Begun:
    """A transaction that has begun. What is known of it depends on the engine."""

    mark: Callable[[], str] | None = None  # gives the transaction's name, by which its outcome can be asked for later
    others: bool = False  # another process has committed since this connection's last transaction


BEGUN: Final = Begun()
OTHERS: Final = Begun(others=True)


class Neighbours(Protocol):
    """Tells this process what other processes have committed, and them what this one has."""

    def start(self) -> None: ...

    def told_with(self, hints: Iterable[Hint]) -> Any:
        """What the writer's connection is to send behind a commit; None: `tell` is called afterwards."""
        return None

    def tell(self, hints: Iterable[Hint]) -> None:
        """Called by the writer's thread after a commit; it never waits."""
        ...

    def stop(self) -> None: ...


class Engine(Protocol):
    """One kind of database at one place. A ``raw`` connection belongs to one thread at a time."""

    dialect: DialectName
    name: str  # safe to show
    group: int  # how many functions one transaction may carry

    @property
    def alone(self) -> bool:
        """Whether no other process can have the database open."""
        ...

    def open_writer(self) -> Any:
        """The connection that writes. Raises a DatabaseError that says what is wrong and what to do."""
        ...

    def open_reader(self) -> Any: ...
    def cursor(self, raw: Any) -> Cursor: ...
    def begin(self, raw: Any, cursor: Cursor, *, write: bool) -> Begun: ...
    def in_transaction(self, raw: Any) -> bool: ...

    def settle(self, raw: Any) -> None:
        """Returns when the connection has run everything that it was given. Raises what that raises."""
        ...

    def is_lost(self, raw: Any) -> bool:
        """Whether the connection is gone and another one may help."""
        ...

    def was_committed(self, raw: Any, mark: str) -> bool | None:
        """Whether the transaction named ``mark`` was committed, asked on another connection; None: not decided yet."""
        ...

    def now(self, cursor: Cursor) -> float: ...

    def translate(self, error: BaseException) -> BaseException:
        """The driver's error in our words; other errors as they are."""
        ...

    def may_be_repeated(self, error: BaseException) -> bool:
        """Whether running the function again can help: what stopped it was another transaction."""
        ...

    def neighbours(self, hub: Hub, look: Callable[[], None]) -> Neighbours | None:
        """How to hear of other processes' commits; None where there can be none. ``look`` makes the writer begin a
        transaction, which finds out whether others have committed."""
        ...

    def release(self) -> None:
        """Gives back what is held besides the connections."""
        ...


def hide_password(url: str) -> str:
    """The URL as it may be shown and logged."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":…@", 1).replace(f":{unquote(parts.password)}@", ":…@", 1)
