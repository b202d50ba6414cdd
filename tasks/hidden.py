"""``Hidden``: a parameter that no model fills. It is injected, and no schema, description or error speaks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from .errors import InvalidOption


@dataclass(frozen=True, slots=True)
class Hidden:
    """Marks a parameter: ``Annotated[Shop, Hidden()]``.

    Without a source it is the attribute (or the key) of ``context.dependencies`` that has the parameter's name; where
    there is none, the parameter's default. With one, it is what the source makes of the context:
    ``Annotated[str, Hidden(lambda context: context.tenant)]``. The source may be async.

    The value is passed as it is: nothing validates or converts it. What a model sends under the parameter's name is
    refused as unknown.
    """

    source: Callable[[Any], Any] | None = None

    def value(self, name: str, context: Any) -> Any:
        """What parameter ``name`` is given; an awaitable of it when the source is async.

        Raises:
            MissingDependency: there is nothing of that name. Use the default, if the parameter has one.
        """
        if self.source is not None:
            return self.source(context)
        return dependency(context.dependencies, name)


class MissingDependency(InvalidOption):
    """A hidden parameter asks for what the desk's dependencies do not have."""

    def __init__(self, name: str, dependencies: object) -> None:
        super().__init__(
            f"the dependencies ({type(dependencies).__name__}) have no {name!r}, which a hidden parameter of that "
            f"name asks for; add it, give the parameter a default, or say Hidden(lambda context: …)"
        )


def dependency(dependencies: Any, name: str) -> Any:
    """What dependencies have under a name: an attribute, or the key of a mapping. Raises MissingDependency."""
    given: object = dependencies
    if isinstance(given, Mapping):
        known = cast("Mapping[str, Any]", given)
        if name in known:
            return known[name]
    elif hasattr(given, name):
        return getattr(given, name)
    raise MissingDependency(name, dependencies)
