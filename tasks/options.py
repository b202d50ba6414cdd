"""Checks of options that ``@task`` and ``@tool`` share."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from math import isfinite
from string import Formatter
from typing import Any, Final

from pydantic_core import to_json

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


KEY_LENGTH: Final = 500  # characters; a longer key is stored as its digest


def key_option(name: str, option: str, template: str | None, parameters: Collection[str]) -> None:
    """Raise InvalidOption unless ``template`` is text in which ``{parameter}`` stands for an argument."""
    if template is None:
        return
    wrong = f"{name}: {option} is text in which {{parameter}} stands for an argument, such as 'report:{{month}}'"
    try:
        parts = list(Formatter().parse(template))
    except (ValueError, TypeError) as error:
        raise InvalidOption(f"{wrong}, not {template!r}: {error}") from error
    for _, field, form, conversion in parts:
        if form or conversion:
            raise InvalidOption(f"{wrong}; {template!r} has a format, which is not supported")
        if field is not None and field not in parameters:
            known = ", ".join(sorted(parameters)) or "none"
            raise InvalidOption(f"{name}: {option} {template!r} names {field!r}, which is no parameter ({known})")
    if not template:
        raise InvalidOption(f"{wrong}, not empty")


def key_of(template: str, arguments: Mapping[str, Any]) -> str:
    """The key with its arguments: text as it is, other values as JSON; a missing argument as null."""
    key = ""
    for text, field, _, _ in Formatter().parse(template):
        key += text
        if field is not None:
            value = arguments.get(field)
            key += value if isinstance(value, str) else to_json(value).decode()
    return key if len(key) <= KEY_LENGTH else "sha256:" + hashlib.sha256(key.encode()).hexdigest()
