"""A handoff with options: how it is described, and what the receiving agent is shown of what was said before it.

An agent alone in ``handoffs=[…]`` is a handoff without options. When one is taken is decided in ``step``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from .history import StoredItem

ItemFilter: TypeAlias = Callable[[Sequence[StoredItem]], Sequence[StoredItem]]

_CALLS = frozenset({"mcp_call", "function_call", "function_call_output", "reasoning"})


class Named(Protocol):
    """An agent."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True, eq=False)
class Handoff:
    """One of an agent's ``handoffs``.

    Args:
        agent: Who may take the conversation over, or its name.
        input_filter: A function of the history up to and with the handoff, which returns what of it the receiving agent
            is shown, also where a tool of this agent returned it: in this turn and in all later ones, as long as it has
            the conversation by this handoff. It keeps, drops or replaces items; an output whose call is gone is dropped
            by itself. What follows the handoff is shown as it is. The history that is kept does not change.
        description: What the model is told that it is for; that of the agent by default.
    """

    agent: Named | str
    input_filter: ItemFilter | None = None
    description: str = ""


def since_handoff(items: Sequence[StoredItem], agent: str, taken: str) -> tuple[int, str] | None:
    """Where the history that ``agent`` took over ends, and who handed it over; None when nobody did. ``taken`` is the
    output of a handoff to it that was taken, and of a tool that returned it.
    """
    for place in range(len(items) - 1, -1, -1):
        one = items[place]
        body = one.body
        if body.get("output") == taken and body.get("type") == "mcp_call" and one.agent != agent:
            end = place + 1
            while end < len(items) and (items[end].response_id, items[end].step) == (one.response_id, one.step):
                end += 1  # calls beside it in the same reply
            return end, one.agent
    return None


def without_calls(items: Sequence[StoredItem]) -> Sequence[StoredItem]:
    """A filter: what was said, without the calls of the agents before and what they brought."""
    return [one for one in items if one.body.get("type") not in _CALLS]


def last_turns(count: int) -> ItemFilter:
    """A filter: only the last ``count`` turns, the one with the handoff among them."""

    def keep(items: Sequence[StoredItem]) -> Sequence[StoredItem]:
        turns = list(dict.fromkeys(one.response_id for one in items))[-count:]
        return [one for one in items if one.response_id in turns]

    return keep
