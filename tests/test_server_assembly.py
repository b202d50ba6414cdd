"""Which model a served desk works with."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from frontdesk.agents import Agent, Desk, Price
from frontdesk.agents.models.chat import ChatModel
from frontdesk.agents.models.offline import OfflineModel
from frontdesk.agents.models.prompted import PromptedModel
from frontdesk.agents.models.responses import ResponsesModel
from frontdesk.agents.models.scripted import ScriptedModel
from frontdesk.server.assembly import default_model, with_model
from frontdesk.server.commands import settings
from frontdesk.server.settings import Settings
from frontdesk.tasks.errors import InvalidOption

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


def test_the_environment_says_which_api_and_how_tools_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("FRONTDESK_MODEL", "hermes-3")
    monkeypatch.setenv("FRONTDESK_API", "chat")
    assert isinstance(default_model(settings()), ChatModel)
    monkeypatch.setenv("FRONTDESK_TOOL_FORMAT", "hermes")
    model = default_model(settings())
    assert isinstance(model, PromptedModel)
    assert model.name == "hermes-3"
    monkeypatch.setenv("FRONTDESK_TOOL_FORMAT", "smoke signals")
    with pytest.raises(ValidationError, match="'native', 'hermes', 'mistral' or 'fenced'"):
        settings()


def test_prices_come_from_the_settings_and_those_of_the_desk_go_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "FRONTDESK_PRICES", '{"a": {"input": 1, "output": 2}, "b": {"input": 3, "output": 4, "cached": 1}}'
    )
    desk: Desk[None] = Desk(Agent("triage"), model=OWN, prices={"a": Price(5, 6)})
    assert with_model(desk, settings()).options.prices == {"a": Price(5, 6), "b": Price(3, 4, cached=1)}
    monkeypatch.setenv("FRONTDESK_PRICES", '{"a": {"input": 1}}')
    with pytest.raises(InvalidOption, match="FRONTDESK_PRICES: the price of a needs an input and an output"):
        with_model(desk, settings())


def test_every_setting_has_its_line_in_the_documentation() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "deployment.md").read_text("utf-8")
    shared = {"openai_api_key", "openai_base_url", "xdg_state_home"}  # not Frontdesk's own names
    named = {name.upper() if name in shared else f"FRONTDESK_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in named if f"`{name}`" not in page} == set()
