"""How checked arguments reach a function: by name, as far as Python allows it. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

EMPTY: Final = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Binding:
    """Which arguments go by position. ``positional`` are names with their defaults, in order; ``rest`` is the name of
    ``*args``, ``keywords`` that of ``**kwargs``, whose values come as one list and one dict.
    """

    positional: tuple[tuple[str, Any], ...] = ()
    rest: str | None = None
    keywords: str | None = None

    def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Calls ``function`` with arguments by name."""
        if not self.positional and self.rest is None and self.keywords is None:
            return function(**arguments)
        named = dict(arguments)
        rest: Sequence[Any] = named.pop(self.rest, ()) if self.rest is not None else ()
        more: Mapping[str, Any] = named.pop(self.keywords, {}) if self.keywords is not None else {}
        return function(*(named.pop(name, default) for name, default in self.positional), *rest, **named, **more)


def binding_of(parameters: Sequence[inspect.Parameter]) -> Binding:
    """The binding for a function's parameters, those left out that are bound already."""
    kinds = {one.kind: one.name for one in parameters}
    rest = kinds.get(inspect.Parameter.VAR_POSITIONAL)
    by_position: set[object] = {inspect.Parameter.POSITIONAL_ONLY}
    if rest is not None:  # whatever stands before *args can only be passed by position
        by_position.add(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = tuple((one.name, one.default) for one in parameters if one.kind in by_position)
    return Binding(positional, rest, kinds.get(inspect.Parameter.VAR_KEYWORD))
