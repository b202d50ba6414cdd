"""Answers of Chat Completions: a response's body in, a completion out; its events in, chunks out. Pure.

What the desk ran itself is not shown: a front end would take its calls for its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pydantic_core import from_json, to_json

from ..agents.dialogs import BETWEEN, whole_text
from .checks import JSON
from .errors import WireError
from .outgoing import TERMINAL, kind_of

DONE: Final = "[DONE]"


def completion(body: JSON) -> JSON:
    """The completion that a response is. Raises WireError when it has failed: a completion cannot say so."""
    check_succeeded(body)
    calls = tool_calls(body["output"])
    message: JSON = {
        "role": "assistant",
        "content": whole_text(body["output"]) or (None if calls else ""),
        "refusal": None,
    }
    if calls:
        message["tool_calls"] = calls
    choice: JSON = {"index": 0, "message": message, "finish_reason": finish_reason(body), "logprobs": None}
    return {**_head(body, "chat.completion"), "choices": [choice], "usage": usage(body["usage"])}


def check_succeeded(body: JSON) -> None:
    """Raises WireError when the response has failed."""
    if body["status"] == "failed":
        error: JSON = body.get("error") or {}
        text = str(error.get("message") or "the turn failed")
        raise WireError(500, "server_error", text, headers={"x-should-retry": "false"})


def tool_calls(output: Sequence[JSON]) -> list[JSON]:
    """The functions that the client is to run."""
    return [
        {"id": one["call_id"], "type": "function", "function": {"name": one["name"], "arguments": one["arguments"]}}
        for one in output
        if one.get("type") == "function_call"
    ]


def finish_reason(body: JSON) -> str:
    """Why it ended, in the closed list of chat; a limit of ours is ``length`` there."""
    if any(one.get("type") == "function_call" for one in body["output"]):
        return "tool_calls"
    details: JSON = body.get("incomplete_details") or {}
    reason = str(details.get("reason"))
    return {"max_output_tokens": "length", "content_filter": "content_filter"}.get(reason, "stop")


def usage(given: JSON | None) -> JSON:
    """A response's usage in the words of chat."""
    found = given or {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    read: JSON = found.get("input_tokens_details") or {}
    written: JSON = found.get("output_tokens_details") or {}
    return {
        "prompt_tokens": found["input_tokens"],
        "completion_tokens": found["output_tokens"],
        "total_tokens": found["total_tokens"],
        "prompt_tokens_details": {
            "cached_tokens": read.get("cached_tokens", 0), "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": written.get("reasoning_tokens", 0),
            "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip


def _head(body: JSON, kind: str) -> JSON:
    return {
        "id": f"chatcmpl-{str(body['id']).removeprefix('resp_')}", "object": kind,
        "created": int(body["created_at"]), "model": body["model"], "conversation": body["conversation"],
    }  # fmt: skip


class Chunks:
    """The chunks of one completion, made of a response's events in their order. Call `of` with each event's text."""

    def __init__(self, *, with_usage: bool) -> None:
        self._with_usage = with_usage
        self._head: JSON = {}
        self._said = ""
        self._again = False  # another message begins
        self._calls = 0

    def of(self, text: str) -> Iterator[str]:
        """The data of the frames that an event becomes. Raises WireError when the response has failed."""
        kind = kind_of(text)
        if kind == "response.created":
            self._head = _head(from_json(text)["response"], "chat.completion.chunk")
            yield self._chunk({"role": "assistant", "content": ""})
        elif kind == "response.output_text.delta":
            yield from self._say(from_json(text)["delta"])
        elif kind == "response.output_item.added":
            self._again = self._again or (bool(self._said) and from_json(text)["item"]["type"] == "message")
        elif kind == "response.output_item.done":
            yield from self._call(from_json(text)["item"])
        elif kind in TERMINAL:
            yield from self._end(from_json(text)["response"])

    def _say(self, delta: str) -> Iterator[str]:
        if delta:
            piece = BETWEEN + delta if self._again else delta
            self._again = False
            self._said += piece
            yield self._chunk({"content": piece})

    def _call(self, item: JSON) -> Iterator[str]:
        for call in tool_calls([item]):
            yield self._chunk({"tool_calls": [{"index": self._calls, **call}]})
            self._calls += 1

    def _end(self, body: JSON) -> Iterator[str]:
        check_succeeded(body)
        if not self._head:
            self._head = _head(body, "chat.completion.chunk")
        whole = whole_text(body["output"])
        if whole.startswith(self._said) and len(whole) > len(self._said):  # deltas that the log did not keep
            self._again = False
            yield from self._say(whole[len(self._said) :])
        yield self._chunk({}, finish_reason(body))
        if self._with_usage:
            yield self._text([], usage(body["usage"]))
        yield DONE

    def _chunk(self, delta: JSON, finish: str | None = None) -> str:
        return self._text([{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}], None)

    def _text(self, choices: list[JSON], used: JSON | None) -> str:
        chunk: dict[str, Any] = {**self._head, "choices": choices}
        if self._with_usage:
            chunk["usage"] = used
        return to_json(chunk).decode()
