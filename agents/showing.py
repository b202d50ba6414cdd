"""What an agent is told and shown where a function of the application decides it: instructions that are made anew, a
history that a handoff filters. Such a function that fails ends the turn.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import Any

from .agent import Agent, MakesInstructions
from .catalog import Catalog
from .context import Context
from .errors import FunctionFailed
from .handoff import since_handoff
from .history import StoredItem
from .step import has_taken_over

log = logging.getLogger("frontdesk.loop")


async def instructions_of(agent: Agent, make: MakesInstructions, context: Context[Any]) -> str:
    """The agent's instructions, made now. Raises FunctionFailed."""
    try:
        made: Any = make(context)
        return str(await made if inspect.isawaitable(made) else made)
    except Exception as error:
        raise _failed(f"the function that makes the instructions of {agent.name}", error) from error


def filtered(catalog: Catalog, items: Sequence[StoredItem]) -> Sequence[StoredItem]:
    """What the agent is shown of the history: what the filter leaves of what was before the handoff by which it has
    the conversation, and everything after that. Raises FunctionFailed.
    """
    name = catalog.agent.name
    found = since_handoff(items, name, has_taken_over(name)) if catalog.filters else None
    if found is None or found[1] not in catalog.filters:
        return items
    end, giver = found
    try:
        before = [*catalog.filters[giver](tuple(items[:end]))]
    except Exception as error:
        raise _failed(f"the input filter of the handoff from {giver} to {name}", error) from error
    return [*before, *items[end:]]


def _failed(what: str, error: Exception) -> FunctionFailed:
    log.error("%s failed", what, exc_info=error)
    return FunctionFailed(what, f"internal error ({type(error).__name__})")
