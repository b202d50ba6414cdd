"""A reply that may be acted on: guardrails beside it and after it, and the form that an answer must have.

What is asked for and how often is decided here; what a guardrail is, is in ``guardrails``, what a form is, in
``output_type``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import anyio

from ..tasks.errors import ArgumentsError
from .asking import Asking, Reply
from .catalog import Catalog
from .errors import FunctionFailed, OutputInvalid
from .guardrails import Guardrail, Tripped, tripped_by
from .history import said
from .hooks import GuardrailTripped
from .journal import Journal
from .response import INPUT_STEP
from .team import Team
from .telling import Telling

REPAIRS: Final = 1  # of an answer that has not the form that was asked for


class Checking:
    """Asks for one turn's replies, and lets through what may be said and done."""

    def __init__(
        self, team: Team, journal: Journal, asking: Asking, telling: Telling, catalog: Callable[[], Catalog]
    ) -> None:
        self._team, self._journal, self._asking, self._telling = team, journal, asking, telling
        self._catalog = catalog

    async def reply(self) -> Reply | Tripped:
        """The next reply, or which guardrail has stopped the turn; nothing of it is committed yet.

        Raises ModelError, FunctionFailed, TimeUp, OutputInvalid, and what a write beside the stream raised.
        """
        while True:
            reply = await self._asked()
            if isinstance(reply, Tripped):
                return await self._told(reply)
            if self._has_form(reply):
                break
        tripped = await self._stopped(reply)
        if tripped is not None:
            self._journal.interrupt()
            self._journal.usage += reply.done.usage
            return await self._told(tripped)
        if reply.held:
            for text in reply.texts:
                self._journal.end_message(self._catalog().agent.name, text)
        return reply

    async def _told(self, tripped: Tripped) -> Tripped:
        await self._telling(GuardrailTripped, guardrail=tripped.guardrail, text=tripped.text)
        return tripped

    async def _asked(self) -> Reply | Tripped:
        """Asks the model; the input guardrails run beside the first request of a turn."""
        progress = self._journal.progress
        guardrails = (*self._team.options.input_guardrails, *self._catalog().agent.input_guardrails)
        text = "" if progress.checked or not guardrails else self._input()
        if not text:
            return await self._asking.reply(self._catalog())
        reply = await self._beside(guardrails, text)
        progress.checked = not isinstance(reply, Tripped)
        return reply

    async def _beside(self, guardrails: Sequence[Guardrail], text: str) -> Reply | Tripped:
        """Whoever stops it cancels the request; what was said until then stays visible and is never shown to a model.
        A guardrail's word goes before whatever became of the request.
        """
        found: list[Tripped | Exception] = []
        replies: list[Reply | Exception] = []
        asking = anyio.CancelScope()

        async def guard() -> None:
            try:
                tripped = await self._tripped(guardrails, text)
            except FunctionFailed as error:
                found.append(error)
            else:
                if tripped is None:
                    return
                found.append(tripped)
            asking.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(guard)
            with asking:
                try:
                    replies.append(await self._asking.reply(self._catalog()))
                except Exception as error:  # raised below, without the group that a task group would wrap it in
                    replies.append(error)
        outcome = (found or replies)[0]
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, Tripped):
            self._journal.interrupt()
        return outcome

    async def _tripped(self, guardrails: Sequence[Guardrail], text: str) -> Tripped | None:
        context = self._team.context(self._journal.about, self._catalog().agent.name)
        return await tripped_by(guardrails, text, context, self._team.limiter)

    def _input(self) -> str:
        """What a person has said, as text; empty for a turn that a notice started."""
        own = (one.body for one in self._journal.items if one.step == INPUT_STEP)
        return "\n".join(filter(None, (said(body["content"]) for body in own if body.get("role") == "user")))

    def _has_form(self, reply: Reply) -> bool:
        """Whether an answer has the form that its agent's answers have; one that has not is asked for once more."""
        agent, journal = self._catalog().agent, self._journal
        output = agent.output or self._team.output
        if output is None or reply.calls or reply.done.finish != "stop":
            return True
        text = reply.texts[-1] if reply.texts else ""
        try:
            reply.value = output.as_json(output.read(text))
        except ArgumentsError as error:
            journal.interrupt()
            journal.usage += reply.done.usage
            if journal.progress.repairs >= REPAIRS:
                raise OutputInvalid(agent.name, output.name, str(error)) from error
            journal.progress.repairs += 1
            self._asking.correct(text, str(error))
            return False
        reply.has_value = True
        return True

    async def _stopped(self, reply: Reply) -> Tripped | None:
        """What the output guardrails say of what would be said."""
        guardrails = (*self._team.options.output_guardrails, *self._catalog().agent.output_guardrails)
        if not guardrails or not reply.texts:
            return None
        return await self._tripped(guardrails, "\n\n".join(reply.texts))
