"""What a desk that was asked once has answered. Values; how it is asked is in ``single_run``."""

from __future__ import annotations

from dataclasses import dataclass

from ..tasks.errors import FrontdeskError
from .model import JSON


class TurnFailed(FrontdeskError):
    """The response failed; the message says why, ``response`` is its body."""

    def __init__(self, response: JSON) -> None:
        error: JSON = response.get("error") or {}
        super().__init__(str(error.get("message") or "the response failed"))
        self.response = response


@dataclass(frozen=True, slots=True)
class Answer:
    """What a desk answered: the text of its last message, every response (those that tasks started,
    too), every task.
    """

    text: str
    agent: str
    responses: tuple[JSON, ...]
    tasks: tuple[JSON, ...]

    def __str__(self) -> str:
        return self.text
