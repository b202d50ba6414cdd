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


def memory_option(name: str, limit: int | None, *, in_process: bool) -> None:
    """Raise InvalidOption unless ``limit`` is None, or a number of bytes for a function in a process of its own."""
    if limit is None:
        return
    if not in_process:
        raise InvalidOption(f"{name}: memory_limit bounds a process; it needs runs_in='process'")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"{name}: memory_limit is in bytes, 1 or more, or None for no limit, not {limit!r}")
