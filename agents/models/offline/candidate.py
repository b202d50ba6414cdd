"""What a request can be answered with: a tool, a task function inside ``create_task``, or a handoff, all seen alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ...model import JSON, ToolSpec
from .schema import Parameter, as_object, members, parameters_of, resolved
from .values import Kind
from .words import EFFECTS, name_parts, stem


class Keyword(NamedTuple):
    """A word or phrase that hints at a candidate."""

    text: str
    stems: frozenset[str]
    member: str  # of an enum, when this is another word for it; else empty

    @property
    def phrase(self) -> bool:
        return " " in self.text.strip()


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
    def synonyms(self) -> tuple[tuple[str, str], ...]:
        """Other words for members of its enums."""
        return tuple((keyword.text, keyword.member) for keyword in self.keywords if keyword.member)

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
