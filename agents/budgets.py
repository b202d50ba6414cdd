"""Looks whether a conversation or a tenant has used up what it may use. What that is, is in ``limits``."""

from __future__ import annotations

import logging
from typing import Protocol

from ..broker.runs import Run
from .accounts import account
from .batch import Ref
from .desk_options import DeskOptions
from .errors import FunctionFailed
from .journal import Journal
from .limits import Budget, Reached, of_conversation, of_tenant

log = logging.getLogger("frontdesk.budgets")


class Budgets(Protocol):
    """What a turn asks before each request to a model."""

    async def reached(self) -> Reached | None:
        """The budget that is used up. Raises FunctionFailed, and what the database raises."""
        ...


class DurableBudgets:
    """Reads the accounts of the turn's conversation and tenant; nothing is read where nothing is bounded."""

    def __init__(self, run: Run, ref: Ref, journal: Journal, options: DeskOptions) -> None:
        self._run, self._ref, self._journal, self._options = run, ref, journal, options

    async def reached(self) -> Reached | None:
        whole, windowed = self._options.conversation_budget, self._of_tenant()
        if whole is None and windowed is None:
            return None
        found = await self._run.database.read(account, self._ref, None if windowed is None else windowed.window)
        unsaved = self._journal.unsaved
        if whole is not None and (words := whole.reached(found.conversation + unsaved)):
            return of_conversation(words)
        if windowed is not None and (words := windowed.reached(found.tenant + unsaved)):
            return of_tenant(words, windowed.window, found.window_ends)
        return None

    def _of_tenant(self) -> Budget | None:
        try:
            return self._options.budget_of(self._ref.claim.tenant)
        except Exception as error:
            log.exception("the function that gives a tenant's budget failed")
            raise FunctionFailed("the tenant's budget", f"internal error ({type(error).__name__})") from error
