"""The answer of ``POST /v1/responses/compact`` as a type.

The SDK's own type says in words that the user's messages are in it, and lists only items that a model makes. Nobody but
the OpenAPI document imports this: the `openai` package takes a second.
"""

from __future__ import annotations

from typing import Literal

from openai.types.conversations import Message
from openai.types.responses import ResponseCompactionItem, ResponseUsage
from pydantic import BaseModel


class CompactedResponse(BaseModel):
    """The messages of the user, then one ``compaction`` item that stands for everything else."""

    id: str
    created_at: int
    object: Literal["response.compaction"]
    output: list[Message | ResponseCompactionItem]
    usage: ResponseUsage
