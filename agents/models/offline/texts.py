"""Where a text parameter finds its words: which kinds of values it takes, and which phrase when there is none."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from ...model import JSON
from .clause import READ, Clause, after_name, after_word, rest
from .roles import PREPOSITIONS, Role
from .schema import Parameter, matches
from .values import Kind, Value, overlap
from .vocabulary import STOP
from .words import stem, stems

Place = tuple[int, int]

_KINDS: dict[Role, tuple[Kind, ...]] = {
    "path": ("path", "quoted", "here"),
    "url": ("url",),
    "email": ("email",),
    "date": ("date",),
    "month": ("date",),
    "datetime": ("date",),
    "time": ("time",),
    "currency": ("currency",),
    "label": ("label",),
    "id": ("id", "quoted", "number", "label"),
    "whole": (),
    "text": ("quoted",),
    "person": ("quoted",),
    "place": ("quoted", "path"),
    "plain": ("quoted", "path", "id"),
}


def role_kinds(role: Role) -> tuple[Kind, ...]:
    """The kinds of values that a parameter of this role takes, best first."""
    return _KINDS[role]


def as_text(value: Value, role: str, form: str, clause: Clause) -> Value:
    """``value`` as the text that a parameter of this role takes; empty when it does not say enough."""
    if value.kind in ("date", "time"):
        moment = value.value
        clock = moment.time or next((one.value.time for one in clause.values if one.kind == "time"), "")
        forms = {
            "date": moment.date or moment.text,
            "month": moment.month or moment.text,
            "time": (clock if form else clock.removesuffix(":00")) or moment.text,
            "datetime": f"{moment.date}T{clock or '00:00:00'}" if moment.date else "",
        }
        return replace(value, value=forms.get(role, moment.text))
    if not isinstance(value.value, str):
        return replace(value, value=clause.text[value.start : value.end])
    return value


def free_text(
    clause: Clause,
    parameter: Parameter,
    choice: JSON,
    role: Role,
    known: frozenset[str],
    used: tuple[Value, ...],
    *,
    guess: bool,
) -> Place | None:
    """Where the phrase for a parameter stands: after its own name, of its pattern, after a preposition, a name, or
    what remains.

    An optional parameter takes only what the text gives it by name: guessing is worse than its default.
    """

    def fits(place: Place | None) -> Place | None:
        return place if place and parameter.takes(clause.text[place[0] : place[1]]) else None

    if place := fits(after_name(clause, parameter.name, to_the_end=role in ("text", "whole"))):
        return place
    if isinstance(pattern := choice.get("pattern"), str):
        return next(filter(fits, _patterned(clause, pattern, used)), None)
    if role == "path":
        return fits(_folder(clause, known, used)) if parameter.optional or parameter.stems & _FOLDERS else None
    if parameter.optional or role in ("url", "email", "datetime", "time", "currency", "label"):
        return None
    if role == "whole":
        return fits(_all(clause))
    if role in ("person", "place") and (place := fits(_named(clause, role, known, used))):
        return place
    if clause.answered and (place := fits(_answer(clause, used))):
        return place
    return None if role in ("date", "month") or not guess else fits(rest(clause, known, used))


_FOLDERS: Final = stems("folder directory dir ordner verzeichnis tree root")
_NO_FOLDERS: Final = _FOLDERS | stems(
    "file files parallel background detail full total general order case time english german korean french turn"
)
_FOLDER: Final = re.compile(
    r"\b(?:in|below|under|inside|within|im|unter)\s+(?:(?:the|my|our|dem|der)\s+)?"
    r"(?:(?:folder|directory|ordner|verzeichnis)\s+)?([\w][\w.-]*)(?=\s*(?:$|[,.;:!?]|(?:and|und|folder|directory|ordner)\b))"
    r"|([\w][\w.-]*)\s(?:folder|directory|ordner)\b|([\w.-]+)\s?폴더",
    re.IGNORECASE,
)


def _folder(clause: Clause, known: frozenset[str], used: tuple[Value, ...]) -> Place | None:
    """A folder that is named without looking like a path (``in data``, ``the data folder``)."""
    for found in _FOLDER.finditer(clause.text[:READ]):
        group = found.lastindex or 1
        place = found.start(group), found.end(group)
        word = found[group]
        told = word.casefold() in STOP or stem(word) in known or stem(word) in _NO_FOLDERS
        if not told and not any(overlap(value, *place) for value in used):
            return place
    return None


def _patterned(clause: Clause, pattern: str, used: tuple[Value, ...]) -> list[Place]:
    places = [(one.start(), one.end()) for one in re.finditer(r"[^\s,;!?\"']*[^\s,;!?\"'.]", clause.text)]
    return [
        place
        for place in places
        if matches(pattern, clause.text[place[0] : place[1]]) and not any(overlap(value, *place) for value in used)
    ]


def _all(clause: Clause) -> Place | None:
    text = clause.text
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    return (start, end) if start < end else None


def _named(clause: Clause, role: Role, known: frozenset[str], used: tuple[Value, ...]) -> Place | None:
    """A capitalised name that is no word of the tool and no first word of the clause, or what follows a fitting
    preposition.
    """
    if place := after_word(clause, PREPOSITIONS[role], known):
        whole = next((one for one in clause.values if one.kind == "name" and one.start <= place[0] < one.end), None)
        if not any(overlap(value, *place) for value in used):
            return (whole.start, max(whole.end, place[1])) if whole else place
    for value in clause.values:
        first = next((one for one in clause.words if one.start == value.start), None)
        free = not any(overlap(value, one.start, one.end) for one in used)
        if value.kind == "name" and value.start > 0 and free and (first is None or first.stem not in known):
            return value.start, value.end
    return None


def _answer(clause: Clause, used: tuple[Value, ...]) -> Place | None:
    start = clause.text.find(clause.answered, clause.answer)
    place = (start, start + len(clause.answered))
    return None if start < 0 or any(overlap(value, *place) for value in used) else place
