"""The OpenAPI document: whole, of every endpoint, and in step with what is accepted."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from frontdesk.server import chat_requests, conversation_requests, protocol, wire
from frontdesk.server.errors import WireError
from frontdesk.server.http import ENDPOINTS
from frontdesk.server.openapi import DESCRIBED, document
from frontdesk.tests.wire_record import OURS


@pytest.fixture(scope="module")
def described() -> Any:
    return json.loads(document(ENDPOINTS, "0"))


def test_every_endpoint_is_in_it_under_a_name_of_its_own(described: Any) -> None:
    found = [(path, method.upper()) for path, methods in described["paths"].items() for method in methods]
    assert sorted(found) == sorted((one.path, one.method) for one in ENDPOINTS)
    names = Counter(one["operationId"] for methods in described["paths"].values() for one in methods.values())
    assert max(names.values()) == 1


def test_whatever_it_describes_there_is() -> None:
    assert {f"{one.method} {one.path}" for one in ENDPOINTS} >= set(DESCRIBED)
    bodies = {key for key, about in DESCRIBED.items() if about.body is not None}
    posts = {f"{one.method} {one.path}" for one in ENDPOINTS if one.method == "POST"}
    assert bodies <= posts


def test_every_reference_leads_somewhere(described: Any) -> None:
    text = json.dumps(described)
    references = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', text))
    assert references
    assert references <= described["components"]["schemas"].keys()
    assert "$defs" not in text


def test_paths_say_their_parameters(described: Any) -> None:
    for path, methods in described["paths"].items():
        for one in methods.values():
            names = [given["name"] for given in one.get("parameters", []) if given["in"] == "path"]
            assert names == re.findall(r"\{(\w+)\}", path)


def test_a_response_may_come_as_events(described: Any) -> None:
    content = described["paths"]["/v1/responses"]["post"]["responses"]["200"]["content"]
    assert set(content) == {"application/json", "text/event-stream"}


CREATE: list[Any] = [
    {"input": "x"}, {"input": [{"role": "user", "content": "x"}], "model": "desk", "temperature": 0.5, "odd": 1},
    {"input": "x", "conversation": {"id": "conv_1"}}, {"input": "x", "conversation": "conv_1"},
    {"input": "x", "tools": [{"type": "function", "name": "f"}], "tool_choice": "auto"},
    {"input": "x", "metadata": {"k": "v"}, "stream": True, "background": True, "text": {"verbosity": "low"}},
    {}, {"input": None}, {"input": 1}, {"input": []}, {"input": "x", "temperature": 3}, {"input": "x", "top_p": -1},
    {"input": "x", "max_output_tokens": 0}, {"input": "x", "metadata": {"k": 1}}, {"input": "x", "store": "no"},
    {"input": "x", "conversation": "has a blank"}, {"input": "x", "conversation": {}}, {"input": "x", "tools": "f"},
    {"input": "x", "tools": [{"type": "function"}]}, {"input": "x", "tools": [{"type": "function", "name": "a b"}]},
    {"input": "x", "metadata": {"k" * 65: "v"}}, {"input": "x", "metadata": {"k": "v" * 513}},
    {"input": "x", "tool_choice": "always"}, {"input": "x", "reasoning": "much"}, {"input": "x", "model": "m" * 257},
]  # fmt: skip
USER = [{"role": "user", "content": "x"}]
CHAT: list[Any] = [
    {"messages": USER}, {"messages": USER, "stream": True, "stream_options": {"include_usage": True}},
    {"messages": [{"role": "system", "content": "s"}, *USER, {"role": "assistant", "content": "y"}, *USER]},
    {"messages": []}, {"messages": "x"}, {}, {"messages": [{"role": "nobody", "content": "x"}]},
    {"messages": [{"role": "tool", "content": "x", "tool_call_id": "a b"}]}, {"messages": USER, "stream": "yes"},
    {"messages": USER, "temperature": 9}, {"messages": USER, "max_tokens": -1}, {"messages": USER, "tools": 1},
    {"messages": USER, "stream_options": 1}, {"messages": USER, "response_format": "json"},
]  # fmt: skip
ITEMS: list[Any] = [{"items": USER}, {"items": []}, {"items": "x"}, {}, {"items": [1]}]


def fits(model: type[BaseModel], body: Any) -> bool:
    try:
        model.model_validate_json(json.dumps(body), strict=True)
    except ValidationError:
        return False
    return True


def accepted(read: Any, body: Any) -> bool:
    try:
        read(body)
    except WireError:
        return False
    return True


def chat(body: Any) -> None:
    protocol.create(chat_requests.read(body).create)


def create(body: Any) -> None:
    protocol.create(body)
    if body.get("stream") not in (None, True, False):
        raise AssertionError("looked at by the handler")


@pytest.mark.parametrize(
    ("model", "read", "body"),
    [*((wire.CreateResponse, create, body) for body in CREATE), *((wire.CreateChatCompletion, chat, b) for b in CHAT),
     *((wire.AddItems, conversation_requests.more_items, body) for body in ITEMS)],
)  # fmt: skip
def test_the_types_say_what_is_accepted(model: type[BaseModel], read: Any, body: Any) -> None:
    assert fits(model, body) == accepted(read, body)


def kinds(models: tuple[type[BaseModel], ...]) -> set[str]:
    schemas = [one.model_json_schema()["properties"]["type"] for one in models]
    return {kind for schema in schemas for kind in schema.get("enum", [schema.get("const")])}


def test_the_events_of_ours_are_those_that_tests_check_and_the_messages_those_that_are_read() -> None:
    assert kinds(wire.EVENTS) == kinds(OURS)
    assert kinds(wire.MESSAGES) == {kind for kind in protocol.READERS if kind.startswith("frontdesk:")}
