"""Guardrails: what a person asks is checked beside the first request, what an agent would say before it is said."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from frontdesk.agents import Agent, Context, Desk, tool
from frontdesk.agents import guardrails as rules
from frontdesk.agents.errors import FunctionFailed
from frontdesk.agents.guardrails import Tripped, tripped_by
from frontdesk.agents.models.scripted import Gate, ScriptedModel, call, say, wait
from frontdesk.tasks import task
from frontdesk.tests.fakes.office import filed, office, text_of

CONTEXT: Context[Any] = Context(None, "conv", "resp", "", "triage", "", "resp")


async def politely(text: str, context: Context[Any]) -> str | None:
    return "Please be polite." if "damn" in text else None


def no_numbers(text: str, context: Context[Any]) -> str | None:
    return "I may not give numbers." if any(letter.isdigit() for letter in text) else None


async def test_an_input_guardrail_cancels_the_request_and_answers_itself(tmp_path: Path) -> None:
    gate = Gate()

    async def after_the_first_word(text: str, context: Context[Any]) -> str | None:
        await gate.reached()
        return await politely(text, context)

    model = ScriptedModel([say("Well", whole=False) + wait(gate) + say("never said"), say("Hello")])
    one = Desk(Agent("triage"), model=model, input_guardrails=[after_the_first_word])
    async with office(one, tmp_path) as at:
        accepted = await at.create("damn it")
        response = await at.ended(accepted)
        gate.open()
        after = await at.say("hello", accepted.conversation_id)
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
    assert response["metadata"] == {"frontdesk:guardrail": "after_the_first_word"}
    assert [item["status"] for item in response["output"]] == ["incomplete", "completed"]
    assert text_of(response) == "Please be polite."
    assert text_of(after) == "Hello"
    said = [item["content"] for item in model.requests[1].items if item["role"] == "assistant"]
    assert said == ["Please be polite."], "what was said until then is not shown to a model"


async def test_no_call_is_run_before_the_input_guardrails_have_passed(tmp_path: Path) -> None:
    asked, go = threading.Event(), threading.Event()
    ran: list[str] = []

    def slow(text: str, context: Context[Any]) -> str | None:
        asked.wait(30)
        go.wait(30)
        return "No." if text == "bad" else None

    @tool
    async def pay() -> str:
        """Pays."""
        ran.append("paid")
        return "paid"

    def reply(request: Any) -> Any:
        asked.set()
        return say("done") if ran else call("pay")

    one = Desk(Agent("triage", tools=[pay], input_guardrails=[slow]), model=ScriptedModel(reply))
    async with office(one, tmp_path) as at:
        accepted = await at.create("good")
        await anyio.to_thread.run_sync(asked.wait)
        assert ran == []
        go.set()
        assert text_of(await at.ended(accepted)) == "done"
        assert ran == ["paid"]
        ran.clear()
        refused = await at.say("bad")
    assert (text_of(refused), ran) == ("No.", [])


async def test_input_guardrails_are_asked_once_for_a_turn_and_not_about_notices(tmp_path: Path) -> None:
    seen: list[str] = []

    async def watch(text: str, context: Context[Any]) -> None:
        seen.append(f"{context.agent}: {text}")

    @task(idempotent=True)
    async def double(number: int) -> int:
        """Doubles."""
        return 2 * number

    other = Agent("other", tasks=[double])
    model = ScriptedModel([call("transfer_to_other"), filed("double", number=2), say("filed"), say("told")])
    one = Desk(Agent("triage", handoffs=[other]), model=model, input_guardrails=[watch])
    async with office(one, tmp_path) as at:
        accepted = await at.create("double two")
        await at.ended(accepted)
        await at.quiet(accepted.conversation_id)
    assert model.remaining == 0
    assert seen == ["triage: double two"]


async def test_an_output_guardrail_holds_back_what_it_stops(tmp_path: Path) -> None:
    model = ScriptedModel([say("It is 42."), say("It is much.")])
    one = Desk(Agent("triage"), model=model, output_guardrails=[no_numbers])
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        stopped = await at.ended(accepted)
        passed = await at.say("and?", accepted.conversation_id)
        assert not any("is 42" in str(event) for event in at.said(accepted.conversation_id))
        assert "is 42" not in str(await at.items(accepted.conversation_id))
    assert (text_of(stopped), stopped["incomplete_details"]) == (
        "I may not give numbers.",
        {"reason": "content_filter"},
    )
    assert stopped["metadata"] == {"frontdesk:guardrail": "no_numbers"}
    assert (text_of(passed), passed["status"]) == ("It is much.", "completed")


async def test_an_output_guardrail_reads_what_is_said_beside_calls_and_stops_those_too(tmp_path: Path) -> None:
    ran: list[str] = []

    @tool
    async def pay() -> str:
        """Pays."""
        ran.append("paid")
        return "paid"

    model = ScriptedModel([say("I pay 5 now.") + call("pay")])
    one = Desk(Agent("triage", tools=[pay], output_guardrails=[no_numbers]), model=model)
    async with office(one, tmp_path) as at:
        response = await at.say()
    assert ([item["type"] for item in response["output"]], ran) == (["message"], [])


@pytest.mark.parametrize("side", ["input_guardrails", "output_guardrails"])
async def test_a_guardrail_that_fails_lets_nothing_pass(tmp_path: Path, side: str) -> None:
    async def broken(text: str, context: Context[Any]) -> str | None:
        raise KeyError("secret")

    options: dict[str, Any] = {side: [broken]}
    async with office(Desk(Agent("triage"), model=ScriptedModel([say("Hello")]), **options), tmp_path) as at:
        response = await at.say()
    assert response["status"] == "failed"
    assert response["error"]["message"] == "the guardrail broken failed: internal error (KeyError)"


async def test_a_guardrail_is_asked_again_where_another_worker_goes_on(tmp_path: Path) -> None:
    gate, model_gate = Gate(), Gate()
    asked: list[str] = []

    async def hold(text: str, context: Context[Any]) -> str | None:
        asked.append(text)
        await gate.wait()
        return "No."

    model = ScriptedModel([wait(model_gate), say("never said")])
    async with office(Desk(Agent("triage"), model=model, input_guardrails=[hold]), tmp_path) as at:
        accepted = await at.create("bad")
        await gate.reached()
        await at.workers.pop().stop(0.0)
        gate.open()
        at.start()
        response = await at.ended(accepted)
    assert (asked, text_of(response)) == (["bad", "bad"], "No.")


# By themselves


async def test_the_first_that_stops_it_ends_the_others() -> None:
    cancelled: list[str] = []

    async def hangs(text: str, context: Context[Any]) -> str | None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled.append(text)
            raise
        return None

    assert await tripped_by([hangs, politely], "damn", CONTEXT, None) == Tripped("politely", "Please be polite.")
    assert cancelled == ["damn"]
    assert await tripped_by([politely, no_numbers], "hello", CONTEXT, None) is None


async def test_one_that_hangs_or_returns_nonsense_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(text: str, context: Context[Any]) -> str | None:
        await anyio.sleep_forever()
        return None

    def nonsense(text: str, context: Context[Any]) -> Any:
        return True

    monkeypatch.setattr(rules, "TIMEOUT", 0.01)
    with pytest.raises(FunctionFailed, match="the guardrail hangs failed: it did not end in time"):
        await tripped_by([hangs], "hello", CONTEXT, None)
    with pytest.raises(FunctionFailed, match="it returned neither None nor a text"):
        await tripped_by([nonsense], "hello", CONTEXT, None)
