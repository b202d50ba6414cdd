"""How much chaos, and which: ``FRONTDESK_CHAOS=long`` is the long form, ``FRONTDESK_CHAOS_SEED`` repeats the choices
of a run. The seed decides what is done; when it meets the work is left to the machine."""

from __future__ import annotations

import os
import random
import secrets
from typing import Final, TypeVar

T = TypeVar("T")

LONG: Final = os.environ.get("FRONTDESK_CHAOS") == "long"
SEED: Final = int(os.environ.get("FRONTDESK_CHAOS_SEED") or secrets.randbelow(1_000_000))
SOAK_SECONDS: Final = float(os.environ.get("FRONTDESK_CHAOS_SOAK") or 20)
PATIENCE: Final = 3600.0 if LONG else 60.0


def scaled(short: T, long: T) -> T:
    """The one of the two that belongs to this run."""
    return long if LONG else short


def chance(what: str) -> random.Random:
    """The choices of one test; the seed is printed, and shown with a failure."""
    print(f"\n{what}: FRONTDESK_CHAOS_SEED={SEED}")
    return random.Random(f"{SEED}/{what}")
