"""Who stands for claims: calls that are run in the very commit that makes tasks ready, or that frees slots.

A claim that is made in the commit of what it waited for costs no commit of its own, and no way through two threads.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any

from .calls import Call
from .wakeups import Hint, TasksReady


class Standing:
    """Each stands once: it is taken by the first transaction that it stands for, and may be put back by nobody.

    Calls are added by the threads of their callers, and taken by the writer's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._for_ready: dict[str, dict[object, Call[Any]]] = {}  # of a slot, by their futures
        self._for_slots: dict[object, deque[Call[Any]]] = {}

    def for_ready(self, slot: str, call: Call[Any]) -> None:
        """For tasks of this slot, behind the calls of other workers that stand there."""
        with self._lock:
            self._for_ready.setdefault(slot, {})[call.future] = call

    def withdraw(self, slot: str, future: object) -> bool:
        """Takes back the call with this future; False when a transaction has taken it: its result is on its way."""
        with self._lock:
            return self._for_ready.get(slot, {}).pop(future, None) is not None

    def for_slots(self, slots: object, call: Call[Any]) -> None:
        """For slots that become free, after the calls that stand for them already; the call gets their number as its
        first argument."""
        self._for_slots.setdefault(slots, deque()).append(call)

    def forget(self, slots: object) -> None:
        """Nobody stands for these slots any more."""
        self._for_slots.pop(slots, None)

    def taken(self, calls: Sequence[Call[Any]], hints: Iterable[Hint]) -> list[Call[Any]]:
        """Takes those that stand for what a transaction with these calls has freed and made ready."""
        return self._of_slots(calls) + self._of_ready(hints)

    def _of_ready(self, hints: Iterable[Hint]) -> list[Call[Any]]:
        if not self._for_ready:
            return []
        slots = {hint.slot for hint in hints if isinstance(hint, TasksReady)}
        with self._lock:
            return [call for slot in slots if (call := _first(self._for_ready.get(slot, {}))) is not None]

    def _of_slots(self, calls: Sequence[Call[Any]]) -> list[Call[Any]]:
        if not self._for_slots:
            return []
        found: list[Call[Any]] = []
        for slots, number in Counter(call.frees for call in calls if call.frees is not None and not call.error).items():
            standing = self._for_slots.get(slots)
            while standing:
                call = standing.popleft()
                if not call.abandoned():
                    call.args = (number, *call.args)
                    found.append(call)
                    break
        return found


def _first(standing: dict[object, Call[Any]]) -> Call[Any] | None:
    """Takes the first call that is wanted still."""
    while standing:
        call = standing.pop(next(iter(standing)))
        if not call.abandoned():
            return call
    return None


def tried(claims: Iterable[Call[Any]]) -> None:
    """The transaction of these claims was lost. They are not made again, because others may stand for the same slots:
    whoever stood for them looks."""
    for claim in claims:
        claim.error, claim.result = None, []
