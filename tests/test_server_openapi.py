"""The OpenAPI document: whole, of every endpoint, and in step with what is accepted."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, Union, cast, get_args, get_origin

import httpx2
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from frontdesk.agents.models.scripted import call, calls
from frontdesk.server import chat_requests, conversation_requests, protocol, wire, wire_replies
from frontdesk.server.errors import WireError
from frontdesk.server.http import ENDPOINTS
from frontdesk.server.openapi import DESCRIBED, document
from frontdesk.tests.served import file_errand, open_house
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
    {"conversation": "conv_1"}, {"previous_response_id": "resp_1", "input": None}, {"metadata": {"k": "v"}},
    {"input": "x", "include": "all"},
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


async def test_answers_of_our_own_are_of_the_types_that_describe_them(tmp_path: Path) -> None:
    """Each answer is of its type, which names all that is in it."""
    errand = file_errand("door")
    with open_house(tmp_path) as house:
        house.lines["run"] = (calls(call("look", {"word": "w"}), errand), "on its way")
        async with httpx2.AsyncClient(base_url=house.base_url, timeout=60) as http:
            response = (await http.post("/responses", json={"input": "run"})).json()
            (task,) = (await http.get("/tasks")).json()["data"]
            asked: list[tuple[str, str, Any]] = [
                ("GET", "/v1/models", None), ("GET", "/v1/tasks", None), ("GET", "/v1/tasks/stats", None),
                ("GET", "/v1/tasks/{task_id}", None), ("POST", "/v1/tasks/{task_id}/cancel", None),
                ("GET", "/v1/responses/{response_id}/steps", None), ("POST", "/v1/queues/{name}/pause", None),
                ("POST", "/v1/queues/{name}/resume", None), ("GET", "/v1/queues", None),
                ("POST", "/v1/quotas", {"tenant": "t", "tokens": 5}), ("GET", "/v1/quotas", None),
                ("POST", "/v1/tokens", {"name": "n", "expires_in": 60, "operator": True}),
                ("GET", "/v1/tokens", None), ("GET", "/v1/usage", None), ("GET", "/v1/schedules", None),
            ]  # fmt: skip
            token: dict[str, str] = {}
            for method, path, body in asked:
                where = path.format(task_id=task["id"], response_id=response["id"], name="default")
                found = await http.request(method, where.removeprefix("/v1"), json=body, headers=token)
                assert found.status_code == 200, found.text
                reply = DESCRIBED[f"{method} {path}"].reply
                assert isinstance(reply, type)
                whole(reply).model_validate_json(found.text, strict=True)
                if path == "/v1/tokens" and method == "POST":  # from now on one is wanted
                    token = {"Authorization": f"Bearer {found.json()['token']}"}
            revoked = await http.delete(f"/tokens/{(await http.get('/tokens', headers=token)).json()['data'][0]['id']}",
                                        headers=token)  # fmt: skip
            whole(wire_replies.Token).model_validate_json(revoked.text, strict=True)
        house.gates["door"].open()


@cache
def whole(model: type[BaseModel]) -> type[BaseModel]:
    """The type, with no room for a field that it does not name, in the types of its fields too."""
    fields = {name: (_whole(field.annotation), field) for name, field in model.model_fields.items()}
    return create_model(model.__name__, __config__=ConfigDict(extra="forbid"), **cast("Any", fields))


def _whole(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return whole(annotation)
    given = [_whole(one) for one in get_args(annotation)]
    if get_origin(annotation) is list:
        return cast("Any", list[given[0]])  # type: ignore[valid-type]
    return cast("Any", annotation) if given == list(get_args(annotation)) else cast("Any", Union[tuple(given)])  # noqa: UP007 - made of a tuple


def kinds(models: tuple[type[BaseModel], ...]) -> set[str]:
    schemas = [one.model_json_schema()["properties"]["type"] for one in models]
    return {kind for schema in schemas for kind in schema.get("enum", [schema.get("const")])}


def test_the_events_of_ours_are_those_that_tests_check_and_the_messages_those_that_are_read() -> None:
    assert kinds(wire.EVENTS) == kinds(OURS)
    assert kinds(wire.MESSAGES) == {kind for kind in protocol.READERS if kind.startswith("frontdesk:")}
