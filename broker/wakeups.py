"""Wake-ups: hints that something was committed. They carry no truth; whoever misses one finds the same by reading the
database.

A writer publishes hints after its commit, from its own thread; each listener is called in the event loop that it
registered from. For each conversation that somebody listens to, the last rows of its event log are kept in a bounded
ring, so that a thousand subscribers share one text and only those who are further behind read the database.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Final, TypeAlias

from .posts import post

log = logging.getLogger("frontdesk.wakeups")

RING_ROWS: Final = 512
RING_CHARACTERS: Final = 2_000_000
MOST_OPENED: Final = 10_000  # turns that were claimed and have not begun


@dataclass(frozen=True, slots=True)
class Events:
    """A row of a conversation's event log: event i has cursor ``first + i`` and is line i of ``body``."""

    conversation_id: str
    first: int
    count: int
    response_id: str
    body: str


@dataclass(frozen=True, slots=True)
class TasksReady:
    """Tasks of this slot may be claimable."""

    slot: str


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Somebody asked for this task to be cancelled."""

    task_id: str


@dataclass(frozen=True, slots=True)
class InputArrived:
    """The conversation's inbox holds something new."""

    conversation_id: str


@dataclass(frozen=True, slots=True)
class TurnOpened:
    """Whoever claimed the conversation's turn has read what it begins with: what is heard before it is in there."""

    conversation_id: str


Hint: TypeAlias = Events | TasksReady | CancelAsked | InputArrived | TurnOpened
Key: TypeAlias = tuple[str, str]


def key_of(hint: Hint) -> Key:
    """What a listener registers for to hear this hint."""
    match hint:
        case Events():
            return ("events", hint.conversation_id)
        case TasksReady():
            return ("ready", hint.slot)
        case CancelAsked():
            return ("cancel", hint.task_id)
        case InputArrived():
            return ("input", hint.conversation_id)
        case TurnOpened():
            return ("opened", hint.conversation_id)


class _Ring:
    """The newest rows of one conversation's log; ``start``: where it ended when the ring was made, if that is known."""

    def __init__(self, start: int | None = None) -> None:
        self.start = start
        self.rows: deque[Events] = deque()
        self.size = 0
        self._answered: tuple[int, list[Events]] | None = None  # most who listen stand at one place

    def add(self, row: Events) -> None:
        self._answered = None
        if self.rows and self.rows[-1].first + self.rows[-1].count != row.first:
            self.rows.clear()  # another process wrote what lies between: only the database has it
            self.size = 0
        self.rows.append(row)
        self.size += len(row.body)
        while len(self.rows) > RING_ROWS or (self.size > RING_CHARACTERS and len(self.rows) > 1):
            self.size -= len(self.rows.popleft().body)

    def after(self, cursor: int) -> list[Events] | None:
        """Rows with events after the cursor; None when the ring does not reach back that far."""
        if self._answered is not None and self._answered[0] == cursor:
            return self._answered[1]
        start = self.rows[0].first - 1 if self.rows else self.start
        if start is None or cursor < start:
            return None
        found = list(takewhile(lambda row: row.first + row.count - 1 > cursor, reversed(self.rows)))
        found.reverse()
        self._answered = cursor, found
        return found


class Listening:
    """One registration. Call ``stop`` when it is no longer wanted; it may be called again."""

    __slots__ = ("hub", "key", "loop", "wake")

    def __init__(self, hub: Hub, key: Key, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self.hub, self.key, self.loop, self.wake = hub, key, loop, wake

    def stop(self) -> None:
        self.hub.remove(self)


class Hub:
    """Who listens to what, in this process. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: defaultdict[Key, set[Listening]] = defaultdict(set)
        self._rings: dict[str, _Ring] = {}
        self._opened: set[str] = set()  # conversations of which nothing was heard since their turn was read

    def listen(
        self,
        kind: str,
        name: str,
        wake: Callable[[], None],
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        start: int | None = None,
    ) -> Listening:
        """Calls ``wake()`` in the loop (the running one by default) after each commit that concerns (kind, name).

        Kinds: ``events`` and ``input`` (of a conversation), ``ready`` (tasks of a slot), ``cancel`` (of a task; of
        any, when the name is empty).
        Several commits may be one call. ``start``: the last cursor of the conversation's log, for a caller inside the
        transaction that has read it; then every event after it is in memory, even those that the log does not keep.
        """
        listening = Listening(self, (kind, name), loop or asyncio.get_running_loop(), wake)
        with self._lock:
            self._listeners[listening.key].add(listening)
            if kind == "events" and name not in self._rings:
                self._rings[name] = _Ring(start)
        return listening

    def remove(self, listening: Listening) -> None:
        with self._lock:
            found = self._listeners.get(listening.key)
            if found is None:
                return
            found.discard(listening)
            if not found:
                del self._listeners[listening.key]
                if listening.key[0] == "events":
                    self._rings.pop(listening.key[1], None)

    def listeners(self, kind: str) -> int:
        """How many listen to hints of this kind."""
        with self._lock:
            return sum(len(found) for key, found in self._listeners.items() if key[0] == kind)

    def recent(self, conversation_id: str, cursor: int) -> Sequence[Events] | None:
        """Rows of the log after ``cursor`` from memory; None when the database has to be read."""
        with self._lock:
            ring = self._rings.get(conversation_id)
            return None if ring is None else ring.after(cursor)

    def still_holds(self, conversation_id: str) -> bool:
        """Whether nothing was heard of the conversation since its turn was read; asked once, by who listens already."""
        with self._lock:
            holds = conversation_id in self._opened
            self._opened.discard(conversation_id)
            return holds

    def _note(self, hint: Hint) -> None:
        match hint:
            case TurnOpened():
                if len(self._opened) >= MOST_OPENED:
                    self._opened.clear()
                self._opened.add(hint.conversation_id)
            case InputArrived():
                self._opened.discard(hint.conversation_id)
            case CancelAsked():  # of a task: whose is not known here
                self._opened.clear()
            case _:
                pass

    def publish(self, hints: Iterable[Hint]) -> None:
        """Wakes who listens to these hints. Called after the commit, never before."""
        woken: dict[asyncio.AbstractEventLoop, dict[Listening, None]] = {}
        with self._lock:
            for hint in hints:
                key = key_of(hint)
                if isinstance(hint, Events):
                    ring = self._rings.get(hint.conversation_id)
                    if ring is not None:
                        ring.add(hint)
                else:
                    self._note(hint)
                for listening in self._listening(key):
                    woken.setdefault(listening.loop, {})[listening] = None
        self._call(woken)

    def _listening(self, key: Key) -> Iterable[Listening]:
        found = self._listeners.get(key, ())
        return [*found, *self._listeners.get(("cancel", ""), ())] if key[0] == "cancel" else found

    def publish_keys(self, keys: Iterable[Key]) -> None:
        """Another process has committed what concerns these: whoever listens looks. The database has what a ring has
        not."""
        woken: dict[asyncio.AbstractEventLoop, dict[Listening, None]] = {}
        with self._lock:
            self._opened.clear()
            for key in keys:
                if key[0] == "events" and key[1] in self._rings:
                    self._rings[key[1]] = _Ring()
                for listening in self._listening(key):
                    woken.setdefault(listening.loop, {})[listening] = None
        self._call(woken)

    def publish_everything(self) -> None:
        """Something was committed by another process, it is not known what: everyone looks."""
        with self._lock:
            keys = list(self._listeners)
        self.publish_keys(keys)

    def _call(self, woken: dict[asyncio.AbstractEventLoop, dict[Listening, None]]) -> None:
        for loop, listeners in woken.items():
            post(loop, partial(_wake_all, tuple(listeners)), partial(self._remove_all, tuple(listeners)))

    def _remove_all(self, listeners: Iterable[Listening]) -> None:
        """Their loop has ended, and they are gone with it."""
        for listening in listeners:
            self.remove(listening)


def _wake_all(listeners: tuple[Listening, ...]) -> None:
    for listening in listeners:
        try:
            listening.wake()
        except Exception:
            log.exception("a listener to %s failed", listening.key)
