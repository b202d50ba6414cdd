"""Examples as lines of JSON, in the forms that trainers read. Pure.

``openai``: https://platform.openai.com/docs/guides/supervised-fine-tuning (messages with tools and weights);
``mistral``: https://github.com/mistralai/mistral-finetune (instruct with function calls: call ids of nine characters);
``hermes``: the ShareGPT form of https://huggingface.co/datasets/NousResearch/hermes-function-calling-v1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

from .history import said
from .model import JSON
from .models.call_formats import Hermes, Written, shape
from .training import Example

MISTRAL_ID: Final = 9  # letters and digits of a call id
_HERMES: Final = Hermes()


def openai(example: Example) -> JSON:
    """Chat Completions with tools; assistant messages that are only context have weight 0."""
    return {
        "messages": [*_system(example), *_weighted(example)],
        "tools": _tools(example),
        "parallel_tool_calls": any(len(one.get("tool_calls") or ()) > 1 for one in example.messages),
    }


def mistral(example: Example) -> JSON:
    """As Chat Completions, with short call ids, names beside outputs, and text in every assistant message."""
    names: dict[str, str] = {}

    def changed(message: JSON) -> JSON:
        calls: list[JSON] = [{**call, "id": _short(call["id"])} for call in message.get("tool_calls") or ()]
        names.update({call["id"]: call["function"]["name"] for call in calls})
        match message["role"]:
            case "assistant":
                told = {**message, "content": message.get("content") or ""}
                return {**told, "tool_calls": calls} if calls else told
            case "tool":
                call_id = _short(message["tool_call_id"])
                name = names.get(call_id, "tool")
                return {"role": "tool", "name": name, "content": message["content"], "tool_call_id": call_id}
            case "system":
                return {**message, "role": "user"}  # it takes one at the beginning only
            case _:
                return message

    return {"messages": [*_system(example), *map(changed, _weighted(example))], "tools": _tools(example)}


def hermes(example: Example) -> JSON:
    """ShareGPT turns: tools in the system turn, calls and outputs within their marks."""
    system = "\n\n".join(part for part in (example.instructions, _HERMES.describe(example.tools)) if part)
    turns = [{"from": "system", "value": system}]
    names: dict[str, str] = {}
    for message in example.messages:
        who, text = _turn(message, names)
        if turns[-1]["from"] == who:
            turns[-1]["value"] += f"\n{text}"
        else:
            turns.append({"from": who, "value": text})
    return {"conversations": turns, "tools": json.dumps(_tools(example), ensure_ascii=False)}


WRITERS: Final[Mapping[str, Callable[[Example], JSON]]] = {"openai": openai, "mistral": mistral, "hermes": hermes}


def _turn(message: JSON, names: dict[str, str]) -> tuple[str, str]:
    """Who speaks, as the ShareGPT form calls them, and the text."""
    content = said(message.get("content") or "")
    match message["role"]:
        case "assistant":
            calls = message.get("tool_calls") or ()
            names.update({call["id"]: call["function"]["name"] for call in calls})
            written = [Written(call["function"]["name"], call["function"]["arguments"]) for call in calls]
            return "gpt", "\n".join(part for part in (content, _HERMES.called(written)) if part)
        case "tool":
            return "tool", _HERMES.answered(names.get(message["tool_call_id"], "tool"), "", content)
        case _:
            return "human", content


def _system(example: Example) -> list[JSON]:
    return [{"role": "system", "content": example.instructions}] if example.instructions else []


def _weighted(example: Example) -> Iterator[JSON]:
    seen = 0
    for message in example.messages:
        if message["role"] != "assistant":
            yield message
            continue
        seen += 1
        yield {**message, "weight": 0} if seen <= example.context else message


def _tools(example: Example) -> list[JSON]:
    return [{"type": "function", "function": shape(one)} for one in example.tools]


def _short(call_id: Any) -> str:
    """A call id as Mistral's templates take it; the same one for the same call."""
    return sha256(str(call_id).encode()).hexdigest()[:MISTRAL_ID]
