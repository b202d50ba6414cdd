"""What a request can be answered with: tools, task functions and handoffs alike as candidates, scored by the words
of a clause.

Scores only rank; what is done with the best is decided in ``offline_plan``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from ..model import JSON, ToolSpec
from .offline_clause import Clause
from .offline_roles import role_of
from .offline_schema import Parameter, as_object, kind_of, members, options, parameters_of, resolved
from .offline_texts import role_kinds
from .offline_values import Kind
from .offline_words import EFFECTS, UNDOING, WEAK, fold, name_parts, stem, stems, unspaced

CREATE_TASK: Final = "create_task"
_NAME, _KEYWORD, _MEMBER, _PARAMETER, _NAMESPACE, _DESCRIPTION = 3.0, 3.5, 2.0, 1.2, 1.5, 1.0
_TYPED: Final = (
    0.8  # the clause has a value of a kind that few things take, such as a path, and the candidate requires one
)
ENOUGH: Final = 2.0
"""From this score on a candidate is taken seriously."""


class Keyword(NamedTuple):
    """A word or phrase that hints at a candidate."""

    text: str
    stems: frozenset[str]
    weight: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that can be called: a tool, one task function inside ``create_task``, or a handoff."""

    kind: Literal["tool", "task", "handoff"]
    tool: ToolSpec
    name: str
    description: str
    parameters: tuple[Parameter, ...]
    words: Mapping[str, float]  # stem → how much it tells
    name_stems: frozenset[str]
    keywords: tuple[Keyword, ...]
    kinds: frozenset[Kind]  # of the values that it requires, as far as they are telling
    variant: JSON | None = None  # the object inside create_task's `task`

    @property
    def known(self) -> frozenset[str]:
        """The stems of its own words: in a request they name it, they are no values."""
        return self.name_stems.union(*(keyword.stems for keyword in self.keywords))

    @property
    def effectful(self) -> bool:
        """Whether its name or description begins with a verb that changes something."""
        heads = [name_parts(self.name)[:1], name_parts(self.description)[:1]]
        return self.kind != "tool" or any(stem(head[0]) in EFFECTS for head in heads if head)

    def call(self, arguments: JSON) -> JSON:
        """The arguments of the whole call."""
        if self.variant is None:
            return arguments
        inner = as_object(self.variant.get("properties"))
        named: JSON = {
            key: members(resolved(one, self.tool.parameters))[0]
            for key, one in inner.items()
            if _is_name(key, one, self)
        }
        task = {**named, "arguments": arguments} if "arguments" in inner else {**named, **arguments}
        others = (
            one
            for one in parameters_of(self.tool.parameters, self.tool.parameters)
            if one.name != "task" and one.required
        )
        return {"task": task, **{one.name: _plain_value(one, self.name) for one in others}}


def _is_name(key: str, schema: object, candidate: Candidate) -> bool:
    return key != "arguments" and members(resolved(schema, candidate.tool.parameters)) == [candidate.name]


def _plain_value(parameter: Parameter, name: str) -> Any:
    """For what surrounds a task: null where it may be, else the least that fits."""
    plain: tuple[Any, ...] = (name, False, 0, [])
    return None if parameter.nullable else next((value for value in plain if parameter.takes(value)), None)


@dataclass(frozen=True, slots=True)
class Match:
    """How well a clause's words fit a candidate. ``told``: the stems that its name, keywords and enums account for."""

    candidate: Candidate
    score: float
    strong: bool  # some word that means something is its name's or its keyword's
    names: int  # how many words of its name were said
    said: int  # how many words that mean something are told of
    told: frozenset[str]


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
    keywords = [(word, _KEYWORD) for word in tool.keywords]
    return _candidate(
        "handoff" if handoff else "tool", tool, name, tool.description, tool.parameters, keywords, namespace=namespace
    )


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
            hints = (hint.partition(":") for hint in tool.keywords)
            keywords = [(word, _KEYWORD) for name, _, word in hints if name == names[0]]
            described = str(variant.get("description") or resolved(arguments, tool.parameters).get("description") or "")
            found.append(_candidate("task", tool, names[0], described, arguments, keywords, variant=variant))
    return found


def _candidate(
    kind: Literal["tool", "task", "handoff"],
    tool: ToolSpec,
    name: str,
    description: str,
    schema: object,
    hints: list[tuple[str, float]],
    *,
    namespace: str = "",
    variant: JSON | None = None,
) -> Candidate:
    parameters = parameters_of(schema, tool.parameters)
    words: dict[str, float] = {}
    for weight, text in _weighed(name, namespace, description, parameters):
        for one in stems(text):
            words[one] = max(weight, words.get(one, 0))
    if kind == "handoff":  # its description is all that is known of the other agent's tools
        words = {one: max(weight, _MEMBER) for one, weight in words.items() if one not in _HANDING_OVER}
    keywords = tuple(Keyword(fold(text), stems(text), weight) for text, weight in hints if text.strip())
    for keyword in keywords:
        if len(keyword.stems) == 1 and not unspaced(keyword.text):
            words.update(
                dict.fromkeys(keyword.stems, max(keyword.weight, *(words.get(one, 0) for one in keyword.stems)))
            )
    return Candidate(
        kind, tool, name, description, parameters, words, stems(name), keywords, _kinds(parameters), variant
    )


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
        yield _PARAMETER, one.name
        yield _DESCRIPTION / 2, one.description
        for member in _listed(one):
            yield _MEMBER, member
    yield _NAMESPACE, namespace
    yield _NAME, name


def _listed(parameter: Parameter) -> Iterable[str]:
    """The members of a parameter's enums, also of a list's items."""
    for choice in parameter.choices:
        inner = options(choice.get("items", {}), parameter.root) if kind_of(choice) == "array" else (choice,)
        yield from (member for one in inner for member in members(one) if isinstance(member, str))


def frequencies(candidates: Iterable[Candidate]) -> Mapping[str, int]:
    """In how many candidates each stem occurs: a word that is everywhere tells little."""
    return Counter(word for candidate in candidates for word in candidate.words)


def match(
    candidate: Candidate, clause: Clause, common: Mapping[str, int], without: frozenset[str] = frozenset()
) -> Match:
    """How well ``clause`` fits, its words ``without`` those that something else accounts for."""
    told: set[str] = set()
    score, strong, names, said = 0.0, False, 0, 0
    folded = fold(clause.text)
    for keyword in candidate.keywords:
        if not (keyword.stems and keyword.stems <= without) and _said(keyword, clause, folded):
            fresh = not (keyword.stems & told)
            score += keyword.weight if fresh else 0
            said += fresh
            strong = strong or bool(keyword.stems - WEAK)
            told |= keyword.stems
    for word, weight in clause.terms.items():
        value = candidate.words.get(word)
        if word in without or value is None:
            continue
        names += word in candidate.name_stems
        if word not in told:
            score += value * weight / common.get(word, 1) ** 0.3
            strong = strong or (value >= _NAME and weight >= 0.6 and word not in WEAK)
        if value >= _PARAMETER:
            told.add(word)
            said += value >= _MEMBER and weight >= 0.6 and word not in WEAK
    if any(value.kind in candidate.kinds for value in clause.values):
        score += _TYPED
    if candidate.name_stems:
        score += 1.5 * names / len(candidate.name_stems)
    if (
        clause.terms.keys() & UNDOING
        and not clause.terms.keys() & UNDOING & candidate.words.keys()
        and candidate.kind != "handoff"
    ):
        score *= 0.3
    return Match(candidate, score, strong, names, said, frozenset(told))


def _said(keyword: Keyword, clause: Clause, folded: str) -> bool:
    if unspaced(keyword.text):
        return keyword.text in folded
    if len(keyword.stems) > 1:
        return keyword.stems <= clause.terms.keys()
    if keyword.stems:
        return bool(keyword.stems & clause.terms.keys()) or (
            len(keyword.text) > 4 and any(one.folded.endswith(keyword.text) for one in clause.words)
        )
    return keyword.text in folded.split()
