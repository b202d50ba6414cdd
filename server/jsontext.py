"""Text from a client to JSON values, within bounds of depth and number. What the values mean is not known here."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final, cast

from pydantic_core import from_json

from .errors import InvalidJSON, InvalidRequest, MessageTooLarge, WireError
from .limits import Limits

NO_LIMITS: Final = Limits()
CONTAINERS: Final = (dict, list)
SHORT: Final = 65_536  # characters that are read for a glimpse


def decode(text: str | bytes, limits: Limits = NO_LIMITS) -> dict[str, Any]:
    """The object that the text holds.

    Raises InvalidJSON (also for NaN, Infinity, lone surrogates, numbers of thousands of digits, and nesting deeper than
    the limit), MessageTooLarge (more values than the limit), InvalidRequest (JSON, but not an object).
    """
    if len(text) > limits.values:  # else there cannot be so many
        _bound(text, limits)
    try:
        value = from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError) as error:  # TypeError: a text that is not valid Unicode
        raise InvalidJSON(f"this is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest('a message is a JSON object with a "type"')
    found = cast("dict[str, Any]", value)
    _check_nesting(found, limits.depth)
    return found


def glimpse(text: str, limits: Limits = NO_LIMITS) -> dict[str, Any]:
    """As `decode`, of what is refused whatever it says, to find out whom to tell; empty when it is long or invalid."""
    if len(text) > SHORT:
        return {}
    try:
        return decode(text, limits)
    except WireError:
        return {}


def _bound(text: str | bytes, limits: Limits) -> None:
    if isinstance(text, bytes):
        values = text.count(b",") + text.count(b"[") + text.count(b"{")
    else:
        values = text.count(",") + text.count("[") + text.count("{")
    if values > limits.values:
        raise MessageTooLarge(f"more than {limits.values:,} JSON values in one message; send less at once")


def _check_nesting(value: dict[str, Any], depth: int) -> None:
    """Raises InvalidJSON when containers lie deeper than ``depth``, or when a number has overflowed to infinity."""
    level: list[Any] = [value]
    for _ in range(depth):
        level = _inside(level)
        if not level:
            return
    raise InvalidJSON(f"JSON nested deeper than {depth} levels")


def _inside(level: list[Any]) -> list[Any]:
    """The containers that lie in these."""
    found: list[Any] = []
    for outer in level:
        held = cast("dict[str, Any]", outer).values() if isinstance(outer, dict) else cast("list[Any]", outer)
        for value in held:
            if isinstance(value, CONTAINERS):
                found.append(value)
            elif isinstance(value, float) and not isfinite(value):
                raise InvalidJSON("a number is too large for JSON's usual range")
    return found
