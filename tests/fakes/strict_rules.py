"""What OpenAI's API refuses in the schema of a strict function, in about its words. Written from its documentation
(https://platform.openai.com/docs/guides/structured-outputs#supported-schemas), by another reading than the code's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

JSON = Mapping[str, Any]

_KINDS: Final = frozenset(("string", "number", "integer", "boolean", "object", "array", "null"))
_OF_KIND: Final[Mapping[str, frozenset[str]]] = {
    "string": frozenset(("pattern", "format")),
    "number": frozenset(("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum")),
    "array": frozenset(("items", "minItems", "maxItems")),
    "object": frozenset(("properties", "required", "additionalProperties")),
    "boolean": frozenset(),
    "null": frozenset(),
}
_ANYWHERE: Final = frozenset(("type", "enum", "const", "anyOf", "$ref", "$defs", "description", "title"))
_FORMATS: Final = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))


def refused_schema(schema: JSON) -> list[str]:
    """What is wrong with the parameters of a strict function; nothing when they are accepted."""
    problems = [] if schema.get("type") == "object" else ["schema must be a JSON Schema of 'type: \"object\"'."]
    if "anyOf" in schema:
        problems.append("schema must not have 'anyOf' at the top level.")
    whole = _Whole(schema)
    problems += whole.node(schema, ())
    return problems + list(whole.sizes())


class _Whole:
    def __init__(self, schema: JSON) -> None:
        self._defs: Mapping[str, JSON] = schema.get("$defs") or {}
        self._characters = sum(len(name) for name in self._defs)
        self._properties = self._values = 0
        self._too_long = False

    def node(self, node: JSON, path: tuple[str, ...], level: int = 0) -> Iterator[str]:
        at = f"In context={path},"
        if "$ref" in node:
            yield from self._reference(node, at)
            return
        if not node.keys() & {"type", "anyOf", "enum", "const"}:
            yield f"{at} schema must have a 'type' key."
        yield from self._keywords(node, at)
        level += bool({"object", "array"} & set(kinds_of(node)))
        if level > 10:
            yield f"{at} schema exceeds the maximum nesting depth of 10."
        self._count(node)
        for name, below in _below(node):
            yield from self.node(below, (*path, name), level)
        definitions: JSON = node.get("$defs") or {}
        for name, definition in definitions.items():
            yield from self.node(definition, ("$defs", name))
        if "$defs" in node and path:
            yield f"{at} '$defs' is only permitted at the top level."

    def _reference(self, node: JSON, at: str) -> Iterator[str]:
        if len(node) > 1:
            yield f"{at} $ref cannot have keywords {sorted(node.keys() - {'$ref'})}."
        target = str(node["$ref"])
        if target != "#" and target.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~") not in self._defs:
            yield f"{at} reference to component '{target}' which was not found in the schema."

    def _keywords(self, node: JSON, at: str) -> Iterator[str]:
        kinds = kinds_of(node)
        yield from (f"{at} '{kind}' is not a valid type." for kind in kinds if kind not in _KINDS)
        allowed = _ANYWHERE.union(*(_OF_KIND.get("number" if one == "integer" else one, ()) for one in kinds))
        yield from (f"{at} '{key}' is not permitted." for key in sorted(node.keys() - allowed))
        if node.get("description") == "":
            yield f"{at} an empty description says nothing."
        if "object" in kinds:
            properties: JSON = node.get("properties") or {}
            if node.get("additionalProperties") is not False:
                yield f"{at} 'additionalProperties' is required to be supplied and to be false."
            if "required" not in node or set(node["required"]) != set(properties):
                yield f"{at} 'required' is required to be an array including every key in properties."
        if "array" in kinds and not isinstance(node.get("items"), Mapping):
            yield f"{at} array schema missing items."
        if node.get("format") is not None and node["format"] not in _FORMATS:
            yield f"{at} '{node['format']}' is not a valid format."
        if re.search(r"\(\?<?[=!]", str(node.get("pattern", ""))):
            yield f"{at} lookaround is not supported in 'pattern'."
        if "enum" in node and (not node["enum"] or len(set(map(repr, node["enum"]))) != len(node["enum"])):
            yield f"{at} enum must be a list of different values."

    def _count(self, node: JSON) -> None:
        properties: Mapping[str, JSON] = node.get("properties") or {}
        texts = [one for one in node.get("enum") or () if isinstance(one, str)]
        self._properties += len(properties)
        self._values += len(node.get("enum") or ())
        self._characters += sum(map(len, (*properties, *texts)))
        self._too_long = self._too_long or (len(texts) > 250 and sum(map(len, texts)) > 15_000)

    def sizes(self) -> Iterator[str]:
        if self._properties > 5_000:
            yield f"schema has {self._properties} object properties, the maximum is 5000."
        if self._values > 1_000:
            yield f"schema has {self._values} enum values, the maximum is 1000."
        if self._characters > 120_000:
            yield f"schema has {self._characters} characters of names and values, the maximum is 120000."
        if self._too_long:
            yield "an enum with more than 250 values may have 15000 characters."


def kinds_of(node: JSON) -> list[str]:
    """The types that a node names."""
    kind = node.get("type", [])
    return cast("list[str]", kind) if isinstance(kind, list) else [str(kind)]


def _below(node: JSON) -> Iterator[tuple[str, JSON]]:
    yield from (node.get("properties") or {}).items()
    for number, option in enumerate(node.get("anyOf") or ()):
        yield f"anyOf[{number}]", option
    if isinstance(node.get("items"), Mapping):
        yield "items", node["items"]
