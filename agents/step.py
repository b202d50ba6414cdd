"""The pure step: what follows from a model's reply. No I/O, no clock: `loop` carries out what is decided here."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from .calls import Call
from .history import INTERRUPTED

Kind: TypeAlias = Literal["tool", "task", "wait", "handoff", "client", "approval", "agent", "unknown"]

BOUNCES: Final = 2


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that has no output yet, and what kind of tool it names. ``interrupted``: it may have
    run before a crash.
    """

    call: Call
    kind: Kind
    target: str = ""  # of a handoff: the agent
    repeatable: bool = True  # running it again does no harm
    interrupted: bool = False
    refusal: str = ""  # why it is not run
    agent: str = ""  # who called, when it is not the one that has the conversation now


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that is answered without being run."""

    call: Call
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done about the calls of one reply, in this order."""

    refused: tuple[Refusal, ...] = ()
    run: tuple[OpenCall, ...] = ()  # side by side, as far as they allow it
    wait: tuple[OpenCall, ...] = ()  # after those: they may park the turn
    nested: tuple[OpenCall, ...] = ()  # beside the ones that run: the turn is parked until these agents have answered
    handoff: OpenCall | None = None  # after those: the conversation moves
    not_taken: tuple[Refusal, ...] = ()  # further handoffs of the same reply
    client: tuple[OpenCall, ...] = ()  # the client runs them, or is asked about them: the response ends


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply holds no call: the turn is over."""


Decision: TypeAlias = Answer | Plan


def decide(calls: Sequence[OpenCall], path: Sequence[str]) -> Decision:
    """What follows from the calls of a reply. ``path``: the agents of this turn so far, the current one last."""
    if not calls:
        return Answer()
    refused: list[Refusal] = []
    run: list[OpenCall] = []
    handoff: OpenCall | None = None
    not_taken: list[Refusal] = []
    for one in calls:
        if one.refusal:
            refused.append(Refusal(one.call, one.refusal))
        elif one.kind == "handoff":
            reason = refuse_handoff(one.target, path)
            if reason:
                refused.append(Refusal(one.call, reason))
            elif handoff is None:
                handoff = one
            else:
                not_taken.append(Refusal(one.call, taken_by(handoff.target)))
        elif one.interrupted and not one.repeatable:
            refused.append(Refusal(one.call, INTERRUPTED))
        elif one.kind in ("tool", "task", "unknown"):
            run.append(one)
    return Plan(
        tuple(refused),
        tuple(run),
        tuple(one for one in calls if one.kind == "wait" and not one.refusal),
        tuple(one for one in calls if one.kind == "agent" and not one.refusal),
        handoff,
        tuple(not_taken),
        tuple(one for one in calls if one.kind in ("client", "approval") and not one.refusal),
    )


def refuse_handoff(target: str, path: Sequence[str]) -> str:
    """Why a handoff is not taken; empty when it is. It may bounce back once; after that whoever has it answers."""
    if path and path[-1] == target:
        return f"Not taken: you are {target}. Answer yourself."
    if path.count(target) >= BOUNCES:
        return f"Not taken: {target} has had this request {BOUNCES} times already. Answer yourself, with what you have."
    return ""


def refuse_returned(target: str, first: str | None, path: Sequence[str], known: Container[str]) -> str:
    """Why an agent that a tool returned does not take over; empty when it does. ``first``: who takes over already."""
    if first is not None:
        return taken_by(first)
    if target not in known:
        return f"Not taken: {target} is not an agent of this desk. Answer yourself."
    return refuse_handoff(target, path)


def has_taken_over(target: str) -> str:
    """The output of a handoff that is taken."""
    return f"{target} has taken over."


def taken_by(first: str) -> str:
    """Of several handoffs in one reply, one is taken. The words leave no reason not to try the other one later."""
    return f"Not taken: {first} takes over first."
