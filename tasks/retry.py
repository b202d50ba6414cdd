"""When a failed attempt is run again: a pure function of the attempt and a random number.

No clock and no generator of random numbers here: whoever schedules the retry brings both.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from .errors import InvalidOption


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff: ``initial`` seconds after the first attempt, ``factor`` times more after each further
    one, never over ``maximum``.

    ``jitter`` is the share (0 to 1) of a delay that is left to chance, so that tasks that failed together do not
    come back together; it only ever shortens a delay. ``max_attempts`` counts the first run too: 1 means no retry.

    Raises:
        InvalidOption: a value that cannot work, when the policy is made.
    """

    max_attempts: int = 3
    initial: float = 1.0
    factor: float = 2.0
    maximum: float = 300.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if not _whole(self.max_attempts) or self.max_attempts < 1:
            raise InvalidOption(f"max_attempts is a whole number, 1 or more (1: no retry), not {self.max_attempts!r}")
        for name, least in (("initial", 0.0), ("factor", 1.0), ("maximum", 0.0), ("jitter", 0.0)):
            value = getattr(self, name)
            if not _number(value) or value < least:
                raise InvalidOption(f"{name} is a number, {least:g} or more, not {value!r}")
        if self.maximum < self.initial:
            raise InvalidOption(f"maximum ({self.maximum!r} s) is below initial ({self.initial!r} s)")
        if self.jitter > 1:
            raise InvalidOption(f"jitter is a share of the delay, from 0 to 1, not {self.jitter!r}")

    def delay(self, attempt: int, random: float) -> float:
        """Seconds to wait after ``attempt`` (1 is the first run) has failed, for a ``random`` number in [0, 1)."""
        if attempt < 1:
            raise InvalidOption(f"attempts are counted from 1, not {attempt!r}")
        try:
            grown = self.initial * float(self.factor) ** (attempt - 1)
        except OverflowError:  # so many attempts that the power is no float any more
            grown = self.maximum if self.initial else 0.0
        return min(self.maximum, grown) * (1 - self.jitter * random)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
