"""Places where a test can stop the process: just before and just after each commit. The list of them is the code's own.

Every function that writes through the `Database` is declared with ``@operation``. A failpoint is ``before:NAME`` or
``after:NAME``, with ``:N`` for the N-th commit that holds the operation. Without one, all this costs nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, TypeVar

from ..tasks.errors import InvalidOption

F = TypeVar("F", bound=Callable[..., Any])

_operations: set[str] = set()


def operation(function: F) -> F:
    """Declares a storage function that is a write of its own: both sides of its commit are failpoints."""
    _operations.add(function.__name__)
    return function


def operations() -> frozenset[str]:
    """The names of all declared operations of the modules that are imported."""
    return frozenset(_operations)


def failpoints() -> list[str]:
    """Every commit boundary there is: ``before:NAME`` and ``after:NAME`` of each operation."""
    return [f"{side}:{name}" for name in sorted(_operations) for side in ("before", "after")]


class Failpoint:
    """Kills this process (SIGKILL, as ``kill -9`` does) at one commit boundary."""

    def __init__(self, text: str) -> None:
        parts = text.split(":")
        if len(parts) not in (2, 3) or parts[0] not in ("before", "after") or not (parts[2:] or ["1"])[0].isdigit():
            raise InvalidOption(f"a failpoint is before:NAME or after:NAME, with :N for the N-th time, not {text!r}")
        self._side, self._name = parts[0], parts[1]
        self._left = int(parts[2]) if len(parts) == 3 else 1

    def reached(self, side: str, names: list[str]) -> None:
        """Called by the writer on both sides of each commit with the operations that the commit holds."""
        if self._left <= 0 or self._name not in names or side != self._side:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
