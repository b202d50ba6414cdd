"""What a request says of the form of its answer, ``text``, ``reasoning`` and ``include``, as the API has them. Pure.

A model is asked with what has passed here, so that a form that no model can have is refused before it is begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from . import checks
from .checks import JSON, optional, require
from .errors import UnsupportedParameter

VERBOSITY: Final = checks.one_of("low", "medium", "high")
EFFORT: Final = checks.one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")
SUMMARY: Final = checks.one_of("auto", "concise", "detailed")
FORMS: Final = checks.one_of("text", "json_object", "json_schema")
NAME: Final = checks.matching(checks.NAME, "1 to 64 letters, digits, _ or -")
NEVER_MADE: Final = frozenset({"message.output_text.logprobs"})  # what else can be included is of tools not had here


def check(request: Mapping[str, Any]) -> None:
    """Raises InvalidRequest or UnsupportedParameter, naming the place."""
    text = optional(request, "text", checks.mapping)
    if text is not None:
        optional(text, "verbosity", VERBOSITY, "text.verbosity")
        form = optional(text, "format", checks.mapping, "text.format")
        if form is not None:
            check_format(form, form, "text.format", "text.format")
    reasoning = optional(request, "reasoning", checks.mapping)
    if reasoning is not None:
        optional(reasoning, "effort", EFFORT, "reasoning.effort")
        optional(reasoning, "summary", SUMMARY, "reasoning.summary")
        optional(reasoning, "generate_summary", SUMMARY, "reasoning.generate_summary")
    _check_include(optional(request, "include", checks.listing) or [])


def check_format(form: JSON, schema: Mapping[str, Any], param: str, schema_param: str) -> None:
    """A format, and where its schema is described: in the format itself, or one level deeper in Chat Completions."""
    if require(form.get("type"), FORMS, f"{param}.type") == "json_schema":
        require(schema.get("name"), NAME, f"{schema_param}.name")
        require(schema.get("schema"), checks.mapping, f"{schema_param}.schema")
        optional(schema, "description", checks.string(), f"{schema_param}.description")
        optional(schema, "strict", checks.boolean, f"{schema_param}.strict")


def _check_include(wanted: list[Any]) -> None:
    for index, one in enumerate(wanted):
        name = cast(str, require(one, checks.string(256), f"include[{index}]"))
        if name in NEVER_MADE:
            raise UnsupportedParameter("include", f"{name} is given by no model here")
