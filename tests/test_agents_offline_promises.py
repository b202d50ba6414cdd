"""What the offline model promises for any text, any tools and any history: it ends, it never raises, its calls fit."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdesk.agents.model import (
    FunctionCall,
    Message,
    ModelEvent,
    ModelRequest,
    ModelSettings,
    ReplyDone,
    TextDelta,
    ToolSpec,
)
from frontdesk.agents.models.offline import OfflineModel

JSON = dict[str, Any]
MOST_REPLIES = 12

# -- whether a value fits a schema, written again so that the model's own reading is not trusted ---


def allows(schema: JSON, value: Any, root: JSON) -> bool:
    if "$ref" in schema:
        return allows(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], value, root)
    if "anyOf" in schema:
        return any(allows(one, value, root) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return json.dumps(value) in {json.dumps(one) for one in schema.get("enum", [schema.get("const")])}
    match schema.get("type"):
        case "null":
            return value is None
        case "string":
            return isinstance(value, str) and re.search(schema.get("pattern", ""), value) is not None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool) and within(schema, value)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool) and within(schema, value)
        case "array":
            return isinstance(value, list) and list_allows(schema, cast("list[object]", value), root)
        case "object":
            return isinstance(value, dict) and object_allows(schema, cast(JSON, value), root)
        case _:
            return True


def within(schema: JSON, value: float) -> bool:
    return float(schema.get("minimum", value)) <= value <= float(schema.get("maximum", value))


def list_allows(schema: JSON, value: list[Any], root: JSON) -> bool:
    counted = int(schema.get("minItems", 0)) <= len(value) <= int(schema.get("maxItems", len(value)))
    return counted and all(allows(schema.get("items", {}), one, root) for one in value)


def object_allows(schema: JSON, value: JSON, root: JSON) -> bool:
    properties = schema.get("properties", {})
    if not set(schema.get("required", ())) <= value.keys() <= properties.keys():
        return False
    return all(allows(properties[name], one, root) for name, one in value.items())


# -- any desk --------------------------------------------------------------------------------------

WORDS = (
    *(
        "find",
        "duplicate",
        "files",
        "profile",
        "csv",
        "order",
        "pizza",
        "large",
        "cancel",
        "price",
        "oil",
        "won",
        "rate",
    ),
    *("exchange", "multiply", "path", "query", "city", "name", "date", "size", "toppings", "status", "please", "with"),
    *("the", "note", "suche", "buch", "über", "Wale", "석유", "가격을", "원화로", "예약"),
)
VALUES = (
    *(".", "data/sales.csv", "/tmp", "C:\\x", "T1", "t22", "7", "3.5", "-4", "1,000", "two", "2026-03-14", "tomorrow"),
    *("10:30", "7pm", "bob@example.com", "https://x.y/z", "'quoted'", '"also"', "USD", "€5", "A-17", "small", "yes"),
    *("extra_large", "no", "and", ";", ",", "?", ".", "!", "und", "그리고", "100%", "10MB", "\x00", "\ud83c", "🍕"),
)
words = st.sampled_from(WORDS)
identifiers = st.lists(words.filter(str.isascii), min_size=1, max_size=3).map("_".join)
sentences = st.lists(words | st.sampled_from(VALUES), max_size=14).map(" ".join)
texts = sentences | st.text(max_size=60) | st.tuples(sentences, st.text(max_size=12), sentences).map(" ".join)
scalars = st.one_of(
    st.just({"type": "string"}),
    st.sampled_from([{"type": "string", "format": form} for form in ("date", "time", "date-time", "email", "uri")]),
    st.sampled_from([{"type": "string", "pattern": "^[A-Z]-[0-9]+$"}, {"type": "boolean"}, {"type": "number"}]),
    st.sampled_from([{"type": "integer"}, {"type": "integer", "minimum": 1, "maximum": 5}, {}]),
    st.lists(words, min_size=1, max_size=4, unique=True).map(lambda some: {"type": "string", "enum": some}),
    st.just({"enum": [1, 2, None]}),
    st.just({"$ref": "#/$defs/Size"}),
)


def objects(inner: st.SearchStrategy[JSON], most: int = 4) -> st.SearchStrategy[JSON]:
    return st.dictionaries(identifiers, inner, max_size=most).flatmap(
        lambda properties: st.sets(st.sampled_from(sorted(properties) or [""])).map(
            lambda optional: {
                "type": "object",
                "properties": properties,
                "required": [name for name in properties if name not in optional],
                "additionalProperties": False,
            }
        )
    )


def wider(inner: st.SearchStrategy[JSON]) -> st.SearchStrategy[JSON]:
    return st.one_of(
        inner.map(lambda one: {"anyOf": [one, {"type": "null"}]}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some}),
        inner.map(lambda one: {"type": "array", "items": one, "minItems": 1, "maxItems": 3}),
        objects(inner, 2),
    )


schemas = objects(st.recursive(scalars, wider, max_leaves=4)).map(
    lambda schema: {**schema, "$defs": {"Size": {"type": "string", "enum": ["small", "large", "extra_large"]}}}
)
TASK_NAMES = ("check_task", "wait_for_tasks", "list_tasks", "cancel_task", "answer_task", "update_task")
tools = st.builds(
    ToolSpec,
    name=identifiers | st.sampled_from(TASK_NAMES),
    description=sentences,
    parameters=schemas,
    keywords=st.lists(words, max_size=3).map(tuple),
    kind=st.sampled_from(["tool", "client"]),
)
handoffs = st.builds(
    ToolSpec,
    name=identifiers.map("transfer_to_{}".format),
    description=sentences,
    parameters=objects(st.just({"anyOf": [{"type": "string"}, {"type": "null"}]}), 1),
    keywords=st.lists(words, max_size=3).map(tuple),
    kind=st.just("handoff"),
)


@st.composite
def task_tools(draw: st.DrawFn) -> ToolSpec:
    variants = draw(st.dictionaries(identifiers, objects(scalars.filter(lambda one: "$ref" not in one)), min_size=1))
    cases = [
        {
            "type": "object",
            "description": draw(sentences),
            "properties": {"name": draw(st.sampled_from([{"const": name}, {"enum": [name]}])), "arguments": arguments},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name, arguments in variants.items()
    ]
    nullable = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    properties = {"task": {"anyOf": cases}, "title": nullable, "again": {"type": ["boolean", "null"]}}
    schema = {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False
    }  # fmt: skip
    hints = tuple(f"{name}:{draw(words)}" for name in variants)
    return ToolSpec("create_task", "Creates a task.", schema, keywords=hints)


desks = st.tuples(st.lists(tools, max_size=5), st.lists(handoffs, max_size=3), st.lists(task_tools(), max_size=1)).map(
    lambda parts: tuple({tool.name: tool for part in parts for tool in part}.values())
)
outputs = st.one_of(
    st.sampled_from(
        ['{"task": "T1", "status": "queued"}', "The tool x failed: internal error.", "", "[]", "-Infinity"]
    ),
    st.builds(json.dumps, st.dictionaries(identifiers, st.floats(allow_nan=False) | st.integers() | sentences)),
    st.sampled_from(['{"price": 71.3, "currency": "USD"}', '{"rate": "1390.5"}', "1 USD = 1,390.5 KRW", "9" * 400]),
    sentences,
)
leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | sentences
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner), max_leaves=5)
items = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["message", "function_call", "function_call_output", "reasoning"]) | anything,
        "role": st.sampled_from(["user", "assistant", "developer"]) | anything,
        "content": texts | st.lists(st.fixed_dictionaries({"type": st.just("input_text"), "text": texts})) | anything,
        "call_id": st.sampled_from(["a", "b"]) | anything,
        "name": st.sampled_from(["create_task", "check_task", "transfer_to_x"]) | anything,
        "arguments": st.sampled_from(['{"task": "T1"}', "{", "[]"]) | anything,
        "output": outputs | anything,
    },
)
choices = st.sampled_from([None, "auto", "required", "none", "create_task", "nonsense"]) | identifiers


async def ask(request: ModelRequest) -> list[ModelEvent]:
    return [event async for event in OfflineModel().stream(request)]


def check(request: ModelRequest, events: list[ModelEvent]) -> list[FunctionCall]:
    """Every reply: well-formed, calls that fit, unused ids, no more calls than allowed."""
    *body, last = events
    assert isinstance(last, ReplyDone)
    deltas = "".join(event.text for event in body if isinstance(event, TextDelta))
    messages = [event.text for event in body if isinstance(event, Message)]
    calls = [event for event in body if isinstance(event, FunctionCall)]
    assert bool(messages) != bool(calls)
    assert [deltas] == (messages or [""])
    by_name = {tool.name: tool for tool in request.tools}
    for call in calls:
        schema = by_name[call.name].parameters
        assert allows(schema, json.loads(call.arguments), schema), (call, schema)
    ids = [call.call_id for call in calls]
    assert len({*ids, *(str(item.get("call_id")) for item in request.items)}) == len(ids) + len(
        {str(item.get("call_id")) for item in request.items}
    )
    assert len(calls) <= 1 or request.settings.parallel_tool_calls is not False
    return calls


@settings(max_examples=50, deadline=None)
@given(st.data(), texts, desks, st.dictionaries(identifiers, desks, max_size=2))
async def test_a_turn_ends_and_every_call_in_it_fits_and_is_made_once(
    data: st.DataObject, text: str, desk: tuple[ToolSpec, ...], others: dict[str, tuple[ToolSpec, ...]]
) -> None:
    history: list[JSON] = [{"type": "message", "role": "user", "content": text}]
    made: list[tuple[str, str]] = []
    modes = ModelSettings(
        parallel_tool_calls=data.draw(st.sampled_from([None, True, False])), tool_choice=data.draw(choices)
    )
    for _ in range(MOST_REPLIES):
        request = ModelRequest("", tuple(history), desk, modes, "desk")
        calls = check(request, await ask(request))
        if not calls:
            break
        for call in calls:
            made.append((call.name, call.arguments))
            history.append(
                {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
            )
        for call in calls:
            history.append({"type": "function_call_output", "call_id": call.call_id, "output": data.draw(outputs)})
            if call.name.startswith("transfer_to_"):
                desk = others.get(call.name.removeprefix("transfer_to_"), desk)
    else:
        pytest.fail(f"still calling after {MOST_REPLIES} replies: {made}")
    assert len(set(made)) == len(made)


@settings(max_examples=50, deadline=None)
@given(st.lists(items, max_size=8), desks, choices)
async def test_any_history_gets_a_reply_and_the_same_history_the_same_one(
    history: list[JSON], desk: tuple[ToolSpec, ...], choice: str | None
) -> None:
    request = ModelRequest("", tuple(history), desk, ModelSettings(tool_choice=choice), "")

    first = await ask(request)

    check(request, first)
    assert await ask(request) == first
