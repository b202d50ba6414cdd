"""What turns use, on the accounts of their conversation and their tenant. Storage functions only."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..broker import usage
from ..broker.connection import Connection
from ..broker.spending import Spending, Window, window_of
from .batch import Batch, Ref


def count(conn: Connection, ref: Ref, batch: Batch, *, ended: bool = False) -> None:
    """Counts what the batch says was used; the last statement of its commit."""
    spent = replace(batch.spent, turns=1) if ended else batch.spent
    if spent:
        usage.count(conn, ref.claim.tenant, ref.conversation_id, spent, key=ref.response_id)


@dataclass(frozen=True, slots=True)
class Account:
    """What was used before now, and when the tenant's window ends (seconds since 1970)."""

    conversation: Spending
    tenant: Spending
    window_ends: float


def account(conn: Connection, ref: Ref, window: Window | None) -> Account:
    """What the conversation has used, and the tenant in this window; None: nobody asks for the tenant. Reads only."""
    conversation = usage.of_conversation(conn, ref.conversation_id)
    if window is None:
        return Account(conversation, Spending(), 0.0)
    since, until = window_of(window, conn.wall())
    return Account(conversation, usage.of_tenant(conn, ref.claim.tenant, since, until), until * 3600.0)
