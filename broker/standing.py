"""Who stands for claims: calls that are run in the very commit that makes tasks ready, or that frees slots.

A claim that is made in the commit of what it waited for costs no commit of its own, and no way through two threads.
"""

from __future__ import annotations

import asyncio
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
        self._for_ready: dict[str, Call[Any]] = {}
        self._displaced: set[asyncio.Future[Any]] = set()  # of calls in whose place another one stands
        self._for_slots: dict[object, deque[Call[Any]]] = {}

    def for_ready(self, slot: str, call: Call[Any]) -> None:
        """For tasks of this slot, in place of a call that stood there: of two workers, whoever asked last is at
        work."""
        with self._lock:
            before = self._for_ready.get(slot)
            if before is not None and before.future is not None:
                self._displaced = {one for one in (*self._displaced, before.future) if not one.done()}
            self._for_ready[slot] = call

    def withdraw(self, slot: str, future: asyncio.Future[Any]) -> bool:
        """Takes back the call with this future; False when a transaction has taken it: its result is on its way."""
        with self._lock:
            if future in self._displaced:
                self._displaced.remove(future)
                return True
            call = self._for_ready.get(slot)
            return call is not None and call.future is future and self._for_ready.pop(slot) is call

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
            found = [self._for_ready.pop(slot, None) for slot in slots]
        return [call for call in found if call is not None and not call.abandoned()]

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


def tried(claims: Iterable[Call[Any]]) -> None:
    """The transaction of these claims was lost. They are not made again, because others may stand for the same slots:
    whoever stood for them looks."""
    for claim in claims:
        claim.error, claim.result = None, []
