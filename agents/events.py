"""The events of a response, as the Responses API has them: their texts, their order, their numbers. Nothing is sent or
stored here.

The shapes are those of ``openai.types.responses``; each text begins with type, sequence_number, response_id and
conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic_core import from_json, to_json

from ..broker.events import Event
from .model import JSON, Usage


def encoded(value: Any) -> str:
    """JSON text. What cannot be encoded (lone surrogates in a tool's text) is replaced, never fatal."""
    try:
        return to_json(value).decode()
    except (ValueError, UnicodeEncodeError):
        return to_json(_cleaned(value)).decode()


def clean(text: str) -> str:
    """The text, with a question mark for what UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value)  # type: ignore[redundant-cast] # basedpyright does not know its types
        return {_cleaned(key): _cleaned(one) for key, one in pairs.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(one) for one in cast("Sequence[Any]", value)]
    return value


def usage_body(usage: Usage) -> JSON:
    """A response's usage with all the details that the SDK's types demand."""
    cost = {"frontdesk:cost": usage.cost} if usage.cost else {}
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
        **cost,
    }


def wire_item(item_id: str, body: JSON, status: str, agent: str) -> JSON:
    """An item as clients see it: with its id, its state and who made it, without our own keys."""
    shown = {key: value for key, value in body.items() if not key.startswith("frontdesk:")}
    shown["id"] = item_id
    if shown.get("type") in ("message", "function_call", "mcp_call", "reasoning", "function_call_output"):
        shown["status"] = status if not (status == "completed" and shown.get("error") is not None) else "failed"
    if agent:
        shown["agent"] = {"agent_name": agent}
    return shown


class ResponseStream:
    """Makes the events of one response. ``pending`` is what has been made and not been taken; nothing else happens
    here.
    """

    def __init__(self, response_id: str, conversation_id: str, *, sequence: int = 0, items: int = 0) -> None:
        self.response_id, self.conversation_id = response_id, conversation_id
        self.sequence = sequence
        self.items = items  # how many output items have been added
        self.pending: list[Event] = []

    def take(self) -> list[Event]:
        """The events made since the last time."""
        taken, self.pending = self.pending, []
        return taken

    def _head(self, kind: str) -> str:
        number = self.sequence
        self.sequence += 1
        return (
            f'{{"type":"{kind}","sequence_number":{number},"response_id":"{self.response_id}",'
            f'"conversation":"{self.conversation_id}",'
        )

    def add(self, kind: str, **fields: Any) -> None:
        """One event with these fields."""
        self.pending.append(Event(self._head(kind) + encoded(fields)[1:], self.response_id))

    def own(self, kind: str, **fields: Any) -> None:
        """An event of the conversation, not of this response: it has no number."""
        body = {"type": f"frontdesk:{kind}", "conversation": self.conversation_id, **fields}
        self.pending.append(Event(encoded(body)))

    def lifecycle(self, kind: str, response: JSON) -> None:
        """``response.created``, ``.in_progress``, ``.completed``, ``.failed`` or ``.incomplete``."""
        self.add(f"response.{kind}", response=response)

    def begins(self, response: JSON) -> None:
        """The two first events; they show the same response."""
        rest = encoded({"response": response})[1:]
        for kind in ("response.created", "response.in_progress"):
            self.pending.append(Event(self._head(kind) + rest, self.response_id))

    def reserve(self, count: int) -> int:
        """Keeps numbers free for events that are made elsewhere; the first of them."""
        self.sequence += count
        return self.sequence - count

    def added(self, item: JSON) -> int:
        """A new output item; its index."""
        index = self.items
        self.items += 1
        self.add("response.output_item.added", output_index=index, item=item)
        return index

    def done(self, index: int, item: JSON) -> None:
        self.add("response.output_item.done", output_index=index, item=item)

    def text_begins(self, item_id: str, index: int) -> None:
        part: JSON = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        self.add("response.content_part.added", item_id=item_id, output_index=index, content_index=0, part=part)

    def text_delta(self, item_id: str, index: int, delta: str) -> None:
        """A piece of text. These are most of all events, so their text is put together by hand."""
        text = (
            f'{self._head("response.output_text.delta")}"item_id":"{item_id}","output_index":{index},'
            f'"content_index":0,"delta":{encoded(delta)},"logprobs":[]}}'
        )
        self.pending.append(Event(text, self.response_id, item_id))

    def text_ends(self, item_id: str, index: int, text: str) -> None:
        at = {"item_id": item_id, "output_index": index, "content_index": 0}
        self.add("response.output_text.done", **at, text=text, logprobs=[])
        part: JSON = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        self.add("response.content_part.done", **at, part=part)

    def call_begins(self, item_id: str, index: int, arguments: str) -> None:
        self.add("response.mcp_call.in_progress", item_id=item_id, output_index=index)
        self.add("response.mcp_call_arguments.done", item_id=item_id, output_index=index, arguments=arguments)

    def call_ends(self, item_id: str, index: int, *, failed: bool) -> None:
        kind = "failed" if failed else "completed"
        self.add(f"response.mcp_call.{kind}", item_id=item_id, output_index=index)

    def arguments_done(self, item_id: str, index: int, name: str, arguments: str) -> None:
        """The arguments of a call that the client is to run."""
        self.add(
            "response.function_call_arguments.done",
            item_id=item_id, output_index=index, name=name, arguments=arguments,
        )  # fmt: skip


def said_in(deltas: list[str]) -> str:
    """The text that the given delta events carry."""
    return "".join(str(from_json(text).get("delta", "")) for text in deltas)
