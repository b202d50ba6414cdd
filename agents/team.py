"""The agents of a desk as a turn needs them, and what they share. A value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter

from .agent import Agent
from .catalog import Catalog
from .context import Context
from .desk_options import DeskOptions
from .limits import Limits
from .model import Model, Usage
from .model_slots import ModelSlots
from .output_type import OutputType
from .places import Places
from .prices import price_of

if TYPE_CHECKING:
    from .response import About


@dataclass(frozen=True, slots=True)
class Team:
    """The agents of a desk, by name, and what they share. ``models_of``: an agent's model, then its fallbacks."""

    catalogs: Mapping[str, Catalog]
    models_of: Callable[[Agent], Sequence[Model]]
    dependencies: Callable[[], Any]
    limiter: CapacityLimiter | None = None
    options: DeskOptions = DeskOptions()  # noqa: RUF009 - frozen
    slots: ModelSlots = ModelSlots()  # noqa: RUF009 - without a bound it holds nothing
    places: Places = field(default_factory=Places)
    output: OutputType | None = None  # of agents that have none of their own

    def model_of(self, agent: Agent) -> Model:
        """The agent's model, without its fallbacks."""
        return self.models_of(agent)[0]

    def within(self, limits: Limits | None) -> Team:
        """The same team for a turn with other limits; None: with the desk's."""
        return self if limits is None else replace(self, options=replace(self.options, limits=limits))

    def priced(self, used: Usage, model: Model) -> Usage:
        """With what it cost, where the desk has a price and the model has not said it itself."""
        price = None if used.cost or not self.options.prices else price_of(self.options.prices, model.name)
        return used if price is None else replace(used, cost=price.of(used))

    def context(self, about: About, agent: str, call_id: str = "") -> Context[Any]:
        """What a function of the application may know of a turn, or of the call that it serves."""
        key = f"{about.response_id}/{call_id}" if call_id else about.response_id
        return Context(self.dependencies(), about.conversation_id, about.response_id, call_id, agent, about.tenant, key)
