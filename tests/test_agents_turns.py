"""Turns that are cancelled, steered, interrupted, drained or fail: history stays valid, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
import sqlalchemy as sa

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.batch import Batch, Ref
from frontdesk.agents.history import INTERRUPTED
from frontdesk.agents.models.scripted import Gate, ScriptedModel, call, calls, say, think, wait
from frontdesk.agents.openings import open_turn, opening_of
from frontdesk.agents.storage import begin_turn
from frontdesk.agents.task_storage import Questions, wait_or_park
from frontdesk.broker import queue, turns
from frontdesk.broker.cancel import cancel_response
from frontdesk.broker.connection import Connection
from frontdesk.broker.errors import ConversationBusy, ResponseNotActive
from frontdesk.broker.inbox import Accepted
from frontdesk.broker.statements import Statement, p, table
from frontdesk.broker.tables import Conversation
from frontdesk.tasks import TaskContext, task
from frontdesk.tasks.request import TaskRequest
from frontdesk.tests.fakes.event_rules import Event
from frontdesk.tests.fakes.office import Office, office, output, text_of

DELETE: Statement = Statement(sa.delete(table(Conversation)).where(table(Conversation).c.id == p("id")))

LOCATE: dict[str, Any] = {
    "type": "function",
    "name": "locate",
    "parameters": {"type": "object", "properties": {}},
    "strict": True,
}


def desk(model: ScriptedModel, *tools: Any, **options: Any) -> Desk[None]:
    return Desk(Agent("triage", "You help.", tools=tools, **options), model=model)


async def cancel(at: Office, accepted: Accepted) -> None:
    await at.database.write_first(cancel_response, accepted.response_id, "")


def is_delta(event: Event) -> bool:
    return bool(event["type"] == "response.output_text.delta")


# Cancelled


async def test_a_turn_cancelled_while_it_speaks_keeps_what_was_said(tmp_path: Path) -> None:
    model = ScriptedModel([think("Hm.") + say("It is on", whole=False) + wait(Gate()), say("Yes.")])
    async with office(desk(model), tmp_path) as at:
        accepted = await at.create()
        await at.event(accepted.conversation_id, is_delta, 3)
        await cancel(at, accepted)
        response = await at.ended(accepted)
        kinds = [event["type"] for event in at.said(accepted.conversation_id)]
        again = await at.say("Are you there?", accepted.conversation_id)
    assert (kinds[-1], response["status"]) == ("response.incomplete", "cancelled")
    assert response["incomplete_details"] is None
    assert [(item["type"], item["status"]) for item in response["output"]] == [
        ("reasoning", "completed"),
        ("message", "incomplete"),
    ]
    assert text_of(response) == "It is on"
    assert text_of(again) == "Yes."
    assert [item["content"] for item in model.requests[1].items if item["role"] == "assistant"] == []


async def test_a_turn_cancelled_while_tools_run_answers_every_call(tmp_path: Path) -> None:
    gate = Gate()

    @tool
    async def quick() -> str:
        """Is quick."""
        return "done"

    @tool
    async def hanging() -> str:
        """Hangs."""
        await gate.wait()
        return "never"

    model = ScriptedModel([say("One moment.") + calls(call("hanging"), call("quick"))])
    async with office(desk(model, quick, hanging), tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        await at.event(accepted.conversation_id, lambda event: event["type"] == "response.mcp_call.completed")
        await cancel(at, accepted)
        response = await at.ended(accepted)
    assert response["status"] == "cancelled"
    assert [output(item) for item in response["output"][1:]] == [INTERRUPTED, "done"]
    assert [item["status"] for item in response["output"]] == ["completed", "failed", "completed"]


async def test_a_parked_turn_is_cancelled_and_its_tasks_go_on(tmp_path: Path) -> None:
    gate = Gate()

    @task
    async def count() -> int:
        """Counts."""
        await gate.wait()
        return 1

    filed = call("create_task", {"task": {"name": "count", "arguments": {}}, "title": None, "again": None})
    waits = call("wait_for_tasks", {"tasks": ["T1"], "until": None, "timeout_seconds": None})
    model = ScriptedModel([filed, waits, say("T1 ended.")])
    async with office(desk(model, tasks=[count]), tmp_path) as at:
        accepted = await at.create()
        await at.turn_status(accepted.response_id, "waiting")
        await cancel(at, accepted)
        response = await at.ended(accepted)
        assert response["status"] == "cancelled"
        assert output(response["output"][1]) == INTERRUPTED
        gate.open()
        await at.task("T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)
        assert text_of(at.said(accepted.conversation_id, "completed")[-1]["response"]) == "T1 ended."


async def test_a_wait_that_finds_a_cancel_does_not_park(tmp_path: Path) -> None:
    """Who asked saw a turn that runs, and woke nobody: parked, it would never hear of it."""
    async with office(desk(ScriptedModel([])), tmp_path, start=False) as at:
        accepted = await at.create()
        (claim,) = await at.database.write(queue.claim, "turn", ["desk"], "test", 30.0, 1)
        ref = Ref(claim, accepted.response_id, accepted.conversation_id)
        opening = await at.database.read(open_turn, claim)
        assert opening is not None
        await at.database.write(begin_turn, ref, Batch(taken=opening.entries))
        origin = queue.Origin(conversation_id=ref.conversation_id)
        other = await at.database.write(lambda conn: queue.enqueue(conn, TaskRequest(name="count"), origin))
        await cancel(at, accepted)
        waited = await at.database.write(
            wait_or_park, ref, Batch(), [other["id"]], need=None, deadline=None, asked=Questions(())
        )
        assert waited.why == "cancelled"


async def test_a_claim_brings_its_turn_along_as_long_as_nothing_is_heard_of_it(tmp_path: Path) -> None:
    async with office(desk(ScriptedModel([])), tmp_path, start=False) as at:
        first, second = await at.create("one"), await at.create("two")
        (one,) = await at.database.write(queue.claim, "turn", ["desk"], "test", 30.0, 1)
        (two,) = await at.database.write(queue.claim, "turn", ["desk"], "test", 30.0, 1)
        for claim in (one, two):
            read = await at.database.read(open_turn, claim)
            assert claim.opened is not None
            assert read is not None
            assert opening_of(claim.opened, 0, 0) == read
            assert opening_of(claim.opened, 1, 0) is None, "another history is known than there is"
        await at.steer(second.response_id)
        assert at.database.hub.still_holds(first.conversation_id)
        assert not at.database.hub.still_holds(second.conversation_id)


async def test_a_queued_turn_is_cancelled_when_its_time_comes(tmp_path: Path) -> None:
    gate = Gate()
    model = ScriptedModel([wait(gate) + say("First."), say("Third.")])
    async with office(desk(model), tmp_path) as at:
        first = await at.create("one")
        await gate.reached()
        second = await at.create("two", first.conversation_id)
        third = await at.create("three", first.conversation_id)
        assert (second.position, third.position) == (1, 2)
        await cancel(at, second)
        gate.open()
        assert text_of(await at.ended(first)) == "First."
        cancelled = await at.ended(second)
        assert (cancelled["status"], cancelled["output"]) == ("cancelled", [])
        assert text_of(await at.ended(third)) == "Third."
    said = [item["content"][0]["text"] for item in model.requests[1].items if item["role"] == "user"]
    assert said == ["one", "two", "three"], "what was accepted has entered the conversation"


async def test_a_turn_that_no_worker_has_is_cancelled_by_the_next_one(tmp_path: Path) -> None:
    async with office(desk(ScriptedModel([])), tmp_path, start=False) as at:
        accepted = await at.create()
        await cancel(at, accepted)
        at.start()
        assert (await at.ended(accepted))["status"] == "cancelled"


async def test_a_response_that_has_ended_is_not_cancelled(tmp_path: Path) -> None:
    async with office(desk(ScriptedModel([say("Done.")])), tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        number = len(at.said(accepted.conversation_id))
        await cancel(at, accepted)
        await at.quiet(accepted.conversation_id)
        turn = await at.database.read(turns.read, accepted.response_id)
        assert turn is not None
        assert (turn["status"], len(at.said(accepted.conversation_id))) == ("completed", number)


# Steered


async def test_a_steered_response_ends_after_its_reply_and_the_successor_goes_on(tmp_path: Path) -> None:
    gate = Gate()

    @tool
    async def hold() -> str:
        """Holds."""
        await gate.wait()
        return "held"

    model = ScriptedModel([say("Looking.") + call("hold"), say("Then order 8.")])
    async with office(desk(model, hold), tmp_path) as at:
        accepted = await at.create("Where is order 7?", request={"instructions": "Be brief.", "metadata": {"a": "b"}})
        await gate.reached()
        steered = await at.steer(accepted.response_id, "I mean order 8.")
        joined = await at.steer(accepted.response_id, "Please.")
        assert joined.response_id == steered.response_id
        gate.open()
        first, second = await at.ended(accepted), await at.ended(steered)
        order = [event["type"] for event in at.said(accepted.conversation_id) if "response" in event]
    assert (first["status"], first["incomplete_details"]) == ("incomplete", {"reason": "steered"})
    assert [output(item) for item in first["output"] if item["type"] == "mcp_call"] == ["held"]
    assert text_of(second) == "Then order 8."
    assert (second["previous_response_id"], second["metadata"]) == (first["id"], {"a": "b"})
    assert model.requests[1].instructions == "You help.\n\nBe brief."
    said = [item["content"][0]["text"] for item in model.requests[1].items if item.get("role") == "user"]
    assert said == ["Where is order 7?", "I mean order 8.", "Please."]
    assert order == [
        "response.created",
        "response.in_progress",
        "response.incomplete",
        "response.created",
        "response.in_progress",
        "response.completed",
    ]


async def test_a_steer_after_the_last_boundary_lets_the_response_complete(tmp_path: Path) -> None:
    gate = Gate()
    model = ScriptedModel([wait(gate) + say("It is on its way."), say("Order 8, then.")])
    async with office(desk(model), tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        steered = await at.steer(accepted.response_id, "I mean order 8.")
        waiting = await at.create("third", accepted.conversation_id, when_busy="enqueue")
        gate.open()
        assert (await at.ended(accepted))["status"] == "completed"
        assert text_of(await at.ended(steered)) == "Order 8, then."
        last = await at.ended(waiting)
        assert last["status"] == "failed", "the script has no third reply"
        with pytest.raises(ResponseNotActive):
            await at.steer(accepted.response_id)


async def test_a_parked_turn_is_steered_at_once(tmp_path: Path) -> None:
    gate = Gate()

    @task
    async def count() -> int:
        """Counts."""
        await gate.wait()
        return 1

    filed = call("create_task", {"task": {"name": "count", "arguments": {}}, "title": None, "again": None})
    waits = call("wait_for_tasks", {"tasks": ["T1"], "until": None, "timeout_seconds": None})
    model = ScriptedModel([filed, waits, say("Then not."), say("T1 ended.")])
    async with office(desk(model, tasks=[count]), tmp_path) as at:
        accepted = await at.create()
        await at.turn_status(accepted.response_id, "waiting")
        steered = await at.steer(accepted.response_id)
        first = await at.ended(accepted)
        assert first["incomplete_details"] == {"reason": "steered"}
        assert "interrupted by new input, T1 still running" in output(first["output"][1])
        assert text_of(await at.ended(steered)) == "Then not."
        gate.open()
        await at.task("T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)


async def test_a_successor_is_taken_by_the_agent_that_was_steered(tmp_path: Path) -> None:
    gate = Gate()

    @tool
    async def hold() -> str:
        """Holds."""
        await gate.wait()
        return "held"

    model = ScriptedModel([call("hold"), lambda request: say(request.agent), lambda request: say(request.agent)])
    expert = Agent("expert", tools=[hold])
    async with office(Desk(Agent("triage", handoffs=[expert]), model=model), tmp_path) as at:
        accepted = await at.create(agent="expert", request={"model": "expert"})
        await gate.reached()
        steered = await at.steer(accepted.response_id)
        gate.open()
        assert text_of(await at.ended(steered)) == "expert"
        assert text_of(await at.say("and now?", accepted.conversation_id)) == "triage"


async def test_a_steer_stays_pending_while_the_client_owes_an_output(tmp_path: Path) -> None:
    gate = Gate()

    @tool
    async def hold() -> str:
        """Holds."""
        await gate.wait()
        return "held"

    @task
    async def count() -> int:
        """Counts."""
        await gate.wait()
        return 1

    filed = call("create_task", {"task": {"name": "count", "arguments": {}}, "title": None, "again": None})
    replies = [filed, calls(call("hold"), call("locate", call_id="c1")), say("T1 ended."), say("Berlin, then.")]
    model = ScriptedModel(replies)
    async with office(Desk(Agent("triage", tools=[hold], tasks=[count]), model=model), tmp_path) as at:
        accepted = await at.create("Where am I?", request={"tools": [LOCATE]})
        conversation_id = accepted.conversation_id
        await at.event(conversation_id, lambda event: event["type"] == "response.mcp_call.in_progress", 2)
        steers = [await at.steer(accepted.response_id, text) for text in ("In Berlin?", "Or not?")]
        gate.open()
        first = await at.ended(accepted)
        assert first["status"] == "completed"
        pending = await at.event(conversation_id, lambda event: event["type"] == "response.steer.pending", 2)
        assert pending["steer"] == {"id": steers[1].steer_id, "previous_response_id": first["id"]}
        assert pending["required_input"] == [{"type": "function_call_output", "call_id": "c1", "name": "locate"}]
        await at.task("T1", conversation_id, "succeeded")
        await at.quiet(conversation_id)
        answer = [{"type": "function_call_output", "call_id": "c1", "output": "Berlin"}]
        second = await at.ended(await at.create(answer, previous_response_id=accepted.response_id))
        assert await at.database.read(turns.read, steers[0].response_id) is None
    assert text_of(second) == "Berlin, then."
    asked = model.requests[-1].items
    said = [item["content"][0]["text"] for item in asked if item.get("role") == "user"]
    assert said == ["Where am I?", "In Berlin?", "Or not?"]
    assert [item["output"] for item in asked if item.get("call_id") == "c1" and "output" in item] == ["Berlin"]


# Busy


async def test_an_interrupting_input_stops_what_is_said_and_keeps_it(tmp_path: Path) -> None:
    model = ScriptedModel([say("It is on", whole=False) + wait(Gate()), say("Stopped.")])
    async with office(desk(model), tmp_path) as at:
        first = await at.create()
        await at.event(first.conversation_id, is_delta, 3)
        second = await at.create("Stop.", first.conversation_id, when_busy="interrupt")
        interrupted = await at.ended(first)
        assert (interrupted["status"], text_of(interrupted)) == ("cancelled", "It is on")
        assert text_of(await at.ended(second)) == "Stopped."


async def test_a_busy_conversation_refuses_when_it_is_asked_to(tmp_path: Path) -> None:
    gate = Gate()
    async with office(desk(ScriptedModel([wait(gate) + say("First.")])), tmp_path) as at:
        first = await at.create()
        await gate.reached()
        with pytest.raises(ConversationBusy):
            await at.create("Second.", first.conversation_id, when_busy="reject")
        gate.open()
        assert text_of(await at.ended(first)) == "First."


# Drained, and gone on with


async def test_another_worker_goes_on_and_runs_nothing_twice_that_may_not_be(tmp_path: Path) -> None:
    gate = Gate()
    log: list[str] = []

    @tool
    async def finished() -> str:
        """Is finished before the worker stops."""
        log.append("finished")
        return "done"

    @tool(idempotent=True)
    async def safe() -> str:
        """May be run twice."""
        log.append("safe")
        await gate.wait()
        return "done"

    @tool
    async def once() -> str:
        """May not be run twice."""
        log.append("once")
        await gate.wait()
        return "done"

    reply = say("One moment.") + calls(call("finished"), call("safe"), call("once"), call("transfer_to_other"))
    model = ScriptedModel([reply, lambda request: say(f"{request.agent} is back.")])
    one = Desk(Agent("triage", tools=[finished, safe, once], handoffs=[Agent("other")]), model=model)
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        await at.event(accepted.conversation_id, lambda event: event["type"] == "response.mcp_call.completed")
        await gate.reached()
        await at.workers.pop().stop(0.0)
        gate.open()
        at.start()
        response = await at.ended(accepted)
    assert sorted(log) == ["finished", "once", "safe", "safe"]
    assert [output(item) for item in response["output"][1:-1]] == ["done", "done", INTERRUPTED, "other has taken over."]
    assert text_of(response) == "other is back."


async def test_half_a_message_is_closed_when_another_worker_goes_on(tmp_path: Path) -> None:
    model = ScriptedModel([say("It is on", whole=False) + wait(Gate()), say("It is on its way.")])
    async with office(desk(model), tmp_path) as at:
        accepted = await at.create()
        await at.event(accepted.conversation_id, is_delta, 3)
        await at.workers.pop().stop(0.0)
        at.start()
        response = await at.ended(accepted)
    half, whole = response["output"]
    assert (half["status"], half["content"][0]["text"]) == ("incomplete", "It is on")
    assert (whole["status"], whole["content"][0]["text"]) == ("completed", "It is on its way.")
    assert half["id"] != whole["id"]
    assert [item["type"] for item in model.requests[1].items] == ["message"]


async def test_a_call_for_the_client_ends_the_response_though_its_worker_stopped(tmp_path: Path) -> None:
    gate = Gate()

    @tool(idempotent=True)
    async def hold() -> str:
        """Holds."""
        await gate.wait()
        return "held"

    tools = [LOCATE]
    model = ScriptedModel([calls(call("locate", call_id="c1"), call("hold")), say("In Aachen.")])
    async with office(desk(model, hold), tmp_path) as at:
        accepted = await at.create(request={"tools": tools})
        await gate.reached()
        await at.workers.pop().stop(0.0)
        gate.open()
        at.start()
        response = await at.ended(accepted)
        assert (response["status"], len(model.requests)) == ("completed", 1)
        answer = [{"type": "function_call_output", "call_id": "c1", "output": "Aachen"}]
        assert text_of(await at.ended(await at.create(answer, accepted.conversation_id))) == "In Aachen."


async def test_a_notice_does_not_take_a_call_away_from_the_client(tmp_path: Path) -> None:
    gate = Gate()

    @task
    async def count() -> int:
        """Counts."""
        await gate.wait()
        return 1

    filed = call("create_task", {"task": {"name": "count", "arguments": {}}, "title": None, "again": None})
    tools = [LOCATE]
    model = ScriptedModel([filed + call("locate", call_id="c1"), say("T1 ended."), say("In Aachen.")])
    async with office(desk(model, tasks=[count]), tmp_path) as at:
        accepted = await at.create(request={"tools": tools})
        await at.ended(accepted)
        gate.open()
        await at.task("T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)
        assert "c1" not in {item.get("call_id") for item in model.requests[1].items}
        answer = [{"type": "function_call_output", "call_id": "c1", "output": "Aachen"}]
        await at.ended(await at.create(answer, accepted.conversation_id))
    outputs = {item["call_id"]: item["output"] for item in model.requests[2].items if "output" in item}
    assert outputs["c1"] == "Aachen"


# Failures of the database, and of our own


async def test_a_full_database_delays_a_turn_and_loses_nothing(tmp_path: Path) -> None:
    gate = Gate()
    long = "x" * 2_000_000

    @tool
    async def read() -> str:
        """Reads much."""
        await gate.wait()
        return long

    model = ScriptedModel([say("Reading.") + call("read"), say("Read."), say("Read.")])
    async with office(desk(model, read), tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        await at.database.write(pages, 0)
        gate.open()
        await at.turn_status(accepted.response_id, "queued")
        turn = await at.database.read(turns.read, accepted.response_id)
        assert turn is not None
        assert turn["status"] == "in_progress"
        await at.database.write(pages, 1_000_000)
        response = await at.ended(accepted)
    assert response["status"] == "completed"
    assert output(response["output"][1]) == INTERRUPTED, "it is not idempotent, and its output was lost"
    assert text_of(response) == "Read."


def pages(conn: Connection, more: int) -> None:
    """The database may grow by so many pages, and then it is full."""
    ((now,),) = conn.script("PRAGMA page_count")
    conn.script(f"PRAGMA max_page_count = {int(now) + more}")


async def test_a_turn_that_fails_each_time_is_given_up_with_a_response_that_says_so(tmp_path: Path) -> None:
    def shop() -> Any:
        raise OSError("/etc/shop.conf is missing")

    @tool(idempotent=True)
    async def look() -> str:
        """Looks."""
        return "seen"

    one = Desk(Agent("triage", tools=[look]), model=ScriptedModel([call("look")]), dependencies=shop)
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
        status = await at.turn_status(accepted.response_id, "held")
    assert (response["status"], status) == ("failed", "held")
    assert (
        response["error"]["message"]
        == "this turn was given up: 3 times its worker was lost, or failed, while running it"
    )
    assert [output(item) for item in response["output"]] == [INTERRUPTED]


async def test_a_turn_whose_conversation_was_deleted_ends_quietly(tmp_path: Path) -> None:
    async with office(desk(ScriptedModel([])), tmp_path, start=False) as at:
        accepted = await at.create()
        at.recorders.pop(accepted.conversation_id).stop()
        await at.database.write(lambda conn: conn.run(DELETE, {"id": accepted.conversation_id}))
        at.start()
        assert await at.turn_status(accepted.response_id, "cancelled", "failed") == "cancelled"


async def test_inputs_take_their_turns_in_the_order_in_which_they_were_accepted(tmp_path: Path) -> None:
    model = ScriptedModel(lambda request: say(request.items[-1]["content"][0]["text"]))
    async with office(desk(model), tmp_path) as at:
        first = await at.create("0")
        rest = [await at.create(str(number), first.conversation_id) for number in range(1, 10)]
        answers = [text_of(await at.ended(one)) for one in (first, *rest)]
        starts = [event["response_id"] for event in at.said(first.conversation_id, "created")]
    assert answers == [str(number) for number in range(10)]
    assert starts == [one.response_id for one in (first, *rest)]


async def test_many_conversations_are_answered_side_by_side(tmp_path: Path) -> None:
    together = Gate()
    here: list[str] = []

    async def meet() -> None:
        here.append("")
        if len(here) == 8:
            together.open()
        await together.wait()

    model = ScriptedModel(lambda request: wait(meet) + say("Met."))
    async with office(desk(model), tmp_path, turns=8) as at:
        with anyio.fail_after(60):
            accepted = [await at.create(str(number)) for number in range(8)]
            assert [text_of(await at.ended(one)) for one in accepted] == ["Met."] * 8


async def test_a_task_function_that_reports_is_followed_in_its_conversation(tmp_path: Path) -> None:
    gate = Gate()

    @task
    async def count(context: TaskContext) -> int:
        """Counts."""
        await context.progress(0.5, "half")
        await gate.wait()
        return 1

    filed = call("create_task", {"task": {"name": "count", "arguments": {}}, "title": None, "again": None})
    async with office(desk(ScriptedModel([filed, say("Filed."), say("Ended.")]), tasks=[count]), tmp_path) as at:
        accepted = await at.create()
        half = await at.event(
            accepted.conversation_id,
            lambda event: event["type"] == "frontdesk:task.updated" and event["task"]["message"] == "half",
        )
        assert half["task"]["progress"] == 0.5
        gate.open()
        ended = await at.event(accepted.conversation_id, lambda event: event["type"] == "frontdesk:task.finished")
        assert (ended["task"]["status"], ended["task"]["result"]) == ("succeeded", 1)
        await at.quiet(accepted.conversation_id)
