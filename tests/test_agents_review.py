"""A desk looked over and drawn, before anybody is served."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.drawing import columns, edges, mermaid, svg
from frontdesk.agents.review import offered, review
from frontdesk.tasks import task


@tool
async def look(order: int) -> str:
    """Looks an order up."""
    return str(order)


@tool
async def undescribed(anything: Any) -> str:
    return str(anything)


@task(idempotent=True)
async def report(month: str) -> str:
    """A report."""
    return month


def a_desk() -> Desk[Any]:
    clerk = Agent("clerk", "You look orders up.", tools=[look], handoffs=["triage"])
    writer = Agent("writer", "You write.", tasks=[report])
    triage = Agent("triage", "You answer first.", handoffs=[clerk], delegates=[writer])
    return Desk(triage)


def found(desk: Desk[Any], level: str = "warning") -> dict[str, str]:
    return {one.where: one.text for one in review(desk) if one.level == level}


def test_a_desk_in_order_gets_no_warning() -> None:
    assert found(a_desk()) == {}
    assert list(found(a_desk(), "note")) == ["desk"], "it names no model"


def test_an_agent_that_nobody_reaches_is_said() -> None:
    lonely = Agent("lonely", "You wait.", handoffs=["triage"])
    desk = Desk(Agent("triage", "You answer."), agents=[lonely])
    assert offered(desk) == {"triage"}
    assert "nobody hands over or delegates to it" in found(desk)["agent lonely"]


def test_what_a_model_cannot_know_is_said() -> None:
    silent = Agent("silent")
    desk = Desk(Agent("triage", "You answer.", tools=[undescribed], handoffs=[silent, "triage"]))
    warnings, notes = found(desk), found(desk, "note")
    assert "no docstring" in warnings["tool undescribed of triage"]
    assert "agent silent" in warnings
    assert "hands over to itself" in warnings["agent triage"]
    assert "anything" in notes["tool undescribed of triage"] or "strict" in notes["tool undescribed of triage"]
    assert "the conversation stays with it" in notes["agent silent"]


def test_a_picture_has_every_agent_and_every_arrow() -> None:
    desk = a_desk()
    assert list(edges(desk)) == [
        ("triage", "clerk", "handoff"),
        ("triage", "writer", "delegate"),
        ("clerk", "triage", "handoff"),
    ]
    assert [[agent.name for agent in column] for column in columns(desk)] == [["triage"], ["clerk", "writer"]]
    root = ElementTree.fromstring(svg(desk))
    name = "{http://www.w3.org/2000/svg}"
    texts = {one.text for one in root.iter(f"{name}text")}
    assert {"triage", "clerk", "writer", "look", "⏱ report"} <= texts
    arrows = [one for one in root.iter(f"{name}path") if one.get("class")]
    assert [(one.get("class"), one.get("marker-start") is not None) for one in arrows] == [
        ("handoff", True),  # there and back
        ("delegate", False),
    ]
    drawn = mermaid(desk)
    assert drawn.startswith("flowchart LR\n")
    assert 'a0["triage"]' in drawn
    assert "a0 -. delegates .-> a2" in drawn


def test_names_cannot_break_out_of_a_picture() -> None:
    desk = Desk(Agent("triage", "You <answer> & hand over."), name="a-desk")
    ElementTree.fromstring(svg(desk))
    assert "<answer>" not in mermaid(desk)


def test_a_desk_of_one_agent_that_hands_over_to_itself_can_be_drawn() -> None:
    desk = Desk(Agent("triage", "You answer.", handoffs=["triage"]))
    ElementTree.fromstring(svg(desk))
    assert "a0 --> a0" in mermaid(desk)
