"""Tells the desk's hooks of one turn. Without hooks it costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .hooks import Hook, HookEvent, TurnEnded, tell
from .journal import Journal
from .response import Outcome


class Telling:
    """``await telling(CallBegan, call_id=…)``: an event of this turn, with whose turn it is."""

    def __init__(self, hooks: Sequence[Hook], journal: Journal) -> None:
        self._hooks, self._journal = hooks, journal

    async def __call__(self, event: Callable[..., HookEvent], **fields: Any) -> None:
        if self._hooks:
            about, path = self._journal.about, self._journal.progress.path
            whose = {"conversation_id": about.conversation_id, "response_id": about.response_id}
            await tell(self._hooks, event(**whose, tenant=about.tenant, agent=path[-1] if path else "", **fields))

    def __bool__(self) -> bool:
        """Whether anybody is told."""
        return bool(self._hooks)

    async def ended(self, outcome: Outcome) -> None:
        """The turn has ended."""
        journal = self._journal
        await self(
            TurnEnded,
            status=outcome.status,
            ended=outcome.ended,
            limit=outcome.limit,
            usage=journal.usage,
            seconds=journal.progress.seconds,
        )
