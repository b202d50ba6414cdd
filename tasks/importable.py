"""Functions that another process can import: which they are, how they are named, how they are found there."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any, Final

from .errors import InvalidOption

_ASYNC: Final = (
    "asynchronous functions run in the worker's event loop; make it a plain def that computes, "
    "or leave out runs_in='process'"
)
_NOT_A_FUNCTION: Final = (
    "a process finds a function by its name in a module, and a {type} has none; "
    "write a function at the top of a module that calls it"
)
_LAMBDA: Final = "a process finds a function by its name, and a lambda has none; make it a def at the top of its module"
_NESTED: Final = (
    "it is defined inside {outer}(), where another process cannot find it; move it to the top of its module, "
    "and take as arguments what it took from there"
)
_SCRIPT: Final = (
    "it is defined in the script that was started, which another process cannot import; "
    "move it to a module (jobs.py) and import it from there, or start the script as a module: python -m jobs"
)


def place_of(function: Callable[..., Any], *, name: str) -> tuple[str, str]:
    """The module of a function and its name there, by which another process imports it.

    Raises:
        InvalidOption: no other process can import it; the text says what to do. ``name`` is for it.
    """
    path: str = getattr(function, "__qualname__", "")
    if wrong := _wrong(function, path):
        raise InvalidOption(f"{name}: runs_in='process' is not possible: {wrong}")
    if function.__module__ != "__main__":
        return function.__module__, path
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        raise InvalidOption(f"{name}: runs_in='process' is not possible: {_SCRIPT}")
    return spec.name, path


def _wrong(function: Callable[..., Any], path: str) -> str | None:
    if inspect.iscoroutinefunction(function):
        return _ASYNC
    if not inspect.isfunction(function):
        return _NOT_A_FUNCTION.format(type=type(function).__name__)
    if "<lambda>" in path:
        return _LAMBDA
    if "<locals>" in path:
        return _NESTED.format(outer=path.partition(".<locals>")[0])
    return None


def check_place(function: Callable[..., Any], *, name: str) -> None:
    """Raise InvalidOption unless another process will find this very function under its name. The module has been
    imported: ask when a worker starts, not when the function is declared."""
    module, path = place_of(function, name=name)
    if function.__module__ not in sys.modules:
        raise InvalidOption(
            f"{name}: runs_in='process' is not possible: its module {module} cannot be imported by that name; "
            "import it in the usual way"
        )
    try:
        target = found(function.__module__, path)
    except ImportError as error:
        raise InvalidOption(f"{name}: runs_in='process' is not possible: {error}") from error
    if getattr(target, "function", target) is not function:
        raise InvalidOption(
            f"{name}: runs_in='process' is not possible: {module}.{path} is another function by now, which its process "
            "would run; give each function a name of its own"
        )


def found(module: str, path: str) -> Any:
    """What has this name in this module, which is imported when it is not yet. Raises ImportError; what the module
    raises."""
    target: Any = importlib.import_module(module)
    for name in path.split("."):
        try:
            target = getattr(target, name)
        except AttributeError:
            raise ImportError(
                f"{module} has no {path}; a function with runs_in='process' is imported by its name in a process of "
                "its own, so the name must be there whenever the module is imported"
            ) from None
    return target
