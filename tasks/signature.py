"""What a typed Python function is to a language model: a name, a description, a JSON schema, checked arguments.

All work is done once, when the function is declared; `Signature.validate` is what a call costs. How parameters are
read from the function is in ``parameters``; how the schema gets its form is in ``strict``; how errors are worded is
in ``arguments``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Annotated, Any, NotRequired, TypeAlias, cast

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import PydanticSerializationError, SchemaError, from_json, to_json
from typing_extensions import TypedDict

from . import arguments as words
from .binding import EMPTY, Binding
from .docstring import described
from .errors import ArgumentsError, InvalidOption
from .hidden import Hidden, MissingDependency
from .parameters import Parameter, extras, is_coroutine_function, name_of, parameters_of, returns_something
from .schema import JSON, has_defaults, is_object, without_nulls
from .strict import loose_form, strict_form

_Adapter: TypeAlias = TypeAdapter[dict[str, Any]]

# Models without strict mode often write 7 where a string is asked for. JSON has neither NaN nor infinity.
_CONFIG = ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)


class _PlainSchema(GenerateJsonSchema):
    """pydantic's generator, without its warnings of defaults that have no JSON form: the model is not told those."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as in the base


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """A function as a model sees it, and the check of what the model sends.

    ``schema`` describes the arguments, without those that are injected: ``context`` and ``hidden``. In strict form
    (``strict``) an optional parameter is required and nullable; null then means its default, unless None is one of its
    values: then null is None. A signature that has no strict form (a dict with free keys, a value of any type) has the
    usual one, with the same meaning of null.
    """

    name: str
    description: str
    schema: JSON
    context: str | None
    is_async: bool
    strict: bool
    returns: bool  # whether it is declared to return anything
    hidden: Mapping[str, Hidden] = field(repr=False)
    _optional: frozenset[str] = field(repr=False)  # of the hidden ones: those that may be left out
    _binding: Binding = field(repr=False)
    _adapter: _Adapter = field(repr=False)
    _plain: JSON = field(repr=False)  # pydantic's own schema
    _nulls: bool = field(repr=False)  # whether a null may stand for a default

    def validate(self, arguments: str | Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments for the function, converted to its types, from JSON text or JSON values.

        A parameter that is left to its default is absent. The dict is the caller's own.

        Raises:
            ArgumentsError: text that tells a model all that is wrong with them, and what would be right.
        """
        data = arguments if isinstance(arguments, str) else self._text(arguments)
        if self._nulls and "null" in data:
            data = to_json(self._without_nulls(data)).decode()
        try:
            return self._adapter.validate_json(data)
        except ValidationError as error:
            if not data.strip():  # what some models send for a function without parameters
                return self.validate("{}")
            raise self._error(data, error) from None

    def inject(self, arguments: dict[str, Any], context: Any) -> dict[str, Any]:
        """Adds to validated arguments, in place, what no model fills. Of a hidden parameter whose source is async this
        is an awaitable: `settled` waits for it.

        Raises:
            MissingDependency: what a hidden parameter asks for is not there. A source may raise anything.
        """
        if self.context is not None:
            arguments[self.context] = context
        for name, mark in self.hidden.items():
            try:
                arguments[name] = mark.value(name, context)
            except MissingDependency:
                if name not in self._optional:
                    raise
        return arguments

    def may_leave_out(self, name: str) -> bool:
        """Whether a hidden parameter has a default."""
        return name in self._optional

    async def settled(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments, with hidden ones that are awaitable awaited, in place."""
        for name, mark in self.hidden.items():
            if mark.source is not None and isawaitable(arguments[name]):
                arguments[name] = await arguments[name]
        return arguments

    def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Calls the function with arguments by name, all of them: validated and injected."""
        return self._binding.call(function, arguments)

    def normalise(self, arguments: str | Mapping[str, Any]) -> JSON:
        """The arguments as JSON values, validated, without the nulls that stand for a default: what to store, and
        what to compare.

        Raises:
            ArgumentsError: as `validate`.
        """
        data = arguments if isinstance(arguments, str) else self._text(arguments)
        self.validate(data)
        return cast(JSON, self._without_nulls(data))

    def _text(self, arguments: Mapping[str, Any]) -> str:
        try:
            return to_json(dict(arguments)).decode()
        except (PydanticSerializationError, ValueError) as error:
            raise ArgumentsError(f"The arguments of {self.name} cannot be written as JSON: {error}.") from error

    def _without_nulls(self, data: str) -> Any:
        values = self._parsed(data)
        return without_nulls(values, self._plain, self._plain.get("$defs", {})) if self._nulls else values

    def _parsed(self, text: str) -> JSON:
        try:
            values: Any = from_json(text if text.strip() else "{}", allow_inf_nan=False)
        except ValueError as error:
            raise words.not_json(self.name, text, str(error)) from None
        except TypeError:  # half of a surrogate pair, which has no UTF-8
            raise words.not_json(self.name, text, "they hold characters that are not Unicode") from None
        if not is_object(values):
            raise words.not_an_object(self.name, values)
        return values

    def _error(self, data: str, error: ValidationError) -> ArgumentsError:
        try:
            return words.do_not_fit(self.name, error, self._parsed(data), self._plain)
        except ArgumentsError as worse:
            return worse


def signature_of(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    context_types: tuple[type, ...] = (),
    strict: bool | None = None,
    receiver: bool = False,
) -> Signature:
    """Read ``function``: its name, its docstring (Google, NumPy or Sphinx style), its parameters.

    The parameter whose annotation is one of ``context_types``, or a generic alias of one, is injected and not in
    the schema, nor are those marked `Hidden`. ``strict``: True insists on strict form, False gives it up, None takes it
    where it is possible. ``receiver``: it is a method as its class has it, and its first parameter is the object.

    Raises:
        InvalidOption: a parameter that cannot be expressed; the text names it and says what to do.
    """
    name = name or name_of(function)
    taken = parameters_of(function, name=name, context_types=context_types, receiver=receiver)
    document = described(inspect.getdoc(function))
    adapter, plain = _adapter(name, taken.filled, document.parameters)
    schema, is_strict = _schema(name, plain, strict)
    return Signature(
        name=name,
        description=document.text if description is None else description,
        schema=schema,
        context=taken.context,
        is_async=is_coroutine_function(function),
        strict=is_strict,
        returns=returns_something(function),
        hidden=taken.hidden,
        _optional=taken.optional,
        _binding=taken.binding,
        _adapter=adapter,
        _plain=plain,
        _nulls=has_defaults(plain, plain.get("$defs", {})),
    )


def _adapter(name: str, parameters: Sequence[Parameter], texts: Mapping[str, str]) -> tuple[_Adapter, JSON]:
    """What validates the arguments, and pydantic's own schema of them, with the defaults."""
    fields = {one.name: _described(one, texts.get(one.name)) for one in parameters}
    try:
        adapter, schema = _checked(fields, parameters)
    except Exception as error:  # pydantic raises many, and types of the application any
        guilty = next((one for one in parameters if not _possible(one, fields[one.name])), None)
        where = f"parameter {guilty.name!r} ({guilty.annotation!r})" if guilty else "its parameters together"
        raise InvalidOption(
            f"{name}: {where} cannot come from JSON ({_first_sentence(error)}); take JSON types, enums, dates, "
            "dataclasses or pydantic models, and from the context what a model cannot know"
        ) from error

    for one, node in zip(parameters, schema.get("properties", {}).values(), strict=True):
        if one.default is not EMPTY and (default := _as_json(one.default)) is not None:
            node["default"] = default
    return adapter, schema


def _first_sentence(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[-1 if isinstance(error, SchemaError) else 0].partition(". ")[0].rstrip(".")


def _checked(fields: Mapping[str, Any], parameters: Sequence[Parameter]) -> tuple[_Adapter, JSON]:
    # A TypedDict: validation makes the dict of keyword arguments itself, and any parameter name is allowed (a model
    # refuses "schema" or "_x").
    members = {one.name: NotRequired[fields[one.name]] if one.optional else fields[one.name] for one in parameters}
    arguments = cast(Any, TypedDict)("Arguments", members)
    arguments.__pydantic_config__ = _CONFIG
    adapter: _Adapter = TypeAdapter(arguments)
    return adapter, adapter.json_schema(schema_generator=_PlainSchema)


def _possible(parameter: Parameter, annotation: Any) -> bool:
    try:
        _checked({parameter.name: annotation}, [parameter])
    except Exception:
        return False
    return True


def _described(parameter: Parameter, text: str | None) -> Any:
    """The annotation with its description: Field's, else text in Annotated, else the docstring's."""
    beside = extras(parameter.annotation)
    if any(isinstance(one, FieldInfo) and one.description for one in beside):
        return parameter.annotation
    text = next((one for one in beside if isinstance(one, str)), text)
    return Annotated[parameter.annotation, Field(description=text)] if text else parameter.annotation


def _as_json(value: object) -> Any:
    """``value`` as JSON values; None when it has no such form: then the model is not told the default."""
    try:
        return from_json(to_json(value, inf_nan_mode="null"))
    except ValueError:
        return None


def _schema(name: str, plain: JSON, strict: bool | None) -> tuple[JSON, bool]:
    if strict is False:
        return loose_form(plain), False
    schema, obstacles = strict_form(plain)
    if not obstacles:
        return schema, True
    if strict:
        raise InvalidOption(
            f"{name}: no strict form for {', '.join(obstacles)}; take a dataclass or model with named fields "
            "(a list of them for a dict), or declare strict=False"
        )
    return loose_form(plain), False
