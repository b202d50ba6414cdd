"""The parameters of a Python function: their resolved types, their defaults, and which ones are injected.

Everything that is particular to Python's functions is here: string annotations, local scopes, partials, bound methods.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    NotRequired,
    Required,
    TypeGuard,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic.fields import FieldInfo
from typing_extensions import ReadOnly, Unpack, is_typeddict

from .binding import EMPTY, Binding, binding_of
from .errors import InvalidOption
from .hidden import Hidden

_ANY_NUMBER: Final = "; or, in a decorator, use functools.wraps, and the function's own parameters count"
_UNANNOTATED: Final[dict[object, str]] = {
    inspect.Parameter.VAR_POSITIONAL: f"needs an annotation, the type of each of them{_ANY_NUMBER}",
    inspect.Parameter.VAR_KEYWORD: f"needs an annotation, the type of each value, or Unpack[a TypedDict]{_ANY_NUMBER}",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that the model fills. ``default`` is EMPTY without one, and where pydantic fills it in."""

    name: str
    annotation: Any
    optional: bool
    default: Any


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a function takes: ``filled`` by the model, and what is injected; ``context`` and ``hidden`` are names."""

    filled: list[Parameter]
    context: str | None
    hidden: Mapping[str, Hidden]
    optional: frozenset[str]  # of the hidden ones: those with a default
    binding: Binding


def parameters_of(function: Any, *, name: str, context_types: tuple[type, ...], receiver: bool = False) -> Parameters:
    """The parameters of a function. ``receiver``: the first one is the object of a method, and is left out.

    Raises:
        InvalidOption: a parameter without annotation, or whose annotation cannot be resolved.
    """
    target = _target(function)
    bound = _bound(function)
    filled: list[Parameter] = []
    hidden: dict[str, Hidden] = {}
    context: str | None = None
    taken = [one for one in _signature(function, name).parameters.values() if one.name not in bound]
    taken = taken[1:] if receiver else taken
    for parameter in taken:
        if remedy := _remedy(parameter):
            raise InvalidOption(f"{name}: parameter {parameter.name!r} {remedy}")
        annotation = _resolved(parameter, target, name, context_types)
        mark = _hidden(annotation)
        if mark is not None:
            _check_hidden(name, parameter)
            hidden[parameter.name] = mark
        elif _marks_inside(annotation):
            raise InvalidOption(f"{name}: Hidden marks a part of {parameter.name!r}; it hides a whole parameter only")
        elif not _is_context(annotation, context_types):
            filled += _filled(parameter, annotation)
        elif context is None:
            context = parameter.name
        else:
            raise InvalidOption(f"{name}: {context!r} and {parameter.name!r} are both the context; keep one")
    names = [one.name for one in filled]
    for twice in sorted({one for one in names if names.count(one) > 1}):
        raise InvalidOption(f"{name}: two parameters are called {twice!r}")
    optional = frozenset(one.name for one in taken if one.default is not EMPTY and one.name in hidden)
    return Parameters(filled, context, hidden, optional, _binding(taken, names))


def _binding(taken: Sequence[inspect.Parameter], names: Sequence[str]) -> Binding:
    """An ``Unpack[TypedDict]`` has become parameters of its own: those go by name."""
    return binding_of([one for one in taken if one.kind is not inspect.Parameter.VAR_KEYWORD or one.name in names])


def _filled(parameter: inspect.Parameter, annotation: Any) -> list[Parameter]:
    """What the model fills for a parameter: one value; for ``*args`` a list; for ``**kwargs`` an object, or the fields
    of its TypedDict.
    """
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return [Parameter(parameter.name, list[annotation], True, EMPTY)]
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
        return [_parameter(parameter, annotation)]
    if get_origin(annotation) is not Unpack or not is_typeddict(fields := get_args(annotation)[0]):
        return [Parameter(parameter.name, cast(Any, dict)[str, annotation], True, EMPTY)]
    types = get_type_hints(fields, include_extras=True)
    return [_field(one, types[one], one in fields.__required_keys__) for one in types]


def _field(name: str, annotation: Any, required: bool) -> Parameter:
    """A field of a TypedDict. Its own mark counts: where annotations are text, the class does not know of it."""
    while (mark := get_origin(annotation)) in (Required, NotRequired, ReadOnly):
        required = required if mark is ReadOnly else mark is Required
        annotation = get_args(annotation)[0]
    return Parameter(name, annotation, not required, EMPTY)


def _hidden(annotation: Any) -> Hidden | None:
    """The mark of a hidden parameter, also of one that may be None; ``Hidden`` without brackets is one too."""
    annotation = getattr(annotation, "__value__", annotation)  # a `type` alias
    for one in extras(annotation):
        if one is Hidden or isinstance(one, Hidden):
            return one if isinstance(one, Hidden) else Hidden()
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return next((mark for one in get_args(annotation) if (mark := _hidden(one)) is not None), None)
    return None


def _marks_inside(annotation: Any) -> bool:
    """Whether a part of what the model would fill is marked as hidden."""
    return any(_hidden(one) is not None or _marks_inside(one) for one in get_args(annotation))


def _check_hidden(name: str, parameter: inspect.Parameter) -> None:
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise InvalidOption(f"{name}: {parameter.name!r} cannot be hidden, it is any number of values; name one")


def _remedy(parameter: inspect.Parameter) -> str | None:
    """What is wrong with a parameter, and how to mend it; None when nothing is."""
    if parameter.annotation is not EMPTY:
        return None
    if parameter.name in ("self", "cls"):
        return "is not bound; declare the method of an object, tool(shop.status), instead of decorating it in the class"
    return _UNANNOTATED.get(parameter.kind, "needs an annotation: models are told the types")


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
