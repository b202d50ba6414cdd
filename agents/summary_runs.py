"""Writes summaries of long conversations for a worker: beside the turns, in its slots for tasks."""

from __future__ import annotations

import logging
from typing import Final

from pydantic_core import from_json

from ..broker import queue
from ..broker.runs import Run
from ..tasks.errors import FrontdeskError
from ..tasks.states import Action
from . import items, summary_storage
from .compacting import summarised
from .compaction import Compaction
from .errors import ModelError
from .history import StoredItem
from .model import Model
from .summaries import Summary, done_with, older, pieces, told
from .summary_storage import Settled, Written
from .team import Team

log = logging.getLogger("frontdesk.summaries")

RETRY_SECONDS: Final = 20.0


class SummaryRuns:
    """Handles the tasks of `summary_storage.file_summary`."""

    def __init__(self, team: Team, entry: str) -> None:
        self._team, self._entry = team, entry

    async def run(self, run: Run) -> None:
        given = from_json(run.claim.arguments)
        conversation_id = str(given["conversation"])
        compaction, model = self._of(str(given["agent"]))
        settled = await run.database.read(summary_storage.settled, conversation_id)
        if settled is None:
            await self._nothing(run)
            return
        found = await self._items(run, conversation_id, settled)
        chosen = older(found, keep=compaction.keep, running=settled.running)
        lines = told(chosen)
        if not lines:
            await self._nothing(run)
            return
        before = settled.summary or Summary(0, "", "")
        try:
            async with self._team.slots.one(run.claim.tenant):
                text, used = await summarised(
                    model, lines, tokens=compaction.tokens, before=before.text, instructions=compaction.instructions
                )
        except ModelError as error:
            await self._again(run, str(error))
            return
        asked = len(pieces(lines, compaction.tokens))
        used = self._team.priced(used, model)
        written = Written(before.position, chosen[-1].id, len(chosen), text, model.name, asked, used)
        run.over = True
        await run.database.write_first(summary_storage.keep_summary, run.claim, conversation_id, written)

    def _of(self, agent: str) -> tuple[Compaction, Model]:
        """How, and by whom, the conversation of this agent is summarised."""
        one = self._team.catalogs[agent if agent in self._team.catalogs else self._entry].agent
        compaction = one.compaction or self._team.options.compaction or Compaction()
        return compaction, compaction.model or self._team.model_of(one)

    async def _items(self, run: Run, conversation_id: str, settled: Settled) -> list[StoredItem]:
        """The settled items that no summary stands for yet, oldest first."""
        found: list[StoredItem] = []
        place = 0 if settled.summary is None else settled.summary.position
        page = await run.database.read(items.between, conversation_id, place, settled.last_item)
        while page.items:
            found += page.items
            page = await run.database.read(items.between, conversation_id, page.last, settled.last_item)
        return done_with(found, settled.running)

    async def _nothing(self, run: Run) -> None:
        """There is nothing to summarise: all of it is new, or gone."""
        run.over = True
        await run.database.write_first(queue.finish, run.claim, Action.SUCCEED, result='{"summarised":0}')

    async def _again(self, run: Run, error: str) -> None:
        """The model failed: it is asked again later, and after the last attempt at the end of another long turn."""
        claim = run.claim
        log.warning("a summary could not be written (attempt %d): %s", claim.attempt, error)
        run.over = True
        if claim.attempt < claim.max_attempts:
            delay = RETRY_SECONDS * 2 ** (claim.attempt - 1)
            await run.database.write_first(queue.retry_later, claim, delay=delay, error=error)
        else:
            await run.database.write_first(queue.finish, claim, Action.FAIL, error=error, error_kind="model")

    async def cancelled(self, run: Run, *, abandoned: bool) -> None:
        await run.database.write_first(queue.finish, run.claim, Action.CANCEL, abandoned=abandoned)

    async def failed(self, run: Run, error: Exception) -> None:
        text = str(error)[:300] if isinstance(error, FrontdeskError) else f"internal error ({type(error).__name__})"
        await self._again(run, text)
