"""What is measured while work goes on: counts and durations since this process has opened its database.

Labels are of the code (a slot, a route, a model), never of a client: what a client says could fill the memory.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0)
LABELS: Final = 500  # of one name; what comes after them is counted together
OTHERS: Final = "other"


@dataclass(slots=True)
class Durations:
    """So many took no longer than each of `BOUNDS` (and longer than the one before), in all so many seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0


class Measures:
    """Counts from any thread. It never fails and never waits long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, int]] = {}
        self._durations: dict[str, dict[str, Durations]] = {}

    def count(self, what: str, label: str = "", by: int = 1) -> None:
        with self._lock:
            of = self._counts.setdefault(what, {})
            label = _kept(of, label)
            of[label] = of.get(label, 0) + by

    def took(self, what: str, seconds: float, label: str = "") -> None:
        with self._lock:
            of = self._durations.get(what)
            found = (None if of is None else of.get(label)) or self._durations_of(what, label)
            found.counts[bisect_left(BOUNDS, seconds)] += 1
            if seconds > 0:
                found.seconds += seconds

    def _durations_of(self, what: str, label: str) -> Durations:
        of = self._durations.setdefault(what, {})
        return of.setdefault(_kept(of, label), Durations())

    def counts(self, what: str) -> dict[str, int]:
        """By label, as they are now."""
        with self._lock:
            return dict(self._counts.get(what, {}))

    def durations(self, what: str) -> dict[str, Durations]:
        """By label, as they are now."""
        with self._lock:
            return {one: Durations([*of.counts], of.seconds) for one, of in self._durations.get(what, {}).items()}


def _kept(of: Mapping[str, object], label: str) -> str:
    return label if label in of or len(of) < LABELS else OTHERS
