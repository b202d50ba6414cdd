"""How many calls of one tool run at once in this process: the places of tools that have a limit, and how long a call
waits for one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from anyio import CapacityLimiter

from .threads import Place
from .tool import Tool


class Places:
    """The places of a desk's tools, shared by all its conversations. A tool that two agents have has them once."""

    def __init__(self) -> None:
        self._limiters: dict[tuple[str, Callable[..., Any]], CapacityLimiter] = {}

    async def take(self, tool: Tool) -> Place | None:
        """A place for one call; None when it cannot be had in time, though every call before this one had all the time
        that it may take.
        """
        limit = tool.concurrency_limit
        if limit is None:
            raise ValueError(f"{tool.wire_name} has no limit, and no places")
        limiter = self._limiters.setdefault((tool.wire_name, tool.function), CapacityLimiter(limit))
        place = Place(limiter)
        before = limiter.statistics().tasks_waiting
        patience = None if tool.timeout is None else tool.timeout * (before // limit + 1)
        with anyio.move_on_after(patience):
            await place.take()
        return place if place.is_taken else None
