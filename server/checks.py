"""Checks of single values of a request: each returns None, or what the value must be.

Which field has which check is in ``protocol`` and ``items``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from .errors import InvalidRequest

Check: TypeAlias = Callable[[Any], str | None]
JSON: TypeAlias = dict[str, Any]

LANE: Final = re.compile(r"[A-Za-z0-9_.-]{1,256}")
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
ID: Final = re.compile(r"[\x21-\x7e]{1,256}")
SHOWN: Final = 60  # characters of a wrong value that an error repeats


def string(maximum: int = 0) -> Check:
    """A string, of at most so many characters when a maximum is given."""

    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return "a string"
        return f"at most {maximum} characters" if maximum and len(value) > maximum else None

    return check


def column(maximum: int = 0) -> Check:
    """As `string`, of what is put into a column as it is: PostgreSQL's texts hold no NUL."""
    is_string = string(maximum)

    def check(value: Any) -> str | None:
        return is_string(value) or ("a string without NUL" if "\0" in value else None)

    return check


def matching(pattern: re.Pattern[str], what: str) -> Check:
    def check(value: Any) -> str | None:
        return None if isinstance(value, str) and pattern.fullmatch(value) else what

    return check


def one_of(*allowed: str) -> Check:
    def check(value: Any) -> str | None:
        return None if value in allowed and isinstance(value, str) else f"one of {', '.join(allowed)}"

    return check


def number(low: float, high: float) -> Check:
    def check(value: Any) -> str | None:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"a number from {low:g} to {high:g}"

    return check


def integer(low: int, high: int) -> Check:
    def check(value: Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"an integer from {low} to {high}"

    return check


def boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def mapping(value: Any) -> str | None:
    return None if isinstance(value, dict) else "an object"


def listing(value: Any) -> str | None:
    return None if isinstance(value, list) else "an array"


def parts(value: Any) -> str | None:
    """Of a content that is no string."""
    return None if isinstance(value, list) else "a string, or an array of parts"


def metadata(value: Any) -> str | None:
    """The API's limits: 16 pairs, keys of 64 and values of 512 characters."""
    if not isinstance(value, dict):
        return "an object with strings"
    pairs = cast(Mapping[str, Any], value)
    if len(pairs) > 16:
        return "at most 16 pairs"
    for key, text in pairs.items():
        if len(key) > 64:
            return "an object whose keys have at most 64 characters"
        if not isinstance(text, str) or len(text) > 512:
            return f"an object whose values are strings of at most 512 characters (see {key!r})"
    return None


identifier: Final = matching(ID, "an id: 1 to 256 characters without spaces")
lane: Final = matching(LANE, "1 to 256 letters, digits, underscores, hyphens or periods")


def require(value: Any, check: Check, param: str) -> Any:
    """The value, when it passes. Raises InvalidRequest that names the field, the value, and what would be right."""
    wanted = check(value)
    if wanted is None:
        return value
    shown = repr(value)
    shown = shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…"
    raise InvalidRequest(f"{param} must be {wanted}, not {shown}", param)


def optional(source: Mapping[str, Any], field: str, check: Check, param: str | None = None) -> Any:
    """The field's value when it is there and not null. Raises InvalidRequest."""
    value = source.get(field)
    return None if value is None else require(value, check, param or field)
