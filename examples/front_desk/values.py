"""What a cell of a table is: missing, a number, a date, a truth value or text. Pure; decided cell by cell."""

from __future__ import annotations

import re
from datetime import date, datetime
from enum import StrEnum
from typing import Final

MISSING: Final = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none"})
TRUTH: Final = frozenset({"true", "false", "yes", "no"})
LARGEST: Final = 1e290  # numbers beyond it are text: their sums would overflow

# A number with leading zeros (007, 01234) is a code, not a quantity.
_INTEGER: Final = re.compile(r"[+-]?(0|[1-9][0-9]{0,289})")
_NUMBER: Final = re.compile(r"[+-]?((0|[1-9][0-9]{0,289})(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Kind(StrEnum):
    INTEGER = "integer"
    NUMBER = "number"
    DATE = "date"
    DATETIME = "datetime"
    BOOLEAN = "boolean"
    TEXT = "text"


def is_missing(text: str) -> bool:
    """Whether a stripped cell stands for no value: empty, or one of NA, N/A, NaN, null, None."""
    return text.casefold() in MISSING


def number_of(text: str, delimiter: str) -> int | float | None:
    """The number that a stripped cell is, or None. Where cells are divided by semicolons, a comma is a decimal point
    too.
    """
    if _INTEGER.fullmatch(text):
        return int(text)
    if delimiter == ";" and "." not in text:
        text = text.replace(",", ".", 1)
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if abs(number) < LARGEST else None


def kind_of(text: str, delimiter: str) -> tuple[Kind, int | float | None]:
    """What a stripped cell that is not missing is, and its value when it is a number."""
    number = number_of(text, delimiter)
    if number is not None:
        return (Kind.INTEGER if isinstance(number, int) else Kind.NUMBER), number
    if text.casefold() in TRUTH:
        return Kind.BOOLEAN, None
    if _DATE.match(text) and (kind := _time_kind(text)):
        return kind, None
    return Kind.TEXT, None


def _time_kind(text: str) -> Kind | None:
    try:
        if _DATE.fullmatch(text):
            date.fromisoformat(text)
            return Kind.DATE
        datetime.fromisoformat(text)
    except ValueError:
        return None
    return Kind.DATETIME
