"""Has a conversation that has become long summarised, for a worker: while a turn or a delegated run goes on, and at its
end. The summary is written beside it, as a task; nothing waits for one.

What goes wrong here is made up for later: the next long request, or the end of the next long turn, files it again.
"""

from __future__ import annotations

import logging
from typing import Final

from ..broker.errors import DatabaseError
from ..broker.runs import Run
from . import summary_storage
from .journal import Journal
from .summaries import is_too_long
from .team import Team

log = logging.getLogger("frontdesk.turns")

AGAIN: Final = 10  # requests after which a summary that has not come is filed again, unless it is under way


class Shortening:
    """Of one run. Await `before_request` before each request to a model."""

    def __init__(self, run: Run, journal: Journal, team: Team, desk: str) -> None:
        self._run, self._journal, self._team, self._desk = run, journal, team, desk
        self._begun = journal.progress.model_calls
        self._filed: int | None = None  # at which request
        self._known = 0  # up to which position there was a summary then

    async def before_request(self) -> None:
        """Takes over a summary that has come, or files one when the last request was too long."""
        calls = self._journal.progress.model_calls
        if calls == self._begun:
            return  # how long its requests are is not known yet
        if self._filed is not None and await self._take_over():
            return
        if (self._filed is None or calls - self._filed >= AGAIN) and self.is_long():
            await self.file()

    async def _take_over(self) -> bool:
        found = await self._run.database.read(summary_storage.newest, self._journal.about.conversation_id)
        if found is None or found.position <= self._known:
            return False
        self._filed, self._known = None, found.position
        self._journal.summarise(found)
        return True

    def is_long(self) -> bool:
        """Whether the last request was too long."""
        journal, agent = self._journal, self._team.catalogs[self._journal.progress.path[-1]].agent
        compaction = agent.compaction or self._team.options.compaction
        if compaction is None:
            return False
        return is_too_long(compaction, journal.last_usage, journal.weight)

    async def file(self) -> None:
        """Files a summary, for the next requests or the next turns."""
        journal = self._journal
        self._filed = journal.progress.model_calls
        of = self._desk, self._run.claim.tenant, journal.about.conversation_id, journal.progress.path[-1]
        try:
            before = await self._run.database.write(summary_storage.file_summary, *of)
        except DatabaseError as error:
            log.warning("a summary of a long conversation could not be filed: %s", error)
        else:
            self._known = before
