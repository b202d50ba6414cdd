"""Every kind of parameter that Python has, and those that no model fills."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NotRequired, Optional, Required, TypeVar, cast

import pytest
from pydantic import Field
from typing_extensions import ReadOnly, TypeAliasType, TypedDict, Unpack

from frontdesk.tasks.errors import ArgumentsError, InvalidOption
from frontdesk.tasks.hidden import Hidden, MissingDependency
from frontdesk.tasks.signature import Signature, signature_of
from frontdesk.tests.fakes.strict_rules import refused_schema

T = TypeVar("T")


@dataclass
class Context(Generic[T]):
    """Stands for the contexts of tools and tasks."""

    dependencies: T
    tenant: str = "acme"


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 3


class Look(TypedDict, total=False):
    colour: Required[ReadOnly[str]]
    size: Annotated[int, Field(ge=1, description="In points.")]
    bold: NotRequired[bool]


def positional(a: int, b: int = 2, /, c: int = 3) -> Any:
    return a, b, c


def rest(first: int, *others: Point) -> Any:
    return first, others


def rest_with_default(first: int = 1, second: int = 2, *others: int, loud: bool = False) -> Any:
    return first, second, others, loud


def open_keywords(name: str, **more: int) -> Any:
    return name, more


def named_keywords(name: str, **look: Unpack[Look]) -> Any:
    return name, look


def everything(a: int, /, b: int, *c: int, d: int, e: int = 5, **f: Unpack[Look]) -> Any:
    return a, b, c, d, e, f


CALLS: list[tuple[Callable[..., Any], dict[str, Any], Any]] = [
    (positional, {"a": 1, "b": None, "c": None}, (1, 2, 3)),
    (positional, {"a": 1, "b": 5, "c": 6}, (1, 5, 6)),
    (rest, {"first": 1, "others": None}, (1, ())),
    (rest, {"first": 1, "others": [{"x": 1, "y": None}, {"x": 2, "y": 4}]}, (1, (Point(1), Point(2, 4)))),
    (rest_with_default, {"first": None, "second": None, "others": [7], "loud": True}, (1, 2, (7,), True)),
    (rest_with_default, {}, (1, 2, (), False)),
    (open_keywords, {"name": "a", "more": {"x": 1, "name": 2}}, TypeError),
    (open_keywords, {"name": "a", "more": {"x": 1, "y": 2}}, ("a", {"x": 1, "y": 2})),
    (open_keywords, {"name": "a"}, ("a", {})),
    (named_keywords, {"name": "a", "colour": "red", "size": 3, "bold": None}, ("a", {"colour": "red", "size": 3})),
    (
        everything,
        {"a": 1, "b": 2, "c": [3, 4], "d": 5, "e": None, "colour": "red", "size": None, "bold": True},
        (1, 2, (3, 4), 5, 5, {"colour": "red", "bold": True}),
    ),
]


@pytest.mark.parametrize(("function", "arguments", "got"), CALLS)
def test_arguments_reach_parameters_of_every_kind(
    function: Callable[..., Any], arguments: dict[str, Any], got: Any
) -> None:
    signature = signature_of(function)
    checked = signature.validate(json.dumps(arguments))
    if got is TypeError:  # as in Python, one name cannot be given twice
        with pytest.raises(TypeError, match="multiple values"):
            signature.call(function, checked)
    else:
        assert got == signature.call(function, checked)


def test_any_number_of_values_is_a_list_and_any_keyword_an_object() -> None:
    assert signature_of(rest).schema["properties"]["others"] == {
        "anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Point"}}, {"type": "null"}]
    }
    loose = signature_of(open_keywords)
    assert not loose.strict
    assert loose.schema["properties"]["more"] == {"type": "object", "additionalProperties": {"type": "integer"}}


def test_a_typed_dict_of_keywords_is_its_fields() -> None:
    signature = signature_of(named_keywords)
    assert signature.schema["properties"] == {
        "name": {"type": "string"},
        "colour": {"type": "string"},
        "size": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "description": "In points."},
        "bold": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    }
    assert signature.strict
    with pytest.raises(ArgumentsError, match="size: 0 is wrong"):
        signature.validate('{"name": "a", "colour": "red", "size": 0}')


def test_a_field_of_the_keywords_that_is_a_parameter_too_is_refused() -> None:
    def twice(first: int, *colour: str, **look: Unpack[Look]) -> None: ...  # type: ignore[misc]

    with pytest.raises(InvalidOption, match="twice: two parameters are called 'colour'"):
        signature_of(twice)


@pytest.mark.parametrize("function", [positional, rest, rest_with_default, named_keywords, everything])
def test_the_api_accepts_them(function: Callable[..., Any]) -> None:
    assert refused_schema(signature_of(function, strict=True).schema) == []


# --- hidden parameters


@dataclass
class Shop:
    name: str
    open: bool = True


async def tenant_of(context: Context[Any]) -> str:
    return context.tenant.upper()


def order(
    item: str,
    name: Annotated[str, Hidden()],
    tenant: Annotated[str, Hidden(lambda context: context.tenant)],
    shouted: Annotated[str, Hidden(tenant_of)],
    colour: Annotated[str, Hidden()] = "red",
    *,
    context: Context[Shop],
) -> Any:
    """Orders an item.

    Args:
        item: What.
        name: Whose.
    """
    return item, name, tenant, shouted, colour, context.dependencies.open


async def injected(signature: Signature, arguments: str, context: Any) -> dict[str, Any]:
    return await signature.settled(signature.inject(signature.validate(arguments), context))


async def test_hidden_parameters_are_injected() -> None:
    signature = signature_of(order, context_types=(Context,))
    arguments = await injected(signature, '{"item": "pen"}', Context(Shop("corner")))
    assert signature.call(order, arguments) == ("pen", "corner", "acme", "ACME", "red", True)


async def test_dependencies_may_be_a_mapping_and_win_over_a_default() -> None:
    def use(colour: Annotated[str, Hidden()] = "red") -> str:
        return colour

    signature = signature_of(use, context_types=(Context,))
    assert await injected(signature, "{}", Context({"colour": "blue"})) == {"colour": "blue"}
    assert await injected(signature, "{}", Context(dict[str, str]())) == {}
    assert await injected(signature, "{}", Context(cast(object, None))) == {}


def test_a_model_is_told_nothing_of_them() -> None:
    signature = signature_of(order, context_types=(Context,))
    assert signature.schema == {
        "type": "object",
        "properties": {"item": {"type": "string", "description": "What."}},
        "required": ["item"],
        "additionalProperties": False,
    }
    assert signature.description == "Orders an item."


Name = TypeAliasType("Name", Annotated[str, Hidden()])
MAYBE: Any = Optional[Annotated[str, Hidden()]]  # noqa: UP045 - a checker knows no | of it
MARKED: list[Any] = [Annotated[str, Hidden], MAYBE, Annotated[str | None, Hidden], Annotated[MAYBE, "a name"], Name]


@pytest.mark.parametrize("marked", MARKED, ids=str)
async def test_a_mark_hides_wherever_people_put_it(marked: Any) -> None:
    def use(item: str, name: Any = None) -> list[Any]:
        return [item, name]

    use.__annotations__["name"] = marked
    signature = signature_of(use, context_types=(Context,))
    assert list(signature.schema["properties"]) == ["item"]
    arguments = await injected(signature, '{"item": "pen"}', Context(Shop("corner")))
    assert signature.call(use, arguments) == ["pen", "corner"]


def test_a_mark_of_a_part_is_refused() -> None:
    def use(names: list[Annotated[str, Hidden()]]) -> None: ...

    with pytest.raises(InvalidOption, match="hides a whole parameter only"):
        signature_of(use, context_types=(Context,))


@pytest.mark.parametrize("name", ["name", "tenant", "shouted", "colour", "context"])
def test_a_model_that_sends_one_is_refused_without_being_told_of_it(name: str) -> None:
    signature = signature_of(order, context_types=(Context,))
    with pytest.raises(ArgumentsError) as told:
        signature.validate(json.dumps({"item": "pen", name: "mine"}))
    assert str(told.value) == f"The arguments of order do not fit: {name}: unknown; it takes item."


@pytest.mark.parametrize("dependencies", [None, cast("dict[str, int]", {}), Point(1)])
def test_what_is_not_there_is_named(dependencies: Any) -> None:
    def use(name: Annotated[str, Hidden()]) -> None: ...

    kind = type(dependencies).__name__
    with pytest.raises(MissingDependency, match=rf"the dependencies \({kind}\) have no 'name', .*; add it, give"):
        signature_of(use).inject({}, Context(dependencies))


def test_a_hidden_parameter_may_be_of_any_type() -> None:
    def use(items: Mapping[str, int], shop: Annotated[Callable[[], Shop], Hidden()]) -> None: ...

    assert list(signature_of(use).schema["properties"]) == ["items"]


def test_any_number_of_values_cannot_be_hidden() -> None:
    def use(*names: Annotated[str, Hidden()]) -> None: ...

    with pytest.raises(InvalidOption, match="use: 'names' cannot be hidden, it is any number of values; name one"):
        signature_of(use)
