"""The slots of a worker: how much of one kind of work it does at once, and what it has heard of more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from .queue import Held
from .runs import Handler, Run


@dataclass(slots=True)
class Slots:
    """The slots of one kind of work, and who handles each name."""

    slot: str
    size: int
    handlers: Mapping[str, Handler]
    running: dict[Held, Run] = field(default_factory=dict[Held, Run])
    tasks: dict[Held, asyncio.Task[None]] = field(default_factory=dict[Held, "asyncio.Task[None]"])  # that run them
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    freed: object = field(default_factory=object)  # by this the writer knows that one of them is free
    woken: int = 0  # commits that made tasks ready, since it was looked

    def wake(self) -> None:
        """Tasks may be claimable."""
        self.woken += 1
        self.news.set()

    def tell(self) -> None:
        """Claims for slots that were freed are there."""
        self.changed.set()
        self.news.set()

    @property
    def free(self) -> int:
        return self.size - len(self.running)
