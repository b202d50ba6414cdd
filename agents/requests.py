"""The request that a model is asked with: out of the journal, the agent's catalog, and what the client asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from .catalog import Catalog
from .choice import Choice, chosen
from .history import model_items
from .journal import Journal
from .model import JSON, ModelRequest, ModelSettings, ToolSpec
from .output_type import OutputType
from .owed import has_called, only_continues
from .past import reaches_back
from .results import READ_RESULT
from .results import SPEC as READ_RESULT_SPEC
from .showing import filtered, instructions_of
from .team import Team


class Requests:
    """Makes the requests of one turn. ``unanswered`` are calls that wait for the client, and are not shown to a
    model.
    """

    def __init__(self, team: Team, journal: Journal, unanswered: frozenset[str]) -> None:
        self._team, self._journal, self._unanswered = team, journal, unanswered
        self.client_tools = client_tools(journal.about.request)
        self.client_names = frozenset(one.name for one in self.client_tools)
        self.choice = Choice()
        self.correction: tuple[JSON, ...] = ()  # shown once more: an answer, and what is wrong with it
        self._continues = only_continues(journal.items)

    def _chosen(self, catalog: Catalog) -> Choice:
        """The choice of tools that holds now. Raises ToolChoiceError."""
        journal = self._journal
        given = journal.about.request.get("tool_choice")
        choice = chosen(given or catalog.agent.settings.tool_choice, catalog, self.client_names)
        if not choice.forces:
            return choice
        called = journal.progress.tool_calls > 0 if given else has_called(journal.items, catalog.agent.name)
        return choice.followed() if called or self._continues else choice

    def _tools(self, catalog: Catalog) -> tuple[ToolSpec, ...]:
        """The agent's tools and the client's, one that both declare is the agent's; ``read_result`` once there is
        something to read.
        """
        known = catalog.names() if self.client_tools else ()
        tools = catalog.specs + tuple(one for one in self.client_tools if one.name not in known)
        if self._journal.has_kept and READ_RESULT not in self.client_names:
            tools += (READ_RESULT_SPEC,)
        allowed = self.choice.allowed
        return tools if allowed is None else tuple(one for one in tools if one.name in allowed)

    async def make(self, catalog: Catalog, model: str) -> ModelRequest:
        """The next request to a model of this name. Raises ToolChoiceError, FunctionFailed."""
        journal, agent = self._journal, catalog.agent
        self.choice = self._chosen(catalog)
        extra = journal.about.request.get("instructions")
        own = agent.instructions
        if not isinstance(own, str):
            own = await instructions_of(agent, own, self._team.context(journal.about, agent.name))
        return ModelRequest(
            instructions=f"{own}\n\n{extra}" if extra else own,
            items=self._items(catalog, model) + self.correction,
            tools=self._tools(catalog),
            settings=_settings(catalog, journal.about.request, self.choice),
            agent=agent.name,
            text=_text(agent.output or self._team.output, journal.about.request.get("text")),
        )

    def _items(self, catalog: Catalog, model: str) -> tuple[JSON, ...]:
        """What the model is shown of the history. What was said before this response is settled, and worked out once,
        unless something in it still waits for an output or this response's input brings one.
        """
        past, own = self._journal.past, self._journal.items
        if catalog.filters:
            return model_items(filtered(catalog, self._journal.shown()), model=model, pending=self._unanswered)
        if self._unanswered or reaches_back(own) or self._journal.summary is not None:
            return model_items(self._journal.shown(), model=model, pending=self._unanswered)
        return past.shown_to(model) + model_items(own, model=model)


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


def _text(output: OutputType | None, asked: JSON | None) -> JSON:
    """The request's ``text``: what the client asked for; an agent that has an output type answers in that form."""
    return (asked or {}) if output is None else {**(asked or {}), "format": output.text_format()}


def _settings(catalog: Catalog, request: JSON, choice: Choice) -> ModelSettings:
    """The agent's settings with what the client asked for."""
    own = catalog.agent.settings
    given = {
        name: request[name] for name in ("temperature", "top_p", "max_output_tokens") if request.get(name) is not None
    }
    effort = cast(JSON, request.get("reasoning") or {}).get("effort")
    if effort is not None:
        given["reasoning_effort"] = effort
    side_by_side = own.parallel_tool_calls if may_run_side_by_side(catalog, request) else False
    if not given and (own.tool_choice, own.parallel_tool_calls) == (choice.mode, side_by_side):
        return own
    return replace(own, tool_choice=choice.mode, parallel_tool_calls=side_by_side, **given)
