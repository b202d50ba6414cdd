"""How much a client may ask for: values with their defaults. Nothing here counts, waits or sends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds per message, connection, conversation and tenant. Every one says what happens beyond it."""

    message_bytes: int = 16 * 1024 * 1024  # beyond: closed with 1009
    depth: int = 64  # of JSON; beyond: invalid_json
    values: int = 1_000_000  # in one message's JSON; beyond: message_too_large
    bad_messages: int = 500  # in a row; then: closed with 1008
    lanes: int = 256  # per connection; beyond: rate_limit_exceeded
    subscriptions: int = 1_000  # per connection; beyond: rate_limit_exceeded
    responses: int = 1_000  # unfinished, of one connection; beyond: rate_limit_exceeded
    outbox: int = 1_024  # control messages that wait for a client that does not read; beyond: cut off
    inbox: int = 64  # clients' inputs per conversation; beyond: inbox_full
    connections: int = 1_000  # per tenant; beyond: 429 at the upgrade
    requests_per_minute: int = 0  # per tenant and process, messages included; 0: any; beyond: rate_limit_exceeded
    stall_seconds: float = 20.0  # a send that makes no progress for so long: cut off with 1013
    lag_events: int = 10_000  # live events behind while a send is blocked: cut off with 1013
    body_seconds: float = 30.0  # between two pieces of a request's body; beyond: request_timeout
    recheck_seconds: float = 5.0  # after so long, open connections are asked again whether they may be here
    ping_seconds: float = 20.0
    ping_timeout: float = 20.0
