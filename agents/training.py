"""Conversations as examples to train a model with: what an agent was told, had, said and called. Pure.

One example is what one agent saw and did until the conversation moved on: its instructions, its tools, and the history
as its model was shown it. What other agents had said before is context, not to be learnt from (``weight`` 0 where a
format knows it). How an example is written in a format is in ``training_formats``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .catalog import Catalog
from .history import StoredItem, model_items
from .model import JSON, ToolSpec
from .models.chat_messages import chat_messages


@dataclass(frozen=True, slots=True)
class Example:
    """``messages`` are those of Chat Completions without the system message; the first ``context`` assistant messages
    among them are other agents'. The last message is an assistant's."""

    agent: str
    instructions: str
    tools: tuple[ToolSpec, ...]
    messages: tuple[JSON, ...]
    context: int = 0


def examples(items: Sequence[StoredItem], catalogs: Mapping[str, Catalog]) -> Iterator[Example]:
    """The examples in a conversation, in its order. What an agent said that the desk has no more is context."""
    for start, end in _segments(items):
        agent = items[start].agent
        catalog = catalogs.get(agent)
        messages = _messages(items[:end])
        while messages and messages[-1]["role"] != "assistant":
            messages.pop()
        before = sum(one["role"] == "assistant" for one in _messages(items[:start]))
        if catalog is None or sum(one["role"] == "assistant" for one in messages) <= before:
            continue
        yield Example(agent, _instructions(catalog), catalog.specs, tuple(messages), before)


def _segments(items: Sequence[StoredItem]) -> Iterator[tuple[int, int]]:
    """Where an agent begins to speak, and where the next one does (or the conversation ends)."""
    starts = [
        place for place, one in enumerate(items)
        if one.agent and one.agent != next((before.agent for before in reversed(items[:place]) if before.agent), "")
    ]  # fmt: skip
    yield from pairwise([*starts, len(items)])


def _messages(items: Sequence[StoredItem]) -> list[JSON]:
    return chat_messages("", model_items(items, model=""))


def _instructions(catalog: Catalog) -> str:
    """What does not depend on a moment: of instructions that a function makes, its own description."""
    told: Any = catalog.agent.instructions
    return told if isinstance(told, str) else catalog.agent.description
