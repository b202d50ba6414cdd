"""The parameters of a Python function: their resolved types, their defaults, and which one is injected.

Everything that is particular to Python's functions is here: string annotations, local scopes, partials, bound methods.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, UnionType
from typing import Annotated, Any, Final, TypeGuard, Union, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from .errors import InvalidOption

EMPTY: Final = inspect.Parameter.empty
_REMEDIES: Final[dict[object, str]] = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only, and models pass arguments by name; remove the `/`",
    inspect.Parameter.VAR_POSITIONAL: "takes any number of arguments; make it one parameter, a list",
    inspect.Parameter.VAR_KEYWORD: "takes any keyword; name the parameters, or take one that is a model or a TypedDict",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that the model fills. ``default`` is EMPTY without one, and where pydantic fills it in."""

    name: str
    annotation: Any
    optional: bool
    default: Any


def parameters_of(function: Any, *, name: str, context_types: tuple[type, ...]) -> tuple[list[Parameter], str | None]:
    """The parameters that a model fills, and the name of the one that is injected.

    Raises:
        InvalidOption: a parameter without annotation, of a kind that models cannot fill, or whose annotation cannot
            be resolved.
    """
    target = _target(function)
    bound = _bound(function)
    found: list[Parameter] = []
    context: str | None = None
    for parameter in _signature(function, name).parameters.values():
        if parameter.name in bound:
            continue
        if remedy := _remedy(parameter):
            raise InvalidOption(f"{name}: parameter {parameter.name!r} {remedy}")
        annotation = _resolved(parameter, target, name, context_types)
        if not _is_context(annotation, context_types):
            found.append(_parameter(parameter, annotation))
        elif context is None:
            context = parameter.name
        else:
            raise InvalidOption(f"{name}: {context!r} and {parameter.name!r} are both the context; keep one")
    return found, context


def _remedy(parameter: inspect.Parameter) -> str | None:
    """What is wrong with a parameter, and how to mend it; None when nothing is."""
    if parameter.kind in _REMEDIES:
        return _REMEDIES[parameter.kind]
    if parameter.annotation is not EMPTY:
        return None
    if parameter.name in ("self", "cls"):
        return "is not bound; declare the method of an object, tool(shop.status), instead of decorating it in the class"
    return "needs an annotation: models are told the types"


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, of the function in a partial, or of a callable object's class."""
    inner: Any = function.func if isinstance(function, functools.partial) else function
    return getattr(inner, "__name__", None) or type(inner).__name__


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling ``function`` makes a coroutine. Objects with an async ``__call__`` count too."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def returns_something(function: Callable[..., Any]) -> bool:
    """Whether the function is declared to return anything but None."""
    return inspect.signature(function).return_annotation not in (EMPTY, None, "None")


def _signature(function: Callable[..., Any], name: str) -> inspect.Signature:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidOption(f"{name}: it yields, and a result is one value; return a list")
    try:
        return inspect.signature(function)
    except (ValueError, TypeError, NameError) as error:
        raise InvalidOption(
            f"{name}: its signature cannot be read ({error}); wrap it in a function of your own"
        ) from error


def _bound(function: Any) -> Mapping[str, Any]:
    """What a partial has filled already; the model is not asked for it."""
    return function.keywords if isinstance(function, functools.partial) else {}


def _target(function: Any) -> Any:
    """The plain function at the bottom of partials, decorators, methods and callable objects."""
    if isinstance(function, functools.partial):
        return _target(function.func)
    function = inspect.unwrap(function)
    if inspect.ismethod(function):
        return _target(function.__func__)
    if not inspect.isfunction(function) and inspect.ismethod(getattr(function, "__call__", None)):  # noqa: B004
        return _target(function.__call__)
    return function


def _parameter(parameter: inspect.Parameter, annotation: Any) -> Parameter:
    default = parameter.default
    if isinstance(default, FieldInfo):
        annotation, default = Annotated[annotation, default], EMPTY
    filled = any(isinstance(one, FieldInfo) and not one.is_required() for one in extras(annotation))
    return Parameter(parameter.name, annotation, filled or default is not EMPTY, default)


def _is_context(annotation: Any, context_types: tuple[type, ...]) -> bool:
    annotation = getattr(annotation, "__value__", annotation)  # a `type` alias
    origin = get_origin(annotation)
    if origin is Annotated:
        return _is_context(get_args(annotation)[0], context_types)
    if origin is Union or origin is UnionType:
        return any(_is_context(one, context_types) for one in get_args(annotation))
    return _is_class(origin or annotation) and issubclass(origin or annotation, context_types)


def extras(annotation: Any) -> tuple[Any, ...]:
    """What stands beside the type in ``Annotated[type, …]``."""
    return get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()


def _is_class(value: object) -> TypeGuard[type]:
    return isinstance(value, type)


def _resolved(parameter: inspect.Parameter, target: Any, name: str, context_types: tuple[type, ...]) -> Any:
    """The annotation as a type. It may be text: under ``from __future__ import annotations``, or quoted."""
    names = getattr(target, "__globals__", {})
    try:
        return _evaluated(parameter.annotation, names, _closure(target))
    except NameError:
        local = {**_defining_scopes(getattr(target, "__code__", None)), **_closure(target)}
    except Exception as error:
        raise _unresolvable(name, parameter, error) from error
    try:
        return _evaluated(parameter.annotation, names, local)
    except Exception as error:
        # Context[Shop], with Shop imported for type checkers only: what is injected needs no type.
        if (context := _head(parameter.annotation, names, local)) and _is_context(context, context_types):
            return context
        raise _unresolvable(name, parameter, error) from error


def _evaluated(annotation: Any, names: Mapping[str, Any], local: Mapping[str, Any]) -> Any:
    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    return get_type_hints(holder, dict(names), dict(local), include_extras=True)["it"]


def _head(annotation: object, names: Mapping[str, Any], local: Mapping[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return get_origin(annotation)
    try:
        return _evaluated(annotation.strip("'\" ").partition("[")[0], names, local)
    except Exception:  # it is the annotation's own error that is reported
        return None


def _unresolvable(name: str, parameter: inspect.Parameter, error: Exception) -> InvalidOption:
    return InvalidOption(
        f"{name}: the annotation {parameter.annotation!r} of parameter {parameter.name!r} cannot be resolved ({error});"
        " define or import the type before the function, at module level, and not under TYPE_CHECKING"
    )


def _closure(target: Any) -> dict[str, Any]:
    if not inspect.isfunction(target):
        return {}
    found: dict[str, Any] = {}
    for free, cell in zip(target.__code__.co_freevars, target.__closure__ or (), strict=True):
        try:
            found[free] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _defining_scopes(code: CodeType | None) -> dict[str, Any]:
    """The local names around a function that is being declared: of the frames whose code holds its code."""
    names: dict[str, Any] = {}
    frame = inspect.currentframe()
    while frame is not None and code is not None:
        if any(constant is code for constant in frame.f_code.co_consts):
            names = {**frame.f_locals, **names}
            code = frame.f_code
        frame = frame.f_back
    return names
