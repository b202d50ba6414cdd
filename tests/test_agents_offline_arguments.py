from __future__ import annotations

from typing import Any

import pytest

from frontdesk.agents.model import ToolSpec
from frontdesk.agents.models.offline.arguments import fill
from frontdesk.agents.models.offline.catalogue import catalogue
from frontdesk.agents.models.offline.clause import READ, clause
from frontdesk.agents.models.offline.schema import fits, kind_of, members, options, parameters_of, resolved
from frontdesk.agents.models.offline.words import stems

JSON = dict[str, Any]
TEXT: JSON = {"type": "string"}
WHOLE: JSON = {"type": "integer"}
NUMBER: JSON = {"type": "number"}
YES_NO: JSON = {"type": "boolean"}


def maybe(schema: JSON) -> JSON:
    return {"anyOf": [schema, {"type": "null"}]}


def taking(**properties: JSON) -> JSON:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False
    }  # fmt: skip


def described(schema: JSON, text: str) -> JSON:
    return {**schema, "description": text}


def listed(schema: JSON, **more: Any) -> JSON:
    return {"type": "array", "items": schema, **more}


SIZES: JSON = {"type": "string", "enum": ["small", "large"]}


@pytest.mark.parametrize(
    ("name", "schema", "text", "expected"),
    [
        # paths
        ("copy_file", taking(source=TEXT, destination=TEXT), "copy a.txt to b/c.txt",
         {"source": "a.txt", "destination": "b/c.txt"}),
        ("copy_file", taking(source=TEXT, destination=TEXT), "to b/c.txt copy a.txt",
         {"source": "a.txt", "destination": "b/c.txt"}),
        ("scan", taking(path=TEXT), "scan 'my files/x'", {"path": "my files/x"}),
        ("scan", taking(path=TEXT), "scan this folder", {"path": "."}),
        ("scan", taking(paths=listed(TEXT)), "scan a.txt and b.txt, a.txt", {"paths": ["a.txt", "b.txt"]}),
        ("scan", taking(place=described(TEXT, "The folder to look in")), "scan /tmp", {"place": "/tmp"}),
        ("scan", taking(x=described(TEXT, "A link (url)")), "scan https://a.b/c", {"x": "https://a.b/c"}),
        ("scan", taking(folder=TEXT), "scan the photos folder", {"folder": "photos"}),
        ("scan", taking(path=maybe(TEXT)), "scan photos 폴더", {"path": "photos"}),
        ("scan", taking(file=TEXT), "scan in photos", {}),
        # numbers
        ("make", taking(width=WHOLE, height=WHOLE), "make it 3 by 4", {"width": 3, "height": 4}),
        ("make", taking(width=WHOLE, height=WHOLE), "make one of height 3 and width 4", {"width": 4, "height": 3}),
        ("make", taking(copies=WHOLE), "make three copies", {"copies": 3}),
        ("make", taking(copies=WHOLE), "make 2.5 copies", {}),
        ("make", taking(copies=WHOLE), "make 2.0 copies", {"copies": 2}),
        ("make", taking(copies={"type": "integer", "maximum": 5}), "make 7 then 4", {"copies": 4}),
        ("list_big", taking(min_bytes=WHOLE), "list over 10 MB", {"min_bytes": 10_000_000}),
        ("wait", taking(timeout_seconds=NUMBER), "wait 2 hours", {"timeout_seconds": 7200}),
        ("wait", taking(minutes=NUMBER, retries=WHOLE), "wait with 3 retries for 30 minutes",
         {"minutes": 30, "retries": 3}),
        ("top", taking(limit=maybe(WHOLE)), "top 5", {"limit": 5}),
        ("top", taking(limit=maybe(WHOLE), offset=maybe(WHOLE)), "top 5", {"limit": None, "offset": None}),
        ("top", taking(limit=maybe(WHOLE)), "top 5 of 9", {"limit": None}),
        ("seats", taking(quantity=maybe(WHOLE), row=maybe(WHOLE)), "5 seats in row 7", {"quantity": 5, "row": 7}),
        ("seats", taking(x=maybe(described(WHOLE, "seats wanted")), y=maybe(WHOLE)), "5 seats", {"x": 5, "y": None}),
        ("mean", taking(values=listed(NUMBER)), "mean of 1, 2 and 3.5", {"values": [1, 2, 3.5]}),
        ("times", taking(a={"anyOf": [NUMBER, TEXT]}, b={"anyOf": [NUMBER, TEXT]}), "2 times 3", {"a": 2, "b": 3}),
        ("times", taking(a={"anyOf": [NUMBER, TEXT]}, b={"anyOf": [NUMBER, TEXT]}), "times", {}),
        # enums and yes or no
        ("pick", taking(size=SIZES), "pick a large one", {"size": "large"}),
        ("pick", taking(size={"$ref": "#/$defs/Size"}) | {"$defs": {"Size": SIZES}}, "small", {"size": "small"}),
        ("pick", taking(kind={"const": "x"}), "pick", {"kind": "x"}),
        ("pick", taking(kind=maybe({"const": "van"}), size=SIZES), "pick large", {"kind": None, "size": "large"}),
        ("pick", taking(level={"enum": [1, 2, 3]}), "pick level 2", {"level": 2}),
        ("pick", taking(fast={"enum": [True, False]}), "pick fast", {"fast": True}),
        ("pick", taking(fast={"enum": [True, False]}), "pick", {}),
        ("pick", taking(fast=maybe(YES_NO)), "not fast please", {"fast": False}),
        ("pick", taking(sizes=listed(SIZES)), "pick", {}),
        ("pick", taking(sizes=maybe(listed(SIZES, maxItems=1))), "small and large", {"sizes": None}),
        # dates, times, addresses
        ("book", taking(date={"type": "string", "format": "date"}), "book tomorrow", {}),
        ("book", taking(day=TEXT), "book tomorrow", {"day": "tomorrow"}),
        ("book", taking(at={"type": "string", "format": "date-time"}), "book 2026-03-14 at 10:30",
         {"at": "2026-03-14T10:30:00"}),
        ("book", taking(at={"type": "string", "format": "date-time"}), "book 2026-03-14",
         {"at": "2026-03-14T00:00:00"}),
        ("book", taking(time={"type": "string", "format": "time"}), "book at 7 pm", {"time": "19:00:00"}),
        ("book", taking(time=TEXT), "book at 7 pm", {"time": "19:00"}),
        ("report", taking(month=TEXT), "report for March 2026", {"month": "2026-03"}),
        ("report", taking(month=TEXT), "report for March", {"month": "March"}),
        ("report", taking(since=described(TEXT, "YYYY-MM-DD")), "report since 14.3.2026", {"since": "2026-03-14"}),
        ("mail", taking(to={"type": "string", "format": "email"}, subject=TEXT, body=TEXT),
         "mail a@b.de with subject: Lunch, body: at noon, my place",
         {"to": "a@b.de", "subject": "Lunch", "body": "at noon, my place"}),
        ("fetch", taking(url=TEXT), "fetch https://a.b/c please", {"url": "https://a.b/c"}),
        ("fetch", taking(url=TEXT), "fetch it", {}),
        # money
        ("convert", taking(amount=NUMBER, source_currency=TEXT, target_currency=TEXT), "convert 100 dollars to euros",
         {"amount": 100, "source_currency": "USD", "target_currency": "EUR"}),
        ("exchange", taking(base=maybe(TEXT), quote=maybe(TEXT)), "exchange to won", {"base": None, "quote": "KRW"}),
        # texts
        ("weather", taking(city=TEXT), "what's the weather in new york today?", {"city": "new york"}),
        ("weather", taking(city=TEXT), "Weather for Seoul", {"city": "Seoul"}),
        ("weather", taking(city=TEXT), "weather, Seoul?", {"city": "Seoul"}),
        ("weather", taking(city=TEXT), "what's the weather?", {}),
        ("greet", taking(customer=TEXT), "greet Anna Lee", {"customer": "Anna Lee"}),
        ("search", taking(query=TEXT, limit=maybe(WHOLE)), "search for books about whales and ships!",
         {"query": "books about whales and ships", "limit": None}),
        ("search", taking(query=TEXT), "search for “red shoes” here", {"query": "red shoes"}),
        ("검색", taking(query=TEXT), "고래에 관한 책 검색", {"query": "고래에 관한 책"}),
        ("remind", taking(text=TEXT, note=maybe(TEXT)), "remind me to call Bob", {"text": "call Bob", "note": None}),
        ("rename", taking(title=TEXT), "rename, title is \"New one\"", {"title": "New one"}),
        ("rename", taking(title=TEXT), "rename; title: New one, quickly", {"title": "New one"}),
        ("ask", taking(question=TEXT), " ask why the sky is blue ", {"question": "ask why the sky is blue"}),
        ("ask", taking(question=TEXT), " ", {}),
        ("ask", taking(question=TEXT), "ask; question: 'why, oh why'", {"question": "why, oh why"}),
        ("order", taking(order_id=TEXT), "where is order 007?", {"order_id": "007"}),
        ("order", taking(order_id=TEXT), "where is order A-17?", {"order_id": "A-17"}),
        ("flight", taking(code={"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"}), "flight KE905 please",
         {"code": "KE905"}),
        ("flight", taking(code={"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"}), "flight", {}),
        ("watch", taking(task=described(TEXT, "Label such as T3")), "watch T3", {"task": "T3"}),
        ("tag", taking(tags=listed(TEXT)), "tag red and blue", {"tags": ["red", "blue"]}),
        ("tag", taking(tags=listed(TEXT)), "tag 'dark red', 'blue'", {"tags": ["dark red", "blue"]}),
        ("tag", taking(tags=maybe(listed(TEXT))), "tag red", {"tags": None}),
        ("tag", taking(tags=listed(TEXT)), "tag", {}),
        ("tag", taking(tags=listed({"type": "string", "minLength": 2})), "tag red, b and blue",
         {"tags": ["red", "blue"]}),
        ("tag", taking(ids=listed({"type": "integer", "maximum": 5})), "tag 3 and 7", {"ids": [3]}),
        ("free", taking(anything={}), "free 'x'", {"anything": "x"}),
        # objects and unions
        ("ship", taking(address=taking(city=TEXT, zip_code=WHOLE)), "ship to city: Bonn, zip code 53111",
         {"address": {"city": "Bonn", "zip_code": 53111}}),
        ("ship", taking(address=taking(city=TEXT, zip_code=WHOLE)), "ship", {}),
        ("ship", taking(address=maybe(taking(zip_code=maybe(WHOLE)))), "ship", {"address": None}),
        ("ship", taking(nothing=taking()), "ship", {}),
        ("ship", taking(items=listed(taking(size=SIZES, quantity=WHOLE))), "ship 3 large",
         {"items": [{"size": "large", "quantity": 3}]}),
        ("ship", taking(items=listed(taking(size=SIZES))), "ship", {}),
        ("rent", taking(what={"anyOf": [taking(kind={"const": "car"}, seats=WHOLE), taking(kind={"const": "van"},
         seats=WHOLE)]}), "rent a van with 8 seats", {"what": {"kind": "van", "seats": 8}}),
        ("mixed", taking(value={"anyOf": [WHOLE, SIZES]}), "mixed large", {"value": "large"}),
        ("open", {"properties": {"path": TEXT, "lines": WHOLE}, "required": ["path"]}, "open a.txt", {"path": "a.txt"}),
    ],
)  # fmt: skip
def test_arguments_come_from_the_text(name: str, schema: JSON, text: str, expected: JSON) -> None:
    filled = fill(parameters_of(schema, schema), clause(text), stems(name))
    assert filled.arguments == expected
    assert fits(filled.arguments, schema, schema) is not bool(filled.missing)


def test_what_is_missing_is_reported() -> None:
    schema = taking(size=SIZES, count=WHOLE, note=maybe(TEXT))
    filled = fill(parameters_of(schema, schema), clause("some"))
    assert [one.name for one in filled.missing] == ["size", "count"]


def test_values_side_by_side_are_worth_a_call_each_but_only_of_one_parameter() -> None:
    one = taking(path=TEXT)
    assert [call["path"] for call in fill(parameters_of(one, one), clause("a.txt, b.txt und c.txt")).calls] == [
        "a.txt", "b.txt", "c.txt"
    ]  # fmt: skip
    assert len(fill(parameters_of(one, one), clause("a.txt or b.txt")).calls) == 1

    two = taking(path=TEXT, size=SIZES)
    assert len(fill(parameters_of(two, two), clause("a.txt and b.txt, small and large")).calls) == 1


def test_a_very_long_text_is_kept_whole_where_it_is_the_argument() -> None:
    text = "summarise " + "lorem ipsum " * READ + "the end"
    for parameter in ("input", "text"):
        schema = taking(**{parameter: TEXT})
        assert (
            fill(parameters_of(schema, schema), clause(text), stems("summarise")).arguments[parameter].endswith("end")
        )


# -- schemas ----------------------------------------------------------------------------------------------------------


FITTING: list[tuple[Any, list[Any], list[Any]]] = [
    (TEXT, ["", "a"], [1, None, []]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab"], ["a", "abcd"]),
    ({"type": "string", "pattern": "^a"}, ["ab"], ["b"]),
    ({"type": "string", "pattern": "("}, ["anything"], []),
    ({"type": "string", "format": "date"}, ["2026-03-14"], ["tomorrow"]),
    ({"type": "string", "format": "date-time"}, ["2026-03-14T10:30:00"], ["10:30"]),
    ({"type": "string", "format": "email"}, ["a@b.de"], ["a@b"]),
    (WHOLE, [0, -1], [1.5, True, "1"]),
    (NUMBER, [0, 1.5], [True, "1"]),
    ({"type": "number", "minimum": 1, "maximum": 2}, [1, 2], [0, 3]),
    ({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 2}, [1.5], [1, 2]),
    ({"type": "number", "multipleOf": 0.5, "minimum": True}, [1.5, 10**400], [1.2]),
    (YES_NO, [True], [0, "yes"]),
    ({"enum": [1, "a", None]}, [1, "a", None], [True, 2]),
    ({"const": 0}, [0], [False, 1]),
    ({"type": ["string", "null"]}, ["a", None], [1]),
    ({"type": "odd"}, ["a", None, 1], []),
    (maybe(TEXT), ["a", None], [1]),
    ({"oneOf": [TEXT, WHOLE]}, ["a", 1], [None]),
    ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1], [0, 3]),
    ({"allOf": [TEXT]}, ["a"], [1]),
    (listed(WHOLE, minItems=1, maxItems=2, uniqueItems=True), [[1], [1, 2]], [[], [1, 1], [1, 2, 3], ["a"], 1]),
    (taking(a=WHOLE), [{"a": 1}], [{}, {"a": "x"}, {"a": 1, "b": 2}, []]),
    ({"type": "object", "properties": {"a": WHOLE}}, [{}, {"b": 2}], [{"a": "x"}]),
    ({"additionalProperties": WHOLE}, [{"a": 1}], [{"a": "x"}]),
    ({"$ref": "#/$defs/Loop"}, [], [1, "a"]),
    ({"$ref": "#/$defs/Tree"}, [{"next": {"next": None}}], [{"next": 1}]),
    ({"$ref": "#/$defs/a~1b~0c"}, [1], ["a"]),
    ({"$ref": "#/nowhere"}, [1, "a"], []),
    (True, [1], []),
    (False, [], [1]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "good", "bad"), FITTING)
def test_a_value_fits_a_schema_or_does_not(schema: Any, good: list[Any], bad: list[Any]) -> None:
    root: JSON = {
        "$defs": {
            "Loop": {"anyOf": [{"$ref": "#/$defs/Loop"}]},
            "Tree": taking(next=maybe({"$ref": "#/$defs/Tree"})),
            "a/b~c": WHOLE,
        }
    }
    assert [value for value in good if not fits(value, schema, root)] == []
    assert [value for value in bad if fits(value, schema, root)] == []


def test_unions_are_taken_apart_and_references_followed() -> None:
    root: JSON = {"$defs": {"Size": SIZES, "Self": {"$ref": "#/$defs/Self"}}}
    nested = {"description": "d", "anyOf": [{"oneOf": [TEXT, {"$ref": "#/$defs/Size"}]}, {"type": ["integer", "null"]}]}
    assert [kind_of(one) for one in options(nested, root)] == ["string", "enum", "integer", "null"]
    assert {one["description"] for one in options(nested, root)} == {"d"}
    assert resolved({"$ref": "#/$defs/Self"}, root) == {}
    assert resolved({"allOf": [{"$ref": "#/$defs/Size"}], "description": "d"}, root) == {**SIZES, "description": "d"}
    odd: list[JSON] = [{"enum": [None]}, {"properties": {}}, {"items": {}}, {}]
    assert [kind_of(one) for one in odd] == ["null", "object", "array", "any"]
    assert members({"const": None}) == [None]


def test_a_parameter_knows_whether_it_may_be_left_out() -> None:
    schema: JSON = {
        "properties": {"a": TEXT, "b": maybe(described(TEXT, "why")), "c": TEXT, "d": {"enum": ["x", None]}},
        "required": ["a", "b", "d"],
    }
    a, b, c, d = parameters_of(schema, schema)
    assert [one.optional for one in (a, b, c, d)] == [False, True, True, True]
    assert b.description == "why"
    assert [one.numeric for one in (a, b)] == [False, False]


# -- candidates -------------------------------------------------------------------------------------------------------


def test_a_task_function_may_have_its_fields_beside_its_name() -> None:
    flat = taking(kind={"const": "scan"}, path=TEXT)
    spec = ToolSpec("create_task", "", taking(task=flat, title=TEXT, again=YES_NO, tries=WHOLE, tags=listed(TEXT)))
    (scan,) = catalogue([spec])
    assert (scan.kind, scan.name) == ("task", "scan")
    assert scan.call({"path": "."}) == {
        "task": {"kind": "scan", "path": "."}, "title": "scan", "again": False, "tries": 0, "tags": []
    }  # fmt: skip


def test_a_variant_without_a_name_is_no_candidate() -> None:
    assert catalogue([ToolSpec("create_task", "", taking(task={"anyOf": [taking(path=TEXT)]}))]) == ()


def test_the_namespace_of_a_tool_is_no_part_of_its_name() -> None:
    (add,) = catalogue([ToolSpec("orders-add_pizza", "Adds a pizza.", taking())])
    assert add.name == "add_pizza"
    assert add.effectful
    (look,) = catalogue([ToolSpec("price", "The price.", taking())])
    assert not look.effectful
