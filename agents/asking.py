"""Asking a model once: the request out of the journal, the reply out of its stream. What is done with a reply is in
``loop``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, fields, replace
from typing import Final, assert_never

from .catalog import Catalog
from .choice import Choice, chosen
from .errors import ModelError, ModelRefused, ModelUnavailable
from .history import model_items
from .journal import Journal
from .model import (
    JSON,
    FunctionCall,
    Message,
    Model,
    ModelEvent,
    ModelRequest,
    ModelSettings,
    Reasoning,
    ReasoningDelta,
    ReplyDone,
    TextDelta,
    ToolSpec,
    Usage,
)
from .owed import only_continues
from .past import call_id_of, reaches_back
from .results import READ_RESULT
from .results import SPEC as READ_RESULT_SPEC
from .team import Team

log = logging.getLogger("frontdesk.loop")

STREAM_REPEATS: Final = 2
FIELDS: Final = tuple(one.name for one in fields(Usage))


@dataclass(slots=True)
class Reply:
    """What a model has said and called."""

    calls: list[FunctionCall] = field(default_factory=list[FunctionCall])
    done: ReplyDone = ReplyDone()  # noqa: RUF009 - frozen


class Asking:
    """Asks for one turn. ``unanswered`` are calls that wait for the client, and are not shown to a model."""

    def __init__(self, team: Team, journal: Journal, *, unanswered: frozenset[str] = frozenset()) -> None:
        self._team, self._journal, self._unanswered = team, journal, unanswered
        self.client_tools = client_tools(journal.about.request)
        self.client_names = frozenset(one.name for one in self.client_tools)
        self._continues = only_continues(journal.items)
        self._choice = Choice()
        self._call_ids: set[str] | None = None  # of this response
        self._heard = False

    async def reply(self, catalog: Catalog) -> Reply:
        """A whole reply of the agent's model; a stream that breaks is asked for again once, and what it had said stays
        visible as incomplete.

        Raises ModelError, and what a write beside the stream raised.
        """
        progress, journal = self._journal.progress, self._journal
        for repeat in range(STREAM_REPEATS):
            progress.step += 1
            progress.model_calls += 1
            self._heard = False
            model = self._team.model_of(catalog.agent)
            step: JSON = {
                "number": progress.step, "agent": catalog.agent.name, "model": model.name, "at": time.time()
            }  # fmt: skip
            progress.steps.append(step)
            try:
                reply = await self._read(catalog, model)
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

    async def _read(self, catalog: Catalog, model: Model) -> Reply:
        journal, agent = self._journal, catalog.agent.name
        reply = Reply()
        async with aclosing(_only_model_errors(model, self._request(catalog, model))) as events:
            async for event in events:
                self._heard = True
                match event:
                    case TextDelta():
                        journal.say(agent, event.text)
                    case Message():
                        journal.end_message(agent, event.text)
                    case FunctionCall():
                        reply.calls.append(event)
                    case Reasoning():
                        journal.think(agent, event.body, model.name)
                    case ReplyDone():
                        reply.done = event
                        if reply.calls:
                            reply.calls = self._with_own_ids(reply.calls)
                        return reply
                    case ReasoningDelta():
                        pass  # shown with the finished reasoning item
                    case _:
                        assert_never(event)
        raise ModelUnavailable(model.name, "its answer ended before it was complete")

    def refusal(self, name: str) -> str:
        """Why a call of the last reply is not run: the choice of tools forbids it. Empty when it may be."""
        return self._choice.refusal(name)

    def _chosen(self, catalog: Catalog) -> Choice:
        """The choice of tools that holds now. Raises ToolChoiceError."""
        journal = self._journal
        given = journal.about.request.get("tool_choice")
        choice = chosen(given or catalog.agent.settings.tool_choice, catalog, self.client_names)
        if not choice.forces:
            return choice
        called = journal.progress.tool_calls > 0 if given else journal.has_called(catalog.agent.name)
        return choice.followed() if called or self._continues else choice

    def _tools(self, catalog: Catalog) -> tuple[ToolSpec, ...]:
        """The agent's tools and the client's, one that both declare is the agent's; ``read_result`` once there is
        something to read.
        """
        known = catalog.names() if self.client_tools else ()
        tools = catalog.specs + tuple(one for one in self.client_tools if one.name not in known)
        if self._journal.has_kept and READ_RESULT not in self.client_names:
            tools += (READ_RESULT_SPEC,)
        allowed = self._choice.allowed
        return tools if allowed is None else tuple(one for one in tools if one.name in allowed)

    def _request(self, catalog: Catalog, model: Model) -> ModelRequest:
        journal, agent = self._journal, catalog.agent
        self._choice = self._chosen(catalog)
        extra = journal.about.request.get("instructions")
        return ModelRequest(
            instructions=f"{agent.instructions}\n\n{extra}" if extra else agent.instructions,
            items=self._items(model.name),
            tools=self._tools(catalog),
            settings=_settings(catalog, journal.about.request, self._choice),
            agent=agent.name,
        )

    def _items(self, model: str) -> tuple[JSON, ...]:
        """What the model is shown of the history. What was said before this response is settled, and worked out once,
        unless something in it still waits for an output or this response's input brings one.
        """
        past, own = self._journal.past, self._journal.items
        if self._unanswered or reaches_back(own):
            return model_items([*past.items, *own], model=model, pending=self._unanswered)
        return past.shown_to(model) + model_items(own, model=model)

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


def client_tools(request: JSON) -> tuple[ToolSpec, ...]:
    """The functions that the client runs, as a model sees them."""
    return tuple(
        ToolSpec(
            name=str(one["name"]),
            description=str(one.get("description") or ""),
            parameters=dict(one.get("parameters") or {"type": "object", "properties": {}}),
            strict=one.get("strict") is True,
            kind="client",
        )
        for one in request.get("tools") or ()
        if one.get("type") == "function"
    )


def may_run_side_by_side(catalog: Catalog, request: JSON) -> bool:
    """Whether the calls of one reply may: the agent, its settings and the client all have a say."""
    agent = catalog.agent
    forbidden = not agent.parallel_tool_calls or agent.settings.parallel_tool_calls is False
    return not forbidden and request.get("parallel_tool_calls") is not False


def _settings(catalog: Catalog, request: JSON, choice: Choice) -> ModelSettings:
    """The agent's settings with what the client asked for."""
    own = catalog.agent.settings
    given = {
        name: request[name] for name in ("temperature", "top_p", "max_output_tokens") if request.get(name) is not None
    }
    side_by_side = own.parallel_tool_calls if may_run_side_by_side(catalog, request) else False
    return replace(own, tool_choice=choice.mode, parallel_tool_calls=side_by_side, **given)
