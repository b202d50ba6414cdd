"""Which values of an enum a text names, in whatever form: plural, other case, several words. No parameter, no tool."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .clause import Clause, negated
from .money import currencies
from .values import Value
from .words import Token, fold, name_parts, stem, unspaced


def named_members(clause: Clause, members: list[Any], synonyms: tuple[tuple[str, str], ...] = ()) -> tuple[Value, ...]:
    """The members that the text names, in its order; where two readings overlap, the longer one.

    Unwanted ones (``no onions``) are left out. ``synonyms``: other words, each with the member that it stands for.
    """
    found = [replace(value, value=member) for word, member in synonyms for value in _places(clause, word)]
    found = [value for value in found if value.value in members]
    found += [value for member in members if isinstance(member, str) for value in _places(clause, member)]
    found += _amounts(clause, members) + _money(clause, members)
    kept: list[Value] = []
    for value in sorted(found, key=lambda value: (value.start - value.end, value.start)):
        if not any(value.start < other.end and other.start < value.end for other in kept):
            kept.append(value)
    return tuple(value for value in sorted(kept, key=lambda value: value.start) if not negated(clause, value.start))


def _places(clause: Clause, member: str) -> list[Value]:
    if unspaced(member):
        at = clause.text.find(member)
        return [Value("name", member, at, at + len(member))] if at >= 0 else []
    if not (parts := name_parts(member)):
        return []
    if len(parts) == 1 and len(parts[0]) == 1:
        return [Value("name", member, one.start, one.end) for one in clause.words if _letter(clause, one, parts[0])]
    wanted = [stem(part) for part in parts]
    exact = [fold(part) for part in parts]
    places: list[Value] = []
    for at in range(len(clause.words) - len(parts) + 1):
        run = clause.words[at : at + len(parts)]
        if [one.folded for one in run] == exact or ([one.stem for one in run] == wanted and min(map(len, exact)) > 2):
            places.append(Value("name", member, run[0].start, run[-1].end))
    return places


def _letter(clause: Clause, token: Token, letter: str) -> bool:
    return token.text == letter and (letter.isupper() or letter.isdigit()) and not (letter in "AI" and token.start == 0)


def _amounts(clause: Clause, members: list[Any]) -> list[Value]:
    return [
        value
        for value in clause.values
        if value.kind == "number"
        and any(value.value == member and not isinstance(member, bool | str) for member in members)
    ]


def _money(clause: Clause, members: list[Any]) -> list[Value]:
    codes = {member.upper(): member for member in members if isinstance(member, str)}
    return [
        Value("currency", codes[one.code], one.start, one.end, "target" if one.target else "")
        for one in currencies(clause.text)
        if one.code in codes
    ]
