"""How large a strict schema may be, and the second reading of the API's rules that the tests go by."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from frontdesk.tasks.limits import too_much
from frontdesk.tasks.signature import Signature, signature_of
from frontdesk.tests.fakes.strict_rules import refused_schema

JSON = dict[str, Any]


def of(annotation: Any) -> Signature:
    def function(value: Any) -> None: ...

    function.__annotations__ = {"value": annotation}
    return signature_of(function)


def enum(count: int, length: int) -> Any:
    return Enum("Many", {f"m{number}": f"{number:0{length}}" for number in range(count)})


def deep(levels: int) -> Any:
    kind: Any = int
    for _ in range(levels):
        kind = list[kind]
    return kind


def wide(count: int) -> type[BaseModel]:
    fields: Any = {f"p{number}": (int, ...) for number in range(count)}
    return create_model("Wide", **fields)


FITS = [enum(1_000, 15), enum(250, 400), enum(1, 110_000), deep(9), wide(4_999)]
TOO_LARGE = [
    (enum(1_001, 4), "1000 values of enums"),
    (enum(251, 60), "15000 characters"),
    (enum(1, 120_001), "120000 characters"),
    (deep(10), "10 levels"),
    (wide(5_000), "5000 properties"),
]


@pytest.mark.parametrize("annotation", FITS, ids=range(len(FITS)))
def test_what_just_fits_is_strict(annotation: Any) -> None:
    signature = of(annotation)
    assert signature.strict
    assert refused_schema(signature.schema) == []


@pytest.mark.parametrize(("annotation", "reason"), TOO_LARGE, ids=[reason for _, reason in TOO_LARGE])
def test_what_is_too_large_is_offered_without_strict_mode(annotation: Any, reason: str) -> None:
    signature = of(annotation)
    assert not signature.strict
    schema: JSON = {**signature.schema, "required": list(signature.schema["properties"])}
    assert [one for one in too_much(schema) if reason in one]
    assert refused_schema(schema)


OBJECT: JSON = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def holding(node: JSON, **more: Any) -> JSON:
    return {**OBJECT, "properties": {"a": node}, "required": ["a"], **more}


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "string"}, "schema must be a JSON Schema of 'type"),
        ({**OBJECT, "anyOf": []}, "anyOf' at the top level"),
        ({"type": "object", "properties": {}, "required": []}, "'additionalProperties' is required"),
        ({**OBJECT, "properties": {"a": {"type": "string"}}}, "'required' is required to be an array including every"),
        (holding({}), "schema must have a 'type' key"),
        (holding({"type": "array"}), "array schema missing items"),
        (
            holding({"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
            "'uniqueItems' is not permitted",
        ),
        (holding({"type": "string", "minLength": 1}), "'minLength' is not permitted"),
        (holding({"type": "string", "default": "x"}), "'default' is not permitted"),
        (holding({"type": "string", "format": "uri"}), "'uri' is not a valid format"),
        (holding({"type": "string", "pattern": "(?!a)"}), "lookaround is not supported"),
        (holding({"type": "string", "description": ""}), "an empty description"),
        (holding({"anyOf": [{"type": "strnig"}]}), "'strnig' is not a valid type"),
        (holding({"type": "string", "enum": ["a", "a"]}), "enum must be a list of different values"),
        (holding({"oneOf": [{"type": "string"}], "type": "string"}), "'oneOf' is not permitted"),
        (holding({"$ref": "#/$defs/B"}), "reference to component '#/\\$defs/B' which was not found"),
        (
            holding({"$ref": "#/$defs/B", "description": "x"}, **{"$defs": {"B": {"type": "string"}}}),
            r"\$ref cannot have keywords",
        ),
        (holding({"type": "object", "properties": {}}), "'additionalProperties' is required"),
        (holding({**OBJECT, "$defs": {}}), "only permitted at the top level"),
    ],
)
def test_the_second_reading_finds_what_the_api_refuses(schema: JSON, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        assert refused_schema(schema) == [], "; ".join(refused_schema(schema))
