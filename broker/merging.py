"""Merging: calls of one function that wait for the writer at once are run as one, where the function has such a form.

``@merges(many)`` gives a storage function ``many(conn, calls)``, which gets the arguments of each call and says for
each what came of it: a result, an `Error` (the caller gets it, and nothing was written for it), or `ALONE`: nothing was
written, it is run by itself. Whatever ``many`` raises undoes the whole, and then each is run by itself too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from .calls import Call
from .connection import Connection

F = TypeVar("F", bound=Callable[..., Any])

MERGED: Final = 100  # calls that are run as one, at most


@dataclass(frozen=True, slots=True)
class Error:
    """What a call raises, without having written anything."""

    error: Exception


class Alone:
    """The call is one that has to be run by itself."""


ALONE: Final = Alone()

Arguments: TypeAlias = tuple[Sequence[Any], Mapping[str, Any]]
Many: TypeAlias = Callable[[Connection, Sequence[Arguments]], Sequence[Any]]

_forms: dict[Callable[..., Any], Many] = {}


def merges(many: Many) -> Callable[[F], F]:
    """Declares the form in which many calls of the function are run as one."""

    def declare(function: F) -> F:
        _forms[function] = many
        return function

    return declare


def many_form(function: Callable[..., Any]) -> Many | None:
    """How many calls of the function are run as one; None: each is run by itself."""
    return _forms.get(function)


def settled(call: Call[Any], outcome: Any, translate: Callable[[BaseException], BaseException]) -> bool:
    """Notes what came of a call that was run with others; False when it is to be run by itself."""
    call.error, call.result = None, None
    if isinstance(outcome, Alone):
        return False
    if isinstance(outcome, Error):
        call.failed(translate(outcome.error), outcome.error)
    else:
        call.result = outcome
    return True
