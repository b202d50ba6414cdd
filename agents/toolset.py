"""``Toolset``: a class whose methods are tools, constructed with the services that they work with."""

from __future__ import annotations

import re
from abc import ABCMeta
from collections.abc import Mapping
from typing import Any

from .errors import DeskError
from .tool import Tool


class _Names(dict[str, Any]):
    """The names in the body of a class. Python would silently take the second of two tools of one name."""

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(self.get(name), Tool):
            raise DeskError(f"{self['__qualname__']} has two tools named {name!r}; give one of them another name")
        super().__setitem__(name, value)


class _Body(ABCMeta):
    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **options: Any) -> _Names:
        return _Names()


class Toolset(metaclass=_Body):
    """A class whose methods are tools: those that are declared with ``@tool``.

    An object of it is given to an agent whole, ``tools=[Orders(shop)]``, or a tool at a time,
    ``tools=[orders.status]``. The tools are namespaced: by the class's name in snake case, or
    ``class Orders(Toolset, namespace="orders")``, or an attribute ``namespace`` that the object sets itself.

    A subclass inherits the tools. It overrides one with another ``@tool``, and takes one away with ``status = None``.

    Raises:
        DeskError: when the class is made: two tools of one name, or a tool overridden by what is none.
    """

    namespace: str = ""

    def __init_subclass__(cls, *, namespace: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        if namespace:
            cls.namespace = namespace
        elif "namespace" not in vars(cls):
            cls.namespace = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).strip("_").lower()
        names: dict[str, str] = {}
        for attribute, one in _declared(cls).items():
            before = names.setdefault(one.name, attribute)
            if before != attribute:
                raise DeskError(f"{cls.__qualname__}: {before} and {attribute} are both tools named {one.name!r}")

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools of this object, in the order of their declaration."""
        return tuple(getattr(self, attribute) for attribute in _declared(type(self)))


def _declared(cls: type) -> Mapping[str, Tool]:
    """The tools of a class and of those that it inherits from, by attribute. Raises DeskError."""
    found: dict[str, Tool] = {}
    for one in reversed(cls.__mro__):
        for attribute, value in vars(one).items():
            if isinstance(value, Tool):
                found[attribute] = value
            elif attribute in found and value is None:
                del found[attribute]
            elif attribute in found:
                raise DeskError(
                    f"{one.__qualname__}.{attribute} overrides a tool and is none; declare it with @tool too, or say "
                    f"{attribute} = None to take the tool away"
                )
    return found
