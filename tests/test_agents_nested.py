"""Agents as tools: a call is a run with a history of its own, and its answer is the call's output. It is stopped with
its caller, goes on after a crash on either side, and holds no slot of its caller meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from frontdesk.agents import Agent, Context, Desk, DeskError, Limits, Summarize, tool
from frontdesk.agents.agent import AgentTool
from frontdesk.agents.errors import ModelRefused
from frontdesk.agents.memory import run_in_memory
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, calls, fail, say, wait
from frontdesk.agents.nested import DEEPEST, EMPTY
from frontdesk.broker.cancel import cancel_response
from frontdesk.tasks.states import TERMINAL
from frontdesk.tests.fakes.office import Office, asked, office, output, outputs, text_of
from frontdesk.tests.fakes.strict_rules import refused_schema


def asking(text: str, name: str = "research", **options: Any) -> ScriptedReply:
    return call(name, {"input": text}, **options)


def expert(model: ScriptedModel, name: str = "research", **options: Any) -> Agent:
    return Agent(name, "You research. Thoroughly.", model=model, **options)


def desk(triage: ScriptedModel, *tools: Any, **options: Any) -> Desk[Any]:
    return Desk(Agent("triage", "You help.", tools=tools, model=triage), **options)


async def test_a_call_of_an_agent_is_answered_with_what_it_says_last(tmp_path: Path) -> None:
    research = ScriptedModel([say("Whales are mammals.")])
    triage = ScriptedModel([asking("Are whales fish?"), say("No.")])
    async with office(desk(triage, expert(research).as_tool()), tmp_path) as at:
        accepted = await at.create("fish?")
        response = await at.ended(accepted)
        row = await at.task("T1", accepted.conversation_id, "succeeded")
    assert [output(response["output"][0]), text_of(response)] == ["Whales are mammals.", "No."]
    assert response["output"][0]["server_label"] == "desk"
    (request,) = research.requests
    assert [item["content"][0]["text"] for item in request.items] == ["Are whales fish?"]  # and nothing of the caller
    assert (row["kind"], row["announce"]) == ("agent", "none")


def test_one_line_declares_it() -> None:
    made = expert(ScriptedModel([])).as_tool(name="look_up", namespace="library", timeout=5)
    assert isinstance(made, AgentTool)
    assert (made.wire_name, made.description, made.timeout) == ("library-look_up", "You research", 5)
    assert made.spec().parameters == {
        "type": "object",
        "properties": {
            "input": {"type": "string", "description": "What it is to do, with everything that it must know"}
        },
        "required": ["input"],
        "additionalProperties": False,
    }
    assert refused_schema(made.spec().parameters) == []
    assert expert(ScriptedModel([])).as_tool(description="Knows whales.").description == "Knows whales."


def test_the_desk_finds_it_and_whom_it_knows() -> None:
    deep = Agent("deep")
    middle = Agent("middle", tools=[deep.as_tool()])
    made = Desk(Agent("top", tools=[middle.as_tool(), middle.as_tool(name="again")]))
    assert set(made.agents) == {"top", "middle", "deep"}
    assert [spec.name for spec in made.catalogs["top"].specs] == ["middle", "again"]
    with pytest.raises(DeskError, match="two agents are named 'deep'"):
        Desk(Agent("top", tools=[middle.as_tool()], handoffs=[Agent("deep")]))


async def test_calls_of_one_reply_run_beside_each_other_and_beside_tools(tmp_path: Path) -> None:
    gates = [Gate(), Gate()]
    models = [ScriptedModel([wait(gate) + say(f"answer {number}")]) for number, gate in enumerate(gates)]
    begun = anyio.Event()

    @tool
    async def beside() -> str:
        begun.set()
        return "beside"

    triage = ScriptedModel([calls(asking("a", "one"), call("beside"), asking("b", "two")), say("so")])
    tools = [expert(models[0], "one").as_tool(), expert(models[1], "two").as_tool(), beside]
    async with office(desk(triage, *tools), tmp_path) as at:
        accepted = await at.create()
        await begun.wait()
        for gate in gates:
            await gate.reached()  # both are at work before either has ended
        assert await at.turn_status(accepted.response_id, "waiting") == "waiting"
        gates[1].open()
        await at.task("T2", accepted.conversation_id, "succeeded")
        gates[0].open()
        response = await at.ended(accepted)
    assert outputs(response) == {"one": "answer 0", "beside": "beside", "two": "answer 1"}
    said = [item["output"] for item in triage.requests[1].items if item["type"] == "function_call_output"]
    assert said == ["answer 0", "beside", "answer 1"]


async def test_where_calls_may_not_run_side_by_side_neither_do_agents(tmp_path: Path) -> None:
    order: list[str] = []

    def answers(name: str) -> ScriptedModel:
        def answer(request: ModelRequest) -> ScriptedReply:
            order.append(name)
            return say(name)

        return ScriptedModel(answer)

    tools = [expert(answers(name), name).as_tool() for name in ("one", "two")]
    triage = ScriptedModel([calls(asking("a", "one"), asking("b", "two")), say("so")])
    alone = Desk(Agent("triage", tools=tools, model=triage, parallel_tool_calls=False))
    async with office(alone, tmp_path) as at:
        response = await at.say()
    assert (outputs(response), order) == ({"one": "one", "two": "two"}, ["one", "two"])


async def test_one_slot_is_enough_for_agents_in_agents(tmp_path: Path) -> None:
    def level(number: int) -> Agent:
        if number == 4:
            return Agent("level4", model=ScriptedModel([say("bottom")]))
        below = level(number + 1)
        model = ScriptedModel([asking("down", f"level{number + 1}"), lambda request: say(last(request))])
        return Agent(f"level{number}", tools=[below.as_tool()], model=model)

    def last(request: ModelRequest) -> str:
        return f"{request.items[-1]['output']} up"

    async with office(Desk(level(0)), tmp_path, turns=1, tasks=1) as at:
        response = await at.say()
    assert text_of(response) == "bottom up up up up"


async def test_it_has_the_desk_s_dependencies_and_its_caller_s_tenant(tmp_path: Path) -> None:
    @tool
    async def where(context: Context[str]) -> str:
        return f"{context.dependencies} {context.tenant} {context.agent}"

    research = ScriptedModel([call("where"), lambda request: say(request.items[-1]["output"])])
    nested = expert(research, tools=[where]).as_tool()
    triage = ScriptedModel([asking("where?"), say("so")])
    async with office(desk(triage, nested, dependencies="shop"), tmp_path) as at:
        response = await at.say(tenant="acme")
    assert output(response["output"][0]) == "shop acme research"


async def test_an_agent_that_fails_is_an_error_of_the_call(tmp_path: Path) -> None:
    triage = ScriptedModel([asking("?"), say("It did not work.")])
    async with office(desk(triage, expert(ScriptedModel([fail(ModelRefused)])).as_tool()), tmp_path) as at:
        response = await at.say()
    assert output(response["output"][0]) == (
        "The agent research did not answer (failed): model scripted: failed as the script says"
    )
    assert response["output"][0]["status"] == "failed"


async def test_an_agent_that_says_nothing_is_said_to_have_said_nothing(tmp_path: Path) -> None:
    triage = ScriptedModel([asking("?"), say("so")])
    async with office(desk(triage, expert(ScriptedModel([say("")])).as_tool()), tmp_path) as at:
        response = await at.say()
    assert output(response["output"][0]) == EMPTY


async def test_each_nested_turn_has_the_limits_of_a_turn(tmp_path: Path) -> None:
    @tool
    async def again() -> str:
        return "again"

    research = ScriptedModel(lambda request: call("again"))
    triage = ScriptedModel([asking("?"), say("so")])
    limits = Limits(model_calls=3)
    async with office(desk(triage, expert(research, tools=[again]).as_tool(), limits=limits), tmp_path) as at:
        response = await at.say()
    assert output(response["output"][0]).startswith("I stopped here: this turn has used its 3 model calls.")
    assert (len(research.requests), text_of(response)) == (3, "so")


async def test_a_call_may_have_limits_of_its_own(tmp_path: Path) -> None:
    @tool
    async def again() -> str:
        return "again"

    research = ScriptedModel(lambda request: call("again"))
    nested = expert(research, tools=[again]).as_tool(limits=Limits(model_calls=2))
    triage = ScriptedModel([asking("?"), call("again"), call("again"), call("again"), say("so")])
    async with office(desk(triage, nested, again), tmp_path) as at:
        response = await at.say()
    assert output(response["output"][0]).startswith("I stopped here: this turn has used its 2 model calls.")
    assert (len(research.requests), text_of(response)) == (2, "so")
    in_memory = ScriptedModel([asking("?"), say("so")])
    await run_in_memory(desk(in_memory, nested), "go")
    assert "its 2 model calls" in in_memory.requests[1].items[-1]["output"]


async def test_an_agent_that_calls_itself_without_end_is_stopped(tmp_path: Path) -> None:
    def answer(request: ModelRequest) -> ScriptedReply:
        return say("so") if "output" in request.items[-1] else asking("deeper", "again")

    model = ScriptedModel(answer)
    # An agent that has itself as a tool cannot be written down; two of one kind can call each other all the same.
    again = Agent("again", model=model)
    object.__setattr__(again, "tools", (again.as_tool(),))
    async with office(Desk(again), tmp_path) as at:
        accepted = await at.create()
        assert text_of(await at.ended(accepted)) == "so"
    deepest = next(one for one in model.requests if "levels deep" in str(one.items[-1].get("output")))
    assert f"agents call agents {DEEPEST} levels deep" in deepest.items[-1]["output"]
    assert len(model.requests) == 2 * (DEEPEST + 1)


async def test_an_agent_that_takes_too_long_is_stopped_and_its_siblings_are_not(tmp_path: Path) -> None:
    never, gate = Gate(), Gate()
    slow = expert(ScriptedModel([wait(never) + say("never")]), "slow").as_tool(timeout=0.05)
    steady = expert(ScriptedModel([wait(gate) + say("steady")]), "steady").as_tool()
    triage = ScriptedModel([calls(asking("a", "slow"), asking("b", "steady")), say("so")])
    async with office(desk(triage, slow, steady), tmp_path) as at:
        accepted = await at.create()
        await at.task("T1", accepted.conversation_id, "cancelled")
        gate.open()
        response = await at.ended(accepted)
    assert outputs(response) == {
        "slow": "The agent slow did not end within 0.05 s and was stopped.",
        "steady": "steady",
    }


async def nested_in(at: Office, conversation_id: str, label: str = "T1") -> str:
    """How the nested run has ended."""
    return str((await at.task(label, conversation_id, *TERMINAL))["status"])


async def test_a_cancelled_turn_stops_what_it_has_called_all_the_way_down(tmp_path: Path) -> None:
    gate = Gate()
    deep = expert(ScriptedModel([wait(gate) + say("never")]), "deep")
    research = expert(ScriptedModel([asking("deeper", "deep")]), tools=[deep.as_tool()])
    async with office(desk(ScriptedModel([asking("?")]), research.as_tool()), tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        child = await at.child("T1", accepted.conversation_id)
        await at.database.write(cancel_response, accepted.response_id, "")
        response = await at.ended(accepted)
        ended = [await nested_in(at, accepted.conversation_id), await nested_in(at, child)]
    assert (response["status"], ended) == ("cancelled", ["cancelled", "cancelled"])
    assert "interrupted" in output(response["output"][0])


async def test_a_person_who_speaks_meanwhile_does_not_end_the_call(tmp_path: Path) -> None:
    gate = Gate()
    research = ScriptedModel([wait(gate) + say("found")])
    triage = ScriptedModel([asking("?"), say("so"), lambda request: say(f"heard {asked(request)}")])
    async with office(desk(triage, expert(research).as_tool()), tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        assert await at.turn_status(accepted.response_id, "waiting")
        second = await at.create("and this?", accepted.conversation_id)
        gate.open()
        first, then = await at.ended(accepted), await at.ended(second)
    assert (output(first["output"][0]), text_of(first), text_of(then)) == ("found", "so", "heard and this?")
    assert len(research.requests) == 1


async def test_a_steer_meanwhile_takes_effect_after_the_call(tmp_path: Path) -> None:
    gate = Gate()
    research = ScriptedModel([wait(gate) + say("found")])
    triage = ScriptedModel([asking("?"), lambda request: say(f"heard {asked(request)}")])
    async with office(desk(triage, expert(research).as_tool()), tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        await at.turn_status(accepted.response_id, "waiting")
        steered = await at.steer(accepted.response_id, "this instead")
        gate.open()
        first, then = await at.ended(accepted), await at.ended(steered)
    assert (first["status"], first["incomplete_details"]) == ("incomplete", {"reason": "steered"})
    assert (output(first["output"][0]), text_of(then)) == ("found", "heard this instead")
    assert len(research.requests) == 1


async def test_on_postgresql_too(postgresql_url: str, tmp_path: Path) -> None:
    never = Gate()
    tools = [
        expert(ScriptedModel([say("one")]), "one").as_tool(),
        expert(ScriptedModel([say("two")]), "two").as_tool(),
        expert(ScriptedModel([wait(never) + say("never")]), "slow").as_tool(timeout=0.05),
    ]
    triage = ScriptedModel([calls(asking("a", "one"), asking("b", "two"), asking("c", "slow")), say("so")])
    async with office(desk(triage, *tools), tmp_path, url=postgresql_url) as at:
        found = outputs(await at.say())
    assert found == {"one": "one", "two": "two", "slow": "The agent slow did not end within 0.05 s and was stopped."}


@pytest.mark.parametrize("when", ["at work", "parked"])
async def test_a_lost_worker_repeats_no_agent(tmp_path: Path, when: str) -> None:
    ran: list[int] = []
    gate = Gate()

    @tool
    async def pay() -> str:
        ran.append(1)
        return "paid"

    research = ScriptedModel([call("pay"), wait(gate) + say("never"), say("found")])
    triage = ScriptedModel([asking("?"), say("so")])
    async with office(desk(triage, expert(research, tools=[pay]).as_tool()), tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        if when == "parked":
            await at.turn_status(accepted.response_id, "waiting")
        await at.workers.pop().stop(0.0)
        at.start()
        response = await at.ended(accepted)
    assert (output(response["output"][0]), text_of(response), ran) == ("found", "so", [1])
    assert len(triage.requests) == 2


async def test_a_long_answer_is_cut_or_summarised_like_any_result(tmp_path: Path) -> None:
    models = [ScriptedModel([say("long " * 100)]) for _ in range(2)]
    cut = expert(models[0], "cut").as_tool(shown=20)
    summed = expert(models[1], "summed").as_tool(shown=20, summarize=Summarize(model=ScriptedModel([say("short")])))
    triage = ScriptedModel([calls(asking("a", "cut"), asking("b", "summed")), say("so")])
    async with office(desk(triage, cut, summed), tmp_path) as at:
        found = outputs(await at.say())
    assert found["cut"].startswith("long long long long \n[cut: characters 0 to 20 of 500;")
    assert found["summed"].startswith("short\n[a summary of 500 characters;")


async def test_wrong_arguments_are_answered_without_a_run(tmp_path: Path) -> None:
    research = ScriptedModel([])
    triage = ScriptedModel([call("research", {"text": "?"}), say("so")])
    async with office(desk(triage, expert(research).as_tool()), tmp_path) as at:
        response = await at.say()
    assert "text: unknown; it takes input" in output(response["output"][0])
    assert research.requests == []


async def test_a_person_may_have_to_approve_the_call(tmp_path: Path) -> None:
    research = ScriptedModel([say("found")])
    triage = ScriptedModel([asking("?"), say("so")])
    async with office(desk(triage, expert(research).as_tool(needs_approval=True)), tmp_path) as at:
        accepted = await at.create()
        (request,) = (await at.ended(accepted))["output"]
        assert (request["type"], research.requests) == ("mcp_approval_request", [])
        answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
        response = await at.ended(await at.create([answer], accepted.conversation_id))
    assert (output(response["output"][0]), text_of(response)) == ("found", "so")


async def test_in_memory_agents_are_tools_too() -> None:
    deep = expert(ScriptedModel([say("deep answer")]), "deep")
    research = expert(ScriptedModel([asking("deeper", "deep"), lambda request: say(request.items[-1]["output"])]))
    broken = expert(ScriptedModel([fail(ModelRefused)]), "broken")
    object.__setattr__(research, "tools", (deep.as_tool(),))
    slow = expert(ScriptedModel([wait(Gate()) + say("never")]), "slow").as_tool(timeout=0.01)
    triage = ScriptedModel(
        [calls(asking("a"), asking("b", "broken"), asking("c", "slow"), call("research", {})), say("so")]
    )
    with anyio.fail_after(30):
        turn = await run_in_memory(desk(triage, research.as_tool(), broken.as_tool(), slow), "go")
    said = [item["output"] for item in triage.requests[1].items if item["type"] == "function_call_output"]
    assert turn.text == "so"
    assert said[0] == "deep answer"
    assert said[1].startswith("The agent broken did not answer (failed): model scripted")
    assert said[2] == "The agent slow did not end within 0.01 s and was stopped."
    assert "input: missing" in said[3]
