"""One clause of a request: its text, the values in it, and the phrases that a parameter may take from it. It knows
no schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal, TypeAlias

from . import vocabulary
from .money import currencies
from .values import Value, overlap, scan
from .words import WEAK, Token, fold, stem, stems, terms, tokens, unspaced

READ: Final = 4000
"""So many characters of a text are looked at: what a person asks for stands in the beginning, the rest is material."""

Direction: TypeAlias = Literal["to", "from", ""]

_STOPS_HERE: Final = re.compile(r"[,;\n]|\s(?:and|und|y|et)\s")
_EDGE: Final = " \t\r\n.,;:!?。！？、"


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a request. ``answer`` is where the answer to a question of ours begins in ``text``; its length when
    nothing was asked.
    """

    text: str
    values: tuple[Value, ...]
    terms: Mapping[str, float]
    answer: int
    words: tuple[Token, ...] = field(repr=False, default=())

    @property
    def answered(self) -> str:
        return self.text[self.answer :].strip(_EDGE)


_NAMED: Final = ("path", "url", "email", "quoted")  # their words name a thing, they do not say what to do


def clause(text: str, *, answer: int | None = None, today: date | None = None) -> Clause:
    """Reads a clause. Of a very long one only the beginning is looked at; its text stays whole."""
    seen = text[:READ]
    values = scan(seen, today=today)
    said = seen
    for value in values:
        if value.kind in _NAMED:
            said = said[: value.start] + " " * (value.end - value.start) + said[value.end :]
    weights = {**dict.fromkeys(stems(seen), 0.4), **terms(said), **dict.fromkeys(money(seen), 0.6)}
    return Clause(text, values, weights, len(text) if answer is None else answer, tokens(seen))


def money(text: str) -> frozenset[str]:
    """The stems of what a text is about that names a currency; more when it wants an amount in it."""
    named = currencies(text)
    about = stems("currency exchange rate convert conversion") if any(one.target for one in named) else frozenset[str]()
    return about.union(*(stems(one.code) for one in named))


def before(clause: Clause, start: int) -> str:
    """The word before a place, articles skipped; empty when a comma or the like stands between."""
    at = start
    for token in reversed([token for token in clause.words if token.end <= start]):
        if re.search(r"[^\s\"'“„«(.]", clause.text[token.end : at]):
            return ""
        if token.folded not in vocabulary.ARTICLES:
            return token.folded
        at = token.start
    return ""


def direction(clause: Clause, value: Value) -> Direction:
    """Whether the text says *to* or *from* this value."""
    if value.unit == "target":
        return "to"
    word = before(clause, value.start)
    return "to" if word in vocabulary.TO else "from" if word in vocabulary.FROM else ""


def negated(clause: Clause, start: int) -> bool:
    """Whether the word at ``start`` is said not to be wanted (``without onions``)."""
    return before(clause, start) in vocabulary.NOT


def joined(clause: Clause, one: Value, other: Value) -> bool:
    """Whether two values stand side by side, with nothing but ``and`` or a comma between them."""
    between = fold(clause.text[one.end : other.start])
    return (
        re.fullmatch(r"[\s\"'”“)]*(?:,|and|und|y|et|&|\+|,\s*(?:and|und)|와|과|및|하고|그리고)[\s\"'“”(]*", between)
        is not None
    )


def after_name(clause: Clause, name: str, *, to_the_end: bool) -> tuple[int, int] | None:
    """Where the value stands that the text gives a parameter by name (``note: ring twice``, ``title is Momo``)."""
    spaced = r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", name)))
    found = re.search(
        rf"(?<!\w){spaced}s?\s*(?:[:=]|\b(?:is|are|ist|called|named|saying|says|lautet)\b)\s*",
        clause.text,
        re.IGNORECASE,
    )
    if found is None:
        return None
    for value in clause.values:
        if value.kind == "quoted" and value.start == found.end():
            return value.start + 1, value.end - 1
    stop = None if to_the_end else _STOPS_HERE.search(clause.text, found.end())
    return _trimmed(clause.text, found.end(), stop.start() if stop else len(clause.text))


def after_word(clause: Clause, words: frozenset[str], known: frozenset[str]) -> tuple[int, int] | None:
    """The one or two words after a preposition (``in new york``), when they are no words of the tool."""
    for at, token in enumerate(clause.words[:-1]):
        if token.folded not in words or unspaced(token.text):
            continue
        taken: list[Token] = []
        end = token.end
        for following in clause.words[at + 1 :]:
            gap, end = clause.text[end : following.start], following.end
            if not taken and following.folded in vocabulary.ARTICLES:
                continue
            if gap.strip() or following.folded in vocabulary.STOP or following.stem in known or len(taken) == 2:
                break
            taken.append(following)
        if taken and not any(
            overlap(value, taken[0].start, taken[-1].end) for value in clause.values if value.kind != "name"
        ):
            return taken[0].start, taken[-1].end
    return None


def rest(clause: Clause, known: frozenset[str], used: tuple[Value, ...]) -> tuple[int, int] | None:
    """What remains of a clause when the words of the tool, politeness and used values are taken from both ends."""

    def spent(token: Token, *, first: bool) -> bool:
        if any(overlap(value, token.start, token.end) for value in used):
            return True
        if unspaced(token.text):
            return token.folded in vocabulary.STOP or (
                not first and bool(stems(token.text)) and stems(token.text) <= known
            )
        return (
            token.folded in vocabulary.STOP
            or token.stem in known
            or (first and token.stem in WEAK)
            or (len(token.text) == 1 and token.text.isascii())
        )

    words = list(clause.words)
    while words and spent(words[0], first=True):
        words.pop(0)
    while words and spent(words[-1], first=False):
        words.pop()
    if not words:
        return None
    if len(clause.text) > READ:
        return _trimmed(clause.text, words[0].start, len(clause.text))
    tail = re.match(r"\S*", clause.text[words[-1].end :])
    return _trimmed(clause.text, words[0].start, words[-1].end + (tail.end() if tail else 0))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    part = text[start:end]
    start += len(part) - len(part.lstrip(_EDGE))
    end -= len(part) - len(part.rstrip(_EDGE + "\"'”"))
    return (start, end) if start < end else None


def says(clause: Clause, name: str) -> bool | None:
    """Whether the text asks for a yes-or-no parameter: True, False (``no tracking``), or None when it says nothing."""
    wanted = stems(name) - WEAK - _AUXILIARY
    places = [token.start for token in clause.words if token.stem in wanted]
    if not wanted or len({token.stem for token in clause.words if token.stem in wanted}) < len(wanted):
        return None
    return not negated(clause, places[0])


_AUXILIARY: Final = frozenset(map(stem, vocabulary.AUXILIARY))


def yes_or_no(text: str) -> bool | None:
    """An answer to a yes-or-no question."""
    words = {token.folded for token in tokens(text)}
    return True if words & vocabulary.YES else False if words & vocabulary.NO else None
