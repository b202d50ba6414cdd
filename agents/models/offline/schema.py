"""JSON schemas read: what an object asks for, which values an option allows, whether a value fits. No text, no
guessing.

It covers what tools are described with (OpenAI's strict form and pydantic's): ``$ref``, ``anyOf``, ``oneOf``, a
single ``allOf``, enums, bounds. What it does not know it does not check: the tool's own signature validates in the
end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import partial
from typing import Any, Final, cast

from ...model import JSON
from .words import stems

_DEPTH: Final = 24  # of references into references: a schema may refer to itself


def as_object(value: Any) -> JSON:
    """``value`` when it is an object with text keys, else an empty one."""
    return cast(JSON, value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """``value`` when it is a list, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def resolved(schema: object, root: JSON) -> JSON:
    """``schema`` with its own reference followed; what stands beside the reference goes first."""
    node = as_object(schema)
    for _ in range(_DEPTH):
        if len(parts := as_list(node.get("allOf"))) == 1:
            node = {**as_object(parts[0]), **{key: value for key, value in node.items() if key != "allOf"}}
        elif isinstance(reference := node.get("$ref"), str):
            node = {**_at(reference, root), **{key: value for key, value in node.items() if key != "$ref"}}
        else:
            return node
    return {}


def _at(reference: str, root: JSON) -> JSON:
    node = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        node = as_object(node.get(step.replace("~1", "/").replace("~0", "~"))) if step else node
    return node


def options(schema: object, root: JSON, depth: int = 0) -> tuple[JSON, ...]:
    """The alternatives of a schema, unions taken apart: each has at most one type."""
    node = resolved(schema, root)
    union = as_list(node.get("anyOf")) or as_list(node.get("oneOf"))
    if union and depth < _DEPTH:
        beside = {key: node[key] for key in ("description",) if key in node}
        return tuple({**beside, **one} for case in union for one in options(case, root, depth + 1))
    if types := as_list(node.get("type")):
        return tuple({**node, "type": one} for one in types)
    return (node,)


def members(option: JSON) -> list[Any]:
    """The values that an option lists; empty when it lists none."""
    return as_list(option.get("enum")) or ([option["const"]] if "const" in option else [])


def kind_of(option: JSON) -> str:
    """``enum``, or the JSON type of an option; ``any`` when it names none."""
    if members(option) and members(option) != [None]:
        return "enum"
    if members(option) == [None]:
        return "null"
    if isinstance(kind := option.get("type"), str):
        return kind
    return "object" if "properties" in option else "array" if "items" in option else "any"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One property of an object: what it takes and what happens when it is not given."""

    name: str
    description: str
    choices: tuple[JSON, ...]  # the alternatives except null, in the order of the schema
    required: bool  # must stand in the object
    nullable: bool
    root: JSON

    @property
    def optional(self) -> bool:
        """Whether a call is complete without a value for it."""
        return self.nullable or not self.required

    @property
    def stems(self) -> frozenset[str]:
        return stems(self.name)

    @property
    def numeric(self) -> bool:
        return any(kind_of(choice) in ("number", "integer") for choice in self.choices)

    def takes(self, value: object) -> bool:
        return any(fits(value, choice, self.root) for choice in self.choices)


def parameters_of(schema: object, root: JSON) -> tuple[Parameter, ...]:
    """The properties of an object schema, in order."""
    node = resolved(schema, root)
    required = as_list(node.get("required"))
    return tuple(
        _parameter(name, one, name in required, root) for name, one in as_object(node.get("properties")).items()
    )


def _parameter(name: str, schema: object, required: bool, root: JSON) -> Parameter:
    every = options(schema, root)
    kept = tuple(option for option in every if kind_of(option) != "null")
    described = resolved(schema, root).get("description") or next(
        (option["description"] for option in kept if option.get("description")), ""
    )
    nullable = len(kept) < len(every) or any(None in members(option) for option in kept)
    return Parameter(name, str(described), kept, required, nullable, root)


def fits(value: object, schema: object, root: JSON, depth: int = 0) -> bool:
    """Whether ``value`` is one that ``schema`` allows, as far as this module knows."""
    if depth > _DEPTH * 2 or schema is False:
        return False
    node = resolved(schema, root)
    inner = partial(fits, root=root, depth=depth + 1)
    for union in ("anyOf", "oneOf"):
        if (cases := as_list(node.get(union))) and not any(inner(value, case) for case in cases):
            return False
    if not all(inner(value, case) for case in as_list(node.get("allOf"))):
        return False
    if (allowed := members(node)) and not any(_same(value, one) for one in allowed):
        return False
    types = as_list(node.get("type")) or ([node["type"]] if "type" in node else [])
    if types and not any(_is(value, str(kind)) for kind in types):
        return False
    if isinstance(value, str):
        return _text_fits(value, node)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number_fits(value, node)
    if isinstance(value, list):
        return _list_fits(as_list(cast(object, value)), node, inner)
    return not isinstance(value, dict) or _object_fits(as_object(cast(object, value)), node, inner)


def _same(value: object, other: object) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


_TYPES: Final[Mapping[str, Callable[[object], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}


def _is(value: object, kind: str) -> bool:
    return _TYPES[kind](value) if kind in _TYPES else True


def _bound(node: JSON, key: str) -> float | None:
    found = node.get(key)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _number_fits(value: float, node: JSON) -> bool:
    least, most = _bound(node, "minimum"), _bound(node, "maximum")
    above, below = _bound(node, "exclusiveMinimum"), _bound(node, "exclusiveMaximum")
    step = _bound(node, "multipleOf")
    return (
        (least is None or value >= least)
        and (most is None or value <= most)
        and (above is None or value > above)
        and (below is None or value < below)
        and (not step or abs(value) > 1e15 or abs(value / step - round(value / step)) < 1e-9)
    )


_FORMATS: Final[Mapping[str, Callable[[str], object]]] = {
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
    "time": time.fromisoformat,
    "email": re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+").fullmatch,
}


def _text_fits(value: str, node: JSON) -> bool:
    if not (_bound(node, "minLength") or 0) <= len(value) <= (_bound(node, "maxLength") or len(value)):
        return False
    if isinstance(pattern := node.get("pattern"), str) and not matches(pattern, value):
        return False
    try:
        form = _FORMATS.get(str(node.get("format")))
        return form is None or form(value) is not None
    except ValueError:
        return False


def matches(pattern: str, value: str) -> bool:
    """Whether ``value`` has what a schema's ``pattern`` asks for; a pattern that Python cannot read asks for
    nothing.
    """
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True


def _list_fits(value: list[Any], node: JSON, inner: Callable[[object, object], bool]) -> bool:
    if not (_bound(node, "minItems") or 0) <= len(value) <= (_bound(node, "maxItems") or len(value)):
        return False
    if node.get("uniqueItems") is True and any(one in value[:at] for at, one in enumerate(value)):
        return False
    return all(inner(one, node.get("items", {})) for one in value)


def _object_fits(value: JSON, node: JSON, inner: Callable[[object, object], bool]) -> bool:
    properties = as_object(node.get("properties"))
    if any(name not in value for name in as_list(node.get("required"))):
        return False
    extra = node.get("additionalProperties", True)
    return all(
        inner(one, properties[name])
        if name in properties
        else extra is True or (extra is not False and inner(one, extra))
        for name, one in value.items()
    )
