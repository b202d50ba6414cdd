"""What a tool may know of the call that it serves. A value: nothing here does anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Context(Generic[D]):
    """Injected into a tool's parameter that is annotated with ``Context[...]``; never part of the schema.

    ``dependencies`` is what the desk was given. ``idempotency_key`` is the same each time this call is run, also after
    a crash: store it with what you change, and a repeat changes nothing.
    """

    dependencies: D
    conversation_id: str
    response_id: str
    call_id: str
    agent: str
    tenant: str
    idempotency_key: str
