"""How long a client that does not read is waited for. Whoever sends asks here before it sends more; what becomes of a
client for whom the patience is over is the sender's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias

import anyio

from ..broker.database import Database
from ..broker.errors import DatabaseError
from ..broker.events import last_cursor
from .follow import Follower
from .limits import Limits

LOOK_SECONDS: Final = 1.0  # while a send is blocked

Lag: TypeAlias = Callable[[], Awaitable[int]]  # how many live events wait for the client


class Outlet(Protocol):
    """The socket to a client, as far as waiting for it goes."""

    @property
    def is_free(self) -> bool:
        """Whether a send would go on at once."""
        ...

    @property
    def backlog(self) -> int:
        """Bytes that wait for the client."""
        ...

    async def wait_until_free(self) -> None: ...


async def wait_for_client(outlet: Outlet, limits: Limits, lag: Lag | None = None) -> str | None:
    """Returns None when the client reads. Else why it is to be cut off: it makes no progress, or is too far behind."""
    clock = asyncio.get_running_loop().time
    look = min(LOOK_SECONDS, limits.stall_seconds / 4)
    backlog, since = outlet.backlog, clock()
    while not outlet.is_free:
        with anyio.move_on_after(look):
            await outlet.wait_until_free()
        if outlet.backlog < backlog:
            backlog, since = outlet.backlog, clock()
        elif clock() - since >= limits.stall_seconds:
            return "you do not read"
        if lag is not None and not outlet.is_free and await lag() > limits.lag_events:
            return "you read too slowly"
    return None


async def behind(database: Database, follower: Follower) -> int:
    """How many events that were not there when following began wait for the client; 0 when that cannot be known."""
    try:
        last = await database.read(last_cursor, follower.conversation_id)
    except DatabaseError:
        return 0
    if last is None:
        return 0
    if follower.head is None:
        follower.head = last
    return last - max(follower.position, follower.head)
