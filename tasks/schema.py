"""Reading JSON schemas, as pydantic makes them: what a node allows, and where. Pure functions of dictionaries; no
Python type appears here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeGuard

from pydantic_core import to_json

JSON: TypeAlias = dict[str, Any]

_MOST_VALUES: Final = 40
_PLAIN: Final = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
    "date": "a date such as 2025-01-31",
    "time": "a time such as 14:30:00",
    "date-time": "a date and time such as 2025-01-31T14:30:00Z",
    "duration": "a duration such as PT90S",
    "uuid": "a UUID",
    "email": "an e-mail address",
}


def is_object(value: object) -> TypeGuard[JSON]:
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def referred(reference: str) -> str:
    """The name in ``$defs`` that a ``$ref`` refers to."""
    return reference.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")


def resolved(node: JSON, defs: Mapping[str, JSON]) -> JSON:
    """``node``, or what its ``$ref`` refers to."""
    while "$ref" in node:
        node = defs[referred(node["$ref"])]
    return node


def cases(node: JSON, defs: Mapping[str, JSON]) -> list[JSON]:
    """``node`` as a list of alternatives, none of which is a union or a reference."""
    node = resolved(node, defs)
    members = _members(node)
    return [flat for case in members for flat in cases(case, defs)] if members else [node]


def _members(node: JSON) -> list[JSON]:
    """The members of a union, references among them."""
    members: list[JSON] = node.get("anyOf") or node.get("oneOf") or []
    return members


def accepts_null(node: JSON, defs: Mapping[str, JSON]) -> bool:
    """Whether null is a value of ``node``."""
    return any(_accepts_null(case) for case in cases(node, defs))


def _accepts_null(case: JSON) -> bool:
    if "const" in case or "enum" in case:
        return None in _values(case)
    kind = case.get("type", "null")
    return "null" in kind if is_array(kind) else kind == "null"


def has_defaults(node: JSON, defs: Mapping[str, JSON]) -> bool:
    """Whether `without_nulls` has anything to do for this schema."""
    objects = [*cases(node, defs), *(case for root in defs.values() for case in cases(root, defs))]
    while objects:
        case = objects.pop()
        required = case.get("required", ())
        for name, child in case.get("properties", {}).items():
            if name not in required and not accepts_null(child, defs):
                return True
        below = (*case.get("properties", {}).values(), *case.get("prefixItems", ()))
        for child in (*below, case.get("items"), case.get("additionalProperties")):
            if is_object(child) and "$ref" not in child:
                objects += _members(child) or [child]
    return False


def without_nulls(value: Any, node: JSON, defs: Mapping[str, JSON]) -> Any:
    """``value`` without the nulls that stand for a default: of properties that may be left out, but can not be null."""
    if is_array(value):
        shapes = cases(node, defs)
        items = [next((one for case in shapes if is_object(one := _child(case, at))), None) for at in range(len(value))]
        return [
            item if shape is None else without_nulls(item, shape, defs)
            for item, shape in zip(value, items, strict=True)
        ]
    if not is_object(value):
        return value
    case = _case_of(value, cases(node, defs), defs)
    properties, required, rest = case.get("properties", {}), case.get("required", ()), case.get("additionalProperties")
    kept: JSON = {}
    for name, item in value.items():
        child = properties.get(name, rest if is_object(rest) else None)
        if child is None:
            kept[name] = item
        elif item is not None or name in required or name not in properties or accepts_null(child, defs):
            kept[name] = without_nulls(item, child, defs)
    return kept


def _case_of(value: JSON, alternatives: Sequence[JSON], defs: Mapping[str, JSON]) -> JSON:
    """The alternative that an object is meant to be: its tags agree and it has the most of the object's properties."""
    nothing: JSON = {}
    objects = [case for case in alternatives if case.get("type") == "object" and _tags_agree(value, case, defs)]
    return max(objects, key=lambda case: len(value.keys() & case.get("properties", {}).keys()), default=nothing)


def _tags_agree(value: JSON, case: JSON, defs: Mapping[str, JSON]) -> bool:
    tags = {name: resolved(child, defs) for name, child in case.get("properties", {}).items()}
    return all(value[name] == tag["const"] for name, tag in tags.items() if "const" in tag and name in value)


def node_at(path: Sequence[str | int], node: JSON, defs: Mapping[str, JSON]) -> JSON:
    """The schema of what lies at ``path``, a union where several are possible; an empty one when the schema does
    not say."""
    for step in path:
        found = [_child(case, step) for case in cases(node, defs)]
        node = {"anyOf": [child for child in found if is_object(child)]}
    return node


def _child(case: JSON, step: str | int) -> Any:
    if isinstance(step, int):
        positions = case.get("prefixItems", ())
        return positions[step] if step < len(positions) else case.get("items")
    return case.get("properties", {}).get(step, case.get("additionalProperties"))


def expected(node: JSON, defs: Mapping[str, JSON]) -> str:
    """What a value of ``node`` is, in words: ``an integer``, ``one of "red", "green"``. Empty when anything goes."""
    alternatives = cases(node, defs)
    shown = list(dict.fromkeys(to_json(value).decode() for value in values(node, defs)))
    named = [", ".join(shown[:_MOST_VALUES])] if shown else []
    if len(shown) > 1:
        named = [f"one of {named[0]}{', …' if len(shown) > _MOST_VALUES else ''}"]
    return " or ".join(dict.fromkeys([*named, *(text for case in alternatives for text in _kinds(case))]))


def takes_any_text(node: JSON, defs: Mapping[str, JSON]) -> bool:
    """Whether the schema takes every string, as far as it says: what is wrong with one, only the type knows."""
    return any("string" in _kinds_of(case) and case.get("format") not in _PLAIN for case in cases(node, defs))


def values(node: JSON, defs: Mapping[str, JSON]) -> list[Any]:
    """The values that ``node`` enumerates, in all its alternatives."""
    return [value for case in cases(node, defs) for value in _values(case)]


def _values(case: JSON) -> list[Any]:
    return list(case["enum"]) if "enum" in case else [case["const"]] if "const" in case else []


def _kinds(case: JSON) -> list[str]:
    if _values(case):
        return []
    if case.get("format") in _PLAIN:
        return [_PLAIN[case["format"]]]
    if case.get("type") == "object" and case.get("properties"):
        return [f"an object with {', '.join(case['properties'])}"]
    return [_PLAIN[one] for one in _kinds_of(case) if one in _PLAIN]


def _kinds_of(case: JSON) -> list[str]:
    kind = case.get("type", [])
    return kind if is_array(kind) else [kind]
