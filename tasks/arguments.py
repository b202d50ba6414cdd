"""The words for arguments that do not fit, all problems at once. The reader is a language model that will try again.

Each line names the field, the value and what would be right. Nothing here validates: pydantic did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from pydantic_core import ErrorDetails, ValidationError, to_json

from .errors import ArgumentsError
from .schema import JSON, cases, expected, is_array, is_object, node_at, takes_any_text, values

_LONGEST_VALUE: Final = 80
_AROUND: Final = 20  # characters shown on each side of a syntax error
_MOST_PROBLEMS: Final = 20


def not_json(name: str, text: str, reason: str) -> ArgumentsError:
    """``text`` is no JSON; ``reason`` is the parser's, with the position."""
    return ArgumentsError(
        f"The arguments of {name} are not valid JSON: {reason}{_near(text, reason)}. Send one JSON object."
    )


def not_an_object(name: str, value: object) -> ArgumentsError:
    """``value`` is JSON, but not an object."""
    return ArgumentsError(f"The arguments of {name} must be one JSON object, not {_shown(value)}.")


def do_not_fit(name: str, error: ValidationError, arguments: JSON, schema: JSON) -> ArgumentsError:
    """Translate pydantic's ``error`` about ``arguments``. ``schema`` is pydantic's too, in any form."""
    problems: dict[tuple[str | int, ...], list[str]] = {}
    defs = schema.get("$defs", {})
    for detail in error.errors(include_url=False):
        path = _path(detail, arguments)
        texts = problems.setdefault(path, [])
        if (text := _problem(detail, path, schema, defs)) not in texts:
            texts.append(text)
    lines = [f"{_spelled(path)}: {_joined(texts)}" for path, texts in problems.items()]
    if len(lines) == 1:
        return ArgumentsError(f"The arguments of {name} do not fit: {lines[0]}{'' if lines[0].endswith('?') else '.'}")
    more = [f"… and {len(lines) - _MOST_PROBLEMS} more"] if len(lines) > _MOST_PROBLEMS else []
    listed = "\n".join(f"- {line}" for line in (*lines[:_MOST_PROBLEMS], *more))
    return ArgumentsError(f"The arguments of {name} do not fit:\n{listed}")


def nearest(name: str, known: Sequence[str]) -> str:
    """``"; did you mean x?"``, or nothing when no known name is near."""
    close = get_close_matches(name, known, n=2, cutoff=0.6)
    if not close:
        by_case = [one for one in known if one.casefold() == name.casefold()]
        close = by_case[:1]
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _path(detail: ErrorDetails, arguments: Any) -> tuple[str | int, ...]:
    """pydantic's location without the names of union members that it mixes in: they lead nowhere in the arguments."""
    path: list[str | int] = []
    here = arguments
    last = len(detail["loc"]) - 1
    for position, step in enumerate(detail["loc"]):
        if is_object(here) and step in here:
            here = here[str(step)]
        elif is_array(here) and isinstance(step, int) and step < len(here):
            here = here[step]
        elif position != last or detail["type"] != "missing":
            continue
        path.append(step)
    return tuple(path)


def _problem(detail: ErrorDetails, path: tuple[str | int, ...], schema: JSON, defs: Mapping[str, JSON]) -> str:
    value, node = detail["input"], node_at(path, schema, defs)
    wanted = expected(node, defs)
    match detail["type"]:
        case "missing":
            return f"missing; give {wanted}" if wanted else "missing"
        case "extra_forbidden" | "unexpected_keyword_argument":
            known = [
                name for case in cases(node_at(path[:-1], schema, defs), defs) for name in case.get("properties", {})
            ]
            hint = nearest(str(path[-1]), known) or f"; it takes {', '.join(known) or 'no arguments'}"
            return f"unknown{hint}"
        case "enum" | "literal_error":
            hint = (
                nearest(value, [one for one in values(node, defs) if isinstance(one, str)])
                if isinstance(value, str)
                else ""
            )
            return f"{_shown(value)} is not {wanted or detail['msg']}{hint}"
        case kind if wanted and kind.endswith(("_type", "_parsing")) and not _unsaid(value, node, defs):
            return f"{_shown(value)} is wrong; give {wanted}"
        case _:
            reason = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            return f"{_shown(value)} is wrong: {reason.replace('Input should', 'it should', 1)}"


def _unsaid(value: object, node: JSON, defs: Mapping[str, JSON]) -> bool:
    """Whether the schema does not say what is wrong with a value: a text where texts are allowed, but not this one."""
    return isinstance(value, str) and takes_any_text(node, defs)


def _joined(texts: Sequence[str]) -> str:
    first, *others = texts
    begin = first.partition(" is wrong: ")[0] + " is wrong: "
    return " or ".join((first, *(text.removeprefix(begin) for text in others)))


def _spelled(path: tuple[str | int, ...]) -> str:
    spelled = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return spelled.removeprefix(".") or "the arguments"


def _shown(value: object) -> str:
    text = to_json(value, serialize_unknown=True).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _near(text: str, reason: str) -> str:
    """The text around the position that a JSON parser's ``reason`` ends with: "… at line 1 column 12"."""
    line, _, column = reason.rpartition(" at line ")[2].partition(" column ")
    lines = text.splitlines()
    if not (line.isdecimal() and column.isdecimal() and 0 < int(line) <= len(lines)):
        return ""
    shown = lines[int(line) - 1][max(0, int(column) - _AROUND) : int(column) + _AROUND].strip()
    return f", near `{shown}`" if shown else ""
