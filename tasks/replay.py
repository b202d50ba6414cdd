"""Replay: which recorded call a durable call is. Pure: it holds the records and a position, and decides nothing
else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ReplayMismatch


@dataclass(frozen=True, slots=True)
class Recorded:
    """A durable call as it was recorded: ``done`` with its ``value``, or still waiting."""

    kind: str
    key: str
    done: bool
    value: Any


class Replay:
    """Walks through the recorded calls in the order in which a function makes them again."""

    def __init__(self, records: Mapping[int, Recorded]) -> None:
        self._records = records
        self._next = 0

    def take(self, kind: str, key: str) -> tuple[int, Recorded | None]:
        """The position of this call, and what was recorded there; None when it is made for the first time.

        Raises ReplayMismatch when another call was recorded at this position.
        """
        position = self._next
        self._next += 1
        found = self._records.get(position)
        if found is not None and (found.kind, found.key) != (kind, key):
            raise ReplayMismatch(position, _named(found.kind, found.key), _named(kind, key))
        return position, found


def _named(kind: str, key: str) -> str:
    return f"{kind}({key!r})" if key else kind
