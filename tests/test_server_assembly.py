"""Which model a served desk works with."""

from __future__ import annotations

from frontdesk.agents import Agent, Desk
from frontdesk.agents.models.offline import OfflineModel
from frontdesk.agents.models.responses import ResponsesModel
from frontdesk.agents.models.scripted import ScriptedModel
from frontdesk.server.assembly import with_model
from frontdesk.server.commands import settings

OWN = ScriptedModel([])


def test_a_desk_that_was_given_a_model_keeps_it() -> None:
    desk: Desk[None] = Desk(Agent("triage"), model=OWN)
    assert with_model(desk, settings()) is desk


def test_a_desk_whose_agents_all_have_models_needs_no_other() -> None:
    desk: Desk[None] = Desk(Agent("triage", model=OWN, handoffs=[Agent("orders", model=OWN)]))
    assert with_model(desk, settings()) is desk


def test_an_agent_without_a_model_gets_the_stand_in_when_no_key_is_set() -> None:
    desk: Desk[None] = Desk(Agent("triage", model=OWN, handoffs=[Agent("orders")]))
    assert isinstance(with_model(desk, settings()).model, OfflineModel)


def test_an_agent_without_a_model_gets_the_providers_when_a_key_is_set() -> None:
    desk: Desk[None] = Desk(Agent("triage"))
    assert isinstance(with_model(desk, settings(OPENAI_API_KEY="none")).model, ResponsesModel)
