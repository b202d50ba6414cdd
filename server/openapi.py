"""The OpenAPI document of the HTTP part, made from the server's own table of endpoints, the types of ``wire``,
``wire_replies`` and the `openai` package.

An endpoint that is not described here has its docstring, and an answer without a type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Final, TypeAlias, cast

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from pydantic_core import to_json

from . import wire, wire_replies
from .call import Endpoint
from .compacted import compacted_response

# A type of ours, where a type of the `openai` package is, or what makes one of such types.
Reply: TypeAlias = type[BaseModel] | str | Callable[[], type[BaseModel]]

RESPONSE: Final = "openai.types.responses:Response"
CONVERSATION: Final = "openai.types.conversations:Conversation"
ITEMS: Final = "openai.types.conversations.conversation_item_list:ConversationItemList"
PAGING: Final = ("limit", "after", "order", "include")
PARAMETERS: Final[Mapping[str, dict[str, Any]]] = {
    "limit": {"schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}},
    "order": {"schema": {"type": "string", "enum": ["asc", "desc"], "default": "desc"}},
    "after": {"schema": {"type": "string"}, "description": "The id of the entry before the first one."},
    "include": {"schema": {"type": "array", "items": {"type": "string"}}, "description": "Taken, and changes nothing."},
    "conversation": {"schema": {"type": "string"}},
    "cancel": {
        "schema": {"type": "string", "enum": ["true", "false"], "default": "false"},
        "description": "What is live is cancelled.",
    },
    "days": {"schema": {"type": "integer", "minimum": 1, "maximum": 366, "default": 7}},
    "status": {"schema": {"type": "string"}, "description": "A state of tasks, or `live`."},
    "stream": {"schema": {"type": "string", "enum": ["true", "false"]}, "description": "Its events instead."},
    "starting_after": {"schema": {"type": "integer", "minimum": 0}, "description": "Events after this number."},
    "Idempotency-Key": {
        "in": "header", "schema": {"type": "string"},
        "description": "A repeat gets the first request's outcome; with other content it is refused.",
    },
}  # fmt: skip
FAILURES: Final[Mapping[str, str]] = {
    "400": "The request makes no sense, or asks for what is not supported.",
    "401": "A token is wanted.",
    "404": "There is no such thing, or it is another tenant's.",
    "409": "It would be refused again (`x-should-retry: false`).",
    "413": "Too large.",
    "429": "Too much at once; `retry-after` says when to come back.",
    "503": "The server is stopping, or its database cannot be reached.",
}


@dataclass(frozen=True, slots=True)
class Described:
    """What an endpoint takes and gives. ``events``: it may answer with server-sent events of this type."""

    reply: Reply | None = None
    body: type[BaseModel] | None = None
    parameters: tuple[str, ...] = ()
    events: str = ""
    text: bool = False  # not JSON


DESCRIBED: Final[Mapping[str, Described]] = {
    "GET /v1/models": Described(wire_replies.ModelList),
    "GET /v1/models/{model}": Described("openai.types:Model"),
    "POST /v1/responses": Described(
        RESPONSE, wire.CreateResponse, ("Idempotency-Key",), "openai.types.responses:ResponseStreamEvent"
    ),
    "GET /v1/responses/{response_id}": Described(
        RESPONSE, None, ("stream", "starting_after", "include"), "openai.types.responses:ResponseStreamEvent"
    ),
    "DELETE /v1/responses/{response_id}": Described(wire_replies.Deleted),
    "POST /v1/responses/{response_id}/cancel": Described(RESPONSE),
    "GET /v1/responses/{response_id}/input_items": Described(
        "openai.types.responses.response_item_list:ResponseItemList", None, PAGING
    ),
    "POST /v1/responses/compact": Described(compacted_response, wire.CompactRequest),
    "POST /v1/conversations": Described(CONVERSATION, wire.CreateConversation),
    "GET /v1/conversations/{conversation_id}": Described(CONVERSATION),
    "POST /v1/conversations/{conversation_id}": Described(CONVERSATION, wire.UpdateConversation),
    "DELETE /v1/conversations/{conversation_id}": Described(
        "openai.types.conversations:ConversationDeletedResource", None, ("cancel",)
    ),
    "GET /v1/conversations/{conversation_id}/items": Described(ITEMS, None, PAGING),
    "POST /v1/conversations/{conversation_id}/items": Described(ITEMS, wire.AddItems),
    "GET /v1/conversations/{conversation_id}/items/{item_id}": Described(
        "openai.types.conversations:ConversationItem", None, ("include",)
    ),
    "DELETE /v1/conversations/{conversation_id}/items/{item_id}": Described(CONVERSATION),
    "POST /v1/chat/completions": Described(
        "openai.types.chat:ChatCompletion", wire.CreateChatCompletion, ("Idempotency-Key",),
        "openai.types.chat:ChatCompletionChunk",
    ),
    "GET /v1/tasks": Described(wire_replies.TaskList, None, ("conversation", "status", "limit", "after")),
    "GET /v1/tasks/stats": Described(wire_replies.Stats),
    "GET /v1/tasks/{task_id}": Described(wire_replies.ListedTask),
    "POST /v1/tasks/{task_id}/cancel": Described(wire_replies.ListedTask),
    "POST /v1/tasks/{task_id}/retry": Described(wire_replies.RetriedTask),
    "POST /v1/tasks/{task_id}/answer": Described(wire_replies.ListedTask, wire.AnswerTask),
    "GET /v1/schedules": Described(wire_replies.ScheduleList),
    "GET /v1/responses/{response_id}/steps": Described(wire_replies.StepList),
    "GET /v1/queues": Described(wire_replies.QueueList),
    "POST /v1/queues/{name}/pause": Described(wire_replies.Queue),
    "POST /v1/queues/{name}/resume": Described(wire_replies.Queue),
    "GET /v1/quotas": Described(wire_replies.QuotaList),
    "POST /v1/quotas": Described(wire_replies.Quota, wire_replies.PutQuota),
    "GET /v1/tokens": Described(wire_replies.TokenList),
    "POST /v1/tokens": Described(wire_replies.NewToken, wire_replies.IssueToken),
    "DELETE /v1/tokens/{token_id}": Described(wire_replies.Token),
    "GET /v1/usage": Described(wire_replies.UsageList, None, ("conversation", "days")),
    "GET /metrics": Described(text=True),
}  # fmt: skip


@cache
def document(endpoints: Sequence[Endpoint], version: str) -> bytes:
    """The document as JSON. It takes a second the first time: call it in a thread."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas)
    components = {"schemas": schemas.all(), "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}}
    return to_json(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Frontdesk", "version": version,
                "description": "OpenAI's Responses API over a desk of agents. The WebSocket: docs/protocol.md.",
            },
            "paths": paths,
            "components": components,
            "security": [{"bearer": []}, {}],
        }
    )  # fmt: skip


def _operation(one: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    about = DESCRIBED.get(f"{one.method} {one.path}", Described())
    text = " ".join((one.handler.__doc__ or "").split())
    names = re.findall(r"\{(\w+)\}", one.path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    parameters += [{"name": name, "in": "query", **PARAMETERS[name]} for name in about.parameters]
    content: dict[str, Any] = {"application/json": {"schema": schemas.of(about.reply) if about.reply else {}}}
    if about.text:
        content = {"text/plain": {"schema": {"type": "string"}}}
    if about.events:
        content["text/event-stream"] = {"schema": schemas.of(about.events)}
    failure = {"content": {"application/json": {"schema": schemas.of(wire.Failure)}}}
    found: dict[str, Any] = {
        "operationId": _name(one),
        "summary": text.partition(". ")[0].rstrip(".") or _name(one).replace("_", " "),
        "responses": {
            "200": {"description": "What was asked for.", "content": content},
            **{status: {"description": why, **failure} for status, why in FAILURES.items()},
        },
    }
    if text:
        found["description"] = text
    if parameters:
        found["parameters"] = parameters
    if about.body is not None:
        schema = {"application/json": {"schema": schemas.of(about.body)}}
        found["requestBody"] = {"required": True, "content": schema}
    return found


def _name(one: Endpoint) -> str:
    words = [word.strip("{}") for word in one.path.removeprefix("/v1").split("/") if word]
    return "_".join((one.method.lower(), *words))


class _Schemas:
    """The types that are referred to, and their schemas once all are known."""

    def __init__(self) -> None:
        self._models: dict[type[BaseModel], dict[str, Any]] = {}  # with what refers to them, filled in at the end
        self._unions: dict[str, dict[str, Any]] = {}

    def of(self, wanted: Reply) -> dict[str, Any]:
        found = _imported(wanted) if isinstance(wanted, str) else wanted if isinstance(wanted, type) else wanted()
        if isinstance(found, type) and issubclass(cast("type[Any]", found), BaseModel):
            return self._models.setdefault(found, {})
        name = str(wanted).rpartition(":")[2]
        if name not in self._unions:
            template = "#/components/schemas/" + name + "_{model}"
            schema = TypeAdapter[Any](found).json_schema(ref_template=template)
            definitions = cast("dict[str, Any]", schema.pop("$defs", {}))
            self._unions |= {f"{name}_{inner}": one for inner, one in definitions.items()}
            self._unions[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}

    def all(self) -> dict[str, Any]:
        wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(one, "validation") for one in self._models]
        names, schema = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
        for one, reference in self._models.items():
            reference.update(names[one, "validation"])  # two types of one name have longer ones
        return {**self._unions, **schema["$defs"]}


def _imported(where: str) -> Any:
    """A type of the `openai` package, which is imported when somebody wants to know it."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)
