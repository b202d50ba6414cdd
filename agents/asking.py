"""Asking a model once: the request out of the journal, the reply out of its stream. What is done with a reply is in
``loop``.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final, assert_never, cast

from .catalog import Catalog
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
)
from .past import call_id_of, reaches_back
from .team import Team

log = logging.getLogger("frontdesk.loop")

STREAM_REPEATS: Final = 2


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
            try:
                return await self._read(catalog, self._team.model_of(catalog.agent))
            except ModelUnavailable as error:
                # A model has tried again by itself as long as nothing had been heard of its answer.
                if not self._heard or repeat == STREAM_REPEATS - 1:
                    raise
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

    def _request(self, catalog: Catalog, model: Model) -> ModelRequest:
        journal, agent = self._journal, catalog.agent
        extra = journal.about.request.get("instructions")
        return ModelRequest(
            instructions=f"{agent.instructions}\n\n{extra}" if extra else agent.instructions,
            items=self._items(model.name),
            tools=catalog.specs + self.client_tools if self.client_tools else catalog.specs,
            settings=_settings(catalog, journal.about.request, first=not journal.progress.tool_calls),
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


def _settings(catalog: Catalog, request: JSON, *, first: bool) -> ModelSettings:
    """The agent's settings with what the client asked for. A forced choice holds for the first request only: or it
    would never end.
    """
    own = catalog.agent.settings
    choice: Any = request.get("tool_choice") or own.tool_choice
    if isinstance(choice, dict):
        choice = cast(JSON, choice).get("name")
    if not first and choice not in (None, "auto", "none"):
        choice = "auto"
    given = {
        name: request[name] for name in ("temperature", "top_p", "max_output_tokens") if request.get(name) is not None
    }
    side_by_side = own.parallel_tool_calls if may_run_side_by_side(catalog, request) else False
    return replace(own, tool_choice=choice, parallel_tool_calls=side_by_side, **given)
