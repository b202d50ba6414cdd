"""Hooks: told of every step of a turn, in order; what they do harms nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import anyio
import pytest

from frontdesk.agents import Agent, Context, Desk, Limits, hooks, tool
from frontdesk.agents.errors import ModelRefused, ModelUnavailable
from frontdesk.agents.hooks import (
    CallBegan,
    CallEnded,
    GuardrailTripped,
    HandedOver,
    HookEvent,
    ModelAsked,
    ModelFailed,
    ModelReplied,
    TurnBegan,
    TurnEnded,
    TurnParked,
)
from frontdesk.agents.model import Usage
from frontdesk.agents.models.scripted import Gate, ScriptedModel, call, calls, done, fail, say, wait
from frontdesk.tasks import task
from frontdesk.tests.fakes.office import filed, office, text_of


@tool
async def note(text: str) -> str:
    """Notes a text."""
    if text == "bad":
        raise KeyError(text)
    return f"noted {text}"


def kinds(seen: list[HookEvent]) -> list[str]:
    return [type(one).__name__ for one in seen]


async def test_every_step_of_a_turn_is_told_in_its_order(tmp_path: Path) -> None:
    seen: list[HookEvent] = []
    other = Agent("other")
    both = calls(call("note", {"text": "a"}), call("transfer_to_other")) + done(Usage(10, 0, 0, 5))
    model = ScriptedModel([both, fail(ModelUnavailable, "overloaded")])
    second = ScriptedModel([say("Hello") + done(Usage(3, 0, 0, 2))], name="second")
    one = Desk(Agent("triage", tools=[note], handoffs=[other]), model=model, fallbacks=[second], hooks=[seen.append])
    async with office(one, tmp_path) as at:
        accepted = await at.create(tenant="acme")
        await at.ended(accepted)
    assert kinds(seen) == [
        "TurnBegan", "ModelAsked", "ModelReplied", "CallBegan", "CallEnded", "HandedOver",
        "ModelAsked", "ModelFailed", "ModelAsked", "ModelReplied", "TurnEnded",
    ]  # fmt: skip
    assert {(one.conversation_id, one.response_id, one.tenant) for one in seen} == {
        (accepted.conversation_id, accepted.response_id, "acme")
    }
    assert [one.agent for one in seen] == ["triage"] * 5 + ["other"] * 6
    began, asked, replied, call_began, call_ended, moved = seen[:6]
    assert isinstance(began, TurnBegan)
    assert not began.resumed
    assert isinstance(asked, ModelAsked)
    assert (asked.model, asked.step) == ("scripted", 1)
    assert isinstance(replied, ModelReplied)
    assert (replied.calls, replied.usage) == (("note", "transfer_to_other"), Usage(10, 0, 0, 5))
    assert isinstance(call_began, CallBegan)
    assert (call_began.name, call_began.arguments) == ("note", '{"text":"a"}')
    assert isinstance(call_ended, CallEnded)
    assert (call_ended.output, call_ended.kind, call_ended.call_id) == ("noted a", "result", call_began.call_id)
    assert isinstance(moved, HandedOver)
    assert (moved.before, moved.agent) == ("triage", "other")
    failed, last = seen[7], seen[-1]
    assert isinstance(failed, ModelFailed)
    assert failed.error == "model scripted: overloaded"
    assert isinstance(last, TurnEnded)
    assert (last.status, last.usage) == ("completed", Usage(13, 0, 0, 7))


async def test_a_hook_that_fails_or_hangs_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hooks, "PATIENCE", 0.001)
    seen: list[HookEvent] = []

    def broken(event: HookEvent) -> None:
        raise KeyError("hook")

    async def hanging(event: HookEvent) -> None:
        await anyio.sleep_forever()

    async def kept(event: HookEvent) -> None:
        seen.append(event)

    one = Desk(
        Agent("triage", tools=[note]),
        model=ScriptedModel([call("note", {"text": "a"}), say("Hello")]),
        hooks=[broken, hanging, kept],
    )
    async with office(one, tmp_path) as at:
        assert text_of(await at.say()) == "Hello"
    assert kinds(seen)[-1] == "TurnEnded"
    assert "the hook broken failed at TurnBegan" in caplog.text
    assert "the hook hanging took longer than 0.001 s" in caplog.text


async def test_failures_limits_and_guardrails_are_told(tmp_path: Path) -> None:
    seen: list[HookEvent] = []

    async def never(text: str, context: Context[Any]) -> str | None:
        return "No." if text == "bad" else None

    model = ScriptedModel(
        lambda request: fail(ModelRefused, "no") if len(model.requests) == 3 else call("note", {"text": "bad"})
    )
    one = Desk(
        Agent("triage", tools=[note], input_guardrails=[never]),
        model=model,
        limits=Limits(model_calls=1),
        hooks=[seen.append],
    )
    async with office(one, tmp_path) as at:
        await at.say()
        await at.say("bad")
        model.requests[:] = model.requests[:2]
        await at.say()
    (ended,) = [one for one in seen if isinstance(one, CallEnded)]
    assert (ended.kind, "KeyError" in ended.output) == ("error", True)
    tripped = [one for one in seen if isinstance(one, GuardrailTripped)]
    assert [(one.guardrail, one.text) for one in tripped] == [("never", "No.")]
    over = [(one.status, one.ended, one.limit) for one in seen if isinstance(one, TurnEnded)]
    assert over == [
        ("incomplete", "limit", "1 model calls"), ("incomplete", "content_filter", ""), ("failed", "model", ""),
    ]  # fmt: skip


async def test_parking_going_on_and_a_cancel_are_told(tmp_path: Path) -> None:
    seen: list[HookEvent] = []
    gate, talking = Gate(), Gate()

    @task(idempotent=True)
    async def count(number: int) -> int:
        """Counts."""
        await gate.wait()
        return number

    waits = call("wait_for_tasks", {"tasks": ["T1"], "until": None, "timeout_seconds": None})
    model = ScriptedModel([filed("count", number=1), waits, wait(talking)])
    one = Desk(Agent("triage", tasks=[count]), model=model, hooks=[seen.append])
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        await at.turn_status(accepted.response_id, "waiting")
        gate.open()
        await talking.reached()
        from frontdesk.broker import cancel

        await at.database.write(cancel.cancel_response, accepted.response_id, "")
        await at.ended(accepted)
    assert [one.resumed for one in seen if isinstance(one, TurnBegan)] == [False, True]
    names = kinds(seen)
    assert names.index("TurnParked") < names.index("TurnBegan", 1)
    assert isinstance(seen[-1], TurnEnded)
    assert (seen[-1].status, sum(isinstance(one, TurnParked) for one in seen)) == ("cancelled", 1)


def test_events_are_frozen() -> None:
    event = TurnParked(conversation_id="conv", response_id="resp", tenant="", agent="triage")
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.agent = "other"  # type: ignore[misc]
