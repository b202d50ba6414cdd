"""What a request calls for: for each of its clauses calls, a question, or a handoff. It looks at words and tools,
at nothing that has happened.

The same words and tools give the same plan, so a turn that goes on makes its plan again and does what has not been
done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache, partial
from typing import Final

from ...model import JSON, ToolSpec
from .arguments import Filled, fill
from .candidate import Candidate
from .catalogue import catalogue
from .clause import Clause, clause, money
from .combine import combines, multiplies
from .money import target
from .schema import Parameter, fits, kind_of
from .scoring import ENOUGH, Match, frequencies, match
from .smalltalk import small_talk
from .split import split
from .tasks import TASK_TOOLS, task_calls
from .words import RELATED, WEAK, compounds, stems, tokens

_LOOKUPS: Final = 4  # at most so many tools for one clause


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that the request wants. ``title`` is how it is named to the person."""

    name: str
    arguments: JSON
    title: str


@dataclass(frozen=True, slots=True)
class Later:
    """A tool that can be called when others have found what it lacks."""

    candidate: Candidate
    arguments: JSON
    missing: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """What one clause calls for. With none of calls, question and handoff, nothing here fits it."""

    clause: Clause
    calls: tuple[Wanted, ...] = ()
    later: tuple[Later, ...] = ()
    question: Later | None = None
    handoff: Candidate | None = None
    used: tuple[tuple[int, int], ...] = ()  # places of the values that the calls have taken

    @property
    def empty(self) -> bool:
        return not (self.calls or self.question or self.handoff or self.later)


@dataclass(frozen=True, slots=True, eq=False)
class Desk:
    """What there is to choose from for one agent. Two are never equal, so plans can be kept by it."""

    tools: Mapping[str, ToolSpec]
    candidates: tuple[Candidate, ...]
    common: Mapping[str, int]
    known: Mapping[str, str] = field(default_factory=dict[str, str])
    today: date | None = None

    @staticmethod
    def of(tools: Iterable[ToolSpec]) -> Desk:
        named = {tool.name: tool for tool in tools}
        candidates = tuple(one for one in catalogue(named.values()) if one.kind == "task" or one.name not in TASK_TOOLS)
        return Desk(named, candidates, frequencies(candidates))

    def ranked(self, clause: Clause, without: frozenset[str] = frozenset()) -> list[Match]:
        """The candidates that may be meant, best first; of equals, the first in the list of tools."""
        matches = (match(one, clause, self.common, without) for one in self.candidates)
        return sorted(filter(_serious, matches), key=lambda one: -one.score)


def _serious(one: Match) -> bool:
    return one.score >= ENOUGH and (bool(one.told) or one.score >= 1.5 * ENOUGH)


@lru_cache(maxsize=256)
def remembered_plan(
    text: str, asked: tuple[str, ...], desk: Desk, known: tuple[tuple[str, str], ...], today: date | None
) -> tuple[Part, ...]:
    """`plan`, kept for the later replies of the turn. ``known``: labels and names of the conversation's tasks."""
    return tuple(plan(text, asked, replace(desk, known=dict(known), today=today)))


def plan(text: str, asked: tuple[str, ...], desk: Desk) -> list[Part]:
    """The parts of what was said. An answer to our question (``asked``) belongs to the request that it was about,
    unless it is a new one.
    """
    if asked and (part := _answered(text, asked, desk)):
        return [part]
    parts = (part_of(clause(one, today=desk.today), desk) for one in split(text, partial(_stands_alone, desk=desk)))
    return list(parts)


def _answered(text: str, asked: tuple[str, ...], desk: Desk) -> Part | None:
    """The request that we asked about, with the answer; None when ``text`` is no answer."""
    for one in plan(asked[0], (), desk):
        if one.question is not None:
            start = len(one.clause.text) + 1
            whole = clause("\n".join((one.clause.text, *asked[1:], text)), answer=start, today=desk.today)
            part = part_of(whole, desk)
            return None if _unrelated(text, one.question, part, desk) else part
    return None


def _unrelated(text: str, asked: Later, part: Part, desk: Desk) -> bool:
    """Whether what came instead of an answer is a request or a remark by itself. What gives a number or one of the
    choices is an answer.
    """
    if task_calls(text, desk.tools, desk.known) or small_talk(text):
        return True
    left = part.question.missing if part.question and part.question.candidate == asked.candidate else ()
    if any(one not in left and not _free(one) for one in asked.missing):
        return False
    best = next(iter(desk.ranked(clause(text, today=desk.today))), None)
    if best is None or not best.strong or best.candidate == asked.candidate:
        return False
    return best.names + best.said > 2 or not part_of(clause(text, today=desk.today), desk).question


def _free(parameter: Parameter) -> bool:
    """Whether any words would do for it."""
    return any(kind_of(choice) == "string" and "format" not in choice for choice in parameter.choices)


def _stands_alone(text: str, desk: Desk) -> bool:
    """Whether a part of a sentence is a request by itself.

    It begins with a word of what it is about, and gives that what it needs or says more than one word of it. One that
    begins with a choice (``onions …``) has to give everything: else it goes on with the list before it.
    """
    if task_calls(text, desk.tools, desk.known):
        return len(tokens(text)) > 1  # a label alone belongs to the verb before it
    piece = clause(text, today=desk.today)
    best = next(iter(desk.ranked(piece)), None)
    if best is None or not best.strong:
        return False
    leading = _leading(piece, best)
    if not leading & best.told:
        return False
    named = leading & best.candidate.known or best.candidate.kind == "handoff"
    return bool(part_of(piece, desk).calls) or bool(named and max(best.names, best.said) > 1)


def _leading(piece: Clause, best: Match) -> frozenset[str]:
    """The stems of the first word that says something, to this candidate at least."""
    together = compounds(piece.text)
    for token in piece.words:
        found = stems(token.text) | {together.get(token.start, "")}
        if found & best.told or any(not one.isdigit() for one in stems(token.text) - WEAK):
            return found
    return frozenset()


def part_of(clause: Clause, desk: Desk) -> Part:
    """What one clause calls for."""
    if tasks := task_calls(clause.text, desk.tools, desk.known):
        return Part(clause, tuple(Wanted(name, arguments, name) for name, arguments in tasks))
    ranked = desk.ranked(clause)
    handoff = next((one for one in ranked if one.candidate.kind == "handoff"), None)
    own = [(one, filled(one.candidate, clause)) for one in ranked if one.candidate.kind != "handoff"][:5]
    if not own:
        return Part(clause, handoff=handoff.candidate if handoff else None)
    best, arguments = max(own, key=lambda pair: _worth(*pair))
    if handoff and not (best.told >= handoff.told or best.score >= (0.6 if best.strong else 0.8) * handoff.score):
        return Part(clause, handoff=handoff.candidate)
    return _with_others(clause, desk, best, arguments)


def filled(candidate: Candidate, clause: Clause, *, guess: bool = True) -> Filled:
    return fill(candidate.parameters, clause, candidate.known, candidate.synonyms, guess=guess)


def _worth(one: Match, arguments: Filled) -> float:
    told = any(value is not None for value in arguments.arguments.values())
    return one.score - 0.75 * min(2, len(arguments.missing)) + (0.5 if told and not arguments.missing else 0)


def _with_others(clause: Clause, desk: Desk, best: Match, arguments: Filled) -> Part:
    """The best candidate, and the lookups that other words of the clause point at; what lacks arguments waits for
    the others' results.
    """
    chosen = [(best, arguments)]
    if not best.candidate.effectful:
        chosen += _lookups(clause, desk, best, arguments)
    calls = tuple(wanted for one, found in chosen if not found.missing for wanted in _wanted(one.candidate, found))
    first = {one.candidate.name: _place(one, clause) for one, _ in chosen}
    used = tuple((value.start, value.end) for _, found in chosen for value in found.used)
    lacking = [Later(one.candidate, found.arguments, found.missing) for one, found in chosen if found.missing]
    if not calls:
        return Part(clause, question=lacking[0] if lacking else None)
    calls = tuple(sorted(calls, key=lambda one: first[one.title]))
    later = [one for one in lacking if any(missing.numeric for missing in one.missing)]
    if target(clause.text) and not any(multiplies(one.candidate) for one in later):
        product = next((one for one in desk.candidates if multiplies(one)), None)
        later += (
            [Later(product, {}, product.parameters)]
            if product and product.name not in {one.title for one in calls}
            else []
        )
    return Part(clause, calls, tuple(later), used=used)


def _place(one: Match, clause: Clause) -> int:
    """Where the clause first speaks of a candidate."""
    return min((token.start for token in clause.words if stems(token.text) & one.told), default=len(clause.text))


def _lookups(clause: Clause, desk: Desk, best: Match, arguments: Filled) -> list[tuple[Match, Filled]]:
    told = best.told
    if any(value.kind == "currency" for value in arguments.used):
        told |= money(clause.text)
    more: list[tuple[Match, Filled]] = []
    while len(more) < _LOOKUPS:
        names = {best.candidate.name, *(one.candidate.name for one, _ in more)}
        told |= {related for word in told for related in RELATED.get(word, ())}
        fresh = (
            one
            for one in desk.ranked(clause, told)
            if one.strong and one.candidate.name not in names and not one.candidate.effectful
        )
        if (found := next(fresh, None)) is None:
            break
        told |= found.told
        given = filled(found.candidate, clause, guess=False)
        if not given.missing or combines(found.candidate) or any(one.numeric for one in given.missing):
            more.append((found, given))
    return more


def _wanted(candidate: Candidate, found: Filled) -> list[Wanted]:
    """The calls with what was found; only those that the schema allows."""
    schema = candidate.tool.parameters
    calls = (candidate.call(arguments) for arguments in found.calls)
    return [Wanted(candidate.tool.name, call, candidate.name) for call in calls if fits(call, schema, schema)]
