"""Checks of options that ``@task`` and ``@tool`` share."""

from __future__ import annotations

from collections.abc import Collection
from math import isfinite

from .errors import InvalidOption


def keywords_option(name: str, keywords: Collection[str]) -> tuple[str, ...]:
    """``keywords`` as a tuple. Raises InvalidOption for a lone string, which would be read letter by letter."""
    if isinstance(keywords, str):
        raise InvalidOption(f"{name}: keywords takes several words: keywords=({keywords!r},)")
    return tuple(keywords)


def timeout_option(name: str, timeout: float | None) -> None:
    """Raise InvalidOption unless ``timeout`` is a number of seconds above zero, or None for no limit."""
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (number and timeout > 0 and isfinite(timeout)):
        raise InvalidOption(f"{name}: timeout is in seconds, above 0, or None for no limit, not {timeout!r}")
