"""When the older part of a conversation is summarised for its models, and how: an option of a desk and of an agent."""

from __future__ import annotations

from dataclasses import dataclass

from ..tasks.errors import InvalidOption
from .model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """When the older part of a conversation is summarised for its models, and how.

    A turn that has ended with a longer request than ``tokens`` files a summary, which a worker has written in the
    background; later turns are shown it in place of the older responses. The answer never waits for it, and nothing is
    deleted.

    Args:
        tokens: Input and output tokens of the turn's last request, as its provider reports them; where it reports
            none, the bytes of its items divided by 4. Choose it well below what the model can read.
        keep: About so many tokens of the newest responses are never summarised; at least the last response is not.
        model: Who writes it; the model of the agent that had the last turn by default.
        instructions: What else the writer is to keep.

    Raises:
        InvalidOption: a budget that cannot be one.
    """

    tokens: int = 100_000
    keep: int = 20_000
    model: Model | None = None
    instructions: str = ""

    def __post_init__(self) -> None:
        if not self.tokens > 0:
            raise InvalidOption(f"tokens is a number above zero, not {self.tokens!r}")
        if not 0 <= self.keep < self.tokens:
            raise InvalidOption(f"keep is a number from 0 to below tokens ({self.tokens}), not {self.keep!r}")
