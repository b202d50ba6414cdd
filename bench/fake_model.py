"""OpenAI's streaming API at no cost: what a model would say is made once, and sent at once. Nothing is checked here.

    python -m frontdesk.bench.fake_model      prints its address; a SIGTERM ends it

A request that holds no tool output is answered with one call of ``add`` (with three of ``slow``, when it says "three at
once"), one that does with twenty deltas of text; as a stream, or whole when none is asked for. It is a hand-written
protocol on asyncio, in a process of its own, so that the server is not what is measured.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import count
from typing import Any, Final, TypeAlias

from .desk import ANSWER, WORDS

JSON: TypeAlias = dict[str, Any]

MARK: Final = b"@@@@@@@@"  # where each reply gets a number of its own: ids may not repeat
PIECES: Final = ('{"a"', ":1,", '"b":', "2}")
THREE: Final = b"three at once"


def chunk(delta: JSON, finish: str | None = None) -> JSON:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-@@@@@@@@", "object": "chat.completion.chunk", "created": 1, "model": "fake"}
    return {**head, "choices": [choice]}


def chat_events(*, final: bool) -> list[JSON]:
    """The chunks of a completion, with its usage."""
    if final:
        said = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": word}) for word in WORDS)]
    else:
        first = {"index": 0, "id": "call_@@@@@@@@", "type": "function", "function": {"name": "add", "arguments": ""}}
        said = [chunk({"role": "assistant", "content": None, "tool_calls": [first]})]
        said += [chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in PIECES]
    usage = {"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 70}
    return [*said, chunk({}, "stop" if final else "tool_calls"), {**chunk({}), "choices": [], "usage": usage}]


def item(*, final: bool, whole: bool) -> JSON:
    status = "completed" if whole else "in_progress"
    if not final:
        call = {"call_id": "call_@@@@@@@@", "name": "add", "arguments": "".join(PIECES) if whole else ""}
        return {"id": "fc_@@@@@@@@", "type": "function_call", "status": status, **call}
    content: list[JSON] = [{"type": "output_text", "text": ANSWER, "annotations": [], "logprobs": []}] if whole else []
    return {"id": "msg_@@@@@@@@", "type": "message", "role": "assistant", "status": status, "content": content}


def slow_calls() -> list[JSON]:
    """Three calls of ``slow``, as items of the Responses API."""
    return [
        {
            "id": f"fc_@@@@@@@@{one}", "type": "function_call", "status": "completed", "call_id": f"call_@@@@@@@@{one}",
            "name": "slow", "arguments": f'{{"i":{one}}}',
        }
        for one in range(3)
    ]  # fmt: skip


def three_events() -> list[JSON]:
    """A streamed response with three calls."""
    done: list[JSON] = [
        {"type": "response.output_item.done", "output_index": place, "item": one}
        for place, one in enumerate(slow_calls())
    ]
    begun = response_events(final=False)[:2]
    ended = {"type": "response.completed", "response": {**response(final=False, whole=True), "output": slow_calls()}}
    return [{**one, "sequence_number": number} for number, one in enumerate([*begun, *done, ended])]


def three_chunks() -> list[JSON]:
    """The same as chunks of a completion."""
    calls = [
        {"index": place, "id": one["call_id"], "type": "function",
         "function": {"name": "slow", "arguments": one["arguments"]}}
        for place, one in enumerate(slow_calls())
    ]  # fmt: skip
    said = [chunk({"role": "assistant", "content": None, "tool_calls": calls}), chunk({}, "tool_calls")]
    return [*said, chat_events(final=False)[-1]]


def whole_chat(chunks: Sequence[JSON]) -> JSON:
    """A completion that is not streamed, out of its chunks."""
    message: JSON = {"role": "assistant", "content": None, "refusal": None}
    for one in chunks:
        for choice in one["choices"]:
            delta = choice["delta"]
            if delta.get("content"):
                message["content"] = (message["content"] or "") + delta["content"]
            for part in delta.get("tool_calls") or ():
                calls = message.setdefault("tool_calls", [])
                if part.get("id"):
                    calls.append({"id": part["id"], "type": "function", "function": dict(part["function"])})
                else:
                    calls[-1]["function"]["arguments"] += part["function"]["arguments"]
    finish = "tool_calls" if "tool_calls" in message else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    head = {**chunks[0], "object": "chat.completion", "usage": chunks[-1]["usage"]}
    return {**head, "choices": [choice]}


def response(*, final: bool, whole: bool) -> JSON:
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    usage = {"input_tokens": 50, "output_tokens": 20, "total_tokens": 70, **details}
    return {
        "id": "resp_@@@@@@@@", "object": "response", "created_at": 1, "model": "fake", "error": None,
        "status": "completed" if whole else "in_progress", "incomplete_details": None, "instructions": None,
        "metadata": {}, "parallel_tool_calls": True, "temperature": 1.0, "top_p": 1.0, "tool_choice": "auto",
        "tools": [], "output": [item(final=final, whole=True)] if whole else [], "usage": usage if whole else None,
    }  # fmt: skip


def response_events(*, final: bool) -> list[JSON]:
    """The events of a response, numbered, in the API's order."""
    place = {"item_id": "msg_@@@@@@@@" if final else "fc_@@@@@@@@", "output_index": 0}
    begun: list[JSON] = [
        {"type": "response.created", "response": response(final=final, whole=False)},
        {"type": "response.in_progress", "response": response(final=final, whole=False)},
        {"type": "response.output_item.added", "output_index": 0, "item": item(final=final, whole=False)},
    ]
    if final:
        part: JSON = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        text = {**place, "content_index": 0}
        said: list[JSON] = [{"type": "response.content_part.added", **text, "part": part}]
        said += [{"type": "response.output_text.delta", **text, "delta": word, "logprobs": []} for word in WORDS]
        said.append({"type": "response.output_text.done", **text, "text": ANSWER, "logprobs": []})
        said.append({"type": "response.content_part.done", **text, "part": {**part, "text": ANSWER}})
    else:
        kind = "response.function_call_arguments"
        said = [{"type": f"{kind}.delta", **place, "delta": piece} for piece in PIECES]
        said.append({"type": f"{kind}.done", **place, "name": "add", "arguments": "".join(PIECES)})
    ended: list[JSON] = [
        {"type": "response.output_item.done", "output_index": 0, "item": item(final=final, whole=True)},
        {"type": "response.completed", "response": response(final=final, whole=True)},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate([*begun, *said, *ended])]


def http(events: Sequence[JSON], end: bytes) -> bytes:
    """A whole HTTP answer, as server-sent events."""
    named = [(f"event: {one['type']}\n" if "type" in one else "") + f"data: {json.dumps(one)}\n\n" for one in events]
    body = "".join(named).encode() + end
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def whole(body: JSON) -> bytes:
    """A whole HTTP answer, as JSON."""
    text = json.dumps(body).encode()
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


KINDS: Final = ("call", "answer", "three")
CHAT: Final = {"call": chat_events(final=False), "answer": chat_events(final=True), "three": three_chunks()}
RESPONSES: Final = {
    "call": response_events(final=False), "answer": response_events(final=True), "three": three_events(),
}  # fmt: skip
ANSWERS: Final = {
    **{(b"/chat/completions", kind, True): http(CHAT[kind], b"data: [DONE]\n\n") for kind in KINDS},
    **{(b"/chat/completions", kind, False): whole(whole_chat(CHAT[kind])) for kind in KINDS},
    **{(b"/responses", kind, True): http(RESPONSES[kind], b"") for kind in KINDS},
    **{(b"/responses", kind, False): whole(RESPONSES[kind][-1]["response"]) for kind in KINDS},
}
NUMBERS: Final = count(1)


class Answering(asyncio.Protocol):
    """One connection: reads requests, answers each at once."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + length:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            self._answer(head.split(b" ", 2)[1], body)

    def _answer(self, path: bytes, body: bytes) -> None:
        final = b"function_call_output" in body or b'"tool_call_id"' in body
        kind = "answer" if final else "three" if THREE in body else "call"
        streamed = b'"stream":true' in body or b'"stream": true' in body
        known = b"/responses" if path.endswith(b"/responses") else b"/chat/completions"
        found = ANSWERS[known, kind, streamed]
        if self._transport is not None:
            self._transport.write(found.replace(MARK, b"%08d" % next(NUMBERS)))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=1_024)
    print(f"served at http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
