"""An answer in a form that the request asks for: filled from the person's words, as the arguments of a tool are. What
they do not say is not made up: then there is none, and the answer is words.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pydantic_core import to_json

from ...model import JSON, ModelRequest, ToolSpec
from .arguments import fill
from .catalogue import catalogue
from .clause import clause
from .schema import as_object


def in_form(text: str, request: ModelRequest, today: date | None) -> str | None:
    """The answer as JSON; None when no form is wanted, or not all of it is in the person's text."""
    form = as_object(request.text.get("format"))
    if form.get("type") != "json_schema" or _is_corrected(request.items):
        return None
    tool = ToolSpec(name=str(form.get("name") or "answer"), description="", parameters=as_object(form.get("schema")))
    (candidate,) = catalogue([tool])
    found = fill(candidate.parameters, clause(text, today=today), candidate.known, candidate.synonyms)
    return None if found.missing else to_json(found.arguments).decode()


def _is_corrected(items: Sequence[JSON]) -> bool:
    """Whether the request is an answer of ours and what is wrong with it: those words are not the person's."""
    return len(items) > 1 and items[-2].get("role") == "assistant" and isinstance(items[-2].get("content"), str)
