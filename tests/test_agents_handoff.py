"""Handoffs: the conversation moves to another agent once the other calls of the reply are answered, and only then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.calls import Call
from frontdesk.agents.models.scripted import Gate, ScriptedModel, call, calls, say
from frontdesk.agents.step import Answer, OpenCall, Plan, decide, refuse_handoff, refuse_returned
from frontdesk.tasks import TaskContext, task
from frontdesk.tests.fakes.office import office, output, outputs, text_of


@tool
async def note(text: str) -> str:
    """Notes a text."""
    return f"noted {text}"


def chain(model: ScriptedModel, **options: Any) -> Desk[None]:
    """Triage may hand over to orders and billing, and they may hand back."""
    orders = Agent("orders", "You handle orders.", handoffs=["triage", "billing"], tools=[note])
    billing = Agent("billing", "You handle bills.", handoffs=["triage"])
    return Desk(Agent("triage", "You help.", handoffs=[orders, billing], tools=[note]), model=model, **options)


def who(request: Any) -> Any:
    return say(f"{request.agent} speaking")


async def test_the_new_agent_answers_and_takes_the_next_turn(tmp_path: Path) -> None:
    model = ScriptedModel([call("transfer_to_orders"), who, who])
    async with office(chain(model), tmp_path) as at:
        accepted = await at.create()
        first = await at.ended(accepted)
        second = await at.say("and?", accepted.conversation_id)
        changed = at.said(accepted.conversation_id, "frontdesk:agent.changed")
    assert [text_of(first), text_of(second)] == ["orders speaking"] * 2
    item = first["output"][0]
    assert (item["server_label"], item["name"]) == ("handoff", "transfer_to_orders")
    assert item["output"] == "orders has taken over."
    assert [(event["from"], event["to"]) for event in changed] == [("triage", "orders")]
    assert [request.instructions for request in model.requests] == ["You help.", *["You handle orders."] * 2]


async def test_siblings_of_a_handoff_are_answered_first(tmp_path: Path) -> None:
    gate = Gate()

    @tool
    async def slow() -> str:
        """Takes its time."""
        await gate.wait()
        return "slowly"

    orders = Agent("orders")
    reply = calls(call("transfer_to_orders"), call("slow"))
    one = Desk(Agent("triage", tools=[slow], handoffs=[orders]), model=ScriptedModel([reply, who]))
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        assert at.said(accepted.conversation_id, "frontdesk:agent.changed") == []
        gate.open()
        response = await at.ended(accepted)
        kinds = [event["type"] for event in at.said(accepted.conversation_id)]
        done = [event["item"]["name"] for event in at.said(accepted.conversation_id, "output_item.done")[:2]]
    assert done == ["slow", "transfer_to_orders"]
    assert kinds.index("frontdesk:agent.changed") > kinds.index("response.output_item.done")
    assert outputs(response)["slow"] == "slowly"


async def test_of_two_handoffs_in_one_reply_the_first_is_taken(tmp_path: Path) -> None:
    model = ScriptedModel([calls(call("transfer_to_orders"), call("transfer_to_billing")), who])
    async with office(chain(model), tmp_path) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
        assert len(at.said(accepted.conversation_id, "frontdesk:agent.changed")) == 1
    assert text_of(response) == "orders speaking"
    assert [item["status"] for item in response["output"]] == ["completed"] * 3
    assert response["output"][1]["output"] == "Not taken: orders takes over first."


async def test_a_handoff_to_oneself_is_not_taken(tmp_path: Path) -> None:
    alone = Agent("triage", handoffs=["triage"])
    async with office(Desk(alone, model=ScriptedModel([call("transfer_to_triage"), who])), tmp_path) as at:
        response = await at.say()
    assert outputs(response)["transfer_to_triage"] == "Not taken: you are triage. Answer yourself."
    assert text_of(response) == "triage speaking"


async def test_a_handoff_that_bounces_back_twice_ends_with_an_answer(tmp_path: Path) -> None:
    back_and_forth = ["orders", "triage", "orders", "triage"]
    model = ScriptedModel([*(call(f"transfer_to_{name}") for name in back_and_forth), who])
    async with office(chain(model), tmp_path) as at:
        response = await at.say()
    taken = [output(item) for item in response["output"][:-1]]
    assert taken[:3] == ["orders has taken over.", "triage has taken over.", "orders has taken over."]
    assert taken[3] == "Not taken: triage has had this request 2 times already. Answer yourself, with what you have."
    assert (text_of(response), response["status"]) == ("orders speaking", "completed")


async def test_a_tool_that_returns_an_agent_hands_over_to_it(tmp_path: Path) -> None:
    orders = Agent("orders", "You handle orders.")

    @tool
    async def find_colleague() -> Agent:
        """Finds who can help."""
        return orders

    one = Desk(Agent("triage", tools=[find_colleague, note]), agents=[orders], model=ScriptedModel([
        calls(call("find_colleague"), call("note", {"text": "a"})), who, who,
    ]))  # fmt: skip
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
        assert text_of(await at.say("and?", accepted.conversation_id)) == "orders speaking"
    assert outputs(response) == {"find_colleague": "orders has taken over.", "note": "noted a"}
    assert text_of(response) == "orders speaking"


@dataclass
class Choice:
    best: Agent


ORDERS = Agent("orders", "The word is swordfish.")


@pytest.mark.parametrize("result", [[ORDERS], {"best": (ORDERS,)}, Choice(ORDERS)])
async def test_agents_inside_a_result_are_shown_to_nobody(result: Any, caplog: pytest.LogCaptureFixture) -> None:

    @tool
    async def best() -> Any:
        """Who is best."""
        return result

    model = ScriptedModel([call("best"), say("Nobody.")])
    await Desk(Agent("triage", "You help.", tools=[best], handoffs=[ORDERS], model=model)).run("Who?")
    shown = str(model.requests[-1].items)
    assert "cannot be shown" in shown
    assert "swordfish" not in shown
    assert "hands over to it" in caplog.text
    assert "swordfish" not in caplog.text


async def test_a_handoff_wins_over_a_tool_that_returns_an_agent(tmp_path: Path) -> None:
    orders, billing = Agent("orders"), Agent("billing")

    @tool
    async def find_colleague(name: str) -> Agent:
        """Finds who can help."""
        return {"orders": orders, "billing": billing, "stranger": Agent("stranger"), "triage": triage}[name]

    triage = Agent("triage", tools=[find_colleague], handoffs=[orders], delegates=[billing])
    model = ScriptedModel([
        calls(call("find_colleague", {"name": "stranger"}), call("find_colleague", {"name": "triage"})),
        calls(call("find_colleague", {"name": "billing"}), call("transfer_to_orders")),
        who,
    ])  # fmt: skip
    async with office(Desk(triage, model=model), tmp_path) as at:
        response = await at.say()
    assert [output(item) for item in response["output"][:-1]] == [
        "Not taken: stranger is not an agent of this desk. Answer yourself.",
        "Not taken: you are triage. Answer yourself.",
        "Not taken: orders takes over first.",
        "orders has taken over.",
    ]
    assert text_of(response) == "orders speaking"


async def test_tasks_that_are_live_report_to_whoever_has_the_conversation_then(tmp_path: Path) -> None:
    gate = Gate()

    @task
    async def count(context: TaskContext, number: int) -> int:
        """Counts."""
        await gate.wait()
        return number

    orders = Agent("orders", "You handle orders.")
    filed = call("create_task", {"task": {"name": "count", "arguments": {"number": 4}}, "title": None, "again": None})
    model = ScriptedModel([calls(filed, call("transfer_to_orders")), who, who])
    one = Desk(Agent("triage", tasks=[count], handoffs=[orders]), model=model)
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        gate.open()
        row = await at.task("T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)
        notice = at.said(accepted.conversation_id, "completed")[-1]["response"]
    assert notice["metadata"] == {"frontdesk:trigger": row["id"]}
    assert [item["agent"]["agent_name"] for item in notice["output"]] == ["orders", "orders"]
    assert '"result":4' in notice["output"][0]["output"]
    assert "check_task" in {spec.name for spec in model.requests[-1].tools}, "it can follow up what it did not file"


async def test_at_a_boundary_the_handoff_comes_first_and_the_new_agent_reads_the_notice(tmp_path: Path) -> None:
    gate, counting = Gate(), Gate()

    @task
    async def count(number: int) -> int:
        """Counts."""
        await counting.wait()
        return number

    @tool
    async def hold() -> str:
        """Holds."""
        await gate.wait()
        return "held"

    orders = Agent("orders", tools=[hold])
    filed = call("create_task", {"task": {"name": "count", "arguments": {"number": 4}}, "title": None, "again": None})
    model = ScriptedModel([filed, calls(call("hold"), call("transfer_to_orders")), who])
    one = Desk(Agent("triage", tools=[hold], tasks=[count], handoffs=[orders]), model=model)
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        counting.open()
        await at.task("T1", accepted.conversation_id, "succeeded")
        gate.open()
        response = await at.ended(accepted)
        await at.quiet(accepted.conversation_id)
        assert len(at.said(accepted.conversation_id, "created")) == 1, "the notice was read in this turn"
    names = [(item["name"], item["agent"]["agent_name"]) for item in response["output"][1:-1]]
    assert names == [("hold", "triage"), ("transfer_to_orders", "triage"), ("check_task", "orders")]
    assert text_of(response) == "orders speaking"


async def test_an_agent_that_has_left_the_desk_is_replaced_by_the_entry_agent(tmp_path: Path) -> None:
    model = ScriptedModel([call("transfer_to_orders"), who, who])
    async with office(chain(model), tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        conversation_id = accepted.conversation_id
        await at.workers.pop().stop(0.0)
        at.desk = Desk(Agent("triage"), model=model)
        at.start()
        assert text_of(await at.say("and?", conversation_id)) == "triage speaking"


# The pure step


def open_call(kind: Any, name: str = "", **fields: Any) -> OpenCall:
    return OpenCall(Call(name or kind, name or kind, "{}"), kind, **fields)


def test_no_calls_are_an_answer() -> None:
    assert decide([], ["triage"]) == Answer()


def test_every_call_of_a_reply_is_in_exactly_one_part_of_the_plan() -> None:
    kinds = ["tool", "task", "wait", "unknown", "client"]
    handoffs = [open_call("handoff", name, target=name) for name in ("orders", "billing", "triage")]
    lost = open_call("tool", "lost", repeatable=False, interrupted=True)
    safe = open_call("tool", "safe", repeatable=True, interrupted=True)
    given = [*(open_call(kind) for kind in kinds), *handoffs, lost, safe]
    plan = decide(given, ["triage"])
    assert isinstance(plan, Plan)
    assert plan.handoff is not None
    parts = {
        "refused": [one.call.name for one in plan.refused],
        "run": [one.call.name for one in plan.run],
        "wait": [one.call.name for one in plan.wait],
        "handoff": [plan.handoff.call.name],
        "not taken": [one.call.name for one in plan.not_taken],
        "client": [one.call.name for one in plan.client],
    }
    assert parts == {
        "refused": ["triage", "lost"],
        "run": ["tool", "task", "unknown", "safe"],
        "wait": ["wait"],
        "handoff": ["orders"],
        "not taken": ["billing"],
        "client": ["client"],
    }
    assert sorted(name for names in parts.values() for name in names) == sorted(one.call.name for one in given)


def test_a_handoff_may_come_back_once() -> None:
    assert refuse_handoff("triage", ["triage", "orders"]) == ""
    assert "2 times" in refuse_handoff("triage", ["triage", "orders", "triage", "orders"])
    assert "you are orders" in refuse_handoff("orders", ["triage", "orders"])


def test_an_agent_that_a_tool_returned_follows_the_same_rules() -> None:
    assert refuse_returned("orders", None, ["triage"], {"orders"}) == ""
    assert refuse_returned("orders", "billing", ["triage"], {"orders"}) == "Not taken: billing takes over first."
    assert "not an agent of this desk" in refuse_returned("stranger", None, ["triage"], {"orders"})
    assert "you are triage" in refuse_returned("triage", None, ["triage"], {"triage"})
