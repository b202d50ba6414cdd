"""What turns use is counted for their conversation and their tenant, with the commits that it was used for."""

from __future__ import annotations

from pathlib import Path

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.model import Usage
from frontdesk.agents.models.scripted import Gate, ScriptedModel, call, calls, done, say, wait
from frontdesk.broker import usage
from frontdesk.broker.spending import Spending
from frontdesk.tests.fakes.office import Office, filed, office

EVER = (0, 2**31 - 1)


@tool(idempotent=True)
async def note(text: str) -> str:
    """Notes a text."""
    return f"noted {text}"


def used(cost: float = 0.0) -> Usage:
    return Usage(100, 60, 0, 20, 8, cost)


async def spent(at: Office, conversation_id: str) -> Spending:
    return await at.database.read(usage.of_conversation, conversation_id)


async def test_a_turn_is_counted_once_for_its_conversation_and_its_tenant(tmp_path: Path) -> None:
    both = calls(call("note", {"text": "a"}), call("note", {"text": "b"}))
    model = ScriptedModel([both + done(used()), say("noted") + done(used()), say("again") + done(used())])
    async with office(Desk(Agent("triage", tools=[note]), model=model), tmp_path) as at:
        accepted = await at.create(tenant="acme")
        await at.ended(accepted)
        found = await spent(at, accepted.conversation_id)
        await at.say("and?", accepted.conversation_id, tenant="acme")
        later = await spent(at, accepted.conversation_id)
        tenant = await at.database.read(usage.of_tenant, "acme", *EVER)
    counted = (found.turns, found.model_calls, found.tool_calls, found.input_tokens, found.cached_tokens)
    assert counted == (1, 2, 2, 200, 120)
    assert (found.output_tokens, found.reasoning_tokens, found.seconds > 0) == (40, 16, True)
    assert (later.turns, later.model_calls, later.tool_calls, later.input_tokens) == (2, 3, 2, 300)
    assert tenant == later


async def test_what_another_worker_goes_on_with_is_not_counted_again(tmp_path: Path) -> None:
    gate = Gate()
    model = ScriptedModel([call("note", {"text": "a"}) + done(used()), wait(gate), say("noted") + done(used())])
    async with office(Desk(Agent("triage", tools=[note]), model=model), tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        await at.workers.pop().stop(0.0)
        begun = await spent(at, accepted.conversation_id)
        gate.open()
        at.start()
        await at.ended(accepted)
        found = await spent(at, accepted.conversation_id)
    assert (begun.turns, begun.tool_calls, begun.input_tokens) == (0, 1, 100)
    assert (found.turns, found.tool_calls, found.input_tokens) == (1, 1, 200)


async def test_a_delegated_run_has_an_account_of_its_own_and_its_tenant_pays(tmp_path: Path) -> None:
    helper = Agent("helper", model=ScriptedModel([say("helped") + done(used())]))
    model = ScriptedModel([filed("helper", input="help") + done(used()), say("filed"), say("told")])
    async with office(Desk(Agent("triage", delegates=[helper]), model=model), tmp_path) as at:
        accepted = await at.create(tenant="acme")
        await at.ended(accepted)
        await at.task("T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)
        own = await spent(at, accepted.conversation_id)
        childs = await spent(at, await at.child("T1", accepted.conversation_id))
        tenant = await at.database.read(usage.of_tenant, "acme", *EVER)
    assert (own.input_tokens, own.turns, childs.input_tokens, childs.turns) == (100, 2, 100, 1)
    assert (tenant.input_tokens, tenant.turns) == (200, 3)
