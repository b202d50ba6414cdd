"""Asking a model once: the reply out of its stream, from another model where one fails. What is asked is in
``requests``, what is done with a reply in ``loop``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, assert_never

import anyio

from .catalog import Catalog
from .errors import ModelError, ModelRefused, ModelUnavailable
from .hooks import ModelAsked, ModelFailed, ModelReplied
from .journal import Journal
from .model import (
    JSON,
    FunctionCall,
    Message,
    Model,
    ModelEvent,
    ModelRequest,
    Reasoning,
    ReasoningDelta,
    ReplyDone,
    TextDelta,
    Usage,
)
from .past import call_id_of
from .requests import Requests
from .team import Team
from .telling import Telling

log = logging.getLogger("frontdesk.loop")

STREAM_REPEATS: Final = 2
FIELDS: Final = tuple(one.name for one in fields(Usage))


@dataclass(slots=True)
class Reply:
    """What a model has said and called. ``held``: its messages, where they are not shown before they are checked."""

    calls: list[FunctionCall] = field(default_factory=list[FunctionCall])
    texts: list[str] = field(default_factory=list[str])
    held: bool = False
    value: Any = None  # of an answer that has a form: as JSON value
    has_value: bool = False
    done: ReplyDone = ReplyDone()  # noqa: RUF009 - frozen


class TimeUp(Exception):
    """The turn has used its seconds while its model was talking."""


class Asking:
    """Asks for one turn. ``unanswered`` are calls that wait for the client, and are not shown to a model."""

    def __init__(
        self, team: Team, journal: Journal, telling: Telling, *, unanswered: frozenset[str] = frozenset()
    ) -> None:
        self._team, self._journal, self._telling = team, journal, telling
        self._requests = Requests(team, journal, unanswered)
        self._call_ids: set[str] | None = None  # of this response
        self._heard = False

    @property
    def client_names(self) -> frozenset[str]:
        """The functions that the client runs."""
        return self._requests.client_names

    def refusal(self, name: str) -> str:
        """Why a call of the last reply is not run: the choice of tools forbids it. Empty when it may be."""
        return self._requests.choice.refusal(name)

    async def reply(self, catalog: Catalog) -> Reply:
        """A whole reply of the agent's model, or of the first of its fallbacks that gives one.

        Raises ModelError, FunctionFailed, TimeUp, and what a write beside the stream raised.
        """
        models = self._team.models_of(catalog.agent)
        for other, model in enumerate(models, 1):
            try:
                reply = await self._of(catalog, model)
            except ModelError as error:
                if other == len(models):
                    raise
                self._journal.progress.steps[-1]["broken"] = True
                log.warning("asking %s instead: %s", models[other].name, error)
                self._journal.interrupt()
            else:
                self._requests.correction = ()
                return reply
        raise AssertionError("the loop above returns or raises")

    def correct(self, text: str, problem: str) -> None:
        """The next request shows the model an answer that it gave, and what is wrong with it."""
        said: JSON = {"type": "message", "role": "assistant", "content": text}
        told: JSON = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": problem}]}
        self._requests.correction = (said, told) if text else (told,)

    async def _of(self, catalog: Catalog, model: Model) -> Reply:
        """A whole reply of this model; a stream that breaks is asked for again once, and what it had said stays visible
        as incomplete.
        """
        progress, journal = self._journal.progress, self._journal
        for repeat in range(STREAM_REPEATS):
            progress.step += 1
            progress.model_calls += 1
            self._heard = False
            step: JSON = {
                "number": progress.step, "agent": catalog.agent.name, "model": model.name, "at": time.time()
            }  # fmt: skip
            progress.steps.append(step)
            try:
                reply = await self._in_time(catalog, model)
                step |= {"until": time.time(), "usage": used(reply.done.usage)}
                return reply
            except ModelUnavailable as error:
                # A model has tried again by itself as long as nothing had been heard of its answer.
                if not self._heard or repeat == STREAM_REPEATS - 1:
                    raise
                step["broken"] = True
                log.warning("asking again after a broken stream: %s", error)
                journal.interrupt()
        raise AssertionError("the loop above returns or raises")

    async def _in_time(self, catalog: Catalog, model: Model) -> Reply:
        """Waits for a slot, then for the reply, as long as the turn may take."""
        journal, most = self._journal, self._team.options.limits.seconds
        request = await self._requests.make(catalog, model.name)
        asked = time.monotonic()
        async with self._team.slots.one(journal.about.tenant):
            began = time.monotonic()
            journal.waited(began - asked)
            await self._telling(ModelAsked, model=model.name, step=journal.progress.step)
            reply: Reply | None = None
            try:
                if most is None:
                    reply = await self._read(catalog, model, request)
                else:
                    with anyio.move_on_after(most - journal.spent().seconds):
                        reply = await self._read(catalog, model, request)
            except ModelError as error:
                seconds = time.monotonic() - began
                step = journal.progress.step
                await self._telling(ModelFailed, model=model.name, step=step, error=str(error), seconds=seconds)
                raise
        if reply is None:
            raise TimeUp
        if self._telling:
            calls = tuple(call.name for call in reply.calls)
            what = {"model": model.name, "step": journal.progress.step, "usage": reply.done.usage, "calls": calls}
            await self._telling(ModelReplied, **what, seconds=time.monotonic() - began)
        return reply

    async def _read(self, catalog: Catalog, model: Model, request: ModelRequest) -> Reply:
        journal, agent = self._journal, catalog.agent.name
        reply = Reply(held=bool(self._team.options.output_guardrails or catalog.agent.output_guardrails))
        async with aclosing(_only_model_errors(model, request)) as events:
            async for event in events:
                self._heard = True
                match event:
                    case TextDelta():
                        if not reply.held:
                            journal.say(agent, event.text)
                    case Message():
                        reply.texts.append(event.text)
                        if not reply.held:
                            journal.end_message(agent, event.text)
                    case FunctionCall():
                        reply.calls.append(event)
                    case Reasoning():
                        journal.think(agent, event.body, model.name)
                    case ReplyDone():
                        usage = self._team.priced(event.usage, model)
                        reply.done = event if usage is event.usage else replace(event, usage=usage)
                        if reply.calls:
                            reply.calls = self._with_own_ids(reply.calls)
                        return reply
                    case ReasoningDelta():
                        pass  # shown with the finished reasoning item
                    case _:
                        assert_never(event)
        raise ModelUnavailable(model.name, "its answer ended before it was complete")

    def _with_own_ids(self, calls: Sequence[FunctionCall]) -> list[FunctionCall]:
        """Some servers count their calls from the beginning in each reply: an id that the history
        has is made another.
        """
        if self._call_ids is None:
            self._call_ids = {call_id_of(one) for one in self._journal.items}
        known, before = self._call_ids, self._journal.past.call_ids
        unique: list[FunctionCall] = []
        for call in calls:
            call_id, number = call.call_id or "call", 1
            while call_id in known or call_id in before:
                number += 1
                call_id = f"{call.call_id or 'call'}_{number}"
            known.add(call_id)
            unique.append(call if call_id == call.call_id else replace(call, call_id=call_id))
        return unique


def used(usage: Usage) -> JSON:
    """What a reply has used, without zeros: it is written with each commit of its turn."""
    return {name: count for name in FIELDS if (count := getattr(usage, name))}


async def _only_model_errors(model: Model, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
    """The model's events; whatever else it raises is a defect of it, told without its internals."""
    async with aclosing(model.stream(request)) as events:
        try:
            async for event in events:
                yield event
        except ModelError:
            raise
        except Exception as error:
            log.exception("the model %s failed", model.name)
            raise ModelRefused(model.name, f"internal error ({type(error).__name__})") from error
