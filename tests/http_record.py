"""What clients received over HTTP, byte for byte, and what holds for all of it: bodies and events are of the SDK's
types, events come in order.

It sees the bytes below the official client (the transport is ours, what it does is not changed).
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
from openai import AsyncOpenAI
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.conversations import Conversation, ConversationDeletedResource, ConversationItem, ConversationItemList
from openai.types.responses import CompactedResponse, Response
from openai.types.responses.response_item_list import ResponseItemList
from pydantic import TypeAdapter

from frontdesk.server.compacted import compacted_response
from frontdesk.tests.wire_record import TERMINAL, validated

KINDS: list[tuple[str, str, Any]] = [  # method, path, what a good answer is
    ("POST", r"/v1/responses", Response),
    ("POST", r"/v1/responses/compact", CompactedResponse),
    ("GET", r"/v1/responses/[^/]+", Response),
    ("POST", r"/v1/responses/[^/]+/cancel", Response),
    ("GET", r"/v1/responses/[^/]+/input_items", ResponseItemList),
    ("POST", r"/v1/conversations", Conversation),
    ("GET|POST", r"/v1/conversations/[^/]+", Conversation),
    ("DELETE", r"/v1/conversations/[^/]+", ConversationDeletedResource),
    ("GET|POST", r"/v1/conversations/[^/]+/items", ConversationItemList),
    ("GET", r"/v1/conversations/[^/]+/items/[^/]+", ConversationItem),
    ("DELETE", r"/v1/conversations/[^/]+/items/[^/]+", Conversation),
    ("POST", r"/v1/chat/completions", ChatCompletion),
    ("GET", r"/v1/models/[^/]+", Model),
    ("GET|POST", r"/v1/(tasks|usage|quotas).*", dict[str, Any]),
]
ERROR = {"type", "code", "message", "param"}


@dataclass
class Exchange:
    """One request and what came back; ``cut`` when the client closed it, or the server."""

    method: str
    path: str
    status: int
    headers: httpx2.Headers
    received: bytearray = field(default_factory=bytearray)

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def data(self) -> list[str]:
        """The data of the whole events of a stream."""
        whole = self.received.decode(errors="replace").rpartition("\n\n")[0]
        return [line[6:] for line in whole.split("\n") if line.startswith("data: ")]


class _Tee(httpx2.AsyncByteStream):
    def __init__(self, inner: Any, into: bytearray) -> None:
        self._inner, self._into = inner, into

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._into += chunk
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Transport(httpx2.AsyncHTTPTransport):
    def __init__(self, exchanges: list[Exchange]) -> None:
        super().__init__()
        self._exchanges = exchanges

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        exchange = Exchange(request.method, request.url.path, response.status_code, response.headers)
        self._exchanges.append(exchange)
        response.stream = _Tee(response.stream, exchange.received)
        return response


class HTTPRecord:
    """Everything that its clients received."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def client(self, base_url: str, **options: Any) -> AsyncOpenAI:
        """The official client, recorded."""
        given: dict[str, Any] = {"api_key": "any", "max_retries": 0, **options}
        return AsyncOpenAI(
            base_url=base_url, http_client=httpx2.AsyncClient(transport=_Transport(self.exchanges)), **given
        )

    def check(self) -> None:
        """Fails when anything that was received breaks a rule."""
        for one in self.exchanges:
            if one.is_stream:
                check_stream(one)
            elif one.received:
                check_body(one)


def check_stream(one: Exchange) -> None:
    """Each event is of its type, and they come in order."""
    if one.path.endswith("/chat/completions"):
        *chunks, _ = one.data() or [""]
        for chunk in chunks:
            ChatCompletionChunk.model_validate_json(chunk, strict=True)
        return
    last, cursor, ended = -1, 0, False
    for text in one.data():
        event = json.loads(text)
        if event["type"] == "error":
            assert {"code", "message", "param", "sequence_number", "type"} == set(event)
            continue
        validated(text)
        assert not ended, f"after the end comes {text}"
        assert event["sequence_number"] > last
        assert int(event["cursor"]) > cursor
        last, cursor, ended = event["sequence_number"], int(event["cursor"]), event["type"] in TERMINAL


def check_body(one: Exchange) -> None:
    """The body is of its type, or an error."""
    body = json.loads(bytes(one.received))
    if one.status >= 400:
        assert set(body) == {"error"}
        assert set(body["error"]) >= ERROR
        assert isinstance(body["error"]["message"], str)
        return
    for method, path, kind in KINDS:
        if re.fullmatch(method, one.method) and re.fullmatch(path, one.path):
            if kind is CompactedResponse:  # the SDK's type of its items does not hold the user's messages, ours does
                compacted_response().model_validate_json(bytes(one.received), strict=True)
                body["output"] = [item for item in body["output"] if item.get("role") != "user"]
            TypeAdapter(kind).validate_json(json.dumps(body), strict=True)
            return
    if one.method == "GET" and one.path == "/v1/models":
        for model in body["data"]:
            Model.model_validate(model, strict=True)
        return
    assert body == {"id": one.path.rpartition("/")[2], "object": "response", "deleted": True}
