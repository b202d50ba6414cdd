"""A history as Chat Completions has it: items of the Responses API in, messages out. Pure.

The result is valid wherever the items are (``history.validate_items``): an assistant message with calls is followed by
one tool message for each. What the protocol has no place for is said in words: no picture ever blocks a conversation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from ..history import said
from ..model import JSON


def chat_messages(instructions: str, items: Iterable[JSON], *, reasoning_field: str | None = None) -> list[JSON]:
    """The messages of one request; text and calls of one reply become one assistant message.

    With ``reasoning_field``, open reasoning goes back in that field beside the calls that it led to, within the present
    turn only: servers that reason in the open want it there and nowhere else.
    """
    messages = _Messages(instructions, reasoning_field)
    for item in items:
        messages.add(item)
    messages.show_pictures()
    return messages.all


class _Messages:
    def __init__(self, instructions: str, reasoning_field: str | None) -> None:
        self.all: list[JSON] = [{"role": "system", "content": instructions}] if instructions else []
        self._field = reasoning_field
        self._thought = ""
        self._thoughtful: list[JSON] = []  # messages that carry their reasoning
        self._pictures: list[JSON] = []  # of outputs: a tool message holds only text, so they follow the last one

    def add(self, item: JSON) -> None:
        kind = item.get("type", "message")
        if kind == "function_call_output":
            self._add_output(item)
            return
        self.show_pictures()
        if kind == "reasoning":
            self._thought += said(item.get("content") or ())
        elif kind == "function_call":
            self._add_call(item)
        elif item["role"] == "assistant":
            self._add_text(said(item["content"]))
        else:
            self._add_input(item)

    def show_pictures(self) -> None:
        """Call it before anything but an output, and at the end."""
        if self._pictures:
            self.all.append({"role": "user", "content": self._pictures})
            self._pictures = []

    def _add_input(self, item: JSON) -> None:
        role = "user" if item["role"] == "user" else "system"  # few servers know "developer"
        self.all.append({"role": role, "content": _content(item["content"])})
        for message in self._thoughtful:
            message.pop(self._field or "")
        self._thoughtful, self._thought = [], ""

    def _add_text(self, text: str) -> None:
        last = self.all[-1] if self.all else {}
        if "tool_calls" in last:  # said after a call of the same reply
            last["content"] = f"{last['content']}\n\n{text}" if last["content"] else text
        else:
            self.all.append({"role": "assistant", "content": text})

    def _add_call(self, item: JSON) -> None:
        if not self.all or self.all[-1]["role"] != "assistant":
            self.all.append({"role": "assistant", "content": None})
        message = self.all[-1]
        function = {"name": item["name"], "arguments": _arguments(item["arguments"])}
        message.setdefault("tool_calls", []).append({"id": item["call_id"], "type": "function", "function": function})
        if self._field and self._thought:
            message[self._field] = self._thought
            self._thoughtful.append(message)
            self._thought = ""

    def _add_output(self, item: JSON) -> None:
        output = item["output"]
        if not isinstance(output, str):
            parts = [_part(part) for part in output]
            pictures = [part for part in parts if part["type"] != "text"]
            output = "\n".join(part["text"] for part in parts if part["type"] == "text")
            if pictures:
                output += "\n" * bool(output) + "(the files of this output follow)"
                self._pictures += [
                    {"type": "text", "text": f"Files of the output of call {item['call_id']}:"},
                    *pictures,
                ]
        self.all.append({"role": "tool", "tool_call_id": item["call_id"], "content": output})


def _content(content: str | Iterable[JSON]) -> str | list[JSON]:
    """Text alone stays text: many servers take no list."""
    if isinstance(content, str):
        return content
    parts = [_part(part) for part in content]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _part(part: Mapping[str, Any]) -> JSON:
    match part:
        case {"type": "input_image", "image_url": str(url)}:
            return {"type": "image_url", "image_url": {"url": url, "detail": part.get("detail") or "auto"}}
        case {"type": "input_file"} if part.get("file_data") or part.get("file_id"):
            keys = ("file_data", "filename", "file_id")
            return {"type": "file", "file": {key: part[key] for key in keys if part.get(key)}}
        case {"type": "input_audio"}:
            return {"type": "input_audio", "input_audio": part["input_audio"]}
        case {"type": "input_image" | "input_file"}:
            place = part.get("file_url") or part.get("file_id") or "without a place"
            return {"type": "text", "text": f"[{str(part['type'])[6:]} {place}: cannot be shown to this model]"}
        case _:
            return {"type": "text", "text": said([part])}


def _arguments(text: str) -> str:
    """Arguments as a JSON object, whatever the model wrote: many servers parse them and refuse all else."""
    if not text.strip():
        return "{}"
    try:
        valid = isinstance(from_json(text), dict)
    except ValueError:
        valid = False
    return text if valid else to_json({"invalid_arguments": text}).decode()
