"""What becomes of a tool's long result in a turn: cut or summarised, kept, read on."""

from __future__ import annotations

import logging
from typing import Final

import anyio

from ..tasks.errors import ArgumentsError
from . import results
from .agent import Agent
from .calls import Call, CallOutput
from .compacting import PIECE, summarised
from .errors import ModelError
from .journal import Journal
from .summarize import TASK, Summarize, lines_of
from .team import Team
from .tool import Tool

log = logging.getLogger("frontdesk.results")

PATIENCE: Final = 120.0  # seconds for a summary; then the result is cut instead


class ResultRuns:
    """The results of one turn's calls."""

    def __init__(self, team: Team, journal: Journal) -> None:
        self._team, self._journal = team, journal

    async def fit(self, tool: Tool, call: Call, output: CallOutput, agent: Agent) -> CallOutput:
        """The output as the model is shown it. A result that is to be summarised is committed before: a crash while
        the summary is written does not run the call again (see `kept`).
        """
        if tool.shown is None or not results.is_long(output, tool.shown):
            return output
        if tool.summarize is None or output.error:
            return results.cut(output, tool.shown)
        await self._journal.keep(results.cut(output, tool.shown))
        summary = await self._summary(tool.summarize, call, output, agent)
        return results.cut(output, tool.shown) if summary is None else results.summed_up(output, summary)

    async def kept(self, call: Call) -> CallOutput | None:
        """The whole output of a call that has run before a crash; None when it has not, or not to its end."""
        if not self._journal.is_kept(call.call_id):
            return None
        piece = await self._journal.read_kept(call.call_id, 0, results.WHOLE)
        return None if piece is None else CallOutput(call.call_id, piece.text)

    async def _summary(self, wanted: Summarize, call: Call, output: CallOutput, agent: Agent) -> str | None:
        """What a model writes of a result; None when it cannot."""
        model = wanted.model or self._team.model_of(agent)
        lines = lines_of(call.name, call.arguments, output.output)
        self._journal.progress.model_calls += 1
        try:
            async with self._team.slots.one(self._journal.about.tenant):
                with anyio.fail_after(PATIENCE):
                    text, usage = await summarised(
                        model, lines, tokens=PIECE, instructions=wanted.instructions, task=TASK
                    )
        except (ModelError, TimeoutError) as error:
            log.warning("the result of %s (call %s) is cut: it was not summarised: %s", call.name, call.call_id, error)
            return None
        self._journal.usage += self._team.priced(usage, model)
        return text

    async def read(self, call: Call) -> CallOutput:
        """Runs a call of ``read_result``."""
        try:
            given = results.SIGNATURE.validate(call.arguments)
        except ArgumentsError as error:
            return CallOutput(call.call_id, str(error), True, "error")
        call_id, offset = str(given["call_id"]), int(given.get("offset", 0))
        piece = await self._journal.read_kept(call_id, offset, results.PIECE)
        if piece is None:
            known = await self._journal.known_kept()
            return CallOutput(call.call_id, results.not_kept(call_id, known), True, "error")
        if offset > piece.characters:
            text = f"offset is a number from 0 to {piece.characters}, not {offset}."
            return CallOutput(call.call_id, text, True, "error")
        return CallOutput(call.call_id, results.shown_piece(piece, offset))
