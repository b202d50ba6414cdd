"""What a typed function is to a model: its schema, its description, and the check of what a model sends."""

from __future__ import annotations

import datetime as dt
import functools
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypeVar, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, JsonValue, NonNegativeInt, WithJsonSchema
from pydantic_core import to_json
from typing_extensions import TypeAliasType, TypedDict

from frontdesk.tasks.docstring import Described, described
from frontdesk.tasks.errors import ArgumentsError, InvalidOption
from frontdesk.tasks.signature import Signature, signature_of
from frontdesk.tests.fakes.strict_rules import refused_schema

T = TypeVar("T")
JSON = dict[str, Any]


class Context(Generic[T]):
    """Stands for the contexts of tools and tasks."""


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Money(BaseModel):
    """An amount."""

    amount: Decimal
    currency: Literal["EUR", "KRW"] = "EUR"


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 3


class Size(TypedDict):
    width: int
    height: int


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


Pet = TypeAliasType("Pet", Annotated[Cat | Dog, Field(discriminator="kind")])


class Letter(BaseModel):
    kind: Literal["letter"]
    note: str = "none"


class Parcel(BaseModel):
    kind: Literal["parcel"]
    note: str | None = "none"


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Chain(TypedDict):
    after: Annotated[Chain, Field(description="The next one.")]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int


@dataclass(frozen=True)
class Span:
    start: int
    end: int = 9


class Row(NamedTuple):
    number: int
    name: str


class Partial(TypedDict, total=False):
    a: int
    b: str


Cents = NewType("Cents", int)


def taking(annotation: Any, default: Any = Parameter.empty) -> Callable[..., Any]:
    """A function with one parameter, ``value``."""

    def function(value: Any) -> Any:
        return value

    if default is not Parameter.empty:
        function.__defaults__ = (default,)
    function.__annotations__ = {"value": annotation}
    return function


def value_of(annotation: Any, argument: Any, default: Any = Parameter.empty) -> Any:
    """What the function gets for ``argument``, given as JSON text."""
    return signature_of(taking(annotation, default)).validate(json.dumps({"value": argument})).get("value", "(default)")


def assert_strict(schema: JSON) -> None:
    """The rules of strict form, written a second time and by another reading than the code's, and the API's own."""
    assert refused_schema(schema) == []
    allowed = {
        "type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "$ref", "$defs",
        "description", "format", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        "minItems", "maxItems",
    }  # fmt: skip
    assert schema["type"] == "object"

    def check(node: JSON) -> None:
        assert node.keys() <= allowed
        assert node.get("description") != ""
        if "$ref" in node:
            assert node.keys() == {"$ref"}
            assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]
            return
        assert node.keys() & {"type", "anyOf"}
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])
        if node.get("type") == "array":
            assert "items" in node
        nested = [*node.get("properties", {}).values(), *node.get("anyOf", []), *node.get("$defs", {}).values()]
        for child in [*nested, *([node["items"]] if "items" in node else [])]:
            check(child)

    check(schema)


# --- schema


def test_a_plain_function_has_the_schema_that_one_would_write() -> None:
    async def order_status(order_id: int, verbose: bool = False) -> str:
        """Status of an order."""
        return f"{order_id} {verbose}"

    signature = signature_of(order_status)
    assert signature.schema == {
        "type": "object",
        "properties": {
            "order_id": {"type": "integer"},
            "verbose": {"anyOf": [{"type": "boolean"}, {"type": "null"}], "description": "(default false)"},
        },
        "required": ["order_id", "verbose"],
        "additionalProperties": False,
    }
    assert (signature.name, signature.description) == ("order_status", "Status of an order.")
    assert (signature.is_async, signature.strict, signature.context, signature.returns) == (True, True, None, True)


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    def now() -> None: ...

    signature = signature_of(now)
    assert signature.schema == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert [signature.validate(nothing) for nothing in ("{}", "", " \n")] == [{}, {}, {}]
    assert (signature.is_async, signature.returns) == (False, False)


STRICT: list[tuple[Any, Any, Any]] = [
    (int, 7, 7),
    (float, 1.5, 1.5),
    (bool, True, True),
    (str, "x", "x"),
    (str, 7, "7"),  # what models without strict mode write
    (int, "7", 7),
    (int | None, None, None),
    (int | str, "a", "a"),
    (list[int], [1, 2], [1, 2]),
    (set[int], [1, 1], {1}),
    (tuple[int, ...], [1, 2], (1, 2)),
    (tuple[float, float], [1, 2.5], (1.0, 2.5)),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[Point, int], [{"x": 1, "y": None}, 2], (Point(1), 2)),
    (Span, {"start": 1, "end": None}, Span(1)),
    (Row, [1, "a"], Row(1, "a")),
    (frozenset[Colour], ["red"], frozenset({Colour.RED})),
    (Sequence[int], [1], [1]),
    (Cents, 7, 7),
    (Optional[Literal["a"]], None, None),  # noqa: UP045 - as people write it
    (
        list[Annotated[Cat | Dog, Field(discriminator="kind")]],
        [{"kind": "cat", "lives": 1}],
        [Cat(kind="cat", lives=1)],
    ),
    (Pet, {"kind": "cat"}, Cat(kind="cat")),
    (list[Pet], [{"kind": "dog", "name": "Rex"}], [Dog(kind="dog", name="Rex")]),
    (NonNegativeInt, 0, 0),
    (Partial, {"b": "x"}, {"b": "x"}),
    (list[Point], [{"x": 1, "y": 2}], [Point(1, 2)]),
    (Literal["a", "b"], "b", "b"),
    (Literal["a", 1, None], 1, 1),
    (Colour, "red", Colour.RED),
    (Level, 2, Level.HIGH),
    (Point, {"x": 1}, Point(1)),
    (Money, {"amount": "1.50", "currency": "KRW"}, Money(amount=Decimal("1.50"), currency="KRW")),
    (Size, {"width": 1, "height": 2}, {"width": 1, "height": 2}),
    (Cat | Dog, {"kind": "dog", "name": "Rex"}, Dog(kind="dog", name="Rex")),
    (Annotated[Cat | Dog, Field(discriminator="kind")], {"kind": "cat"}, Cat(kind="cat")),
    (Node, {"value": 1, "children": [{"value": 2}]}, Node(value=1, children=[Node(value=2)])),
    (dt.datetime, "2025-01-31T14:30:00Z", dt.datetime(2025, 1, 31, 14, 30, tzinfo=dt.UTC)),
    (dt.date, "2025-01-31", dt.date(2025, 1, 31)),
    (dt.time, "14:30", dt.time(14, 30)),
    (dt.timedelta, "PT90S", dt.timedelta(seconds=90)),
    (Decimal, 1.5, Decimal("1.5")),
    (UUID, "12345678123456781234567812345678", UUID(int=0x12345678123456781234567812345678)),
    (Path, "/tmp/x", Path("/tmp/x")),
    (AnyUrl, "https://example.org/", AnyUrl("https://example.org/")),
    (bytes, "x", b"x"),
    (Annotated[str, Field(min_length=2, max_length=3, pattern="^a")], "ab", "ab"),
    (Annotated[int, Field(ge=1, le=9, multiple_of=3)], 3, 3),
    (Annotated[list[int], Field(min_length=1)], [1], [1]),
]


@pytest.mark.parametrize(("annotation", "argument", "expected"), STRICT, ids=[str(row[0]) for row in STRICT])
def test_a_type_has_a_strict_form_and_comes_out_converted(annotation: Any, argument: Any, expected: Any) -> None:
    signature = signature_of(taking(annotation), strict=True)
    assert_strict(signature.schema)
    assert expected == value_of(annotation, argument)


LOOSE: list[tuple[Any, Any, Any, str]] = [
    (dict[str, int], {"a": 1}, {"a": 1}, "value: a dict"),
    (dict[Literal["a", "b"], int], {"a": 1}, {"a": 1}, "value: a dict"),
    (dict, {"a": [None]}, {"a": [None]}, "value: a dict"),
    (list[dict[str, int]], [{"a": 1}], [{"a": 1}], r"value\[\]: a dict"),
    (Mapping[str, Point], {"a": {"x": 1}}, {"a": Point(1)}, "value: a dict"),
    (tuple[()], [], (), "value: a list of anything"),
    (JsonValue, [1, {"a": None}], [1, {"a": None}], "JsonValue: a value of any type"),
    (Any, {"a": 1}, {"a": 1}, "value: a value of any type"),
    (list, [1, "a"], [1, "a"], r"value\[\]: a value of any type"),
    (Open, {"known": 1, "new": 2}, Open.model_validate({"known": 1, "new": 2}), "Open: a dict"),
]


@pytest.mark.parametrize(("annotation", "argument", "expected", "obstacle"), LOOSE, ids=[str(row[0]) for row in LOOSE])
def test_a_type_without_strict_form_has_the_usual_one(
    annotation: Any, argument: Any, expected: Any, obstacle: str
) -> None:
    signature = signature_of(taking(annotation))
    assert not signature.strict
    assert "title" not in json.dumps(signature.schema)
    assert signature.schema["additionalProperties"] is False
    assert expected == value_of(annotation, argument)
    with pytest.raises(InvalidOption, match=f"no strict form for {obstacle}.*or declare strict=False"):
        signature_of(taking(annotation), strict=True)


def test_strict_form_can_be_given_up() -> None:
    signature = signature_of(taking(int, 3), strict=False)
    assert not signature.strict
    assert signature.schema == {
        "type": "object",
        "properties": {"value": {"type": "integer", "description": "(default 3)"}},
        "additionalProperties": False,
    }
    assert {} == signature.validate('{"value": null}') == signature.validate("{}")


def test_what_strict_form_cannot_say_is_said_in_words() -> None:
    def search(
        text: Annotated[str, Field(min_length=2, max_length=9, description="What to look for.")],
        where: Annotated[Path, "Where to look."],
        tags: set[str],
        limit: Annotated[int, Field(ge=1)] = 10,
    ) -> None: ...

    properties = signature_of(search).schema["properties"]
    assert (properties["text"]) == {
        "type": "string",
        "description": "What to look for. (at least 2 characters; at most 9 characters)",
    }
    assert properties["where"] == {"type": "string", "description": "Where to look. (format path)"}
    assert properties["tags"] == {"type": "array", "items": {"type": "string"}, "description": "(no item twice)"}
    assert properties["limit"] == {
        "anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}],
        "description": "(default 10)",
    }


def test_a_pattern_that_looks_around_goes_into_words() -> None:
    class Code(BaseModel):
        code: Annotated[str, Field(json_schema_extra={"pattern": "^(?!x)y$"})]
        plain: Annotated[str, Field(pattern="^y$")]

    properties = signature_of(taking(Code)).schema["$defs"]["Code"]["properties"]
    assert properties["code"] == {"type": "string", "description": "(pattern ^(?!x)y$)"}
    assert properties["plain"] == {"type": "string", "pattern": "^y$"}


def test_a_schema_of_the_application_is_brought_into_form() -> None:
    odd = {"enum": [1, "a", None, 1.5, True, [1], {"a": 1}]}
    kinds = ["integer", "string", "null", "number", "boolean", "array", "object"]
    signature = signature_of(taking(Annotated[Any, WithJsonSchema(odd)]))
    assert signature.schema["properties"]["value"] == {**odd, "type": kinds}
    with pytest.raises(InvalidOption, match="no strict form for value: a list of anything"):
        signature_of(taking(Annotated[Any, WithJsonSchema({"type": "array"})]), strict=True)


def test_a_long_default_is_not_told() -> None:
    schema = signature_of(taking(list[int], list(range(1000)))).schema
    assert "description" not in schema["properties"]["value"]


def test_a_default_without_json_form_is_not_told() -> None:
    @dataclass
    class Settings:
        level: int = 1
        made_by: Any = field(default=object())

    signature = signature_of(taking(Settings, object()))
    assert "description" not in signature.schema["properties"]["value"]
    assert "description" not in signature.schema["$defs"]["Settings"]["properties"]["made_by"]


def test_nothing_stands_beside_a_reference() -> None:
    def move(
        to: Annotated[Point, "Where to."], path: Annotated[Node, "The way."], back: Point, also: Point = Point(1)
    ) -> None: ...

    schema = signature_of(move).schema
    assert_strict(schema)
    assert schema["properties"]["to"]["description"] == "Where to."
    assert schema["properties"]["back"] == {"$ref": "#/$defs/Point"}
    assert schema["properties"]["path"]["properties"]["children"]["anyOf"][0]["items"] == {"$ref": "#/$defs/Node"}
    assert 'default {"x":1,"y":3}' in schema["properties"]["also"]["description"]


def test_a_type_that_describes_itself_inside_itself_ends() -> None:
    schema = signature_of(taking(Chain)).schema
    assert_strict(schema)
    assert schema["$defs"]["Chain"]["properties"]["after"]["properties"]["after"] == {"$ref": "#/$defs/Chain"}


def test_parameters_may_be_called_like_keywords_of_the_schema() -> None:
    def odd(title: str, schema: int, properties: str, _x: int, default: str = "", model_config: str = "") -> None: ...

    signature = signature_of(odd)
    assert_strict(signature.schema)
    names = ["title", "schema", "properties", "_x", "default", "model_config"]
    assert names == signature.schema["required"]
    arguments: JSON = {"title": "a", "schema": 1, "properties": "b", "_x": 2, "default": "c", "model_config": "d"}
    assert arguments == signature.validate(arguments)


def test_an_alias_is_the_name_for_the_model_alone() -> None:
    def mail(sender: Annotated[str, Field(alias="from")], copies: int = Field(alias="cc", default=0)) -> None: ...

    signature = signature_of(mail)
    assert signature.schema["required"] == ["from", "cc"]
    assert signature.validate({"from": "a", "cc": None}) == {"sender": "a", "copies": 0}
    assert signature.validate({"from": "a", "cc": 2}) == {"sender": "a", "copies": 2}


# --- null and defaults


def test_null_stands_for_the_default_unless_none_is_a_value() -> None:
    def find(a: int = 1, b: int | None = 2, c: Any = 3, d: Literal["x", None] = "x", *, e: str = "") -> None: ...

    signature = signature_of(find)
    nulls = json.dumps(dict.fromkeys("abcde"))
    assert signature.validate(nulls) == {"b": None, "c": None, "d": None}
    assert signature.validate("{}") == {}


def test_null_is_no_value_of_a_required_parameter() -> None:
    with pytest.raises(ArgumentsError, match="value: null is wrong; give an integer"):
        signature_of(taking(int)).validate('{"value": null}')


NESTED: list[tuple[Any, Any, Any]] = [
    (Point, {"x": 1, "y": None}, Point(1)),
    (list[Point], [{"x": 1, "y": None}], [Point(1)]),
    (Point | None, {"x": 1, "y": None}, Point(1)),
    (dict[str, Point], {"null": {"x": 1, "y": None}}, {"null": Point(1)}),
    (Cat | Dog, {"kind": "cat", "lives": None}, Cat(kind="cat")),
    (list[Annotated[Cat | Dog, Field(discriminator="kind")]], [{"kind": "cat", "lives": None}], [Cat(kind="cat")]),
    (Node, {"value": 1, "children": [{"value": 2, "children": None}]}, Node(value=1, children=[Node(value=2)])),
    (Letter | Parcel, {"kind": "letter", "note": None}, Letter(kind="letter")),
    (Letter | Parcel, {"kind": "parcel", "note": None}, Parcel(kind="parcel", note=None)),
    (Parcel | Letter, {"kind": "letter", "note": None}, Letter(kind="letter")),
    (Parcel | Letter, {"kind": "parcel", "note": None}, Parcel(kind="parcel", note=None)),
    (Any, {"x": None}, {"x": None}),
    (dict[str, int | None], {"x": None}, {"x": None}),
    (Open, {"known": 1, "new": None}, Open.model_validate({"known": 1, "new": None})),
]


@pytest.mark.parametrize(("annotation", "argument", "expected"), NESTED, ids=[str(row[0]) for row in NESTED])
def test_null_stands_for_the_default_inside_of_arguments_too(annotation: Any, argument: Any, expected: Any) -> None:
    def other(value: Any, more: int = 1) -> Any: ...  # `more` makes null mean something for every signature here

    other.__annotations__["value"] = annotation
    assert {"value": expected} == signature_of(other).validate({"value": argument})


def test_defaults_that_only_pydantic_knows_are_filled_in() -> None:
    def make(a: Annotated[int, Field(default=5)], b: int = 0, c: list[int] | None = None) -> None: ...

    make.__defaults__ = (Field(default=6, ge=1), Field(default_factory=list))
    signature = signature_of(make)
    assert signature.validate('{"a": null}') == {"a": 5, "b": 6, "c": []}
    assert signature.validate('{"a": 1, "b": 2, "c": [3]}') == {"a": 1, "b": 2, "c": [3]}
    with pytest.raises(ArgumentsError, match="b: 0 is wrong: it should be greater than or equal to 1"):
        signature.validate('{"b": 0}')


def test_a_field_without_a_default_is_required() -> None:
    signature = signature_of(taking(int, Field(description="A number.")))
    assert signature.schema["properties"]["value"] == {"type": "integer", "description": "A number."}
    with pytest.raises(ArgumentsError, match="value: missing; give an integer"):
        signature.validate("{}")


def test_arguments_are_normalised_to_json_without_the_nulls_that_stand_for_defaults() -> None:
    def report(day: dt.date, point: Point, note: str | None = "x", limit: int = 3) -> None: ...

    signature = signature_of(report)
    written = '{"day": "2025-01-31", "point": {"x": 1, "y": null}, "note": null, "limit": null}'
    expected = {"day": "2025-01-31", "point": {"x": 1}, "note": None}
    assert expected == signature.normalise(written)
    assert expected == signature.normalise({"day": dt.date(2025, 1, 31), "point": {"x": 1}, "note": None})
    assert signature_of(taking(int, 1)).normalise("") == {}
    with pytest.raises(ArgumentsError, match="day: missing"):
        signature.normalise("{}")


# --- the function itself


def test_the_context_is_injected_wherever_it_stands() -> None:
    def first(context: Context[int], a: int) -> None: ...
    def last(a: int, *, here: Context[Any] | None = None) -> None: ...
    def none(a: int) -> None: ...

    functions: list[Callable[..., Any]] = [first, last, none]
    signatures = [signature_of(one, context_types=(Context,)) for one in functions]
    assert [signature.context for signature in signatures] == ["context", "here", None]
    assert [signature.schema["required"] for signature in signatures] == [["a"]] * 3


@pytest.mark.parametrize("annotation", [Context, Annotated[Context[int], "x"], "Context", "Annotated[Context, 'x']"])
def test_the_context_is_known_in_every_spelling(annotation: Any) -> None:
    signature = signature_of(taking(annotation), context_types=(Context,))
    assert (signature.context, signature.schema["required"]) == ("value", [])


def test_the_context_needs_no_type_that_is_imported_for_checkers_only() -> None:
    generic: Any = Context
    for annotation in ("Context[Shop]", "'Context[Shop]'", generic["Shop"]):
        assert signature_of(taking(annotation), context_types=(Context,)).context == "value"


def test_two_contexts_are_refused() -> None:
    def status(one: Context[int], two: Context[int]) -> None: ...

    with pytest.raises(InvalidOption, match="status: 'one' and 'two' are both the context; keep one"):
        signature_of(status, context_types=(Context,))


def test_types_of_a_local_scope_are_found() -> None:
    class Local(BaseModel):
        a: int = 1

    def outer() -> Signature:
        class Inner(BaseModel):
            b: int

        def use(inner: Inner, local: list[Local]) -> None: ...

        return signature_of(use)

    converted = outer().validate({"inner": {"b": 2}, "local": [{}]})
    assert [converted["inner"].b, converted["local"][0].a] == [2, 1]


def test_types_that_a_function_closes_over_are_found() -> None:
    def make() -> Callable[..., Any]:
        class Local(BaseModel):
            a: int

        def use(local: Local) -> int:
            return Local.model_validate(local).a

        return use

    assert signature_of(make()).validate({"local": {"a": 3}})["local"].a == 3


def test_a_function_may_close_over_what_comes_later() -> None:
    def use(a: int) -> int:
        return a + later

    signature = signature_of(use)
    later = 1
    assert use(**signature.validate({"a": 2})) == 3


def test_a_name_that_is_not_there_yet_is_named() -> None:
    generic: Any = list
    for annotation in ("Shop", "list[Shop]", generic["Shop"], "1 + ''", "Context[Shop"):
        with pytest.raises(
            InvalidOption, match=r"function: .* parameter 'value' cannot be resolved .*; define or import"
        ):
            signature_of(taking(annotation), context_types=(Context,))


def test_a_return_type_need_not_be_resolvable() -> None:
    use = taking(int)
    use.__annotations__["return"] = "Shop"
    assert signature_of(use).schema["required"] == ["value"]


def many(*numbers) -> None: ...  # type: ignore[no-untyped-def]
def anything(**options) -> None: ...  # type: ignore[no-untyped-def]
def strange(a: int, shop: Context[int]) -> None: ...
def yielding(a: int) -> Any:
    yield a


async def yielding_later(a: int) -> Any:
    yield a


def bad_pattern(a: Annotated[str, Field(pattern="(")]) -> None: ...


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (
            cast(Any, many),
            "many: parameter 'numbers' needs an annotation, the type of each of them; or, in a decorator, use func",
        ),
        (
            cast(Any, anything),
            r"anything: parameter 'options' needs an annotation, the type of each value, or Unpack\[",
        ),
        (taking(Parameter.empty), "function: parameter 'value' needs an annotation"),
        (strange, r"strange: parameter 'shop' .*Context.* cannot come from JSON \(Unable to generate"),
        (yielding, "yielding: it yields, and a result is one value; return a list"),
        (yielding_later, "yielding_later: it yields"),
        (bad_pattern, "bad_pattern: parameter 'a' .*cannot come from JSON .*unclosed group"),
        (cast(Any, type), "type: its signature cannot be read"),
    ],
)
def test_what_a_model_cannot_call_is_refused_with_what_to_do(function: Callable[..., Any], complaint: str) -> None:
    with pytest.raises(InvalidOption, match=complaint):
        signature_of(function)


class Store:
    def __init__(self, name: str) -> None:
        self.name = name

    def status(self, order: int) -> str:
        """Status of an order."""
        return f"{self.name} {order}"

    async def __call__(self, order: int) -> str:
        return self.status(order)


def test_methods_partials_objects_and_classes_are_functions_too() -> None:
    def scale(number: int, by: int, *, places: int = 0) -> int:
        return number * by + places

    @functools.wraps(scale)
    def wrapped(*args: Any, **options: Any) -> Any:
        return scale(*args, **options)

    store = Store("corner")
    functions: list[Callable[..., Any]] = [
        store.status,
        store,
        functools.partial(scale, by=2),
        functools.partial(scale, 2),
        wrapped,
        Point,
    ]
    signatures = [signature_of(function) for function in functions]
    assert [signature.name for signature in signatures] == ["status", "Store", "scale", "scale", "scale", "Point"]
    names = [["order"], ["order"], ["number", "places"], ["by", "places"], ["number", "by", "places"], ["x", "y"]]
    assert names == [signature.schema["required"] for signature in signatures]
    assert [signature.is_async for signature in signatures] == [False, True, False, False, False, False]
    assert signatures[0].description == "Status of an order."


def test_a_method_in_its_class_is_refused_with_the_way_to_do_it() -> None:
    with pytest.raises(InvalidOption, match=r"'self' is not bound; declare the method of an object"):
        signature_of(Store.status)


def test_name_and_description_can_be_given() -> None:
    signature = signature_of(taking(int), name="other", description="Does it.")
    assert (signature.name, signature.description) == ("other", "Does it.")


# --- docstrings

GOOGLE = """Finds orders.

Only those of this year:
that is the rule.

Args:
    name: Of the customer,
        in full.
    limit (int): How many.

Returns:
    The orders.
"""
NUMPY = """Finds orders.

Only those of this year:
that is the rule.

Parameters
----------
name : str
    Of the customer,
    in full.
limit
    How many.

Returns
-------
list
    The orders.
"""
SPHINX = """Finds orders.

Only those of this year:
that is the rule.

:param name: Of the customer,
    in full.
:param int limit: How many.
:returns: The orders.
"""


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_docstrings_describe_functions_and_parameters(docstring: str) -> None:
    def find(name: str, limit: int = 3) -> None: ...

    find.__doc__ = docstring
    signature = signature_of(find)
    assert signature.description == "Finds orders.\n\nOnly those of this year:\nthat is the rule."
    properties = signature.schema["properties"]
    assert properties["name"]["description"] == "Of the customer,\nin full."
    assert properties["limit"]["description"] == "How many. (default 3)"


ARGS_FIRST = """
    Args:
        name: Of the customer.
        limit: How many.
    """
NO_EMPTY_LINE = """Finds orders.
    Args:
        name: Of the customer.
        limit: How many.
    Returns:
        The orders.
    """
KEYWORD_ARGS = """Finds orders.

    Args:
        name: Of the customer.

    Keyword Args:
        limit: How many.
    """
OTHER_PARAMETERS = """Finds orders.

    Parameters
    ----------
    name : str
        Of the customer.

    Other Parameters
    ----------------
    limit : int
        How many.
    """
KEYWORD_FIELD = """Finds orders.

    :param name: Of the customer.
    :keyword limit: How many.
    """


@pytest.mark.parametrize(
    ("docstring", "text"),
    [
        (ARGS_FIRST, ""),
        (NO_EMPTY_LINE, "Finds orders."),
        (KEYWORD_ARGS, "Finds orders."),
        (OTHER_PARAMETERS, "Finds orders."),
        (KEYWORD_FIELD, "Finds orders."),
    ],
    ids=["args first", "no empty line", "keyword args", "other parameters", "keyword field"],
)
def test_parameters_are_described_however_people_lay_a_docstring_out(docstring: str, text: str) -> None:
    assert described(docstring) == Described(text, {"name": "Of the customer.", "limit": "How many."})


def test_notes_and_warnings_are_told_and_what_is_for_readers_of_code_is_not() -> None:
    found = described("""Reads a record.

    Args:
        record_id: Its number.

    Returns:
        The record.

    Raises:
        LookupError: It does not exist.

    Example:
        read(3)

    Note:
        Only what the person may see.

    Warning:
        Slow on Mondays.

    Ask only once.
    """)
    assert found.text == (
        "Reads a record.\n\nNote: Only what the person may see.\n\nWarning: Slow on Mondays.\n\nAsk only once."
    )
    assert found.parameters == {"record_id": "Its number."}


@pytest.mark.parametrize(
    "docstring", ["", "One line.", "One line.\n\nNote: a second\nparagraph - of text.", "Two\nlines"]
)
def test_a_docstring_without_sections_is_all_description(docstring: str) -> None:
    assert docstring == described(docstring).text
    assert described(docstring).parameters == {}


def test_no_docstring_is_no_description() -> None:
    assert "" == described(None).text == signature_of(taking(int)).description


def test_an_indented_docstring_is_cleaned() -> None:
    assert (
        described("""First.

        Second.
        """).text
        == "First.\n\nSecond."
    )


def test_a_description_beside_the_type_wins_over_the_docstring() -> None:
    def find(a: Annotated[int, Field(description="From Field.")], b: Annotated[int, "From text."], c: int) -> None:
        """Finds.

        Args:
            a: From the docstring.
            b: From the docstring.
            c: From the docstring.
        """

    properties = signature_of(find).schema["properties"]
    texts = ["From Field.", "From text.", "From the docstring."]
    assert texts == [properties[name]["description"] for name in "abc"]


def test_griffe_is_imported_for_docstrings_with_sections_only() -> None:
    code = (
        "import sys\n"
        "from frontdesk.tasks.signature import signature_of\n"
        "def plain(a: int) -> None:\n    '''First.\n\n    Second paragraph.'''\n"
        "signature_of(plain)\n"
        "assert 'griffe' not in sys.modules\n"
        "plain.__doc__ += '\\n\\n    Args:\\n        a: A number.'\n"
        "assert signature_of(plain).schema['properties']['a']['description'] == 'A number.'\n"
        "assert 'griffe' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- the words for the model


def complaint(function: Callable[..., Any], arguments: str | Mapping[str, Any]) -> str:
    with pytest.raises(ArgumentsError) as caught:
        signature_of(function).validate(arguments)
    return str(caught.value)


def book(
    order_id: int,
    colour: Colour,
    day: dt.date,
    size: Point,
    pet: Cat | Dog | None = None,
    how: Literal["post", "pickup"] = "post",
) -> None: ...


def test_all_problems_are_told_at_once_with_field_value_and_what_is_right() -> None:
    arguments: JSON = {
        "orderid": 7,
        "colour": "gren",
        "day": "tomorrow",
        "size": {"x": "a", "z": 1},
        "pet": {"kind": "cow"},
        "how": None,
    }
    assert complaint(book, arguments).splitlines() == [
        "The arguments of book do not fit:",
        "- order_id: missing; give an integer",
        '- colour: "gren" is not one of "red", "green"; did you mean green?',
        '- day: "tomorrow" is wrong; give a date such as 2025-01-31',
        '- size.x: "a" is wrong; give an integer',
        "- size.z: unknown; it takes x, y",
        '- pet.kind: "cow" is not one of "cat", "dog"',
        "- pet.name: missing; give a string",
        "- orderid: unknown; did you mean order_id?",
    ]


def test_one_problem_is_one_sentence() -> None:
    assert complaint(taking(int), "{}") == "The arguments of function do not fit: value: missing; give an integer."


MISSING: list[tuple[Any, str]] = [
    (int, "an integer"),
    (float, "a number"),
    (bool, "true or false"),
    (list[int], "a list"),
    (Point, "an object with x, y"),
    (Colour, 'one of "red", "green"'),
    (Literal["a"], '"a"'),
    (dt.date, "a date such as 2025-01-31"),
    (dt.datetime, "a date and time such as 2025-01-31T14:30:00Z"),
    (int | None, "an integer or null"),
    (Literal["a", "b"] | int, 'one of "a", "b" or an integer'),
]


@pytest.mark.parametrize(("annotation", "wanted"), MISSING, ids=[str(row[0]) for row in MISSING])
def test_what_is_missing_is_asked_for_by_type(annotation: Any, wanted: str) -> None:
    assert complaint(taking(annotation), "{}").endswith(f"value: missing; give {wanted}.")


def test_what_may_be_anything_is_just_missing() -> None:
    assert complaint(taking(Any), "{}").endswith("value: missing.")


def test_the_values_of_a_long_enum_are_cut() -> None:
    numbers = Enum("numbers", {f"n{n}": n for n in range(100)})  # type: ignore[misc]
    text = complaint(taking(numbers), "{}")
    assert "one of 0, 1," in text
    assert text.endswith("39, ….")


WRONG: list[tuple[Any, Any, str]] = [
    (int | str, [], "value: [] is wrong; give an integer or a string"),
    (list[int], ["a"], 'value[0]: "a" is wrong; give an integer'),
    (dict[str, int], {"a": "b"}, 'value.a: "b" is wrong; give an integer'),
    (Annotated[int, Field(le=5)], 7, "value: 7 is wrong: it should be less than or equal to 5"),
    (int, "x" * 500, f'value: "{"x" * 79}… is wrong'),
    (Size, {"width": 1}, "value.height: missing; give an integer"),
    (AnyUrl, "x", 'value: "x" is wrong: it should be a valid URL'),
    (Decimal, "x", 'value: "x" is wrong: it should be a valid decimal'),
    (Decimal, [], "value: [] is wrong; give a number or a string"),
    (float, float("inf"), "not valid JSON: expected value at line 1 column 11, near"),
    (list[Size], [{"width": 1, "height": 2}, 3], "value[1]: 3 is wrong; give an object with width, height"),
]


@pytest.mark.parametrize(("annotation", "argument", "text"), WRONG, ids=[str(row[0]) for row in WRONG])
def test_a_wrong_value_is_named_and_cut_when_it_is_long(annotation: Any, argument: Any, text: str) -> None:
    assert text in complaint(taking(annotation), json.dumps({"value": argument}))


def test_a_validator_of_the_application_speaks_for_itself() -> None:
    class Even(BaseModel):
        number: int

        def model_post_init(self, context: Any) -> None:
            if self.number % 2:
                raise ValueError("take an even number")

    assert 'value: {"number":3} is wrong: take an even number' in complaint(taking(Even), '{"value": {"number": 3}}')


def test_a_wrong_name_is_met_with_the_right_ones() -> None:
    assert "orderId: unknown; did you mean orderid?" in complaint(taking_named("orderid"), {"orderid": 1, "orderId": 1})
    assert "ORDER: unknown; did you mean order?" in complaint(taking_named("order"), {"order": 1, "ORDER": 1})
    assert "zzz: unknown; it takes order." in complaint(taking_named("order"), {"order": 1, "zzz": 1})

    def nothing() -> None: ...

    assert "zzz: unknown; it takes no arguments." in complaint(nothing, {"zzz": 1})


def taking_named(name: str) -> Callable[..., Any]:
    scope: JSON = {}
    exec(f"def function({name}: int) -> None: ...", scope)
    return scope["function"]  # type: ignore[no-any-return]


SYNTAX: list[tuple[str, str]] = [
    ("{'value': 1}", "not valid JSON: key must be a string at line 1 column 2, near `{'value': 1}`. Send one JSON"),
    ('{"value": 1', "not valid JSON: EOF while parsing an object at line 1 column 11, near"),
    ('{\n"value": tru}', 'not valid JSON: expected ident at line 2 column 13, near `"value": tru}`'),
    ("hello", "not valid JSON: expected value at line 1 column 1, near `hello`"),
    ('{"value": 1}}', "not valid JSON: trailing characters"),
    ("[1]", "must be one JSON object, not [1]."),
    ("null", "must be one JSON object, not null."),
    ('{"value": NaN}', "not valid JSON: expected value"),
    ('{"value": "\ud800"}', "not valid JSON: they hold characters that are not Unicode."),
    ("[" * 5000, "not valid JSON: recursion limit exceeded"),
]


@pytest.mark.parametrize(("written", "text"), SYNTAX, ids=[repr(row[0])[:20] for row in SYNTAX])
def test_what_is_no_json_object_is_told_where_it_breaks(written: str, text: str) -> None:
    assert text in complaint(taking(float), written)
    assert text in complaint(taking(float, 1.5), written)


def test_many_problems_are_cut() -> None:
    lines = complaint(taking(int, 1), {f"unknown_{n}": n for n in range(50)}).splitlines()
    assert (len(lines), lines[-1]) == (1 + 20 + 1, "- … and 30 more")


def test_values_of_python_that_are_no_json_are_refused() -> None:
    assert "cannot be written as JSON" in complaint(taking(int), {"value": object()})


# --- round trips


@dataclass(frozen=True)
class Everything:
    number: int
    text: str
    truth: bool
    real: float
    day: dt.date
    moment: dt.datetime
    key: UUID
    amount: Decimal
    colour: Colour
    points: list[Point]
    maybe: int | None


everything = st.builds(
    Everything,
    real=st.floats(allow_nan=False, allow_infinity=False),
    text=st.text(st.characters(exclude_categories=["Cs"])),
    amount=st.decimals(allow_nan=False, allow_infinity=False, places=4, max_value=10**9, min_value=-(10**9)),
    points=st.lists(st.builds(Point, st.integers(-(2**60), 2**60), st.integers(-(2**60), 2**60)), max_size=3),
    number=st.integers(-(2**70), 2**70),
    maybe=st.none() | st.integers(-(2**60), 2**60),
)


def book_all(first: Everything, *, rest: list[Everything], names: Mapping[str, Colour]) -> None: ...


BOOK_ALL = signature_of(book_all)


@given(everything, st.lists(everything, max_size=2), st.dictionaries(st.text("abc"), st.sampled_from(Colour)))
def test_arguments_survive_the_way_through_json(
    first: Everything, rest: list[Everything], names: dict[str, Colour]
) -> None:
    arguments = {"first": first, "rest": rest, "names": names}
    assert arguments == BOOK_ALL.validate(to_json(arguments).decode()) == BOOK_ALL.validate(arguments)


@given(st.fixed_dictionaries({}, optional={name: st.integers(0, 9) for name in "abcd"}))
def test_a_null_and_nothing_mean_the_same_where_there_is_a_default(given_: dict[str, int]) -> None:
    def function(a: int = 1, b: int = 2, *, c: int = 3, d: int = 4) -> tuple[int, ...]:
        return a, b, c, d

    signature = signature_of(function)
    with_nulls = {**dict.fromkeys("abcd"), **given_}
    assert signature.validate(given_) == signature.validate(with_nulls) == given_
    assert signature.normalise(given_) == signature.normalise(json.dumps(with_nulls)) == given_
    assert function(**given_) == function(**signature.validate(with_nulls))


def outcome(signature: Signature, arguments: str | Mapping[str, Any]) -> str:
    """How the check ends; an exception other than ArgumentsError is not caught."""
    try:
        fits = signature.validate(arguments).keys() <= signature.schema["properties"].keys()
    except ArgumentsError as error:
        return "answered" if str(error).startswith(f"The arguments of {signature.name} ") else str(error)
    return "fits" if fits else "more than was asked for"


TAKING_INTEGERS = (signature_of(taking(int)), signature_of(taking(int, 1)))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names_of_book = st.sampled_from(["order_id", "colour", "day", "size", "pet", "how"])


@given(st.dictionaries(names_of_book | st.text(), json_values, max_size=6))
def test_whatever_a_model_sends_is_accepted_or_answered_in_words(arguments: dict[str, Any]) -> None:
    signature = signature_of(book)
    for form in (arguments, json.dumps(arguments)):
        assert outcome(signature, form) in ("fits", "answered")


@given(st.text() | st.text('{}[]":,nul 1e'))
def test_whatever_text_a_model_sends_is_accepted_or_answered_in_words(written: str) -> None:
    for signature in TAKING_INTEGERS:
        assert outcome(signature, written) in ("fits", "answered")
