"""What a desk that was asked once has answered. Values; how it is asked is in ``single_run``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic

from typing_extensions import TypeVar

from ..tasks.errors import FrontdeskError
from .model import JSON

T = TypeVar("T", default=Any)


class TurnFailed(FrontdeskError):
    """The response failed, or ended without the output that was asked for; the message says why. ``response`` is its
    body.
    """

    def __init__(self, response: JSON) -> None:
        error: JSON = response.get("error") or {}
        metadata: JSON = response.get("metadata") or {}
        limit = metadata.get("frontdesk:limit") or metadata.get("frontdesk:guardrail")
        unfinished = f"the response is {response.get('status')}" + (f" ({limit})" if limit else "")
        super().__init__(str(error.get("message") or unfinished))
        self.response = response


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What a desk answered: the text of its last message, every response (those that tasks started,
    too), every task. ``output`` is a value of the output type that was asked for, or the text.
    """

    text: str
    agent: str
    responses: tuple[JSON, ...]
    tasks: tuple[JSON, ...]
    output: T

    def __str__(self) -> str:
        return self.text
