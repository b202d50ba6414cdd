"""Why it cannot deadlock, the second half: rules 5 to 8 are about work. Each test is named after its rule."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from pydantic_core import from_json

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, calls, say
from frontdesk.broker import listing, queue, rows
from frontdesk.broker.cancel import cancel_response, cancel_task
from frontdesk.broker.connection import Connection
from frontdesk.broker.queue import Origin
from frontdesk.tasks import TaskContext, TaskHandle, task
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import Action
from frontdesk.tests.fakes.office import PATIENCE, Office, asked, filed, office, output, text_of
from frontdesk.tests.fakes.served import client, served_desk

SOONER = PATIENCE / 2  # than what is blocked goes on by itself


async def in_thread(blocking: Callable[[float], Any]) -> None:
    """Waits for other threads: ``wait`` of an event or a barrier, within bounds."""
    assert await anyio.to_thread.run_sync(blocking, PATIENCE) is not False


async def test_rule_5_a_task_that_waits_for_tasks_holds_no_slot(tmp_path: Path) -> None:
    """Five levels of functions and agents that wait for each other end on one worker with one slot of each kind."""

    @task
    async def bottom() -> str:
        """Ends."""
        return "the bottom"

    @task
    async def level4(context: TaskContext) -> str:
        """Waits for the bottom."""
        (outcome,) = await context.wait(await context.create(bottom))
        return f"{outcome.result}, level 4"

    @task
    async def level3(context: TaskContext) -> str:
        """Waits for level 4."""
        (outcome,) = await context.wait(await context.create(level4))
        return f"{outcome.result}, level 3"

    def above(name: str, **arguments: Any) -> ScriptedModel:
        def told(request: ModelRequest) -> ScriptedReply:
            (report,) = from_json(request.items[-1]["output"])["tasks"]
            return say(f"{report['result']}, above {name}")

        waiting = call("wait_for_tasks", {"tasks": ["T1"], "until": None, "timeout_seconds": None})
        return ScriptedModel([filed(name, **arguments), waiting, told])

    level2 = Agent("level2", tasks=[level3], model=above("level3"))
    level1 = Agent("level1", delegates=[level2], model=above("level2", input="down"))
    triage = Agent("triage", delegates=[level1], model=above("level1", input="down"))
    async with office(Desk(triage, tasks=[level4, bottom]), tmp_path, turns=1, tasks=1) as at:
        response = await at.say()
    assert text_of(response) == "the bottom, level 4, level 3, above level3, above level2, above level1"


async def test_rule_6_no_waiting_in_a_circle(tmp_path: Path) -> None:
    """A task waits neither for itself, nor for its ancestor, nor for one that waits for it: an error to its caller."""
    known: dict[str, str] = {}
    gate = Gate()

    @task
    async def waits(context: TaskContext, name: str, other: str) -> str:
        """Waits for another task, by the name under which it is known."""
        known[name] = context.task_id
        if name == "first":
            await gate.wait()
        (outcome,) = await context.wait(TaskHandle(known[other], ""))
        return f"{other} {outcome.status}"

    @task
    async def parent(context: TaskContext) -> str:
        """Has a child that waits for it."""
        known["parent"] = context.task_id
        (outcome,) = await context.wait(await context.create(waits, name="child", other="parent"))
        return f"child {outcome.status}: {outcome.error}"

    def model(request: ModelRequest) -> ScriptedReply:
        if request.items[-1].get("role") != "user":
            return say("So.")
        if asked(request) == "second":
            return filed("waits", name="second", other="first")
        return calls(
            filed("waits", name="itself", other="itself"), filed("parent"), filed("waits", name="first", other="second")
        )

    refusal = "that task is (or waits for) the one that would wait, so neither could end"
    desk = Desk(Agent("triage", tasks=[waits, parent]), model=ScriptedModel(model))
    async with office(desk, tmp_path) as at:
        accepted = await at.create("first")
        await at.ended(accepted)
        conversation = accepted.conversation_id
        labels = await _labels(at, conversation)
        itself = await at.task(labels["itself"], conversation, "failed", "succeeded")
        assert refusal in itself["error"]
        above = await at.task(labels["parent"], conversation, "failed", "succeeded")
        assert "child failed" in above["result"]
        assert refusal in above["result"]
        with anyio.fail_after(PATIENCE):
            await gate.reached()
        await at.say("second", conversation)
        labels = await _labels(at, conversation)
        await at.task(labels["second"], conversation, "waiting")
        gate.open()
        first = await at.task(labels["first"], conversation, "failed", "succeeded")
        assert refusal in first["error"]
        second = await at.task(labels["second"], conversation, "failed", "succeeded")
        assert second["result"] == '"first failed"'
        await at.quiet(conversation)


async def _labels(at: Office, conversation_id: str) -> dict[str, str]:
    """The labels of the conversation's tasks, by the names in their arguments or their functions' names."""
    found = await at.database.read(listing.of_conversation, conversation_id)
    return {from_json(row["arguments"]).get("name", row["name"]): row["label"] for row in found}


async def test_rule_7_turns_and_background_tasks_have_separate_slots(tmp_path: Path) -> None:
    """A thousand tasks keep no conversation from answering."""
    gate = Gate()

    @task
    async def hang() -> None:
        """Hangs."""
        await gate.wait()

    desk = Desk(Agent("triage", tasks=[hang]), model=ScriptedModel(lambda request: say(asked(request))))
    async with office(desk, tmp_path, turns=1, tasks=2) as at:
        await at.database.write(_file_many, 1_000)
        await at.until(lambda conn: _tasks(conn, "running") == 2 or None)
        for text in ("hello", "and again"):
            assert text_of(await at.say(text)) == text
        assert await at.database.read(_tasks, "running") == 2
        assert await at.database.read(_tasks, "queued") == 998
        gate.open()


def _file_many(conn: Connection, number: int) -> None:
    for _ in range(number):
        queue.enqueue(conn, TaskRequest(name="hang"))


def _tasks(conn: Connection, status: str) -> int:
    ((number,),) = conn.script(f"SELECT count(*) FROM frontdesk_task WHERE status = '{status}' AND name = 'hang'")
    return int(number)


async def test_rule_7_turns_of_people_go_before_turns_of_notices(tmp_path: Path) -> None:
    """A notice waits for its turn first, then a person: with one slot the person's turn begins first all the same."""
    desk = Desk(Agent("triage"), model=ScriptedModel(lambda request: say("So.")))
    async with office(desk, tmp_path) as at:
        told, person = await at.create("one"), await at.create("two")
        for accepted in (told, person):
            await at.ended(accepted)
            await at.quiet(accepted.conversation_id)
        await at.workers.pop().stop(PATIENCE)
        await at.database.write(_announce, told.conversation_id)
        person = await at.create("three", person.conversation_id)
        at.start(turns=1)
        await at.ended(person)
        await at.quiet(told.conversation_id)
        by_start = await at.database.read(
            lambda conn: conn.script("SELECT conversation_id FROM frontdesk_turn ORDER BY started_at DESC LIMIT 2")
        )
    assert [row[0] for row in by_start] == [told.conversation_id, person.conversation_id]


def _announce(conn: Connection, conversation_id: str) -> None:
    """The end of a task is told to the conversation."""
    row = queue.enqueue(conn, TaskRequest(name="elsewhere"), Origin(conversation_id=conversation_id))
    (claim,) = queue.claim(conn, "task", ["elsewhere"], "another worker", 60.0, 1)
    assert claim.task_id == row["id"]
    queue.finish(conn, claim, Action.SUCCEED, result="1")


async def test_rule_8_control_never_queues_behind_work(tmp_path: Path) -> None:
    """Every slot is busy and everything in it blocks its thread: leases are renewed, and cancels go through."""
    stuck, here = threading.Event(), threading.Barrier(3)

    @tool(timeout=None)
    def block() -> str:
        """Blocks its thread."""
        here.wait(PATIENCE)
        stuck.wait(PATIENCE)
        return "never read"

    @task
    def grind(context: TaskContext) -> str:
        """Blocks its thread, and looks now and then whether it is cancelled."""
        here.wait(PATIENCE)
        while not context.cancelled:
            stuck.wait(0.01)
        return "stopped"

    desk = Desk(
        Agent("triage", tools=[block], tasks=[grind]),
        model=ScriptedModel([filed("grind"), call("block"), call("block")]),
    )
    async with office(desk, tmp_path, turns=1, tasks=1, lease=3.0) as at:
        accepted = await at.create()
        await in_thread(here.wait)
        with anyio.fail_after(SOONER):
            running = await at.task("T1", accepted.conversation_id, "running")
            await at.until(lambda conn: _renewed(conn, running))
            queued = await at.create("behind it")
            await at.database.write_first(cancel_task, running["id"], "")
            await at.task("T1", accepted.conversation_id, "cancelled")
            for each in (accepted, queued):
                await at.database.write_first(cancel_response, each.response_id, "")
                assert (await at.ended(each))["status"] == "cancelled"
        stuck.set()


def _renewed(conn: Connection, before: rows.TaskRow) -> bool | None:
    found = rows.read(conn, before["id"])
    assert found is not None
    assert (found["status"], found["epoch"]) == ("running", before["epoch"]), "the lease has ended"
    return found["lease_until"] > before["lease_until"] or None


async def test_rule_8_a_drain_does_not_queue_behind_a_blocked_thread(tmp_path: Path) -> None:
    stuck, here = threading.Event(), threading.Event()

    @tool(timeout=None)
    def block() -> str:
        """Blocks its thread."""
        here.set()
        stuck.wait(PATIENCE)
        return "never read"

    desk = Desk(Agent("triage", tools=[block]), model=ScriptedModel([call("block"), say("Somebody else went on.")]))
    async with office(desk, tmp_path) as at:
        accepted = await at.create()
        await in_thread(here.wait)
        with anyio.fail_after(SOONER):
            await at.workers.pop().stop(0.05)
        at.start()
        response = await at.ended(accepted)
        assert text_of(response) == "Somebody else went on."
        assert "interrupted" in output(response["output"][0])
        stuck.set()


async def test_rule_8_a_server_does_not_queue_behind_a_blocked_event_loop(tmp_path: Path) -> None:
    """A tool blocks the worker's own event loop: the server, in its thread, goes on accepting and answering."""
    blocked, go_on = threading.Event(), threading.Event()

    @tool
    async def careless() -> str:
        """Blocks the event loop."""
        blocked.set()
        return "went on" if go_on.wait(PATIENCE) else "was left alone"

    def model(request: ModelRequest) -> ScriptedReply:
        is_asked = request.items[-1].get("role") == "user" and asked(request) == "block"
        return call("careless") if is_asked else say("Done.")

    desk = Desk(Agent("triage", tools=[careless]), model=ScriptedModel(model))
    async with served_desk(desk, tmp_path) as (address, _), client(address) as one, client(address) as other:
        await one.create("block")
        await in_thread(blocked.wait)
        await other.taken()
        await other.create("hello")
        await other.taken()
        with anyio.fail_after(SOONER):
            await (await other.socket.ping())
        await other.socket.send(json.dumps({"type": "nonsense"}))
        assert "unknown type" in (await other.until("error"))["error"]["message"]
        go_on.set()
        response = (await one.until("response.completed"))["response"]
        assert output(response["output"][0]) == "went on", "it blocked its loop until here"
        await other.until("response.completed")
