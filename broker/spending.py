"""What has been used: calls, tokens, time, money; and the windows of time in which it is counted. Pure.

How it is counted in the database is in ``usage``; what may be used is decided by those who ask.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from operator import add, attrgetter, sub
from typing import Any, Final, Literal, TypeAlias

Window: TypeAlias = Literal["hour", "day", "month"]

HOUR: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Amounts that add up. ``cost`` is in the currency of whoever gave the prices."""

    turns: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0  # of the input tokens
    output_tokens: int = 0
    reasoning_tokens: int = 0  # of the output tokens
    seconds: float = 0.0
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        """Input and output tokens."""
        return self.input_tokens + self.output_tokens

    def amounts(self) -> dict[str, Any]:
        """By name."""
        return dict(zip(AMOUNTS, _all_of(self), strict=True))

    def __add__(self, other: Spending) -> Spending:
        return Spending(**dict(zip(AMOUNTS, map(add, _all_of(self), _all_of(other)), strict=True)))

    def __sub__(self, other: Spending) -> Spending:
        return Spending(**dict(zip(AMOUNTS, map(sub, _all_of(self), _all_of(other)), strict=True)))

    def __bool__(self) -> bool:
        """Whether anything but time was used."""
        return any(_but_time(self))


AMOUNTS: Final = tuple(one.name for one in fields(Spending))
_all_of: Final = attrgetter(*AMOUNTS)
_but_time: Final = attrgetter(*(name for name in AMOUNTS if name != "seconds"))


def window_of(window: Window, at: float) -> tuple[int, int]:
    """The hours of the calendar's window (UTC) that holds the moment ``at`` (seconds since 1970): the first one, and
    the first one that is not in it any more.
    """
    moment = datetime.fromtimestamp(at, UTC)
    if window == "hour":
        hour = int(at // HOUR)
        return hour, hour + 1
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if window == "day":
        return _hour(midnight), _hour(midnight) + 24
    first = midnight.replace(day=1)
    year, month = divmod(first.year * 12 + first.month, 12)
    return _hour(first), _hour(first.replace(year=year, month=month + 1))


def _hour(moment: datetime) -> int:
    return int(moment.timestamp()) // HOUR
