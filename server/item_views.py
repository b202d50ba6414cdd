"""Items of a conversation as its lists show them: with what the API's types demand and clients may leave out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from ..agents.events import wire_item
from ..agents.history import StoredItem
from .checks import JSON

NOT_SHOWN: Final = frozenset({"item_reference"})  # they only name another item
SAID: Final[JSON] = {"type": "output_text", "annotations": [], "logprobs": []}
PARTS: Final[Mapping[str, JSON]] = {
    "output_text": {"annotations": [], "logprobs": []},
    "input_image": {"detail": "auto"},
}


def shown_items(found: Iterable[StoredItem]) -> list[JSON]:
    """The items that a list shows, in their order."""
    return [shown_item(one) for one in found if one.body.get("type") not in NOT_SHOWN]


def shown_item(one: StoredItem) -> JSON:
    """The item, whoever wrote it, as the SDK's types have it."""
    shown = wire_item(one.id, one.body, one.status, one.agent)
    match shown.get("type"):
        case "message":
            shown["content"] = parts(shown.get("content"), str(shown.get("role")))
        case "function_call":
            shown.setdefault("arguments", "")
        case "function_call_output" if isinstance(shown.get("output"), list):
            shown["output"] = parts(shown["output"], "user")
        case "reasoning":
            shown.setdefault("summary", [])
        case "mcp_call" | "mcp_approval_request":
            shown.setdefault("arguments", "")
            shown.setdefault("server_label", "desk")
        case "mcp_list_tools":
            shown.setdefault("tools", [])
        case _:
            pass
    return shown


def parts(content: Any, role: str) -> list[JSON]:
    """The parts of a message's content, each whole, as the SDK's types have them."""
    if isinstance(content, str):
        kind = "output_text" if role == "assistant" else "input_text"
        content = [{"type": kind, "text": content}]
    found = [{**PARTS.get(str(part.get("type")), {}), **part} for part in cast("list[JSON]", content or [])]
    if role == "assistant":  # what clients may call an input, said by an assistant, is output
        found = [one if one.get("type") != "input_text" else {**one, **SAID} for one in found]
    return found
