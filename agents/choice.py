"""Which tools a model may call, and whether it must: the choice of the client, or of the agent's settings. Pure.

A forced choice holds until it has been followed: for the first request of a turn, and not for a turn that only brings
the outputs of such a call. Otherwise a model that must call could never answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from .catalog import Catalog
from .errors import ToolChoiceError, ToolNameTaken

SHOWN: Final = 20
NOT_NOW: Final = "Not run: no tools may be called for this response. Answer without one."


@dataclass(frozen=True, slots=True)
class Choice:
    """``mode`` is None (the provider's default), auto, required, none, or the name of one tool; ``allowed``: what may
    be called at all, None for everything.
    """

    mode: str | None = None
    allowed: frozenset[str] | None = None
    lasts: bool = True  # ``allowed`` holds for the whole response, not only while the choice is forced

    @property
    def forces(self) -> bool:
        return self.mode not in (None, "auto", "none")

    def followed(self) -> Choice:
        """What holds once the model has called what it had to."""
        return replace(self, mode="auto", allowed=self.allowed if self.lasts else None) if self.forces else self

    def refusal(self, name: str) -> str:
        """Why a call of this tool is not run; empty when it may be."""
        if self.mode == "none":
            return NOT_NOW
        if self.allowed is None or name in self.allowed:
            return ""
        return f"Not run: only {_listed(self.allowed)} may be called for this response."


def chosen(given: Any, catalog: Catalog, client_names: Collection[str]) -> Choice:
    """The choice that a request, or an agent's settings, has made among the agent's and the client's tools: a string,
    or one of the API's objects (``function``, ``mcp``, ``allowed_tools``). Raises ToolChoiceError.
    """
    if given is None or given in ("auto", "none"):
        return Choice(given)
    names = dict.fromkeys((*catalog.names(), *client_names))
    if given == "required":
        if not names:
            raise ToolChoiceError(f"'required' needs a tool, and {catalog.agent.name} has none")
        return Choice(given)
    if isinstance(given, str):
        return Choice(_known(given, names, catalog))
    choice = cast("Mapping[str, Any]", given)
    match choice.get("type"):
        case "function":
            return Choice(_known(str(choice.get("name")), names, catalog))
        case "mcp":
            found = frozenset(_matching(choice, names, catalog, client_names))
            return Choice(next(iter(found))) if len(found) == 1 else Choice("required", found, lasts=False)
        case "allowed_tools":
            tools: Sequence[Mapping[str, Any]] = choice.get("tools") or ()
            allowed = frozenset(name for one in tools for name in _matching(one, names, catalog, client_names))
            return Choice("required" if choice.get("mode") == "required" else "auto", allowed)
        case kind:
            raise ToolChoiceError(f"{kind!r} is no kind of choice: function, mcp or allowed_tools")


def check_request(catalogs: Mapping[str, Catalog], agent: str, request: Mapping[str, Any]) -> None:
    """Whether the tools and the choice of a request are possible for the agent that it names, or for any agent of the
    desk when it names none: who has the conversation by then may still not have the tool that is chosen. Raises
    ToolNameTaken, ToolChoiceError.
    """
    tools: Sequence[Mapping[str, Any]] = request.get("tools") or ()
    choice = request.get("tool_choice")
    asked = [catalogs[agent]] if agent in catalogs else list(catalogs.values())
    names = [str(one.get("name")) for one in tools]
    for place, name in enumerate(names):
        for catalog in asked:
            if catalog.kind(name, frozenset()) not in ("client", "unknown"):
                raise ToolNameTaken(name, catalog.agent.name, place)
    refused: list[ToolChoiceError] = []
    for catalog in asked if choice is not None else ():
        try:
            chosen(choice, catalog, names)
        except ToolChoiceError as error:
            refused.append(error)
    if asked and len(refused) == len(asked):
        raise refused[0]


def _known(name: str, names: Collection[str], catalog: Catalog) -> str:
    if name not in names:
        raise ToolChoiceError(f"{catalog.agent.name} has no tool {name!r}; it has {_listed(names) or 'none'}")
    return name


def _matching(
    one: Mapping[str, Any], names: Collection[str], catalog: Catalog, client_names: Collection[str]
) -> Iterable[str]:
    """The tools that a part of a choice means. Raises ToolChoiceError when there is none."""
    if one.get("type") == "function":
        return (_known(str(one.get("name")), names, catalog),)
    if one.get("type") != "mcp":
        raise ToolChoiceError(f"a tool of type {one.get('type')!r} cannot be chosen: function or mcp")
    label, wanted = one.get("server_label"), one.get("name")
    shown = {name: catalog.shown_as(name, frozenset(client_names)) for name in catalog.names()}
    found = [name for name, (of, short) in shown.items() if of == label and wanted in (None, short, name)]
    if not found:
        what = f"no tool {wanted!r} under {label!r}" if wanted else f"no tools under {label!r}"
        raise ToolChoiceError(f"{catalog.agent.name} has {what}; it has {_listed(names) or 'none'}")
    return found


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:SHOWN]) + (", …" if len(found) > SHOWN else "")
