"""What may be used: limits of a turn, budgets of a conversation and a tenant, prices, model calls at once."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from frontdesk.agents import Agent, Budget, Desk, Limits, Price, tool
from frontdesk.agents.batch import Ref
from frontdesk.agents.budgets import DurableBudgets
from frontdesk.agents.desk_options import DeskOptions
from frontdesk.agents.journal import Journal
from frontdesk.agents.limits import of_tenant
from frontdesk.agents.memory import run_in_memory
from frontdesk.agents.model import Usage
from frontdesk.agents.model_slots import ModelSlots
from frontdesk.agents.models.scripted import Gate, ScriptedModel, call, calls, done, say, wait
from frontdesk.agents.prices import price_of
from frontdesk.agents.response import About
from frontdesk.agents.stores import MemoryStore
from frontdesk.broker import usage
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.runs import Run
from frontdesk.broker.spending import Spending
from frontdesk.tasks import task
from frontdesk.tasks.errors import InvalidOption
from frontdesk.tests.fakes.office import filed, office, outputs, text_of
from frontdesk.tests.store import Store

USED = done(Usage(100, 40, 0, 20))


@tool
async def again() -> str:
    """Does it again."""
    return "done"


# A turn


async def test_calls_of_one_reply_that_are_too_many_are_not_run_and_the_turn_ends(tmp_path: Path) -> None:
    ran: list[int] = []

    @tool
    async def count(number: int) -> str:
        """Counts."""
        ran.append(number)
        return "counted"

    model = ScriptedModel([calls(*(call("count", {"number": number}) for number in range(5)))])
    async with office(Desk(Agent("triage", tools=[count]), model=model, limits=Limits(tool_calls=3)), tmp_path) as at:
        response = await at.say()
    assert sorted(ran) == [0, 1, 2]
    texts = [item.get("output") or item["error"]["content"][0]["text"] for item in response["output"][:-1]]
    refused = "Not run: this turn may make 3 calls, and has made them. Answer with what you have."
    assert texts == ["counted"] * 3 + [refused] * 2
    assert response["metadata"]["frontdesk:limit"] == "3 tool calls"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


async def test_tasks_that_are_too_many_are_not_filed(tmp_path: Path) -> None:
    @task(idempotent=True)
    async def double(number: int) -> int:
        """Doubles."""
        return 2 * number

    model = ScriptedModel([calls(filed("double", number=1), filed("double", number=2)), say("told")])
    one = Desk(Agent("triage", tasks=[double]), model=model, limits=Limits(tool_calls=1), on_task_done="note")
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
        await at.quiet(accepted.conversation_id)
        assert len(at.said(accepted.conversation_id, "frontdesk:task.created")) == 1
    assert "Not run" in outputs(response)["create_task"]


async def test_a_model_that_talks_for_too_long_is_cut_off(tmp_path: Path) -> None:
    model = ScriptedModel([say("Once upon", whole=False) + wait(Gate())])
    one = Desk(Agent("triage"), model=model, limits=Limits(seconds=0.2))
    async with office(one, tmp_path) as at:
        response = await at.say()
        accepted = next(iter(at.recorders))
        items = await at.items(accepted)
    assert response["metadata"]["frontdesk:limit"] == "0.2 seconds"
    assert [item["status"] for item in response["output"]] == ["incomplete", "completed"]
    assert items[1].body["content"][0]["text"].strip() == "Once upon"


async def test_what_a_turn_costs_is_limited_counted_and_shown(tmp_path: Path) -> None:
    model = ScriptedModel(lambda request: call("again") + USED, name="pricey-2026-01-31")
    prices = {"pricey": Price(input=10.0, cached=1.0, output=100.0)}
    one = Desk(Agent("triage", tools=[again]), model=model, prices=prices, limits=Limits(cost=0.005))
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
        found = await at.database.read(usage.of_conversation, accepted.conversation_id)
    one_call = (60 * 10.0 + 40 * 1.0 + 20 * 100.0) / 1e6
    assert len(model.requests) == 2
    assert response["metadata"]["frontdesk:limit"] == "0.005 of cost"
    assert response["usage"]["frontdesk:cost"] == pytest.approx(2 * one_call)
    assert found.cost == pytest.approx(2 * one_call)


async def test_a_model_without_a_price_costs_nothing_and_nothing_is_said_of_it() -> None:
    turn = await run_in_memory(Desk(Agent("triage"), model=ScriptedModel([say("Hello") + USED])), "hello")
    assert turn.usage == Usage(100, 40, 0, 20)


def test_a_price_is_found_by_the_name_without_its_date() -> None:
    price = Price(1.0, 2.0)
    prices = {"gpt-5": price, "gpt-5-mini-2025-08-07": Price(0.0, 0.0)}
    assert [price_of(prices, name) for name in ("gpt-5", "gpt-5-2025-08-07", "gpt-5-20250807")] == [price] * 3
    assert price_of(prices, "gpt-5-mini") is None
    assert price_of(prices, "gpt-5-mini-2025-08-07") == Price(0.0, 0.0)
    assert Price(2.0, 4.0, cache_write=3.0).of(Usage(1_000_000, 250_000, 250_000, 500_000)) == 1.0 + 0.5 + 0.75 + 2.0
    with pytest.raises(InvalidOption, match="a price for output tokens is zero or more, not -1"):
        Price(1.0, -1)


# Budgets


async def test_a_conversation_ends_when_its_budget_is_used(tmp_path: Path) -> None:
    model = ScriptedModel(lambda request: say("Hello") + USED)
    one = Desk(Agent("triage"), model=model, conversation_budget=Budget(tokens=200))
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        assert text_of(await at.ended(accepted)) == "Hello"
        assert text_of(await at.say("and?", accepted.conversation_id)) == "Hello"
        refused = await at.say("and?", accepted.conversation_id)
        elsewhere = await at.say()
    assert (refused["status"], refused["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert refused["metadata"]["frontdesk:limit"] == "conversation: 200 tokens"
    assert text_of(refused) == "I cannot go on: this conversation has used its 200 tokens. Begin a new one."
    assert text_of(elsewhere) == "Hello"
    assert len(model.requests) == 3


async def test_a_budget_is_looked_at_between_the_requests_of_a_turn(tmp_path: Path) -> None:
    model = ScriptedModel(lambda request: call("again") + USED)
    one = Desk(Agent("triage", tools=[again]), model=model, conversation_budget=Budget(tool_calls=3))
    async with office(one, tmp_path) as at:
        response = await at.say()
    assert len(model.requests) == 3
    assert response["metadata"]["frontdesk:limit"] == "conversation: 3 tool calls"


async def test_a_tenant_has_a_budget_for_all_its_conversations_and_others_have_their_own(tmp_path: Path) -> None:
    def budget_of(tenant: str) -> Budget | None:
        return Budget(turns=1) if tenant == "small" else None

    model = ScriptedModel(lambda request: say("Hello") + USED)
    async with office(Desk(Agent("triage"), model=model, tenant_budget=budget_of), tmp_path) as at:
        first = await at.say(tenant="small")
        second = await at.say(tenant="small")
        others = [await at.say(tenant="large") for _ in range(2)]
    assert text_of(first) == "Hello"
    assert second["metadata"]["frontdesk:limit"] == "tenant: 1 turns a day"
    assert text_of(second).startswith("I cannot go on: the 1 turns of this day are used up. Ask again after ")
    assert [text_of(one) for one in others] == ["Hello"] * 2


async def test_a_tenant_may_go_on_when_its_window_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_800_000_000.0]

    def wall(conn: Connection) -> float:
        return now[0]

    monkeypatch.setattr(Connection, "wall", wall)
    model = ScriptedModel(lambda request: say("Hello") + USED)
    one = Desk(Agent("triage"), model=model, tenant_budget=Budget(tokens=100, window="hour"))
    async with office(one, tmp_path) as at:
        found = [await at.say(), await at.say()]
        now[0] += 3600
        found.append(await at.say())
    assert [one["status"] for one in found] == ["completed", "incomplete", "completed"]


async def test_a_budget_that_cannot_be_read_fails_the_turn_in_words_that_are_safe(tmp_path: Path) -> None:
    def budget_of(tenant: str) -> Budget:
        raise KeyError("secret")

    one = Desk(Agent("triage"), model=ScriptedModel([]), tenant_budget=budget_of)
    async with office(one, tmp_path) as at:
        response = await at.say()
    assert response["error"]["message"] == "the tenant's budget failed: internal error (KeyError)"


@pytest.mark.parametrize("name", ["turns", "model_calls", "tool_calls", "tokens", "seconds", "cost"])
def test_an_amount_of_a_budget_is_above_zero(name: str) -> None:
    options: dict[str, Any] = {name: 0}
    with pytest.raises(InvalidOption, match=f"{name} is a number above zero, not 0"):
        Budget(**options)
    assert Budget(**{name: 1}).reached(Spending()) == ""  # type: ignore[arg-type]


def test_a_window_is_one_that_there_is() -> None:
    with pytest.raises(InvalidOption, match="window is one of hour, day, month, not 'week'"):
        Budget(window="week")  # type: ignore[arg-type]
    assert of_tenant("5 turns", "month", 1_767_225_600.0).text.endswith("Ask again after 2026-01-01 00:00 UTC.")


# Model calls at once


async def at_once(slots: ModelSlots, tenants: list[str], until: dict[str, int]) -> dict[str, int]:
    """Takes a slot for each tenant and holds it; how many each holds when ``until`` is reached."""
    held: dict[str, int] = {}
    found: dict[str, int] = {}
    reached, over = anyio.Event(), anyio.Event()

    async def hold(tenant: str) -> None:
        async with slots.one(tenant):
            held[tenant] = held.get(tenant, 0) + 1
            if held == until:
                reached.set()
            await over.wait()

    async with anyio.create_task_group() as group:
        for tenant in tenants:
            group.start_soon(hold, tenant)
        with anyio.fail_after(30):
            await reached.wait()
        await anyio.wait_all_tasks_blocked()
        found.update(held)
        over.set()
    assert sum(held.values()) == len(tenants), "everybody had a turn"
    return found


async def test_a_tenant_that_waits_for_its_own_bound_holds_up_nobody() -> None:
    slots = ModelSlots(3, 2)
    wanted = {"a": 2, "b": 1}
    assert await at_once(slots, ["a", "a", "a", "a", "b", "b", "c"], wanted) == wanted


async def test_whoever_gives_up_waiting_leaves_the_place_to_the_next() -> None:
    slots = ModelSlots(1)
    async with slots.one(""):
        with anyio.move_on_after(0) as gone:
            async with slots.one(""):
                raise AssertionError("there is one slot")
        assert gone.cancelled_caught
    with anyio.fail_after(30):
        async with slots.one(""):
            pass


async def test_slots_are_shared_by_event_loops() -> None:
    slots = ModelSlots(1)
    got = threading.Event()

    async def take() -> None:
        async with slots.one(""):
            got.set()

    async with slots.one(""):
        other = threading.Thread(target=anyio.run, args=(take,))
        other.start()
        assert not got.is_set()
    await anyio.to_thread.run_sync(other.join)
    assert got.is_set()


async def test_turns_wait_for_a_model_that_is_busy(tmp_path: Path) -> None:
    gate = Gate()
    model = ScriptedModel([wait(gate) + say("first"), say("second")])
    one = Desk(Agent("triage"), model=model, model_calls_at_once=1, limits=Limits(seconds=30))
    async with office(one, tmp_path) as at:
        first = await at.create()
        await gate.reached()
        second = await at.create()
        await at.event(second.conversation_id, lambda event: event["type"] == "response.created")
        assert len(model.requests) == 1
        gate.open()
        assert [text_of(await at.ended(accepted)) for accepted in (first, second)] == ["first", "second"]


@pytest.mark.parametrize("name", ["model_calls_at_once", "model_calls_per_tenant"])
def test_a_bound_is_one_or_more(name: str) -> None:
    options: dict[str, Any] = {name: 0}
    with pytest.raises(InvalidOption, match=f"{name} is one or more, not 0"):
        Desk(Agent("triage"), **options)


async def test_what_a_turn_has_used_since_its_last_commit_counts_too(database: Database) -> None:
    store = Store(database)
    accepted = store.create()
    ref = Ref(store.claim_turn(), accepted.response_id, accepted.conversation_id)
    journal = Journal(About(ref.response_id, ref.conversation_id, "", 0.0, {}, model="desk"), MemoryStore(), [])
    run = cast(Run, SimpleNamespace(database=database))

    async def reached(**options: Any) -> str | None:
        found = await DurableBudgets(run, ref, journal, DeskOptions(**options)).reached()
        return None if found is None else found.name

    of_conversation, of_tenant = {"conversation_budget": Budget(tool_calls=3)}, {"tenant_budget": Budget(tool_calls=3)}
    store.do(usage.count, "", ref.conversation_id, Spending(tool_calls=1))
    journal.progress.tool_calls = 1
    assert (await reached(**of_conversation), await reached(**of_tenant)) == (None, None)
    journal.progress.tool_calls = 2
    assert await reached(**of_conversation) == "conversation: 3 tool calls"
    assert await reached(**of_tenant) == "tenant: 3 tool calls a day"
