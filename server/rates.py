"""How often a tenant may ask, in this process: a bucket that fills by itself and from which each request takes. Pure,
but for `check_rate`, which looks at the clock.
"""

from __future__ import annotations

import time
from typing import Final

from .errors import RateLimited
from .limits import Limits

BURST_SECONDS: Final = 10.0  # so much of a minute's requests may come at once


class Bucket:
    """``per_minute`` requests, and a sixth of them at once. ``now`` is any clock in seconds that does not go back."""

    __slots__ = ("_at", "_left", "_per_second", "_room")

    def __init__(self, per_minute: int, now: float) -> None:
        self._per_second = per_minute / 60.0
        self._room = max(1.0, self._per_second * BURST_SECONDS)
        self._left, self._at = self._room, now

    def take(self, now: float) -> float:
        """Takes one and returns 0; or takes none and returns the seconds until there is one."""
        self._fill(now)
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / self._per_second

    def is_full(self, now: float) -> bool:
        self._fill(now)
        return self._left >= self._room

    def _fill(self, now: float) -> None:
        self._left = min(self._room, self._left + max(0.0, now - self._at) * self._per_second)
        self._at = max(self._at, now)


def check_rate(bucket: Bucket | None, limits: Limits) -> None:
    """Takes one of a tenant's requests. Raises RateLimited, with when there is one again."""
    wait = 0.0 if bucket is None else bucket.take(time.monotonic())
    if wait > 0:
        text = f"more than {limits.requests_per_minute:,} requests a minute; wait {max(1, round(wait))} s"
        raise RateLimited(text, retry_after=wait)
