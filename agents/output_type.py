"""Structured output: a type becomes the schema of an answer, and an answer a value of the type.

Which agent answers in which form is in ``asking``; how a provider is told is in ``models/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from ..tasks import arguments as words
from ..tasks.errors import ArgumentsError
from ..tasks.schema import is_object, referred, without_nulls
from ..tasks.strict import loose_form, strict_form
from .errors import DeskError
from .model import JSON

WRAPPED: Final = "answer"  # providers take objects only: other types are the one field of one

_FENCED: Final = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL)
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, eq=False)
class OutputType:
    """A type that answers have. ``schema`` is in strict form where it has one (``strict``)."""

    name: str
    schema: JSON
    strict: bool
    wrapped: bool
    _adapter: TypeAdapter[Any] = field(repr=False)
    _plain: JSON = field(repr=False)

    def text_format(self) -> JSON:
        """The ``text.format`` of the Responses API."""
        return {"type": "json_schema", "name": self.name, "schema": self.schema, "strict": self.strict}

    def as_json(self, value: Any) -> Any:
        """A value of the type as JSON values."""
        return self._adapter.dump_python(value, mode="json")

    def read(self, text: str) -> Any:
        """The value that an answer is. Raises ArgumentsError, with words for a model that will try again."""
        fenced = _FENCED.fullmatch(text)
        try:
            value: Any = from_json(fenced[1] if fenced else text, allow_inf_nan=False)
        except ValueError as error:
            raise ArgumentsError(f"Your answer is not valid JSON: {error}. Answer with one JSON object only.") from None
        if not is_object(value):
            raise ArgumentsError("Your answer is JSON, but not an object. Answer with one JSON object only.")
        if self.wrapped and value.keys() != {WRAPPED}:
            raise ArgumentsError(f'Your answer has the wrong fields: it is one object {{"{WRAPPED}": …}}.')
        try:
            value = without_nulls(value, self._plain, self._plain.get("$defs", {}))
            return self._adapter.validate_json(to_json(value[WRAPPED] if self.wrapped else value))
        except ValidationError as error:
            said = str(words.do_not_fit("your answer", error, value, self._plain))
            raise ArgumentsError(said.replace("The arguments of your answer", "The fields of your answer")) from None


def output_type(of: Any) -> OutputType | None:
    """The form of answers of this type; None for text. Raises DeskError for a type that cannot come from JSON."""
    if of is None or of is str:
        return None
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(of)
        plain = adapter.json_schema()
    except Exception as error:  # pydantic raises many, and types of the application any
        raise DeskError(f"output_type {of!r} cannot come from JSON: {str(error).splitlines()[0]}") from error
    definitions: JSON = plain.pop("$defs", {})
    if "$ref" in plain:  # a recursive type; a reference at the root is not taken by providers
        plain = dict(definitions[referred(plain["$ref"])])
    wrapped = not (plain.get("type") == "object" and "properties" in plain)
    if wrapped:
        plain = {"type": "object", "properties": {WRAPPED: plain}, "required": [WRAPPED]}
    plain["$defs"] = definitions
    schema, obstacles = strict_form(plain)
    name = _NO_NAME.sub("_", str(getattr(of, "__name__", "") or WRAPPED))[:64]
    if obstacles:
        schema = loose_form(plain)
    return OutputType(name, schema, not obstacles, wrapped, adapter, plain)
