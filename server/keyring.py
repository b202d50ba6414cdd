"""The database's tokens as this process remembers them: for seconds, so that a revoked one is soon known as such."""

from __future__ import annotations

import time
from typing import Final

from ..broker.database import Database
from . import tokens
from .auth import Principal

SECONDS: Final = 5.0  # for which an answer of the database is remembered
ROOM: Final = 10_000  # tokens that are remembered


class Keyring:
    """Finds out whose a token is. Unknown tokens are not remembered: trying many fills no memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: dict[str, tuple[Principal, float]] = {}  # by digest, with when it was read
        self._is_used = False  # once true, always true
        self._looked = float("-inf")

    async def is_used(self) -> bool:
        """Whether the database holds a token, so that nobody is let in without one. Raises DatabaseError."""
        now = time.monotonic()
        if not self._is_used and now - self._looked >= SECONDS:
            self._is_used = await self._database.read(tokens.are_there)
            self._looked = now
        return self._is_used

    async def find(self, secret: str) -> Principal | None:
        """Whose token this is; None when it is no valid one. Raises DatabaseError."""
        digest, now = tokens.digest_of(secret), time.monotonic()
        known = self._found.get(digest)
        if known is not None and now - known[1] < SECONDS and not is_over(known[0]):
            return known[0]
        found = await self._database.read(tokens.find, digest)
        self._found.pop(digest, None)
        if found is not None:
            if len(self._found) >= ROOM:
                del self._found[next(iter(self._found))]
            self._found[digest] = found, now
        return found

    def forget(self) -> None:
        """Looks into the database again, the next time."""
        self._found.clear()
        self._looked = float("-inf")


def is_over(principal: Principal) -> bool:
    """Whether its time has ended."""
    return principal.expires_at is not None and principal.expires_at <= time.time()
