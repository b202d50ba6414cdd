"""What a text parameter is about, told by its name, format and description: a path, a date, a person, a search. No
text of a request is read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, TypeAlias

from .clause import Direction
from .words import fold, name_parts

Role: TypeAlias = Literal[
    "path",
    "url",
    "email",
    "date",
    "month",
    "datetime",
    "time",
    "currency",
    "label",
    "id",
    "person",
    "place",
    "whole",
    "text",
    "plain",
]

_BY_FORMAT: Final[dict[str, Role]] = {
    "date": "date",
    "date-time": "datetime",
    "time": "time",
    "email": "email",
    "uri": "url",
    "path": "path",
    "file-path": "path",
    "directory-path": "path",
    "uuid": "id",
}
_NAMES: Final[tuple[tuple[Role, str], ...]] = (
    (
        "path",
        "path paths file files folder folders directory dir filename filepath csv root pfad datei ordner verzeichnis",
    ),
    ("url", "url uri link website page href"),
    ("email", "email mail mailto"),
    ("currency", "currency currencies wahrung waehrung moneda"),
    ("month", "month monat"),
    ("date", "date day when datum tag fecha until since deadline"),
    ("time", "time hour uhrzeit zeit clock"),
    ("id", "id ids number no code sku isbn key nr nummer reference ref ticket"),
    (
        "person",
        "name person customer patient doctor user member guest recipient author contact client who employee "
        "kunde arzt nutzer autor leser",
    ),
    (
        "place",
        "city place location town country region address where stadt ort origin destination station airport",
    ),
    (
        "text",
        "note notes message comment instruction instructions remark remarks content body text answer reason "
        "description details hinweis notiz",
    ),
)
_BY_NAME: Final[dict[str, Role]] = {word: role for role, words in _NAMES for word in words.split()}
_WHOLE: Final = frozenset(
    {"input", "question", "prompt", "request", "goal", "reason", "context", "task", "instruction", "objective", "brief"}
)
_DESCRIBED: Final[tuple[tuple[Role, str], ...]] = (
    ("path", "path folder directory file ordner datei"),
    ("currency", "currency iso4217"),
    ("url", "url"),
    ("date", "yyyy date"),
)
_TO: Final = frozenset({"to", "target", "destination", "dest", "into", "quote", "output", "nach", "ziel", "recipient"})
_FROM: Final = frozenset({"from", "source", "origin", "base", "src", "von", "quelle", "start"})

PREPOSITIONS: Final[dict[Role, frozenset[str]]] = {
    "place": frozenset({"in", "at", "near", "for", "around", "bei", "für", "fur", "en", "a"}),
    "person": frozenset({"for", "with", "by", "fur", "bei", "mit", "von", "para", "pour"}),
}


@lru_cache(maxsize=2048)
def role_of(name: str, form: str, description: str) -> Role:
    """The role of a text parameter. Its format says most, then its name (the last word first), then its description."""
    if form in _BY_FORMAT:
        return _BY_FORMAT[form]
    parts = [fold(part) for part in name_parts(name)]
    described = {fold(part) for part in name_parts(description)}
    if "label" in described:
        return "label"
    if "_".join(parts) in _WHOLE:
        return "whole"
    for part in reversed(parts):
        if part in _BY_NAME:
            return _BY_NAME[part]
    for role, words in _DESCRIBED:
        if described & set(words.split()):
            return role
    return "plain"


@lru_cache(maxsize=2048)
def direction_of(name: str) -> Direction:
    """Whether a parameter is the *to* or the *from* of something."""
    parts = {fold(part) for part in name_parts(name)}
    return "to" if parts & _TO else "from" if parts & _FROM else ""
