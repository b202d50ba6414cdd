"""What a text holds that can be an argument: quoted words, paths, labels, dates, numbers, names. Found once, with
their places.

It knows kinds of values, not parameters: which value goes where is decided in ``arguments``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from math import isfinite
from typing import Any, Final, Literal, TypeAlias

from . import vocabulary
from .money import currencies
from .time import dates, times
from .words import fold, tokens, unspaced

Kind: TypeAlias = Literal[
    "quoted", "url", "email", "path", "label", "date", "time", "currency", "id", "number", "name", "here"
]


@dataclass(frozen=True, slots=True)
class Value:
    """One thing found. ``unit`` is what qualifies it: the unit of a number, ``target`` of a currency."""

    kind: Kind
    value: Any
    start: int
    end: int
    unit: str = ""


Finder: TypeAlias = Callable[[str], Iterator[Value]]


def overlap(one: Value, start: int, end: int) -> bool:
    return one.start < end and start < one.end


def scan(text: str, *, today: date | None = None) -> tuple[Value, ...]:
    """Everything found in ``text``, by place. Where two readings overlap, the more telling one stays."""
    found: list[Value] = []
    finders: tuple[Finder, ...] = (*_FINDERS[:3], partial(_dates, today=today), *_FINDERS[3:])
    for finder in finders:
        for value in finder(text):
            if not any(overlap(value, other.start, other.end) for other in found):
                found.append(value)
    return tuple(sorted(found, key=lambda value: value.start))


def _each(pattern: re.Pattern[str], kind: Kind, value: Callable[[re.Match[str]], Any]) -> Finder:
    def finder(text: str) -> Iterator[Value]:
        for match in pattern.finditer(text):
            yield Value(kind, value(match), match.start(), match.end())

    return finder


_QUOTED: Final = re.compile(
    r"\"([^\"]+)\"|“([^”]+)”|„([^“”]+)[“”]|«([^»]+)»|「([^」]+)」|『([^』]+)』|`([^`]+)`|(?<![^\s(:=])'([^']+)'(?![^\s.,;:!?)])"
)
_URL: Final = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)]")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_LABEL: Final = re.compile(r"(?<![\w/.-])[Tt]\d+(?![\w/-]|\.\w)", re.ASCII)
_ID: Final = re.compile(
    r"(?<![\w/.-])(?!\d+(?:[A-Za-z]*|[eE]\d+)(?![\w-]))(?=[\w-]*\d)(?=[\w-]*[A-Za-z-])[A-Za-z0-9]+(?:[-_.][A-Za-z0-9]+)*(?![\w/])",
    re.ASCII,
)
_CHUNK: Final = re.compile(r"\S+")
_PATH: Final = re.compile(r"(?:[A-Za-z]:[\\/]|~?/|\.{1,2}[\\/])?[\w.@+~-]*(?:[\\/][\w.@+~-]+)*[\\/]?", re.ASCII)
_FILE: Final = re.compile(r"[\w@+~-][\w.@+~-]*\.(?:[A-Za-z][A-Za-z0-9]{0,4}|7z|mp[34])", re.ASCII)
_NOT_PATHS: Final = frozenset(
    {"e.g", "i.e", "and/or", "he/she", "yes/no", "n/a", "w/o", "a.m", "p.m", "z.b", "d.h", "u.a"}
)
_HERE: Final = re.compile(
    r"\b(?:here|this (?:folder|directory)|(?:the )?current (?:folder|directory)|hier|diese[rm] ordner)\b"
    r"|여기|현재 폴더|이 폴더",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(
    r"(?<![\w.])(?P<sign>[-+−]?)(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
    r"\s?(?P<unit>%|[A-Za-zµ]+\b|[가-힣]{1,2})?"
)
_ORDINALS: Final = frozenset({"st", "nd", "rd", "th"})
_NAME_WORD: Final = r"(?:(?:Dr|Mr|Mrs|Ms|Prof|Hr|Fr|St)\.|[^\W\d_][\w'’-]*)"
_NAME: Final = re.compile(rf"{_NAME_WORD}(?:\s+{_NAME_WORD})*")


def _paths(text: str) -> Iterator[Value]:
    for chunk in _CHUNK.finditer(text):
        found = _PATH.match(chunk.group().lstrip("(["))
        start = chunk.start() + len(chunk.group()) - len(chunk.group().lstrip("(["))
        word = found.group() if found else ""
        rest = text[start + len(word) : chunk.end()]
        if word.strip(".") and word.rstrip(".") != word:
            word = word.rstrip(".")
        if _is_path(word) and (not rest or unspaced(rest) or not rest[0].isalnum()):
            yield Value("path", word, start, start + len(word))


def _is_path(word: str) -> bool:
    if word in (".", "..", "~"):
        return True
    if fold(word) in _NOT_PATHS or not re.search(r"[A-Za-z]", word):
        return False
    if "/" in word or "\\" in word:
        return not re.fullmatch(r"[A-Z]{2,5}/[A-Z]{2,5}|\w/\w", word)
    return _FILE.fullmatch(word) is not None


def _numbers(text: str) -> Iterator[Value]:
    for match in _NUMBER.finditer(text):
        digits = match["number"].replace(",", "")
        amount = float(digits) if re.search(r"[.eE]", digits) else int(digits[:300])
        if isinstance(amount, int) or isfinite(amount):
            unit = match["unit"] or ""
            signed = -amount if match["sign"] in ("-", "−") else amount
            yield Value("number", signed, match.start(), match.end("number"), "" if unit in _ORDINALS else unit)
    for token in tokens(text):
        if (number := vocabulary.NUMBERS.get(token.folded)) is not None:
            yield Value("number", number, token.start, token.end)


def _names(text: str) -> Iterator[Value]:
    """Runs of capitalised words. The first word of a sentence says nothing by its capital."""
    for match in _NAME.finditer(text):
        run: list[re.Match[str]] = []
        for word in [*re.finditer(r"\S+", match.group()), None]:
            if word is not None and word.group()[0].isupper():
                run.append(word)
            elif run:
                first, last = run[0].start() + match.start(), run[-1].end() + match.start()
                yield Value("name", text[first:last], first, last)
                run = []


def _money(text: str) -> Iterator[Value]:
    for one in currencies(text):
        yield Value("currency", one.code, one.start, one.end, "target" if one.target else "")


def _dates(text: str, today: date | None) -> Iterator[Value]:
    for start, end, value in dates(text, today):
        yield Value("date", value, start, end)


def _times(text: str) -> Iterator[Value]:
    for start, end, value in times(text):
        yield Value("time", value, start, end)


_FINDERS: Final[tuple[Finder, ...]] = (
    _each(_QUOTED, "quoted", lambda match: next(group for group in match.groups() if group)),
    _each(_URL, "url", lambda match: match.group()),
    _each(_EMAIL, "email", lambda match: match.group()),
    _times,
    _paths,
    _each(_LABEL, "label", lambda match: match.group().upper()),
    _money,
    _each(_ID, "id", lambda match: match.group()),
    _numbers,
    _names,
    _each(_HERE, "here", lambda match: "."),
)
