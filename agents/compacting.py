"""Having a summary written by a model: of a conversation's older items, or of what a client sends
(``POST /v1/responses/compact``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from ..tasks.request import new_id
from .compaction import Compaction
from .errors import ModelError, ModelRefused
from .history import StoredItem
from .model import JSON, Message, Model, ModelRequest, ReplyDone, Usage
from .summaries import LONGEST_SUMMARY, TASK, pieces, told, writing
from .summary_item import compaction_item

log = logging.getLogger("frontdesk.compaction")

PIECE: Final = Compaction().tokens  # of what a client sends, how much a model reads at once


@dataclass(frozen=True, slots=True)
class Compacted:
    """What is left of a client's items: its user's messages, then one ``compaction`` item; and what that cost."""

    items: tuple[JSON, ...]
    usage: Usage
    model_calls: int = 1


async def compact(model: Model, items: Sequence[JSON], *, instructions: str = "") -> Compacted:
    """Compacts items, in the API's form, as ``POST /v1/responses/compact`` does: the messages of the user as they are,
    and a summary of everything, which a later request may hold in place of the rest.

    ``items``: what a client sent, or a conversation's own (``StoredItem.body`` of each, in their order). Raises
    ModelError; ValueError when there is nothing in them that a model is told of.
    """
    stored = [StoredItem(str(place), "input", place, "completed", "", one) for place, one in enumerate(items)]
    lines = told(stored)
    if not lines:
        raise ValueError("there is nothing to compact: the input holds no message and no call")
    text, usage = await summarised(model, lines, tokens=PIECE, instructions=instructions)
    kept = [_with_id(one) for one in items if one.get("type", "message") == "message" and one.get("role") == "user"]
    return Compacted((*kept, compaction_item(new_id("cmp"), text)), usage, len(pieces(lines, PIECE)))


def _with_id(message: JSON) -> JSON:
    return {"type": "message", "status": "completed", **message, "id": str(message.get("id") or new_id("msg"))}


async def summarised(
    model: Model, lines: Sequence[str], *, tokens: int, before: str = "", instructions: str = "", task: str = TASK
) -> tuple[str, Usage]:
    """A summary of ``before``, which is one, and of the lines, about ``tokens`` of them at once; ``task`` is what the
    model is told to do. Raises ModelError.
    """
    text, usage = before, Usage()
    for piece in pieces(lines, tokens):
        text, used = await _written(model, writing(piece, text, instructions, task))
        usage += used
    return text, usage


async def _written(model: Model, request: ModelRequest) -> tuple[str, Usage]:
    """What the model wrote. One that was cut off, or says nothing, is none: it would hide what it does not hold."""
    texts: list[str] = []
    done = None
    try:
        async with aclosing(model.stream(request)) as events:
            async for event in events:
                if isinstance(event, Message):
                    texts.append(event.text)
                elif isinstance(event, ReplyDone):
                    done = event
    except ModelError:
        raise
    except Exception as error:
        log.exception("the model %s failed", model.name)
        raise ModelRefused(model.name, f"internal error ({type(error).__name__})") from error
    text = "\n".join(texts).strip()
    if done is None or done.finish != "stop" or not text:
        why = "said nothing" if done is None or done.finish == "stop" else f"was cut off ({done.finish})"
        raise ModelRefused(model.name, f"it was to write a summary, and {why}")
    return text[:LONGEST_SUMMARY], done.usage
