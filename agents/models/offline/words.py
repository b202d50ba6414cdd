"""Words made comparable: folded, split, stemmed, weighed. It knows nothing of tools and decides nothing.

Scripts without dependable spaces (Korean, Chinese, Japanese, Thai) are compared by pairs of characters, so that
particles and endings do not hide a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from . import vocabulary

_UNSPACED = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
_TOKEN: Final = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")
_IS_UNSPACED: Final = re.compile(rf"[{_UNSPACED}]")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_SUFFIXES: Final = tuple(
    (suffix, least)
    for least, suffixes in ((4, "ations ation ments ment ions ion ern ly"), (3, "ings ing ies ed es er en s e y"))
    for suffix in suffixes.split()
)
"""Endings and how many letters must be left, longest first."""


def fold(text: str) -> str:
    """Lower case without accents: ``Bücher`` and ``bucher`` are the same."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in parts if not unicodedata.combining(c)))


def unspaced(text: str) -> bool:
    """Whether there are characters of a script that is compared without word borders."""
    return _IS_UNSPACED.search(text) is not None


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """What the forms of one word have in common. Crude on purpose: it is only compared with itself."""
    word = fold(word)
    if not word.isascii() and word.isalpha() and not unspaced(word):
        return word[: max(4, len(word) - 3)]
    while True:
        for suffix, least in _SUFFIXES:
            if word.endswith(suffix) and len(word) - len(suffix) >= least and not word.endswith("ss"):
                word = word[: -len(suffix)]
                break
        else:
            return word


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a text, where it stands."""

    text: str
    start: int
    end: int

    @property
    def folded(self) -> str:
        return fold(self.text)

    @property
    def stem(self) -> str:
        return stem(self.text)


def tokens(text: str) -> tuple[Token, ...]:
    """The words of a text in order, with their places."""
    return tuple(Token(found.group(), found.start(), found.end()) for found in _TOKEN.finditer(text))


def name_parts(identifier: str) -> tuple[str, ...]:
    """``list_openFiles`` → list, open, Files."""
    return tuple(found.group() for found in _TOKEN.finditer(_CAMEL.sub(" ", identifier)))


def pairs(word: str) -> tuple[str, ...]:
    """The neighbouring characters of an unspaced word; a single character stands for itself."""
    return tuple(word[at : at + 2] for at in range(len(word) - 1)) or (word,)


def _forms(word: str) -> tuple[str, ...]:
    return pairs(fold(word)) if unspaced(word) else (stem(word),)


@lru_cache(maxsize=4096)
def stems(text: str) -> frozenset[str]:
    """The stems of a text that carry meaning: stop words and single letters are left out."""
    kept: set[str] = set()
    for part in name_parts(text):
        if fold(part) not in vocabulary.STOP and (len(part) > 1 or not part.isascii() or part.isdigit()):
            kept.update(_forms(part))
    return frozenset(kept)


def compounds(text: str) -> dict[int, str]:
    """The stems of neighbours written as one word (``check out``: checkout), by the place of the first."""
    return {
        one.start: stem(one.text + other.text)
        for one, other in pairwise(tokens(text))
        if text[one.end : other.start] in (" ", "-") and (one.text + other.text).isascii()
    }


@lru_cache(maxsize=1024)
def terms(text: str) -> Mapping[str, float]:
    """The stems of a request with their weights: 1, less for words that say little or that are only related."""
    weights = {form: 0.4 if form in WEAK else 1.0 for form in sorted(stems(text))}
    for form in (*weights, *(stem(token.text) for token in tokens(text))):
        for related in RELATED.get(form, ()):
            weights.setdefault(related, 0.35 if related in WEAK else 0.6)
    for joined in compounds(text).values():
        weights.setdefault(joined, 0.9)
    for sign, word in _SIGNS:
        if sign.search(text):
            weights.setdefault(stem(word), 1.0)
    return weights


WEAK: Final = frozenset(map(stem, vocabulary.WEAK))
UNDOING: Final = frozenset(map(stem, vocabulary.UNDOING))
EFFECTS: Final = frozenset(map(stem, vocabulary.EFFECTS))
RELATED: Final[Mapping[str, tuple[str, ...]]] = {
    stem(word): tuple(sorted(frozenset(map(stem, group)) - {stem(word)}))
    for group in vocabulary.GROUPS
    for word in group
}

_SIGNS: Final = (
    (re.compile(r"\d\s*[*×·]\s*\d|\d\s+x\s+\d"), "multiply"),
    (re.compile(r"\d\s*[÷]\s*\d|\d\s+/\s+\d"), "divide"),
    (re.compile(r"\d\s*\+\s*\d"), "add"),
    (re.compile(r"\d\s+[-−]\s+\d"), "subtract"),
)
