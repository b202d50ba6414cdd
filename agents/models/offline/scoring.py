"""How well a clause fits a candidate, by their words. Scores only rank; what is done with the best is the plan's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from .candidate import Candidate, Keyword
from .catalogue import KEYWORD, MEMBER, NAME, PARAMETER
from .clause import Clause
from .words import UNDOING, WEAK, fold, unspaced

ENOUGH: Final = 2.0
"""From this score on a candidate is taken seriously."""

_TYPED: Final = 0.8  # the clause has a value of a kind that few things take, a path say, and the candidate requires one


@dataclass(frozen=True, slots=True)
class Match:
    """How well a clause's words fit a candidate. ``told``: the stems that its name, keywords and enums account for."""

    candidate: Candidate
    score: float
    strong: bool  # some word that means something is its name's or its keyword's
    names: int  # how many words of its name were said
    said: int  # how many words that mean something are told of
    told: frozenset[str]


def frequencies(candidates: Iterable[Candidate]) -> Mapping[str, int]:
    """In how many candidates each stem occurs: a word that is everywhere tells little."""
    return Counter(word for candidate in candidates for word in candidate.words)


def match(
    candidate: Candidate, clause: Clause, common: Mapping[str, int], without: frozenset[str] = frozenset()
) -> Match:
    """How well ``clause`` fits, its words ``without`` those that something else accounts for."""
    told: set[str] = set()
    score, strong, names, said = 0.0, False, 0, 0
    folded = fold(clause.text)
    for keyword in candidate.keywords:
        if not (keyword.stems and keyword.stems <= without) and _said(keyword, clause, folded):
            fresh = not (keyword.stems & told)
            score += KEYWORD if fresh else 0
            said += fresh
            strong = strong or bool(keyword.stems - WEAK)
            told |= keyword.stems
    for word, weight in clause.terms.items():
        value = candidate.words.get(word)
        if word in without or value is None:
            continue
        names += word in candidate.name_stems
        if word not in told:
            score += value * weight / common.get(word, 1) ** 0.3
            strong = strong or (value >= NAME and weight >= 0.6 and word not in WEAK)
        if value >= PARAMETER:
            told.add(word)
            said += value >= MEMBER and weight >= 0.6 and word not in WEAK
    if any(value.kind in candidate.kinds for value in clause.values):
        score += _TYPED
    if candidate.name_stems:
        score += 1.5 * names / len(candidate.name_stems)
    if (
        clause.terms.keys() & UNDOING
        and not clause.terms.keys() & UNDOING & candidate.words.keys()
        and candidate.kind != "handoff"
    ):
        score *= 0.3
    return Match(candidate, score, strong, names, said, frozenset(told))


def _said(keyword: Keyword, clause: Clause, folded: str) -> bool:
    if unspaced(keyword.text):
        return keyword.text in folded
    if keyword.phrase and f" {keyword.text} " in f" {folded} ":
        return True
    if len(keyword.stems) > 1:
        return keyword.stems <= clause.terms.keys()
    if keyword.stems and not keyword.phrase:
        return bool(keyword.stems & clause.terms.keys()) or (
            len(keyword.text) > 4 and any(one.folded.endswith(keyword.text) for one in clause.words)
        )
    return keyword.text in folded.split()
