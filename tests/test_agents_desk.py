"""The desk: what an application defines, what is wrong with it, and asking it once without a server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic_core import from_json

from frontdesk.agents import Agent, Answer, Context, Desk, DeskError, Limits, tool
from frontdesk.agents.answer import TurnFailed
from frontdesk.agents.catalog import Catalog
from frontdesk.agents.desk_options import DeskOptions, Options
from frontdesk.agents.errors import ModelRefused
from frontdesk.agents.memory import run_in_memory
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.offline import OfflineModel
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, calls, fail, say, wait
from frontdesk.tasks import TaskContext, task
from frontdesk.tasks.errors import InvalidOption

# A first desk, as it reads in the design. It is checked by mypy and basedpyright, strictly, as all of this file.


class Orders:
    async def status(self, order_id: int) -> str:
        return f"Order {order_id} is on its way."


class Shop:
    def __init__(self) -> None:
        self.orders = Orders()


@dataclass
class Row:
    name: str


@dataclass
class Report:
    month: str
    rows: int


def load(month: str) -> list[Row]:
    return [Row(f"{month}-{day}") for day in range(1, 4)]


@tool
async def order_status(order_id: int, context: Context[Shop]) -> str:
    """Status of an order."""
    return await context.dependencies.orders.status(order_id)


@task(idempotent=True, timeout=3600)
async def refund_report(context: TaskContext, month: str) -> Report:
    """Collects and checks all refunds of a month."""
    for done, row in enumerate(rows := load(month)):
        await context.progress(done / len(rows), row.name)
    return Report(month, len(rows))


orders = Agent("orders", "You handle orders.", tools=[order_status])
research = Agent("research", "You research thoroughly.")
triage = Agent(
    "triage",
    "Answer at once; hand over; file long jobs.",
    handoffs=[orders],
    delegates=[research],
    tasks=[refund_report],
)
desk = Desk(triage, dependencies=Shop)


async def test_a_first_desk_answers_hands_over_and_files_a_task() -> None:
    filed = {"task": {"name": "refund_report", "arguments": {"month": "2025-01"}}, "title": "Refunds", "again": None}

    def model(request: ModelRequest) -> ScriptedReply:
        last = request.items[-1]
        if last.get("role") == "user":
            return calls(call("create_task", filed), call("transfer_to_orders"))
        if request.agent == "orders" and last["output"] == "orders has taken over.":
            return call("order_status", {"order_id": 7})
        return say(last["output"])

    answer = await desk.using(ScriptedModel(model)).run("Where is order 7, and what about the refunds?")
    assert str(answer.responses[0]["output"][-1]["content"][0]["text"]) in (
        "Order 7 is on its way.",
        answer.text,
    )
    assert answer.agent == "orders"
    (report,) = answer.tasks
    assert (report["name"], report["status"], report["title"]) == ("refund_report", "succeeded", "Refunds")
    assert report["result"] == {"month": "2025-01", "rows": 3}
    said = [item for one in answer.responses for item in one["output"] if item.get("name") == "check_task"]
    assert len(said) == 1


async def test_a_desk_without_a_model_uses_the_stand_in() -> None:
    assert isinstance(desk.model, OfflineModel)
    answer = await desk.run("What is the status of order 7?")
    assert "on its way" in answer.text


# Asking once


async def test_an_answer_is_its_text() -> None:
    answer = await Desk(Agent("triage"), model=ScriptedModel(["Hello!"])).run("Hi")
    assert isinstance(answer, Answer)
    assert (str(answer), answer.agent, answer.tasks, len(answer.responses)) == ("Hello!", "triage", (), 1)


async def test_asking_waits_for_the_tasks_and_for_what_is_said_about_them() -> None:
    gate = Gate()

    @task
    async def count(number: int) -> int:
        """Counts."""
        await gate.wait()
        return number

    filed = call("create_task", {"task": {"name": "count", "arguments": {"number": 7}}, "title": None, "again": None})
    model = ScriptedModel([filed, wait(_opening(gate)) + say("Filed."), say("It is 7.")])
    answer = await Desk(Agent("triage", tasks=[count]), model=model).run("Count.", timeout=60)
    assert (answer.text, len(answer.responses)) == ("It is 7.", 2)
    assert [one["result"] for one in answer.tasks] == [7]


def _opening(gate: Gate) -> Any:
    """The task ends only after the answer has begun, so that its end is a turn of its own."""

    async def open_soon() -> None:
        asyncio.get_running_loop().call_later(0.05, gate.open)

    return open_soon


async def test_asking_twice_at_once_mixes_nothing_up() -> None:
    here: list[str] = []
    both = Gate()

    async def meet() -> None:
        here.append("")
        if len(here) == 2:
            both.open()
        await both.wait()

    def model(request: ModelRequest) -> ScriptedReply:
        return wait(meet) + say(request.items[0]["content"][0]["text"])

    one = Desk(Agent("triage"), model=ScriptedModel(model))
    answers = await asyncio.gather(one.run("left", timeout=60), one.run("right", timeout=60))
    assert [answer.text for answer in answers] == ["left", "right"]


async def test_a_failed_response_is_raised() -> None:
    model = ScriptedModel([fail(ModelRefused, "invalid key")])
    with pytest.raises(TurnFailed, match="model scripted: invalid key") as failed:
        await Desk(Agent("triage"), model=model).run("Hi")
    assert failed.value.response["status"] == "failed"


async def test_asking_takes_no_longer_than_it_may() -> None:
    with pytest.raises(TimeoutError):
        await Desk(Agent("triage"), model=ScriptedModel([wait(Gate())])).run("Hi", timeout=0.05)


async def test_asking_is_given_up_when_its_caller_is() -> None:
    gate = Gate()
    asking = asyncio.create_task(Desk(Agent("triage"), model=ScriptedModel([wait(gate)])).run("Hi"))
    await gate.reached()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_models_are_closed_after_a_run() -> None:
    closed: list[str] = []

    class Closing(ScriptedModel):
        async def aclose(self) -> None:
            closed.append(self.name)

    own, other = Closing(["Hi."], name="own"), Closing([], name="other")
    one = Desk(Agent("triage", handoffs=[Agent("other", model=other)]), model=own)
    await one.run("Hi")
    assert sorted(closed) == ["other", "own"]


# In memory


async def test_a_turn_in_memory_needs_no_database_and_goes_on_from_its_items() -> None:
    model = ScriptedModel([
        calls(call("transfer_to_orders"), call("create_task", {}), call("wait_for_tasks", {})),
        call("order_status", {"order_id": 7}),
        say("On its way."),
        lambda request: say(f"{request.agent} heard {len(request.items)} items"),
    ])  # fmt: skip
    one = desk.using(model)
    first = await run_in_memory(one, "Where is order 7?")
    assert (first.text, first.agent, first.outcome.status) == ("On its way.", "orders", "completed")
    bodies = [item.body for item in first.items]
    assert [body["output"] for body in bodies if body.get("name") == "order_status"] == ["Order 7 is on its way."]
    errors = [body["error"]["content"][0]["text"] for body in bodies if body.get("error")]
    assert errors == ["There are no tasks here: do it yourself."] * 2
    second = await run_in_memory(one, "Thanks.", first.items, agent=first.agent)
    assert second.text == "orders heard 11 items"


async def test_a_turn_in_memory_says_how_it_failed() -> None:
    turn = await run_in_memory(Desk(Agent("triage"), model=ScriptedModel([fail()])), "Hi")
    assert (turn.outcome.status, turn.text) == ("failed", "")
    with pytest.raises(KeyError):
        await run_in_memory(desk, "Hi", agent="nobody")


# What is declared wrongly


@tool
async def look() -> str:
    """Looks."""
    return "seen"


@tool(name="create_task")
async def create_task_of_mine() -> str:
    """Has a name that is taken."""
    return ""


@task(name="orders")
async def orders_task() -> str:
    """Has an agent's name."""
    return ""


@task(name="refund_report")
async def other_report() -> str:
    """Has another task's name."""
    return ""


def test_functions_that_only_functions_create_are_the_workers_and_not_the_models() -> None:
    desk = Desk(Agent("triage", tasks=[refund_report]), tasks=[orders_task]).using(ScriptedModel([]))
    assert set(desk.tasks) == {"refund_report", "orders"}
    assert set(desk.catalogs["triage"].functions) == {"refund_report"}


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (lambda: Agent("no spaces"), "'no spaces' cannot be an agent's name"),
        (lambda: Agent("a" * 49), "cannot be an agent's name"),
        (lambda: Agent("triage", tools=[look, look]), "agent triage has two tools named 'look'"),
        (lambda: Desk(Agent("triage"), name="a/b"), "'a/b' cannot be a desk's name"),
        (lambda: Desk(Agent("desk")), "the desk and one of its agents are both named 'desk'"),
        (lambda: Desk(Agent("triage", handoffs=["orders"])), "agent triage names 'orders', which is not an agent"),
        (lambda: Desk(Agent("triage", delegates=["orders"])), "agent triage names 'orders', which is not an agent"),
        (lambda: Desk(Agent("triage", handoffs=[Agent("triage")])), "two agents are named 'triage'"),
        (lambda: Desk(Agent("a", tasks=[orders_task], handoffs=[orders])), "'orders' is a task function and an agent"),
        (lambda: Desk(Agent("a", tasks=[refund_report, other_report])), "two task functions are named 'refund_report'"),
        (lambda: Desk(Agent("a", tasks=[refund_report]), tasks=[other_report]), "two task functions are named"),
        (lambda: Desk(Agent("a", tools=[create_task_of_mine], tasks=[refund_report])), "two tools named 'create_task'"),
        (lambda: Desk(Agent("a"), on_task_done="never"), "on_task_done is 'respond' or 'note', not 'never'"),  # type: ignore[call-overload]
        (lambda: Desk(Agent("a"), max_unattended_turns=-1), "max_unattended_turns is a number of turns"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_where_it_is_declared(declare: Any, words: str) -> None:
    with pytest.raises(DeskError) as error:
        declare()
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["model_calls", "tool_calls", "tokens", "seconds"])
def test_a_limit_is_above_zero(name: str) -> None:
    options: dict[str, Any] = {name: 0}
    with pytest.raises(InvalidOption, match=f"{name} is a number above zero, not 0"):
        Limits(**options)


# What it finds by itself


def test_every_agent_and_task_that_can_be_reached_is_found() -> None:
    assert set(desk.agents) == {"triage", "orders", "research"}
    assert set(desk.tasks) == {"refund_report"}
    named = Desk(Agent("a", handoffs=["b"]), agents=[Agent("b", delegates=["a", Agent("c", tasks=[refund_report])])])
    assert set(named.agents) == {"a", "b", "c"}
    assert set(named.tasks) == {"refund_report"}


def offered(catalog: Catalog) -> set[str]:
    return {spec.name for spec in catalog.specs}


def test_an_agent_is_offered_its_tools_its_handoffs_and_the_task_tools() -> None:
    follow_up = {
        "check_task", "wait_for_tasks", "list_tasks", "cancel_task", "answer_task", "update_task", "read_task_result",
    }  # fmt: skip
    assert offered(desk.catalogs["triage"]) == {"transfer_to_orders", "create_task", *follow_up}
    assert offered(desk.catalogs["orders"]) == {"order_status", *follow_up}, "tasks belong to the conversation"
    assert offered(Desk(Agent("a", tools=[look])).catalogs["a"]) == {"look"}


def test_what_can_be_filed_is_a_typed_union() -> None:
    (spec,) = (one for one in desk.catalogs["triage"].specs if one.name == "create_task")
    variants = spec.parameters["properties"]["task"]["anyOf"]
    assert [one["properties"]["name"]["enum"] for one in variants] == [["refund_report"], ["research"]]
    assert variants[0]["properties"]["arguments"]["properties"]["month"]["type"] == "string"
    assert variants[0]["description"] == "Collects and checks all refunds of a month."
    assert list(variants[1]["properties"]["arguments"]["properties"]) == ["input"]
    assert spec.strict
    assert spec.parameters["additionalProperties"] is False


@dataclass
class Part:
    size: int


def other_part() -> type[Any]:
    """Another class of the same name."""

    @dataclass
    class Part:
        color: str

    return Part


def test_definitions_of_arguments_are_where_references_look_for_them() -> None:
    @task
    async def first(parts: list[Part]) -> None:
        """Takes parts."""

    @task
    async def second(parts: list[Part], more: Part) -> None:
        """Takes more of them."""

    async def third(parts: Any) -> None:
        """Takes others."""

    third.__annotations__["parts"] = list[other_part()]  # type: ignore[misc]
    (spec,) = (
        one for one in Desk(Agent("a", tasks=[first, second, task(third)])).catalogs["a"].specs if one.kind == "task"
    )
    definitions = spec.parameters["$defs"]
    assert [list(one["properties"]) for one in definitions.values()] == [["size"], ["color"]]
    for variant, name in zip(
        spec.parameters["properties"]["task"]["anyOf"], ["Part", "Part", "third-Part"], strict=True
    ):
        items = variant["properties"]["arguments"]["properties"]["parts"]["items"]
        assert items["$ref"] == f"#/$defs/{name}"
        assert name in definitions


async def test_dependencies_are_made_once_when_they_are_needed() -> None:
    made: list[Shop] = []

    def make() -> Shop:
        made.append(Shop())
        return made[-1]

    replies = [call("order_status", {"order_id": 1}), call("order_status", {"order_id": 2}), say("Both.")]
    one = Desk(orders, dependencies=make, model=ScriptedModel(replies))
    assert made == []
    await one.run("Where are they?")
    assert made == [one.dependencies]


def test_a_desk_that_was_given_a_model_keeps_it() -> None:
    own = ScriptedModel([])
    one = Desk(Agent("triage"), model=own)
    assert one.using(ScriptedModel([])) is one
    other = desk.using(own)
    assert other.model is own
    assert (other.name, set(other.agents), other.options.limits) == (desk.name, set(desk.agents), desk.options.limits)


def test_what_may_be_written_by_keyword_is_every_option_and_its_type() -> None:
    assert get_type_hints(Options) == get_type_hints(DeskOptions)


def test_a_changed_desk_is_the_same_but_for_what_was_changed() -> None:
    one = desk.changed(name="other", max_unattended_turns=3)
    assert (one.name, one.max_unattended_turns, one.entry) == ("other", 3, desk.entry)
    assert set(one.agents) == set(desk.agents)
    assert desk.name == "desk"


def test_the_description_of_an_agent_is_the_first_sentence_of_its_instructions() -> None:
    agent = Agent("triage", "  You help people. Be brief.\nAlways.")
    assert agent.description == "You help people"
    assert Agent("triage", "You help.", description="Helps.").description == "Helps."
    (spec,) = (one for one in Desk(Agent("a", handoffs=[agent])).catalogs["a"].specs if one.kind == "handoff")
    assert spec.description == "Hand the conversation over to triage: You help people"


async def test_plain_functions_are_made_tools(tmp_path: Path) -> None:
    async def greet(name: str) -> str:
        """Greets."""
        return f"Hello, {name}!"

    one = Desk(Agent("triage", tools=[greet]), model=ScriptedModel([call("greet", {"name": "Ada"}), say("Greeted.")]))
    answer = await one.run("Greet Ada.")
    assert answer.responses[0]["output"][0]["output"] == "Hello, Ada!"
    assert from_json(answer.responses[0]["output"][0]["arguments"]) == {"name": "Ada"}
