"""The table of a task's states: what it allows, what it refuses, and that the documentation shows the same."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.tasks.errors import FrontdeskError, InvalidTransition
from frontdesk.tasks.states import LIVE, TERMINAL, TRANSITIONS, Action, Status, apply, diagram

ARCHITECTURE = Path(__file__).parents[1] / "docs" / "architecture.md"

# Written out a second time on purpose: a change of the table changes the contract and has to be made in both places.
ALLOWED = {
    ("queued", "be claimed"): "running",
    ("queued", "be cancelled"): "cancelled",
    ("running", "be released"): "queued",
    ("running", "be retried"): "queued",
    ("running", "be parked"): "waiting",
    ("running", "succeed"): "succeeded",
    ("running", "fail"): "failed",
    ("running", "be cancelled"): "cancelled",
    ("running", "be held"): "held",
    ("waiting", "be woken"): "queued",
    ("waiting", "be cancelled"): "cancelled",
}
ENDS = frozenset({"succeeded", "failed", "cancelled", "held"})
PAIRS = list(product(Status, Action))
REFUSED = [pair for pair in PAIRS if pair not in ALLOWED]


def test_every_status_has_its_row() -> None:
    assert set(TRANSITIONS) == set(Status)


@pytest.mark.parametrize(("status", "action"), PAIRS)
def test_exactly_the_listed_actions_are_allowed(status: Status, action: Action) -> None:
    try:
        after = apply(status, action)
    except InvalidTransition:
        assert (status, action) not in ALLOWED
    else:
        assert after == ALLOWED[status, action]


@pytest.mark.parametrize(("status", "action"), REFUSED)
def test_a_refused_action_says_which_and_why(status: Status, action: Action) -> None:
    with pytest.raises(InvalidTransition, match=rf"^a task that is {status} cannot {action}$") as caught:
        apply(status, action)
    assert (caught.value.status, caught.value.action) == (status, action)
    assert isinstance(caught.value, FrontdeskError)
    assert caught.value.__suppress_context__  # the KeyError is how it is done, not what happened


def test_the_last_four_states_are_terminal_and_the_others_live() -> None:
    assert TERMINAL == ENDS
    assert frozenset(Status) - ENDS == LIVE


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_nothing_leaves_a_terminal_state(status: Status) -> None:
    assert TRANSITIONS[status] == {}


@pytest.mark.parametrize("status", Status)
def test_every_state_can_be_reached_from_queued(status: Status) -> None:
    reached = {Status.QUEUED}
    while new := {after for before in reached for after in TRANSITIONS[before].values()} - reached:
        reached |= new
    assert status in reached


@pytest.mark.parametrize("status", sorted(LIVE))
def test_every_live_state_can_be_cancelled(status: Status) -> None:
    assert apply(status, Action.CANCEL) is Status.CANCELLED


@given(actions=st.lists(st.sampled_from(Action)))
def test_no_walk_makes_more_than_one_terminal_transition(actions: list[Action]) -> None:
    status, ends = Status.QUEUED, 0
    for action in actions:
        try:
            status = apply(status, action)
        except InvalidTransition:
            continue
        ends += status in ENDS
        assert ends == (status in ENDS)  # once ended, it stays where it ended


def test_the_diagram_shows_every_transition_and_no_other() -> None:
    lines = [line.strip() for line in diagram().splitlines()]
    arrows = {f"{before} --> {after}: {action}" for (before, action), after in ALLOWED.items()}
    ends = {f"{status} --> [*]" for status in ENDS}
    assert lines[:2] == ["stateDiagram-v2", "[*] --> queued"]
    assert sorted(lines[2:]) == sorted(arrows | ends)


def test_the_documented_diagram_is_the_generated_one() -> None:
    expected = f"```mermaid\n{diagram()}\n```"
    assert expected in ARCHITECTURE.read_text(encoding="utf-8"), (
        f"docs/architecture.md does not show the table's diagram; put this into it:\n{expected}"
    )
