"""The options of a desk: what each means, checked once. Values; who uses them is ``desk``.

`Options` is what may be written in ``Desk(…)``, for those who type; `DeskOptions` are the same names with their
defaults. A test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, cast

from typing_extensions import TypedDict

from ..tasks.registry import TaskFunction
from .agent import Agent
from .compaction import Compaction
from .errors import DeskError
from .guardrails import Guardrail
from .hooks import Hook
from .limits import Budget, Limits
from .model import Model
from .prices import Price

OnTaskDone: TypeAlias = Literal["respond", "note"]
TenantBudget: TypeAlias = "Budget | Callable[[str], Budget | None] | None"

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,48}")


class Options(TypedDict, total=False):
    """What may be given by keyword. The meaning of each is in `DeskOptions`."""

    agents: Iterable[Agent]
    tasks: Iterable[TaskFunction[..., Any]]
    name: str
    model: Model | None
    fallbacks: Iterable[Model]
    output_type: Any
    limits: Limits
    conversation_budget: Budget | None
    tenant_budget: TenantBudget
    prices: Mapping[str, Price]
    model_calls_at_once: int | None
    model_calls_per_tenant: int | None
    input_guardrails: Iterable[Guardrail]
    output_guardrails: Iterable[Guardrail]
    hooks: Iterable[Hook]
    compaction: Compaction | None
    on_task_done: OnTaskDone
    max_unattended_turns: int
    task_depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskOptions:
    """The options of a desk.

    Args:
        agents: Further agents that are only named, not given, as handoffs or delegates.
        tasks: Further task functions, which only other task functions and schedules create: no model is offered them.
        name: Its name on the wire, as a model.
        model: The model of agents that have none; the `offline` stand-in by default.
        fallbacks: Models that are asked, in their order, when that one fails.
        output_type: What agents answer with that have none of their own: any type that pydantic can describe. A
            delegated run is not asked for it.
        limits: What one turn may use.
        conversation_budget: What one conversation may use in all.
        tenant_budget: What one tenant may use within a window of time: the same for all, or a function of its name.
        prices: What tokens cost, by the name of the model; without one, they cost nothing.
        model_calls_at_once: How many models this process asks at once; a turn waits for its place.
        model_calls_per_tenant: The same for each tenant.
        input_guardrails: Functions of what a person says and a `Context`. They run beside the first request of a turn;
            one that returns a text stops it, and that is the answer.
        output_guardrails: The same for what an agent would say: it is held back until they have passed it.
        hooks: Functions that are told of every step of a turn (``hooks``).
        compaction: When and how the older part of long conversations is summarised for its models; None: never. An
            agent may have its own.
        on_task_done: ``respond``: the end of a task starts a turn when the conversation is idle; ``note``: the next
            turn is told.
        max_unattended_turns: Turns in a row that finished tasks may start without a person.
        task_depth: So many levels deep agents may delegate to agents; the last one is told that it cannot.

    Raises:
        DeskError: an option that cannot be one.
    """

    agents: Iterable[Agent] = ()
    tasks: Iterable[TaskFunction[..., Any]] = ()
    name: str = "desk"
    model: Model | None = None
    fallbacks: Iterable[Model] = ()
    output_type: Any = None
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    conversation_budget: Budget | None = None
    tenant_budget: TenantBudget = None
    prices: Mapping[str, Price] = field(default_factory=dict[str, Price])
    model_calls_at_once: int | None = None
    model_calls_per_tenant: int | None = None
    input_guardrails: Iterable[Guardrail] = ()
    output_guardrails: Iterable[Guardrail] = ()
    hooks: Iterable[Hook] = ()
    compaction: Compaction | None = Compaction()  # noqa: RUF009 - frozen
    on_task_done: OnTaskDone = "respond"
    max_unattended_turns: int = 8
    task_depth: int = 16

    def __post_init__(self) -> None:
        for several in ("agents", "tasks", "fallbacks", "input_guardrails", "output_guardrails", "hooks"):
            object.__setattr__(self, several, tuple(getattr(self, several)))
        if not _NAME.fullmatch(self.name):
            raise DeskError(f"{self.name!r} cannot be a desk's name: 1 to 48 letters, digits, '_', '-' or '.'")
        if self.on_task_done not in ("respond", "note"):
            raise DeskError(f"on_task_done is 'respond' or 'note', not {self.on_task_done!r}")
        if self.task_depth < 0:
            raise DeskError(f"task_depth is a number of levels, zero or more, not {self.task_depth!r}")
        most = self.max_unattended_turns
        if most < 0:
            raise DeskError(f"max_unattended_turns is a number of turns, zero or more, not {most!r}")

    def budget_of(self, tenant: str) -> Budget | None:
        """What a tenant may use."""
        return self.tenant_budget(tenant) if callable(self.tenant_budget) else self.tenant_budget

    def given(self) -> Options:
        """The same, as keywords."""
        return cast(Options, {one.name: getattr(self, one.name) for one in fields(self)})
