"""The candidates of an agent, made of its tools: what each is called, what it takes, which words hint at it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from ...model import JSON, ToolSpec
from .candidate import Candidate, Keyword
from .roles import role_of
from .schema import Parameter, as_object, kind_of, members, options, parameters_of, resolved
from .texts import role_kinds
from .values import Kind
from .words import fold, stems, unspaced

CREATE_TASK: Final = "create_task"
NAME: Final = 3.0
KEYWORD: Final = 3.5
MEMBER: Final = 2.0
PARAMETER: Final = 1.2
_NAMESPACE: Final = 1.5
_DESCRIPTION: Final = 1.0


def catalogue(tools: Iterable[ToolSpec]) -> tuple[Candidate, ...]:
    """The candidates in the order of the tools; ``create_task`` becomes one for each function that it can run."""
    found: list[Candidate] = []
    for tool in tools:
        found.extend(_tasks(tool) if tool.name == CREATE_TASK else [_tool(tool)])
    return tuple(found)


def _tool(tool: ToolSpec) -> Candidate:
    handoff = tool.kind == "handoff"
    namespace, _, own = tool.name.rpartition("-")
    name = own.removeprefix("transfer_to_") if handoff else own
    kind: Literal["tool", "handoff"] = "handoff" if handoff else "tool"
    return _candidate(kind, tool, name, tool.description, tool.parameters, tool.keywords, namespace=namespace)


def _tasks(tool: ToolSpec) -> list[Candidate]:
    task = as_object(as_object(resolved(tool.parameters, tool.parameters).get("properties")).get("task"))
    found: list[Candidate] = []
    for variant in options(task, tool.parameters):
        inner = as_object(variant.get("properties"))
        named = sorted(inner.items(), key=lambda item: item[0] != "name")
        names = [str(one[0]) for _, value in named if len(one := members(resolved(value, tool.parameters))) == 1]
        if names:
            arguments = inner.get("arguments") or {
                **variant,
                "properties": {k: v for k, v in inner.items() if k != "name"},
            }
            keywords = [word for name, _, word in (hint.partition(":") for hint in tool.keywords) if name == names[0]]
            described = str(variant.get("description") or resolved(arguments, tool.parameters).get("description") or "")
            found.append(_candidate("task", tool, names[0], described, arguments, keywords, variant=variant))
    return found


def _candidate(
    kind: Literal["tool", "task", "handoff"],
    tool: ToolSpec,
    name: str,
    description: str,
    schema: object,
    hints: Iterable[str],
    *,
    namespace: str = "",
    variant: JSON | None = None,
) -> Candidate:
    parameters = parameters_of(schema, tool.parameters)
    words: dict[str, float] = {}
    for weight, text in _weighed(name, namespace, description, parameters):
        for one in stems(text):
            words[one] = max(weight, words.get(one, 0))
    keywords = tuple(_keyword(hint) for hint in hints if hint.strip())
    for keyword in keywords:
        if len(keyword.stems) == 1 and not unspaced(keyword.text) and not keyword.phrase:
            words.update(dict.fromkeys(keyword.stems, KEYWORD))
    if kind == "handoff":  # its description and its tools' names are all that is known of the other agent
        told = {*words, *(one for keyword in keywords if "_" in keyword.text for one in keyword.stems)}
        words = {one: max(MEMBER, words.get(one, 0)) for one in told - _HANDING_OVER}
    return Candidate(
        kind, tool, name, description, parameters, words, stems(name), keywords, _kinds(parameters), variant
    )


def _keyword(hint: str) -> Keyword:
    """A hint as its author wrote it: a word or phrase, or ``member=word`` for another word for a member of an enum."""
    member, _, word = hint.rpartition("=")
    return Keyword(fold(word), stems(word), member)


def _kinds(parameters: tuple[Parameter, ...]) -> frozenset[Kind]:
    roles = (
        role_of(one.name, str(choice.get("format", "")), one.description)
        for one in parameters
        if not one.optional
        for choice in one.choices
    )
    return frozenset(kind for role in roles if role in ("path", "url", "email") for kind in role_kinds(role)[:1])


_HANDING_OVER: Final = stems(
    "hand over transfer conversation agent handle specialist talk help answer task tool question request tools"
)


def _weighed(
    name: str, namespace: str, description: str, parameters: tuple[Parameter, ...]
) -> Iterable[tuple[float, str]]:
    yield _DESCRIPTION, description
    for one in parameters:
        yield PARAMETER, one.name
        yield _DESCRIPTION / 2, one.description
        for member in _listed(one):
            yield MEMBER, member
    yield _NAMESPACE, namespace
    yield NAME, name


def _listed(parameter: Parameter) -> Iterable[str]:
    """The members of a parameter's enums, also of a list's items."""
    for choice in parameter.choices:
        inner = options(choice.get("items", {}), parameter.root) if kind_of(choice) == "array" else (choice,)
        yield from (member for one in inner for member in members(one) if isinstance(member, str))
