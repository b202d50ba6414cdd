"""The answer of ``POST /v1/responses/compact`` as a type.

The SDK's own type says in words that the user's messages are in it, and lists only items that a model makes.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import BaseModel


@cache
def compacted_response() -> type[BaseModel]:
    """The type, made when somebody wants to know it: the `openai` package takes a second."""
    from openai.types.conversations import Message
    from openai.types.responses import ResponseCompactionItem, ResponseUsage

    class CompactedResponse(BaseModel):
        """The messages of the user, then one ``compaction`` item that stands for everything else."""

        id: str
        created_at: int
        object: Literal["response.compaction"]
        output: list[Message | ResponseCompactionItem]
        usage: ResponseUsage

    return CompactedResponse
