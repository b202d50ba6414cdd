"""The form of a JSON schema that model providers accept. Pure: a schema in, a new schema out.

*Strict form* is what OpenAI's structured outputs take: every property required (an optional one is nullable
instead), ``additionalProperties`` false, and some keywords only. Source:
https://platform.openai.com/docs/guides/structured-outputs#supported-schemas. What an unsupported keyword says goes
into the description, so that the model still reads it; validation enforces it in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic_core import to_json

from .limits import too_much
from .schema import JSON, accepts_null, expected, is_array, is_object, referred

_SILENT: Final = frozenset(
    (
        "title",
        "default",
        "$defs",
        "discriminator",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "contentMediaType",
        "contentSchema",
    )
)
_FORMATS: Final = frozenset(("date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
_NOTES: Final = {  # without an equivalent in strict form, so said in words
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "uniqueItems": "no item twice",
    "format": "format {}",
    "pattern": "pattern {}",
}
_NO_STRICT_FORM: Final = {
    "propertyNames": "a dict",
    "patternProperties": "a dict",
    "allOf": "a combination of types",
    "not": "a negation",
    "if": "a condition",
}
_LOOKAROUND: Final = re.compile(r"\(\?<?[=!]")
_LONGEST_DEFAULT: Final = 100  # characters of JSON; a longer one costs more tokens than it helps
_TYPES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def loose_form(schema: JSON) -> JSON:
    """``schema`` without titles and other noise. All that it says is kept; optional properties stay optional."""
    return _Form(schema, strict=False).whole()


def strict_form(schema: JSON) -> tuple[JSON, list[str]]:
    """``schema`` in strict form, and what has none (``"filters: a dict"``). With such an obstacle use `loose_form`."""
    form = _Form(schema, strict=True)
    whole = form.whole()
    return whole, list(dict.fromkeys((*form.obstacles, *too_much(whole))))


class _Form:
    """One conversion. It never changes what it is given."""

    def __init__(self, schema: JSON, *, strict: bool) -> None:
        self._schema = schema
        self._defs: JSON = schema.get("$defs", {})
        self._strict = strict
        self._copying: list[str] = []
        self.obstacles: list[str] = []

    def whole(self) -> JSON:
        root = self._node(self._schema, "")
        defs: JSON = {}
        waiting = list(_references(root))
        while waiting:
            if (name := waiting.pop()) not in defs:
                defs[name] = self._node(self._defs[name], name)
                waiting.extend(_references(defs[name]))
        return {**root, "$defs": {name: defs[name] for name in self._defs if name in defs}} if defs else root

    def _node(self, node: JSON, where: str) -> JSON:
        kept = {key: value for key, value in node.items() if key not in _SILENT}
        notes = self._notes(kept, node.get("default"))
        if "$ref" in kept and (len(kept) > 1 or notes):
            return self._copied(node, where)
        converted = self._children(kept, where)
        if text := " ".join(filter(None, (converted.pop("description", ""), notes))):
            converted["description"] = text
        if self._strict:
            self._restrict(converted, where or "the arguments")
        return converted

    def _copied(self, node: JSON, where: str) -> JSON:
        # Nothing may stand beside $ref in strict form, so what it refers to is copied; but not into itself.
        name = referred(node["$ref"])
        if name in self._copying:
            return {"$ref": node["$ref"]}
        beside = {key: value for key, value in node.items() if key != "$ref"}
        self._copying.append(name)
        copy = self._node({**self._defs[name], **beside}, where)
        self._copying.pop()
        return copy

    def _notes(self, kept: JSON, default: Any) -> str:
        """What has to be said in words; takes those keywords out of ``kept``."""
        notes: list[str] = []
        for key, text in _NOTES.items():
            if self._strict and key in kept and not _supported(key, kept[key]):
                notes.append(text.format(kept.pop(key)))
        if self._strict and (order := self._order(kept.get("prefixItems"))):
            notes.append(f"in this order: {order}")
        if default is not None and len(shown := to_json(default).decode()) <= _LONGEST_DEFAULT:
            notes.append(f"default {shown}")
        return f"({'; '.join(notes)})" if notes else ""

    def _order(self, members: list[JSON] | None) -> str:
        """What the positions of a tuple hold, when it is not the same everywhere."""
        named = [expected(one, self._defs) for one in members or ()]
        return ", ".join(named) if len(set(named)) > 1 else ""

    def _positions(self, members: list[JSON], where: str) -> JSON:
        """A tuple has no strict form, a list of so many has: each of its positions takes what any of them takes."""
        found: list[JSON] = []
        for place, member in enumerate(members):
            if (one := self._node(member, f"{where}[{place}]")) not in found:
                found.append(one)
        return found[0] if len(found) == 1 else {"anyOf": found}

    def _children(self, node: JSON, where: str) -> JSON:
        converted: JSON = {}
        for key, value in node.items():
            match key:
                case "properties":
                    required = node.get("required", ())
                    converted[key] = {
                        name: self._property(child, name in required, f"{where}.{name}" if where else name)
                        for name, child in value.items()
                    }
                case "prefixItems" if self._strict:
                    converted["items"] = self._positions(value, where)
                case "anyOf" | "oneOf" | "allOf" | "prefixItems":
                    name = "anyOf" if key == "oneOf" else key
                    converted[name] = [self._node(child, where) for child in value]
                case "items" | "additionalProperties" if is_object(value):
                    converted[key] = self._node(value, f"{where}[]")
                case "const":
                    converted["enum"] = [value]
                case _:
                    converted[key] = value
        if "enum" in converted and "type" not in converted:
            kinds = list(dict.fromkeys(_TYPES[type(value)] for value in converted["enum"]))
            converted["type"] = kinds if len(kinds) > 1 else kinds[0]
        return converted

    def _property(self, node: JSON, required: bool, where: str) -> JSON:
        converted = self._node(node, where)
        if self._strict and not required and not accepts_null(node, self._defs):
            return _nullable(converted)
        return converted

    def _restrict(self, node: JSON, where: str) -> None:
        self.obstacles += [f"{where}: {what}" for key, what in _NO_STRICT_FORM.items() if key in node]
        if not node.keys() & {"type", "anyOf", "$ref"}:
            self.obstacles.append(f"{where}: a value of any type")
        if node.get("type") == "array" and "items" not in node:
            self.obstacles.append(f"{where}: a list of anything")
        if node.get("type") == "object":
            if "properties" not in node or node.get("additionalProperties"):
                self.obstacles.append(f"{where}: a dict")
            node["additionalProperties"] = False
            node["required"] = list(node.get("properties", ()))


def _supported(keyword: str, value: Any) -> bool:
    return (keyword == "format" and value in _FORMATS) or (keyword == "pattern" and not _LOOKAROUND.search(value))


def _nullable(node: JSON) -> JSON:
    bare = {key: value for key, value in node.items() if key != "description"}
    described = {"description": node["description"]} if "description" in node else {}
    alternatives = bare["anyOf"] if bare.keys() == {"anyOf"} else [bare]
    return {"anyOf": [*alternatives, {"type": "null"}], **described}


def _references(node: Any) -> Iterator[str]:
    """The names that ``node`` refers to. A property may be called ``$ref`` too: its value is an object then, not a
    string."""
    if is_object(node):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield referred(value)
            elif key != "enum":
                yield from _references(value)
    elif is_array(node):
        for value in node:
            yield from _references(value)
