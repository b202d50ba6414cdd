"""Exception groups: which of their errors decides how a run ends. Pure."""

from __future__ import annotations

from typing import cast

from ..tasks.context import Parked
from .errors import DatabaseClosed, LeaseLost


def deciding(error: BaseException) -> BaseException:
    """The error itself; of a group, in which a function's own task group wraps what was raised inside it, a lost lease,
    parking, else the first that was raised."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = _leaves(cast("BaseExceptionGroup[BaseException]", error))
    for kind in (LeaseLost, DatabaseClosed, Parked):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    return leaves[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            found += _leaves(cast("BaseExceptionGroup[BaseException]", error))
        else:
            found.append(error)
    return found
