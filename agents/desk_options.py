"""The options of a desk: what each means, checked once. Values; who uses them is ``desk``.

`Options` is what may be written in ``Desk(…)``, for those who type; `DeskOptions` are the same names with their
defaults. A test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias, cast

from typing_extensions import TypedDict

from ..tasks.registry import TaskFunction
from .agent import Agent
from .errors import DeskError
from .model import Model
from .team import Limits

OnTaskDone: TypeAlias = Literal["respond", "note"]

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,48}")


class Options(TypedDict, total=False):
    """What may be given by keyword. The meaning of each is in `DeskOptions`."""

    agents: Iterable[Agent]
    tasks: Iterable[TaskFunction[..., Any]]
    name: str
    model: Model | None
    limits: Limits
    on_task_done: OnTaskDone
    max_unattended_turns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskOptions:
    """The options of a desk.

    Args:
        agents: Further agents that are only named, not given, as handoffs or delegates.
        tasks: Further task functions, which only other task functions and schedules create: no model is offered them.
        name: Its name on the wire, as a model.
        model: The model of agents that have none; the `offline` stand-in by default.
        limits: What one turn may use.
        on_task_done: ``respond``: the end of a task starts a turn when the conversation is idle; ``note``: the next
            turn is told.
        max_unattended_turns: Turns in a row that finished tasks may start without a person.

    Raises:
        DeskError: an option that cannot be one.
    """

    agents: Iterable[Agent] = ()
    tasks: Iterable[TaskFunction[..., Any]] = ()
    name: str = "desk"
    model: Model | None = None
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    on_task_done: OnTaskDone = "respond"
    max_unattended_turns: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "agents", tuple(self.agents))
        object.__setattr__(self, "tasks", tuple(self.tasks))
        if not _NAME.fullmatch(self.name):
            raise DeskError(f"{self.name!r} cannot be a desk's name: 1 to 48 letters, digits, '_', '-' or '.'")
        if self.on_task_done not in ("respond", "note"):
            raise DeskError(f"on_task_done is 'respond' or 'note', not {self.on_task_done!r}")
        most = self.max_unattended_turns
        if most < 0:
            raise DeskError(f"max_unattended_turns is a number of turns, zero or more, not {most!r}")

    def given(self) -> Options:
        """The same, as keywords."""
        return cast(Options, {one.name: getattr(self, one.name) for one in fields(self)})
