"""Dates and times as people write them. It never asks a clock: ``tomorrow`` has a date only when today's is given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Final

from .words import fold


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, a month or a time of day; what the text does not tell is empty. ``text`` is how it was said."""

    text: str
    date: str = ""  # 2026-03-14
    month: str = ""  # 2026-03
    time: str = ""  # 19:00:00


def _numbered(*names: str, first: int) -> dict[str, int]:
    return {name: number for number, group in enumerate(names, start=first) for name in group.split()}


_MONTHS: Final = _numbered(
    "january jan januar janvier enero",
    "february feb februar fevrier febrero",
    "march mar marz mars marzo",
    "april apr avril abril",
    "may mai mayo",
    "june jun juni juin junio",
    "july jul juli juillet julio",
    "august aug aout agosto",
    "september sep sept septembre septiembre",
    "october oct oktober okt octobre octubre",
    "november nov novembre noviembre",
    "december dec dezember dez decembre diciembre",
    first=1,
)
_WEEKDAYS: Final = _numbered(
    "monday montag 월요일",
    "tuesday dienstag 화요일",
    "wednesday mittwoch 수요일",
    "thursday donnerstag 목요일",
    "friday freitag 금요일",
    "saturday samstag 토요일",
    "sunday sonntag 일요일",
    first=0,
)
_SHIFTS: Final = {
    **_numbered(
        "yesterday gestern 어제", "today tonight heute 오늘", "tomorrow morgen 내일", "ubermorgen 모레", first=-1
    ),
    "day after tomorrow": 2,
}

_ISO: Final = re.compile(
    r"(?<![\d-])(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}:\d{2}(?::\d{2})?)(?:Z|[+-]\d{2}:?\d{2})?)?(?![\d-])"
)
_ISO_MONTH: Final = re.compile(r"(?<![\d-])(\d{4})-(0[1-9]|1[0-2])(?![\d-])")
_DOTTED: Final = re.compile(r"(?<![\d.])(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})(?!\d)")
_SLASHED: Final = re.compile(r"(?<![\d/])(\d{1,2})/(\d{1,2})/(\d{4})(?![\d/])")
_EAST: Final = re.compile(r"(\d{4})[년年]\s?(\d{1,2})[월月]\s?(\d{1,2})[일日]")
_WORD: Final = r"([^\W\d_]{3,10})"
_DAY_MONTH: Final = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|\.)?\s(?:of\s|de\s)?{_WORD}\b\.?(?:,?\s(?:de\s)?(\d{{4}})(?!\d))?"
)
_MONTH_DAY: Final = re.compile(rf"\b{_WORD}\.?\s(\d{{1,2}})(?:st|nd|rd|th)?(?![\d:])(?:,?\s(\d{{4}})(?!\d))?")
_MONTH_YEAR: Final = re.compile(rf"\b{_WORD}\s(\d{{4}})(?!\d)")
_MONTH_ONLY: Final = re.compile(r"\b(?:in|for|of|im|für)\s([A-ZÄ][^\W\d_]{2,9})\b")
_DAYS: Final = sorted((*_SHIFTS, *_WEEKDAYS, "übermorgen"), key=len, reverse=True)
_RELATIVE: Final = re.compile(
    rf"\b(?:{'|'.join(_DAYS)})\b|(?:{'|'.join(day for day in _DAYS if not day[0].isascii() and day[0] != 'ü')})",
    re.IGNORECASE,
)
_CLOCK: Final = re.compile(r"(?<![\d:])(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\s?([ap])\.?m\b\.?)?(?![\d:])", re.IGNORECASE)
_HOUR: Final = re.compile(r"(?<![\d:.])(\d{1,2})\s?(?:([ap])\.?m\b\.?|uhr\b|o'clock\b)", re.IGNORECASE)
_SI: Final = re.compile(r"(오전|오후)?\s?(\d{1,2})시(?:\s?(\d{1,2})분)?")


def dates(text: str, today: date | None = None) -> Iterator[tuple[int, int, Moment]]:
    """Dates and months with their places; the ones that say most come first."""
    for match in _ISO.finditer(text):
        yield from _dated(match, match[1], match[2], match[3], match[4] or "")
    for match in _DOTTED.finditer(text):
        yield from _dated(match, match[3], match[2], match[1])
    for match in _EAST.finditer(text):
        yield from _dated(match, match[1], match[2], match[3])
    for match in _SLASHED.finditer(text):
        day, month = (match[1], match[2]) if int(match[1]) > 12 else (match[2], match[1])
        if int(day) > 12:
            yield from _dated(match, match[3], month, day)
        else:  # 3/4/2026 is two dates
            yield match.start(), match.end(), Moment(match.group())
    for pattern, day_at, word_at in ((_DAY_MONTH, 1, 2), (_MONTH_DAY, 2, 1)):
        for match in pattern.finditer(text):
            if month := _MONTHS.get(fold(match[word_at])):
                yield from _dated(match, match[3] or _year(today, month, int(match[day_at])), str(month), match[day_at])
    for match in _ISO_MONTH.finditer(text):
        yield match.start(), match.end(), Moment(match.group(), month=match.group())
    for match in _MONTH_YEAR.finditer(text):
        if month := _MONTHS.get(fold(match[1])):
            yield match.start(), match.end(), Moment(match.group(), month=f"{match[2]}-{month:02}")
    yield from _relative(text, today)
    for match in _MONTH_ONLY.finditer(text):
        if month := _MONTHS.get(fold(match[1])):
            known = f"{today.year}-{month:02}" if today else ""
            yield match.start(1), match.end(1), Moment(match[1], month=known)


def _dated(match: re.Match[str], year: str, month: str, day: str, clock: str = "") -> Iterator[tuple[int, int, Moment]]:
    with suppress(ValueError):  # the 31st of February is no date
        if not year:
            date(2000, int(month), int(day))
            yield match.start(), match.end(), Moment(match.group())
            return
        value = date(int(year), int(month), int(day)).isoformat()
        seconds = f"{clock}:00" if len(clock) == 5 else clock
        yield match.start(), match.end(), Moment(match.group(), value, value[:7], seconds)


def _year(today: date | None, month: int, day: int) -> str:
    if today is None:
        return ""
    return str(today.year if (month, day) >= (today.month, today.day) else today.year + 1)


def _relative(text: str, today: date | None) -> Iterator[tuple[int, int, Moment]]:
    for match in _RELATIVE.finditer(text):
        said = fold(match.group())
        if today is None:
            yield match.start(), match.end(), Moment(match.group())
            continue
        days = _SHIFTS[said] if said in _SHIFTS else (_WEEKDAYS[said] - today.weekday()) % 7 or 7
        with suppress(OverflowError):
            value = (today + timedelta(days=days)).isoformat()
            yield match.start(), match.end(), Moment(match.group(), value, value[:7])


def times(text: str) -> Iterator[tuple[int, int, Moment]]:
    """Times of day with their places."""
    for match in _CLOCK.finditer(text):
        yield from _timed(match, match[1], match[2], match[4] or "", match[3] or "0")
    for match in _HOUR.finditer(text):
        yield from _timed(match, match[1], "0", match[2] or "")
    for match in _SI.finditer(text):
        yield from _timed(match, match[2], match[3] or "0", {"오전": "a", "오후": "p"}.get(match[1] or "", ""))
    for match in re.finditer(r"\b(noon|midnight)\b", text, re.IGNORECASE):
        yield (
            match.start(),
            match.end(),
            Moment(match.group(), time="12:00:00" if fold(match[1]) == "noon" else "00:00:00"),
        )


def _timed(
    match: re.Match[str], hour: str, minute: str, half: str, second: str = "0"
) -> Iterator[tuple[int, int, Moment]]:
    hours = int(hour)
    if half and not 1 <= hours <= 12:
        return
    if half:
        hours = hours % 12 + (12 if half.lower() == "p" else 0)
    with suppress(ValueError):
        yield match.start(), match.end(), Moment(match.group(), time=time(hours, int(minute), int(second)).isoformat())
