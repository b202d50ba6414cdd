"""How large a schema in strict form may be. Source:
https://platform.openai.com/docs/guides/structured-outputs#supported-schemas. A larger one is refused with its whole
request, so a tool that has one is offered without strict mode. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from .schema import JSON, is_array, is_object

MOST_PROPERTIES: Final = 5_000
MOST_LEVELS: Final = 10
MOST_CHARACTERS: Final = 120_000  # of all names of properties and definitions, and of all values of enums
MOST_VALUES: Final = 1_000  # of all enums together
LONG_ENUM: Final = 250  # from so many values on, an enum of texts is bounded by their characters
LONG_ENUM_CHARACTERS: Final = 15_000


def too_much(schema: JSON) -> list[str]:
    """What a schema in strict form has too much of, in words; nothing when it is small enough."""
    nodes = [node for root in (schema, *schema.get("$defs", {}).values()) for node in _nodes(root)]
    names = [*schema.get("$defs", ()), *(name for node in nodes for name in node.get("properties", ()))]
    enums: list[list[Any]] = [node["enum"] for node in nodes if "enum" in node]
    counted = {
        f"more than {MOST_PROPERTIES} properties": sum(len(node.get("properties", ())) for node in nodes)
        > MOST_PROPERTIES,
        f"more than {MOST_LEVELS} levels": max(map(_levels, (schema, *schema.get("$defs", {}).values()))) > MOST_LEVELS,
        f"more than {MOST_VALUES} values of enums": sum(map(len, enums)) > MOST_VALUES,
        f"names and values of more than {MOST_CHARACTERS} characters": sum(
            map(len, names), sum(map(_characters, enums))
        )
        > MOST_CHARACTERS,
        f"an enum of more than {LONG_ENUM_CHARACTERS} characters": any(
            len(one) > LONG_ENUM and _characters(one) > LONG_ENUM_CHARACTERS for one in enums
        ),
    }
    return [what for what, is_so in counted.items() if is_so]


def _characters(values: list[Any]) -> int:
    return sum(len(one) for one in values if isinstance(one, str))


def _below(node: JSON) -> Iterator[JSON]:
    """The schemas directly inside of another; definitions are apart."""
    yield from node.get("properties", {}).values()
    yield from node.get("anyOf", ())
    if is_object(node.get("items")):
        yield node["items"]


def _nodes(node: JSON) -> Iterator[JSON]:
    yield node
    for one in _below(node):
        yield from _nodes(one)


def _levels(node: JSON) -> int:
    """Objects and lists inside of each other. What a reference leads to counts by itself: it may lead round."""
    deepest = max(map(_levels, _below(node)), default=0)
    kind: Any = node.get("type")
    kinds = kind if is_array(kind) else [kind]
    return deepest + (1 if {"object", "array"}.intersection(kinds) else 0)
