"""Waiting for what no event of this process tells: it is looked at again and again, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable

from frontdesk.tests.chaos.scale import PATIENCE


def until(is_so: Callable[[], bool], shown: Callable[[], str] = str, *, seconds: float = PATIENCE) -> float:
    """Looks until it is so; how many seconds that took. ``shown`` is the message when it never is."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {shown()}"
        time.sleep(0.005)
    return time.monotonic() - began
