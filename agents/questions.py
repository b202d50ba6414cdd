"""A delegated agent's question: its run is parked until whoever delegated, or a person, answers.

The question is announced where the task was filed; ``answer_task`` and ``frontdesk:answer`` answer it, days later and
after any restart. A message to the agent (``update_task``) goes first: it may make the question needless.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from ..broker import durable, inbox, queue
from ..broker.connection import Connection
from ..broker.failpoints import operation
from . import storage
from .accounts import count
from .batch import Batch, Ref
from .catalog import ASK, Catalog
from .model import ToolSpec
from .team import Team

SPEC: Final = ToolSpec(
    name=ASK,
    description="Asks whoever gave you this task and waits for the answer. Ask only what you must know to go on.",
    parameters={
        "type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"],
        "additionalProperties": False,
    },
)  # fmt: skip


def may_ask(team: Team) -> Team:
    """The team of a delegated run: its agents may ask, but for those that have a tool of that name."""
    return replace(team, catalogs={name: _asking(one) for name, one in team.catalogs.items()})


def _asking(catalog: Catalog) -> Catalog:
    if ASK in catalog.names():
        return catalog
    return replace(catalog, specs=(*catalog.specs, SPEC), task_tools=catalog.task_tools | {ASK})


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a question; ``parked``: nobody has answered yet, and the run is over."""

    why: Literal["answered", "parked", "interrupted", "cancelled"]
    answer: Any = None


@operation
def ask(conn: Connection, ref: Ref, batch: Batch, call_id: str, question: str, *, spoken: bool) -> Asked:
    """Asks, once for each call: the answer, or the run is parked in one commit with what was made before. ``spoken``: a
    message has entered since. Raises LeaseLost.
    """
    row = queue.held_row(conn, ref.claim, ref.conversation_id)
    if row["cancel_requested"]:
        asked = Asked("cancelled")
    elif spoken or inbox.has_input(conn, ref.conversation_id):
        found = durable.withdraw(conn, ref.claim, call_id)
        asked = Asked("interrupted") if found is None else Asked("answered", found.value)
    else:
        found = durable.ask(conn, ref.claim, row, call_id, question)
        asked = Asked("answered", found.value) if found.done else Asked("parked")
    if not batch.is_empty() or asked.why == "parked":
        storage.save(conn, ref, batch)
        count(conn, ref, batch)
    return asked
