"""The next reply of a turn: the calls that its plan still lacks, then what follows from their outputs, then an
answer. Pure.

It ends because a call is never made twice in a turn, an agent is never handed over to twice, and replies are
counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from ...model import JSON, ModelRequest, ToolSpec
from .about import STAND_IN, introduction, no_match, question
from .answer import notices_text, outputs_text, title
from .candidate import Candidate
from .catalogue import catalogue
from .clause import clause
from .combine import equation, found_numbers, given, multiplies, products
from .form import in_form
from .money import target
from .plan import Desk, Later, Part, Wanted, filled, remembered_plan
from .schema import as_object, fits, kind_of, members
from .smalltalk import small_talk
from .tasks import TASK_TOOLS
from .turn import NOTICE, Made, Turn, read
from .words import WEAK, stems

_ROUNDS: Final = 8  # replies with calls, for one message of a person
_CALLS: Final = 32


@dataclass(frozen=True, slots=True)
class Reply:
    """Either calls (name and arguments, in order) or a text."""

    calls: tuple[tuple[str, JSON], ...] = ()
    text: str = ""


def next_reply(request: ModelRequest, desk: Desk, *, today: date | None = None) -> Reply:
    """What the offline model says to ``request``; ``desk`` is made of its tools."""
    turn = read(request.items)
    if turn.answered or not turn.text.strip():
        return Reply(text=_unasked(turn, request, desk))
    parts = _open(remembered_plan(turn.text, turn.asked, desk, tuple(turn.before.items()), today), turn)
    choice = request.settings.tool_choice or "auto"
    calls = [] if choice == "none" else _next_calls(turn, parts, desk, choice)
    if calls:
        return Reply(tuple(calls[:1] if request.settings.parallel_tool_calls is False else calls))
    formed = in_form(turn.text, request, today)
    return Reply(text=_answer(turn, parts, request, desk) if formed is None else formed)


# -- calls -----------------------------------------------------------------------------------------


def _open(parts: tuple[Part, ...], turn: Turn) -> list[Part]:
    """The parts that are this agent's concern: what another one did before it handed over is done."""
    if not any(one.name.startswith("transfer_to_") for one in turn.made):
        return list(parts)
    return [one for one in parts if one.calls or not _done_by_another(one, turn)]


def _done_by_another(part: Part, turn: Turn) -> bool:
    done = (
        str(as_object(one.arguments.get("task")).get("name") or one.name)
        for one in turn.made
        if not _is_handoff(one.name)
    )
    return any((stems(name) - WEAK) & part.clause.terms.keys() for name in done)


def _is_handoff(name: str) -> bool:
    return name.startswith("transfer_to_")


def _next_calls(turn: Turn, parts: list[Part], desk: Desk, choice: str) -> list[tuple[str, JSON]]:
    if turn.rounds >= _ROUNDS or len(turn.made) >= _CALLS or _failed(turn, parts):
        return []
    if choice not in ("auto", "required"):
        return [] if turn.made else _forced(turn, (*desk.candidates, *_task_tools(desk, choice)), choice)
    calls = _pending(turn, [one for part in parts for one in part.calls])
    handoff = next((call for part in parts if part.handoff and (call := _handoff(turn, part, part.handoff))), None)
    if calls or handoff:
        return [*calls, *([handoff] if handoff else [])][:_CALLS]
    following = _pending(turn, [one for part in parts for one in _following(turn, part)])
    if not following and choice == "required" and not turn.made:
        return _forced(turn, desk.candidates, choice)
    return following


def _pending(turn: Turn, wanted: list[Wanted]) -> list[tuple[str, JSON]]:
    """The calls that have not been made in this turn, each once."""
    pending: list[tuple[str, JSON]] = []
    for one in wanted:
        call = (one.name, one.arguments)
        if call not in pending and not any((made.name, made.arguments) == call for made in turn.made):
            pending.append(call)
    return pending


def _handoff(turn: Turn, part: Part, candidate: Candidate) -> tuple[str, JSON] | None:
    """The handoff of a part, unless this agent has had the conversation in this turn, or a receptionist is asked to
    take it back.
    """
    name = candidate.tool.name
    moved = [one.name for one in turn.made if _is_handoff(one.name)]
    if name in moved or (moved and stems(candidate.name) & _RECEPTION):
        return None
    found = filled(candidate, part.clause)
    arguments = {**found.arguments, **{one.name: part.clause.text for one in found.missing}}
    return (name, arguments) if fits(arguments, candidate.tool.parameters, candidate.tool.parameters) else None


_RECEPTION: Final = stems(
    "triage reception receptionist frontdesk desk entry concierge router dispatcher host main empfang"
)


def _following(turn: Turn, part: Part) -> list[Wanted]:
    """Calls that the outputs so far make possible."""
    if any(one.output is None for one in turn.made):
        return []
    calls: list[Wanted] = []
    names = {one.name for one in part.calls}
    numbers = found_numbers(tuple(one for one in turn.made if one.name in names))
    for later in part.later:
        candidate = later.candidate
        if multiplies(candidate) and all(one.optional or one in later.missing for one in candidate.parameters):
            found = products(candidate, part.clause, numbers, part.used)
        elif any(one.name == candidate.tool.name for one in turn.made):
            continue
        else:
            values = given(later.missing, numbers)
            found = [] if values is None else [{**later.arguments, **values}]
        schema = candidate.tool.parameters
        calls += [
            Wanted(candidate.tool.name, one, candidate.name)
            for one in map(candidate.call, found)
            if fits(one, schema, schema)
        ]
    return calls


def _failed(turn: Turn, parts: list[Part]) -> bool:
    return any(one.failed for one in turn.made if one.name != NOTICE or _planned(one, parts))


def _planned(made: Made, parts: list[Part]) -> bool:
    return any((made.name, made.arguments) == (one.name, one.arguments) for part in parts for one in part.calls)


# -- tool_choice -----------------------------------------------------------------------------------


def _task_tools(desk: Desk, choice: str) -> tuple[Candidate, ...]:
    tool = desk.tools.get(choice)
    return catalogue([tool]) if tool and choice in TASK_TOOLS else ()


def _forced(turn: Turn, candidates: tuple[Candidate, ...], choice: str) -> list[tuple[str, JSON]]:
    """A call where one is demanded: of the tool that is named, or of the first that the request gives valid
    arguments.
    """
    whole = clause(turn.text)
    for one in candidates:
        if choice in ("required", one.tool.name):
            found = filled(one, whole)
            arguments = {**found.arguments, **{lacking.name: _least(lacking, turn.text) for lacking in found.missing}}
            call = one.call(arguments)
            if fits(call, one.tool.parameters, one.tool.parameters):
                return [(one.tool.name, call)]
    return []


def _least(parameter: Any, text: str) -> Any:
    """The plainest value that a parameter takes: its first member, the text, nothing of it."""
    listed = [value for choice in parameter.choices if kind_of(choice) == "enum" for value in members(choice)]
    plain: list[Any] = [*listed, text, text.strip(), 0, 1, False, [], {}]
    return next((value for value in plain if parameter.takes(value)), None)


# -- answers ---------------------------------------------------------------------------------------


def _unasked(turn: Turn, request: ModelRequest, desk: Desk) -> str:
    """Without a request: notices, the outputs of calls that somebody else made, or an introduction."""
    lines = outputs_text(turn.made, turn.known)
    if lines:
        return "\n".join(lines)
    return "There is nothing new." if turn.answered else introduction(request.agent, desk.candidates)


def _answer(turn: Turn, parts: list[Part], request: ModelRequest, desk: Desk) -> str:
    own = tuple(one for one in turn.made if one.name != NOTICE or _planned(one, parts))
    equations = {one.call_id: line for part in parts for one, line in _equations(own, part)}
    lines = outputs_text((one for one in own if one.call_id not in equations), turn.known)
    lines += equations.values()
    lines += _left_undone(turn, parts, request)
    lines += [question(part.question) for part in parts if part.question]
    unmatched = [part for part in parts if part.empty and small_talk(part.clause.text) is None]
    if lines:
        lines += [f"I found nothing here for “{part.clause.text.strip()}”." for part in unmatched]
    lines += notices_text([one for one in turn.made if one not in own], turn.known)
    if not lines:
        return _nothing(turn, request, desk)
    return "\n".join([*lines, f"(I am {STAND_IN}.)"] if small_talk(turn.text) == "about" else lines)


def _nothing(turn: Turn, request: ModelRequest, desk: Desk) -> str:
    match small_talk(turn.text):
        case "about":
            return introduction(request.agent, desk.candidates)
        case "thanks":
            return "You are welcome."
        case "never mind":
            return "All right."
        case _:
            return no_match(desk.candidates)


def _equations(made: tuple[Made, ...], part: Part) -> list[tuple[Made, str]]:
    products = {later.candidate.tool.name for later in part.later if multiplies(later.candidate)}
    return [
        (one, line)
        for one in made
        if one.name in products and not one.failed and (line := equation(one, target(part.clause.text)))
    ]


def _left_undone(turn: Turn, parts: list[Part], request: ModelRequest) -> list[str]:
    """The calls and handoffs that a request asks for and that are not made, with the reason."""
    lacking = _pending(turn, [one for part in parts for one in part.calls])
    names = [
        title(next(one.title for part in parts for one in part.calls if (one.name, one.arguments) == call))
        for call in lacking
    ]
    if not names and request.settings.tool_choice != "none":
        return []
    if request.settings.tool_choice == "none":
        names += [f"handing over to {part.handoff.name}" for part in parts if part.handoff]
        return [f"That needs {', '.join(names)}, but no tools may be called for this reply."] if names else []
    return [f"I stopped there; not done: {', '.join(names)}."] if _failed(turn, parts) else []


__all__ = ["Desk", "Later", "Reply", "ToolSpec", "next_reply"]
