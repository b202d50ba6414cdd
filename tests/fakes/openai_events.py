"""What OpenAI's API answers: the events of a response, the chunks of a chat completion. Pure; no server here.

Shapes and order are those of the API reference; a test validates each against the classes of the ``openai`` package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, TypeAlias

JSON: TypeAlias = dict[str, Any]
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Say:
    """A message of the model; with ``refusal``, one that refuses."""

    text: str
    refusal: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function. Without ``call_id`` it gets a new one."""

    name: str
    arguments: str = "{}"
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Think:
    """Reasoning, in as many summary parts as texts; Chat Completions has it as ``reasoning_content``."""

    summary: tuple[str, ...]


Part: TypeAlias = Say | Call | Think
Finish: TypeAlias = Literal["stop", "length", "content_filter"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply. ``piece``: characters per delta. ``failure``: the error that ends it.

    With a ``finish`` other than stop its last part is cut off.
    """

    parts: tuple[Part, ...]
    finish: Finish = "stop"
    piece: int = 4
    failure: JSON | None = None
    usage: bool = True


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _item(part: Part, status: str) -> JSON:
    number = next(_numbers)
    match part:
        case Say():
            content = [_content(part, part.text)]
            return {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": status, "content": content}
        case Call():
            call = {"call_id": part.call_id or f"call_{number}", "name": part.name, "arguments": part.arguments}
            return {"id": f"fc_{number}", "type": "function_call", "status": status} | call
        case Think():
            summary = [{"type": "summary_text", "text": text} for text in part.summary]
            secret = {"encrypted_content": f"secret of {number}"}
            return {"id": f"rs_{number}", "type": "reasoning", "summary": summary} | secret


def _content(part: Say, text: str) -> JSON:
    if part.refusal:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def response(answer: Answer, request: JSON) -> JSON:
    """The whole response, as POST /v1/responses returns it without ``stream``."""
    last = len(answer.parts) - 1
    cut = answer.finish != "stop"
    items = [
        _item(part, "incomplete" if cut and place == last else "completed") for place, part in enumerate(answer.parts)
    ]
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish)
    body = _opened(request) | {"status": "incomplete" if reason else "completed", "output": items}
    if answer.usage:
        details = {"input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2}}
        details |= {"output_tokens_details": {"reasoning_tokens": 3}}
        body["usage"] = {"input_tokens": 50, "output_tokens": 20, "total_tokens": 70} | details
    if reason:
        body["incomplete_details"] = {"reason": reason}
    if answer.failure is not None:
        body |= {"status": "failed", "error": answer.failure, "output": []}
    return body


def _opened(request: JSON) -> JSON:
    named = {key: request.get(key) for key in ("model", "instructions", "temperature", "top_p", "max_output_tokens")}
    head = {"id": f"resp_{next(_numbers)}", "object": "response", "created_at": 1, "status": "in_progress"}
    rest: JSON = {
        "error": None,
        "incomplete_details": None,
        "metadata": {},
        "output": [],
        "usage": None,
        "store": False,
    }
    choice = {"parallel_tool_calls": True, "tool_choice": request.get("tool_choice", "auto")}
    return head | named | rest | choice | {"tools": request.get("tools", [])}


def response_events(answer: Answer, request: JSON) -> list[JSON]:
    """The same as events, numbered, in the API's order."""
    whole = response(answer, request)
    opened: JSON = whole | {"status": "in_progress", "output": [], "usage": None}
    opened |= {"error": None, "incomplete_details": None}
    events: list[JSON] = [
        {"type": "response.created", "response": opened},
        {"type": "response.in_progress", "response": opened},
    ]
    for index, part in enumerate(answer.parts):
        item = whole["output"][index] if whole["output"] else _item(part, "completed")
        place = {"item_id": item["id"], "output_index": index}
        events.append({"type": "response.output_item.added", "output_index": index, "item": _emptied(item)})
        events += (event | place for event in _part_events(part, item, answer.piece))
        if answer.failure is None:
            events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": f"response.{whole['status']}", "response": whole})
    return [event | {"sequence_number": number} for number, event in enumerate(events)]


def _emptied(item: JSON) -> JSON:
    fields: dict[str, JSON] = {
        "message": {"content": []},
        "function_call": {"arguments": ""},
        "reasoning": {"summary": []},
    }
    return item | fields[item["type"]] | ({"status": "in_progress"} if "status" in item else {})


def _part_events(part: Part, item: JSON, size: int) -> Iterator[JSON]:
    match part:
        case Say():
            kind, field = ("refusal", "refusal") if part.refusal else ("output_text", "text")
            more: JSON = {} if part.refusal else {"logprobs": []}
            yield {"type": "response.content_part.added", "content_index": 0, "part": _content(part, "")}
            for piece in _pieces(part.text, size):
                yield {"type": f"response.{kind}.delta", "content_index": 0, "delta": piece} | more
            yield {"type": f"response.{kind}.done", "content_index": 0, field: part.text} | more
            yield {"type": "response.content_part.done", "content_index": 0, "part": item["content"][0]}
        case Call():
            for piece in _pieces(part.arguments, size):
                yield {"type": "response.function_call_arguments.delta", "delta": piece}
            yield {"type": "response.function_call_arguments.done", "name": part.name, "arguments": part.arguments}
        case Think():
            for number, text in enumerate(part.summary):
                place: JSON = {"summary_index": number}
                empty, full = ({"type": "summary_text", "text": words} for words in ("", text))
                yield place | {"type": "response.reasoning_summary_part.added", "part": empty}
                for piece in _pieces(text, size):
                    yield place | {"type": "response.reasoning_summary_text.delta", "delta": piece}
                yield place | {"type": "response.reasoning_summary_text.done", "text": text}
                yield place | {"type": "response.reasoning_summary_part.done", "part": full}


def completion(answer: Answer, request: JSON) -> JSON:
    """The whole chat completion, as POST /v1/chat/completions returns it without ``stream``."""
    said = "".join(part.text for part in answer.parts if isinstance(part, Say) and not part.refusal)
    refused = "".join(part.text for part in answer.parts if isinstance(part, Say) and part.refusal)
    thought = "".join(text for part in answer.parts if isinstance(part, Think) for text in part.summary)
    message: JSON = {"role": "assistant", "content": said or None, "refusal": refused or None}
    if calls := [_tool_call(part) for part in answer.parts if isinstance(part, Call)]:
        message["tool_calls"] = calls
    if thought:
        message["reasoning_content"] = thought
    choice: JSON = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(answer)}
    head = {"id": f"chatcmpl-{next(_numbers)}", "object": "chat.completion", "created": 1, "model": request["model"]}
    return head | {"choices": [choice]} | ({"usage": _chat_usage()} if answer.usage else {})


def _tool_call(part: Call) -> JSON:
    function = {"name": part.name, "arguments": part.arguments}
    return {"id": part.call_id or f"call_{next(_numbers)}", "type": "function", "function": function}


def _reason(answer: Answer) -> str:
    called = any(isinstance(part, Call) for part in answer.parts)
    return "tool_calls" if called and answer.finish == "stop" else answer.finish


def _chat_usage() -> JSON:
    details = {"prompt_tokens_details": {"cached_tokens": 8}, "completion_tokens_details": {"reasoning_tokens": 3}}
    return {"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 70} | details


def completion_chunks(answer: Answer, request: JSON) -> list[JSON]:
    """The same as chunks; the usage has one of its own when ``stream_options`` asks for it."""
    message = completion(answer, request)["choices"][0]["message"]
    deltas: list[JSON] = [{"role": "assistant", "content": ""}]
    for field in ("reasoning_content", "content", "refusal"):
        deltas += [{field: piece} for piece in _pieces(message.get(field) or "", answer.piece)]
    for index, call in enumerate(message.get("tool_calls", ())):
        opened = call | {"index": index, "function": call["function"] | {"arguments": ""}}
        pieces = _pieces(call["function"]["arguments"], answer.piece)
        deltas.append({"tool_calls": [opened]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
    identity = {"id": f"chatcmpl-{next(_numbers)}", "object": "chat.completion.chunk"}
    head: JSON = identity | {"created": 1, "model": request["model"]}
    chunks = [head | {"choices": [_choice(delta, None)]} for delta in deltas]
    if answer.failure is not None:
        return [*chunks, {"error": answer.failure}]
    chunks.append(head | {"choices": [_choice({}, _reason(answer))]})
    options: JSON = request.get("stream_options") or {}
    if answer.usage and options.get("include_usage"):
        chunks.append(head | {"choices": list[JSON](), "usage": _chat_usage()})
    return chunks


def _choice(delta: JSON, reason: str | None) -> JSON:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
