"""What the stand-in says of itself and of the desk, and how it asks. Honest first: it is made of rules and
understands no language.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .candidate import Candidate
from .plan import Later
from .schema import Parameter, as_object, kind_of, members
from .turn import STILL_NEEDED

_MOST: Final = 12
STAND_IN: Final = "the offline model, a rule-based stand-in for a language model"
_CONNECT: Final = "Set OPENAI_API_KEY (and OPENAI_BASE_URL for another server) to connect a real one."


def introduction(agent: str, candidates: Iterable[Candidate]) -> str:
    """The whole self-description, for whoever asks."""
    who = f"I am {agent}, run by {STAND_IN}" if agent else f"I am {STAND_IN}"
    return (
        f"{who}: I compare the words of a request with the tools of this desk, fill in their arguments and report "
        f"what they return. I understand no language. {_CONNECT}\n\n{offers(candidates)}"
    )


def no_match(candidates: Iterable[Candidate]) -> str:
    """The short note, for a request that nothing here fits."""
    return f"I found nothing here that fits that (I am {STAND_IN}). {_CONNECT}\n\n{offers(candidates)}"


def offers(candidates: Iterable[Candidate]) -> str:
    """What this agent can do, a line each."""
    every = list(candidates)
    lines = [f"- {_offer(one)}" for one in every[:_MOST]]
    if len(every) > _MOST:
        lines.append(f"- … and {len(every) - _MOST} more")
    return (
        "\n".join(["What I can do:", *lines])
        if lines
        else "This agent has no tools, so there is nothing that I can do for you here."
    )


def _offer(one: Candidate) -> str:
    said = one.description.partition(": ")[2] if one.kind == "handoff" else ""
    about = re.split(r"(?<=[.!?])\s|\n", (said or one.description).strip())[0][:160]
    shown = {"tool": one.name, "task": f"{one.name} (in the background)", "handoff": f"hand over to {one.name}"}[
        one.kind
    ]
    return f"{shown}: {about}" if about else shown


def question(of: Later) -> str:
    """Asks for what a call lacks. It is recognised by `STILL_NEEDED` when the answer comes."""
    doing = "hand over to" if of.candidate.kind == "handoff" else "run"
    return f"To {doing} {of.candidate.name}, {STILL_NEEDED} {_and([_wish(one) for one in of.missing])}."


def _wish(parameter: Parameter) -> str:
    return f"`{parameter.name}`" + (f" ({detail})" if (detail := _detail(parameter)) else "")


def _detail(parameter: Parameter) -> str:
    for choice in parameter.choices:
        inner = as_object(choice.get("items")) if kind_of(choice) == "array" else choice
        if listed := members(inner):
            return _and([str(one) for one in listed[:_MOST]], "or")
        if kind_of(inner) == "boolean":
            return "yes or no"
        if inner.get("format") == "date":
            return "a date such as 2026-03-14"
    return parameter.description.strip().rstrip(".")[:120]


def _and(words: list[str], last: str = "and") -> str:
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else "more"
