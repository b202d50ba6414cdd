"""Models behind the Chat Completions API: what is sent, and what its chunks mean. How it is sent is in ``connection``.

Many servers speak it, none quite alike. What they do differently, and what is made of it, is in `ChatReader` and
``chat_calls``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from ..history import said
from ..model import (
    JSON,
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
from .chat_calls import CallParts
from .chat_messages import chat_messages
from .connection import Connection, Patience, merged
from .failures import Unanswered, of_event

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class ChatModel:
    """A model of any server that speaks Chat Completions.

    ``base_url``, ``api_key``, ``client``, ``patience``, `aclose`: as of ``ResponsesModel``. For servers that refuse
    what others need: ``ask_usage=False`` does not ask for token counts, ``strict_tools=False`` does not mention
    ``strict``; ``reasoning_field`` is where open reasoning is sent back beside the calls that it led to, None for
    nowhere. A server that wants ``max_tokens`` gets it by ``settings.extra``.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        client: AsyncOpenAI | None = None,
        ask_usage: bool = True,
        strict_tools: bool = True,
        reasoning_field: str | None = "reasoning_content",
        patience: Patience | None = None,
    ) -> None:
        self._name = name
        self._ask_usage, self._strict, self._field = ask_usage, strict_tools, reasoning_field
        self._connection = Connection(name, base_url=base_url, api_key=api_key, client=client, patience=patience)

    @property
    def name(self) -> str:
        return self._name

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The reply to ``request``."""
        messages = chat_messages(request.instructions, request.items, reasoning_field=self._field)
        body = request_body(self._name, messages, request, strict=self._strict)
        if self._ask_usage:
            body["stream_options"] = {"include_usage": True}
        taken = frozenset(str(item["call_id"]) for item in request.items if item.get("type") == "function_call")
        return self._connection.reply(
            "/chat/completions",
            merged(body, request.settings.extra),
            lambda: ChatReader(self._name),
            taken=taken,
        )

    async def aclose(self) -> None:
        """Closes the connections of this event loop."""
        await self._connection.aclose()


def request_body(model: str, messages: list[JSON], request: ModelRequest, *, strict: bool) -> JSON:
    """The body of POST /chat/completions, without options of the stream and ``settings.extra``."""
    settings = request.settings
    body: JSON = {"model": model, "messages": messages, "stream": True}
    if request.tools:
        body["tools"] = [_tool(tool, strict=strict) for tool in request.tools]
        if settings.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = settings.parallel_tool_calls
        if settings.tool_choice is not None:
            body["tool_choice"] = _tool_choice(settings.tool_choice)
    if answer := _response_format(request.text.get("format")):
        body["response_format"] = answer
    fields = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_completion_tokens": settings.max_output_tokens,
        "reasoning_effort": settings.reasoning_effort,
        "verbosity": request.text.get("verbosity"),
    }
    return body | {key: value for key, value in fields.items() if value is not None}


def _tool(tool: ToolSpec, *, strict: bool) -> JSON:
    function: JSON = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    if strict and tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _response_format(of: JSON | None) -> JSON | None:
    """The form of the answer as Chat Completions has it; text is what every server answers with unasked."""
    if not of or of.get("type") == "text":
        return None
    if of.get("type") != "json_schema":
        return of
    keys = ("name", "description", "schema", "strict")
    return {"type": "json_schema", "json_schema": {key: of[key] for key in keys if of.get(key) is not None}}


def _tool_choice(choice: str) -> str | JSON:
    return choice if choice in ("auto", "required", "none") else {"type": "function", "function": {"name": choice}}


class ChatReader:
    """The chunks of one completion.

    Reasoning, text and calls grow side by side, and each is whole only at the end. A stream is complete when it gave a
    finish reason or ``[DONE]``: some servers leave out the one, some the other. A body without chunks (from a server
    that ignores ``stream``) is read as one chunk; usage may come with any chunk, the last counts.
    """

    def __init__(self, model: str) -> None:
        self.finished = False
        self._model = model
        self._thought, self._said = list[str](), list[str]()
        self._calls = CallParts()
        self._reason = ""
        self._usage = Usage()

    def read(self, event: JSON) -> Iterable[ModelEvent]:
        if event.get("error"):
            raise of_event(self._model, event["error"])
        if event.get("usage"):
            self._usage = _usage(event["usage"])
        return [heard for choice in event.get("choices") or () for heard in self._choice(choice)]

    def end(self) -> Iterable[ModelEvent]:
        if not (self._reason or self.finished):
            raise Unanswered(self._model, "the stream ended before the reply was complete")
        finish = _finish(self._reason)
        if self._thought:
            yield Reasoning(_reasoning("".join(self._thought)))
        if self._said:
            yield Message("".join(self._said))
        yield from self._calls.calls(cut_off=finish != "stop")
        yield ReplyDone(self._usage, finish)

    def _choice(self, choice: JSON) -> Iterable[ModelEvent]:
        if choice.get("index"):  # a second answer, which only settings.extra can ask for
            return
        delta: JSON = choice.get("delta") or choice.get("message") or {}
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            self._thought.append(thought)
            yield ReasoningDelta(thought)
        if text := said(delta.get("content") or delta.get("refusal") or ""):
            self._said.append(text)
            yield TextDelta(text)
        for part in delta.get("tool_calls") or ():
            self._calls.add(part)
        self._reason = choice.get("finish_reason") or self._reason
        if self._reason == "error":
            raise Unanswered(self._model, "the provider failed while it answered")


def _reasoning(text: str) -> JSON:
    content = [{"type": "reasoning_text", "text": text}]
    return {"type": "reasoning", "id": f"rs_{uuid4().hex}", "summary": list[Any](), "content": content}


def _finish(reason: str) -> Literal["stop", "length", "content_filter"]:
    match reason:
        case "length" | "content_filter":
            return reason
        case _:  # stop, tool_calls, function_call, and what servers invent
            return "stop"


def _usage(usage: JSON) -> Usage:
    inputs: JSON = usage.get("prompt_tokens_details") or {}
    outputs: JSON = usage.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=usage.get("prompt_tokens") or 0,
        cached_tokens=inputs.get("cached_tokens") or 0,
        cache_write_tokens=inputs.get("cache_write_tokens") or 0,
        output_tokens=usage.get("completion_tokens") or 0,
        reasoning_tokens=outputs.get("reasoning_tokens") or 0,
    )
