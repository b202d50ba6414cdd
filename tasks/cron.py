"""When a task function runs by itself: a cron expression in a time zone, and what becomes of ticks that were missed.
Pure: the time is given.

A *tick* is a moment that the expression names, in seconds since 1970. Expressions are read by cronsim, which does as
Debian's cron; it is imported when a schedule is declared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from itertools import takewhile
from typing import Any, Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

from .errors import InvalidOption

Missed: TypeAlias = Literal["once", "skip", "all"]

MOST: Final = 100  # ticks that are made up for with ``all``
LATE: Final = 60.0  # seconds after which a tick counts as missed
FIELDS: Final = "minute hour day-of-month month day-of-week, such as '*/5 * * * *' or '30 9 * * MON-FRI'"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The ticks at which a task function is filed, and with which arguments.

    Args:
        expression: ``minute hour day-of-month month day-of-week`` as crontab(5) has them, names of days and months,
            ``L`` (the last day) and ``MON#2`` (the second Monday) too.
        timezone: The IANA name of the zone that the expression is meant in.
        missed: What becomes of ticks that passed while no worker ran; see `due`.
        arguments: The function's arguments, the same each time.

    Where clocks are put forward, a time that does not exist that day (02:30) becomes the first one that does (03:00).
    Where they are put back, a time that comes twice ticks the first time only. Both hold for fixed times; expressions
    whose minute or hour begins with ``*`` go by elapsed time: every five minutes stays every five minutes.

    Raises:
        InvalidOption: an expression, zone or policy that cannot work.
    """

    expression: str
    timezone: str = "UTC"
    missed: Missed = "once"
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if self.missed not in get_args(Missed):
            raise InvalidOption(f"missed is 'once', 'skip' or 'all', not {self.missed!r}")
        self.next(0.0)

    def next(self, after: float) -> float:
        """The first tick after this moment."""
        for tick in self._ticks(after):
            return tick
        raise InvalidOption(f"cron={self._quoted} names a time that never comes")

    def due(self, first: float, now: float) -> tuple[list[float], bool]:
        """The ticks from ``first``, which is one, to ``now`` that are to be filed, the oldest first, and whether older
        ones are given up.

        ``once``: the last one, for all of them. ``skip``: the last one, unless it is more than a minute ago. ``all``:
        each, the last hundred at most.
        """
        if self.missed == "all":
            found = self._last(first, now, MOST + 1)
            return found[-MOST:], len(found) > MOST
        last = self._last(first, now, 1)
        return [tick for tick in last if self.missed == "once" or now - tick <= LATE], False

    @property
    def _quoted(self) -> str:
        return repr(self.expression)[:100]

    def _last(self, first: float, now: float, count: int) -> list[float]:
        """The last so many ticks from ``first`` to ``now``, without going through years of others before them."""
        back = LATE * count
        while True:
            begin = now - back
            if begin <= first:
                return [first, *self._between(first, now)][-count:]
            found = list(self._between(begin, now))
            if len(found) >= count:
                return found[-count:]
            back *= 2

    def _between(self, after: float, until: float) -> Iterator[float]:
        return takewhile(lambda tick: tick <= until, self._ticks(after))

    def _ticks(self, after: float) -> Iterator[float]:
        from cronsim import CronSim, CronSimError

        if not isinstance(self.expression, str) or len(self.expression.split()) != 5:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"cron={self._quoted} is no cron expression: it has five fields, {FIELDS}")
        begin = datetime.fromtimestamp(after, _zone(self.timezone))
        try:
            ticks = CronSim(self.expression, begin)
        except (CronSimError, ValueError) as error:
            raise InvalidOption(f"cron={self._quoted} is no cron expression: {error} ({FIELDS})") from error
        for one in ticks:
            if (tick := one.timestamp()) > after:  # where a clock is put back, it may offer what is over
                yield tick


def schedule_option(
    name: str, cron: str | None, *, timezone: str, missed: Missed, arguments: Mapping[str, Any] | None
) -> Schedule | None:
    """What ``@task`` was told about a schedule. Raises InvalidOption, with the function's name."""
    if cron is None:
        if timezone != "UTC" or missed != "once" or arguments is not None:
            raise InvalidOption(f"{name}: timezone, missed and cron_arguments belong to a schedule; give cron= too")
        return None
    try:
        return Schedule(cron, timezone, missed, dict(arguments or {}))
    except InvalidOption as error:
        raise InvalidOption(f"{name}: {error}") from error


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, TypeError, OSError) as error:
        raise InvalidOption(
            f"timezone={name!r} is not known here: give an IANA name such as 'Europe/Berlin' (a system without time "
            "zones needs the package tzdata)"
        ) from error
