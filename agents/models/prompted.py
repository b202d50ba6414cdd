"""A model without tool calls of its own, made one with them: tools are told in its prompt, calls read from its text.

It goes around any other model:

    model = PromptedModel(ChatModel("hermes-3", base_url="http://localhost:8080/v1"), Hermes())
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal
from uuid import uuid4

from ..history import said
from ..model import (
    JSON,
    FunctionCall,
    Message,
    Model,
    ModelEvent,
    ModelRequest,
    ModelSettings,
    Reasoning,
    ReasoningDelta,
    ReplyDone,
    TextDelta,
)
from .call_formats import CallFormat, Hermes, Written
from .call_scanner import CallScanner, Found, Prose, Thought


class PromptedModel:
    """``model``, told of its tools in words.

    Args:
        model: The model that is asked. It is never given tools; its name is this one's.
        form: How calls are written: `Hermes`, `Mistral`, `Fenced`, or a class of yours.
        instructions_as: ``user``: for templates without a system role, instructions stand before what the person says
            first.
        alternate: For templates in which roles must take turns: neighbours of one role become one message. Outputs of
            tools are told by the user in any case, as no template lacks that role.
    """

    def __init__(
        self,
        model: Model,
        form: CallFormat | None = None,
        *,
        instructions_as: Literal["system", "user"] = "system",
        alternate: bool = True,
    ) -> None:
        self._model, self._form = model, form or Hermes()
        self._instructions_as, self._alternate = instructions_as, alternate

    @property
    def name(self) -> str:
        return self._model.name

    def request(self, request: ModelRequest) -> ModelRequest:
        """What the model behind is asked: the same in words alone."""
        parts = [request.instructions]
        if request.tools and request.settings.tool_choice != "none":
            parts += [self._form.describe(request.tools), *_chosen(request.settings)]
        instructions = "\n\n".join(part for part in parts if part)
        items = _in_words(request.items, self._form)
        if self._instructions_as == "user" and instructions:
            items.insert(0, {"type": "message", "role": "user", "content": instructions})
            instructions = ""
        if self._alternate:
            items = _alternating(items)
        settings = replace(request.settings, tool_choice=None, parallel_tool_calls=None)
        return replace(request, instructions=instructions, items=tuple(items), tools=(), settings=settings)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        reading = _Reading(self._form)
        async with aclosing(self._model.stream(self.request(request))) as events:
            async for event in events:
                match event:
                    case TextDelta():
                        for heard in reading.hear(event.text):
                            yield heard
                    case Message():
                        for heard in reading.message(event.text):
                            yield heard
                    case ReplyDone():
                        for heard in reading.end():
                            yield heard
                        yield event
                    case _:
                        yield event

    async def aclose(self) -> None:
        """Closes the connections of the model behind."""
        close: Any = getattr(self._model, "aclose", None)
        if close is not None:
            await close()


class _Reading:
    """One reply, as it is heard. Its message comes before its calls, wherever they stood in the text."""

    def __init__(self, form: CallFormat) -> None:
        self._scanner = CallScanner(form)
        self._heard = False  # the message came in pieces
        self._said, self._thought = list[str](), list[str]()
        self._calls = list[Written]()

    def hear(self, text: str) -> Iterable[ModelEvent]:
        self._heard = True
        return self._told(self._scanner.feed(text))

    def message(self, text: str) -> Iterable[ModelEvent]:
        """A whole message; what its pieces have said already is not said again."""
        if not self._heard:
            yield from self._told(self._scanner.feed(text))
        yield from self._told(self._scanner.end())
        self._heard = False

    def end(self) -> Iterable[ModelEvent]:
        yield from self._told(self._scanner.end())
        if self._thought:
            summary = [{"type": "summary_text", "text": "".join(self._thought).strip()}]
            yield Reasoning({"type": "reasoning", "id": f"rs_{uuid4().hex}", "summary": summary})
        if self._said:
            yield Message("".join(self._said))
        for one in self._calls:
            yield FunctionCall(f"call_{uuid4().hex}", one.name, one.arguments)

    def _told(self, found: Iterable[Found]) -> Iterable[ModelEvent]:
        for one in found:
            match one:
                case Prose():
                    self._said.append(one.text)
                    yield TextDelta(one.text)
                case Thought():
                    self._thought.append(one.text)
                    yield ReasoningDelta(one.text)
                case Written():
                    self._calls.append(one)


def _chosen(settings: ModelSettings) -> list[str]:
    match settings.tool_choice:
        case None | "auto" | "none":
            return []
        case "required":
            return ["Call at least one of the tools now."]
        case name:
            return [f"Call the tool {name} now."]


def _in_words(items: Sequence[JSON], form: CallFormat) -> list[JSON]:
    """Calls and outputs as messages; what else a text model cannot be told is left out."""
    names = {one["call_id"]: str(one["name"]) for one in items if one.get("type") == "function_call"}
    found: list[JSON] = []
    calls: list[Written] = []

    def flush() -> None:
        if calls:
            found.append({"type": "message", "role": "assistant", "content": form.called(calls)})
            calls.clear()

    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call":
            calls.append(Written(str(item["name"]), str(item["arguments"]) or "{}"))
            continue
        flush()
        if kind == "function_call_output":
            output = item["output"] if isinstance(item["output"], str) else said(item["output"])
            told = form.answered(names.get(item["call_id"], "tool"), str(item["call_id"]), output)
            found.append({"type": "message", "role": "user", "content": told})
        elif kind == "message":
            found.append(dict(item))
    flush()
    return found


def _alternating(items: Sequence[JSON]) -> list[JSON]:
    """Neighbouring messages of one role as one; those with pictures or files keep all their parts."""
    found: list[JSON] = []
    for item in items:
        last = found[-1] if found else None
        if last is None or last["role"] != item["role"]:
            found.append(dict(item))
        elif isinstance(last["content"], str) and isinstance(item["content"], str):
            last["content"] = f"{last['content']}\n\n{item['content']}"
        else:
            last["content"] = [*_parts(last["content"]), *_parts(item["content"])]
    return found


def _parts(content: Any) -> list[JSON]:
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else list(content)
