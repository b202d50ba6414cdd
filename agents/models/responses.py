"""Models behind OpenAI's Responses API: what is sent, and what its events mean. How it is sent is in ``connection``.

Stateless: ``store`` is false and the whole history goes along each time, with the encrypted reasoning items of models
that reason.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, Literal

from ..history import said
from ..model import (
    JSON,
    FunctionCall,
    Message,
    ModelEvent,
    ModelRequest,
    Reasoning,
    ReasoningDelta,
    ReplyDone,
    TextDelta,
    ToolSpec,
    Usage,
)
from .connection import Connection, Patience, merged
from .failures import Refused, Unanswered, of_event

if TYPE_CHECKING:
    from openai import AsyncOpenAI

ENCRYPTED: Final = "reasoning.encrypted_content"
# Other models answer 400 when asked for encrypted reasoning ("Encrypted content is not supported with this model").
_REASONS: Final = re.compile(r"(.*/)?(o\d|gpt-[5-9]|codex)(?!.*-chat)")
_IGNORED: Final = frozenset(
    {
        b"response.created",  # repeats instructions and tools, which may be long
        b"response.in_progress",
        b"response.queued",
        b"response.output_item.added",
        b"response.content_part.added",
        b"response.content_part.done",
        b"response.output_text.done",
        b"response.refusal.done",
        b"response.reasoning_summary_text.done",
        b"response.reasoning_summary_part.done",
        b"response.reasoning_text.done",
        b"response.function_call_arguments.delta",
        b"response.function_call_arguments.done",
    }
)


class ResponsesModel:
    """A model of OpenAI, or of a server that speaks its Responses API.

    ``base_url`` and ``api_key`` default to what the ``openai`` client finds (OPENAI_BASE_URL, OPENAI_API_KEY);
    ``client`` is used instead where given, and left open. ``reasons``: whether it returns encrypted reasoning to be
    sent back; None: by its name. Close it with `aclose` in each event loop that it was used in.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        client: AsyncOpenAI | None = None,
        reasons: bool | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._name = name
        self._reasons = bool(_REASONS.match(name)) if reasons is None else reasons
        self._connection = Connection(name, base_url=base_url, api_key=api_key, client=client, patience=patience)

    @property
    def name(self) -> str:
        return self._name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The reply to ``request``.

        Reasoning that the provider cannot decrypt (its keys have changed, or the model's deployment has) is left out
        in a second try: otherwise it would refuse the conversation for good.
        """
        body = request_body(self._name, request, reasons=self._reasons)
        try:
            async with aclosing(self._reply(request, body)) as events:
                async for event in events:
                    yield event
            return
        except Refused as error:
            if not _is_about_reasoning(error):
                raise
        async with aclosing(self._reply(request, without_reasoning(body))) as events:
            async for event in events:
                yield event

    async def aclose(self) -> None:
        """Closes the connections of this event loop."""
        await self._connection.aclose()

    def _reply(self, request: ModelRequest, body: JSON) -> AsyncGenerator[ModelEvent, None]:
        taken = frozenset(str(item["call_id"]) for item in request.items if item.get("type") == "function_call")
        return self._connection.reply(
            "/responses", body, lambda: ResponsesReader(self._name), ignored=_IGNORED, taken=taken
        )


def request_body(model: str, request: ModelRequest, *, reasons: bool) -> JSON:
    """The body of POST /responses. ``settings.extra`` comes last; where both are objects, they are merged."""
    settings = request.settings
    body: JSON = {"model": model, "input": [_input(item) for item in request.items], "stream": True, "store": False}
    if request.instructions:
        body["instructions"] = request.instructions
    if reasons or settings.reasoning_effort is not None:
        body["include"] = [ENCRYPTED]
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if settings.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = settings.parallel_tool_calls
        if settings.tool_choice is not None:
            body["tool_choice"] = _tool_choice(settings.tool_choice)
    for key in ("temperature", "top_p", "max_output_tokens"):
        if (value := getattr(settings, key)) is not None:
            body[key] = value
    if request.text:
        body["text"] = request.text
    if settings.reasoning_effort is not None:
        body["reasoning"] = {"effort": settings.reasoning_effort}
    return merged(body, settings.extra)


def without_reasoning(body: JSON) -> JSON:
    """The same request without reasoning items, and without asking for new ones."""
    items = [item for item in body["input"] if item.get("type") != "reasoning"]
    return {key: value for key, value in body.items() if key != "include"} | {"input": items}


def _input(item: JSON) -> JSON:
    """Encrypted reasoning goes without its id, looked up in vain, and without its text, which OpenAI refuses."""
    if item.get("type") != "reasoning" or not item.get("encrypted_content"):
        return item
    return {key: value for key, value in item.items() if key not in ("id", "content")}


def _tool(tool: ToolSpec) -> JSON:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }


def _tool_choice(choice: str) -> str | JSON:
    return choice if choice in ("auto", "required", "none") else {"type": "function", "name": choice}


def _is_about_reasoning(error: Refused) -> bool:
    return error.code == "invalid_encrypted_content" or "ncrypted content is not supported" in str(error)


class ResponsesReader:
    """The events of one response, in the order in which they came.

    A reply is a sequence of items: each is finished by its ``output_item.done``, and the stream by ``completed``,
    ``incomplete``, ``failed`` or ``error``. A body without events (from a server that ignores ``stream``) is read as
    its own last event.
    """

    def __init__(self, model: str) -> None:
        self.finished = False
        self._model = model
        self._said = ""  # text of deltas that no message has closed yet
        self._items = 0
        self._end: ReplyDone | None = None

    def read(self, event: JSON) -> Iterable[ModelEvent]:
        kind = event.get("type") or (f"response.{event.get('status')}" if event.get("object") == "response" else "")
        match kind:
            case "response.output_text.delta" | "response.refusal.delta":
                self._said += event["delta"]
                return (TextDelta(event["delta"]),)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return (ReasoningDelta(event["delta"]),)
            case "response.reasoning_summary_part.added" if event.get("summary_index"):
                return (ReasoningDelta("\n\n"),)
            case "response.output_item.done":
                return self._item(event["item"])
            case "response.completed" | "response.incomplete":
                return self._finished(event.get("response", event))
            case "response.failed":
                raise of_event(self._model, event.get("response", event).get("error"))
            case "error":
                raise of_event(self._model, event.get("error") or event)
            case _:
                return ()

    def end(self) -> Iterable[ModelEvent]:
        if self._end is None:
            raise Unanswered(self._model, "the stream ended before the reply was complete")
        if self._said:
            yield Message(self._said)
        yield self._end

    def _item(self, item: JSON) -> Iterable[ModelEvent]:
        self._items += 1
        match item.get("type"):
            case "message":
                text, heard, self._said = said(item["content"]), self._said, ""
                return (Message(text),) if heard or not text else (TextDelta(text), Message(text))
            case "reasoning":
                return (Reasoning(item),)
            case "function_call" if item.get("status") != "incomplete":  # its arguments are cut off
                return (FunctionCall(item.get("call_id") or "", item["name"], item["arguments"]),)
            case _:
                return ()

    def _finished(self, response: JSON) -> Iterable[ModelEvent]:
        self.finished = True
        items: Sequence[JSON] = response.get("output") or ()
        events = [event for item in items[self._items :] for event in self._item(item)]
        self._end = ReplyDone(_usage(response.get("usage") or {}), _finish(response))
        return events


def _finish(response: JSON) -> Literal["stop", "length", "content_filter"]:
    if response.get("status") != "incomplete":
        return "stop"
    details: JSON = response.get("incomplete_details") or {}
    reason = details.get("reason")
    return "content_filter" if reason == "content_filter" else "length"


def _usage(usage: JSON) -> Usage:
    inputs: JSON = usage.get("input_tokens_details") or {}
    outputs: JSON = usage.get("output_tokens_details") or {}
    return Usage(
        input_tokens=usage.get("input_tokens") or 0,
        cached_tokens=inputs.get("cached_tokens") or 0,
        cache_write_tokens=inputs.get("cache_write_tokens") or 0,
        output_tokens=usage.get("output_tokens") or 0,
        reasoning_tokens=outputs.get("reasoning_tokens") or 0,
    )
