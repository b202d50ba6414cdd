"""Why it cannot deadlock, the first half: rules 1 to 4 are about clients, and tested over real sockets.

Each test is named after its rule. `test_rules_of_work` has rules 5 to 8.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from frontdesk.agents import Agent, Desk
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, say, wait
from frontdesk.broker import listing
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.server.limits import Limits
from frontdesk.server.service import Service
from frontdesk.tasks import task
from frontdesk.tests.fakes.hand_worker import HandWorker
from frontdesk.tests.fakes.office import asked, filed, text_of
from frontdesk.tests.fakes.served import PATIENCE, PATIENT, client, deaf, served, served_desk

MEGABYTE = 1_000_000


async def until(database: Database, is_so: Callable[[Connection], bool]) -> None:
    with anyio.fail_after(PATIENCE):
        while not await database.read(is_so):  # noqa: ASYNC110 - not every change wakes somebody
            await anyio.sleep(0.01)


def responses(conn: Connection, status: str) -> int:
    """How many there are in this state."""
    ((number,),) = conn.script(f"SELECT count(*) FROM frontdesk_turn WHERE status = '{status}'")
    return int(number)


async def test_rule_1_a_reader_never_awaits_a_run_or_a_writer(tmp_path: Path) -> None:
    """One connection whose run hangs and whose writer is stuck: what it sends is accepted all the same."""
    gate = Gate()

    def model(request: ModelRequest) -> ScriptedReply:
        match asked(request):
            case "hang":
                return wait(gate) + say("At last.")
            case "big":
                return say("x" * 4 * MEGABYTE, pieces=1)
            case text:
                return say(text)

    desk = Desk(Agent("triage"), model=ScriptedModel(model))
    async with served_desk(desk, tmp_path) as (address, database), deaf(address) as stuck:
        with anyio.fail_after(PATIENCE):
            await stuck.create("hang", stream_id="a")
            await stuck.create("big", stream_id="b")
            await gate.reached()
        await until(database, lambda conn: responses(conn, "completed") == 1)
        with anyio.fail_after(PATIENCE):
            for number in range(20):
                await stuck.create(f"number {number}", stream_id=f"c{number}")
        await until(database, lambda conn: responses(conn, "completed") == 21)
        assert await database.read(lambda conn: responses(conn, "in_progress")) == 1
        stuck.socket.transport.abort()
        gate.open()


async def test_rule_2_a_run_never_awaits_a_client(tmp_path: Path) -> None:
    """Those who follow a conversation read nothing of it at all, and it goes on to its end."""
    words = [str(number) * 200_000 for number in range(10)]

    def model(request: ModelRequest) -> ScriptedReply:
        if asked(request) != "speak":
            return say("Hello.")
        return sum((say(word, pieces=1) for word in words), ScriptedReply())

    desk = Desk(Agent("triage"), model=ScriptedModel(model))
    async with served_desk(desk, tmp_path) as (address, database), client(address, max_size=None) as speaker:
        await speaker.create("hello")
        last = (await speaker.until("response.completed"))["response"]
        query = f"?conversation={last['conversation']['id']}"
        async with deaf(address, query) as one, deaf(address, query) as other:
            for each in (one, other):
                await each.until("frontdesk:subscribed")
            for _ in range(3):
                await speaker.create("speak", previous_response_id=last["id"])
                last = (await speaker.until("response.completed"))["response"]
                assert len(last["output"]) == len(words)
            for each in (one, other):
                each.socket.transport.abort()
        assert await database.read(lambda conn: responses(conn, "completed")) == 4


async def test_rule_3_a_full_inbox_refuses_it_never_blocks(tmp_path: Path) -> None:
    """The refusal comes at once and returns the input; the bound is for clients: the notice of a task always fits."""
    gate, counting = Gate(), Gate()

    @task
    async def count() -> int:
        """Counts."""
        await counting.wait()
        return 1

    replies = [filed("count"), wait(gate) + say("First."), say("Second."), say("Third.")]
    desk = Desk(Agent("triage", tasks=[count]), model=ScriptedModel(replies))
    async with served_desk(desk, tmp_path, Limits(inbox=2)) as (address, database), client(address) as one:
        await one.create("first")
        created = await one.until("response.created")
        conversation, response_id = created["conversation"], created["response_id"]
        with anyio.fail_after(PATIENCE):
            await gate.reached()
        for text in ("second", "third"):
            await one.create(text, conversation=conversation)
            await one.until("frontdesk:accepted")
        await one.create("fourth", conversation=conversation)
        refused = await one.until("error")
        assert (refused["status"], refused["error"]["code"]) == (429, "inbox_full")
        await one.send("response.steer", previous_response_id=response_id, input="instead")
        returned = await one.until("response.steer.failed")
        assert returned["steer"]["input"] == "instead"
        assert returned["error"]["code"] == "too_many_pending_steers"

        def ended(conn: Connection) -> bool:
            row = listing.find(conn, conversation, "T1")
            return row is not None and row["status"] == "succeeded"

        counting.open()
        await until(database, ended)
        ((notices,),) = await database.read(
            lambda conn: conn.script("SELECT count(*) FROM frontdesk_inbox WHERE kind = 'notice'")
        )
        assert notices == 1
        gate.open()
        for text in ("First.", "Second.", "Third."):
            assert text_of((await one.until("response.completed"))["response"]) == text


@contextmanager
def traced() -> Generator[Callable[[], int]]:
    """How many bytes Python's objects have taken since it began: the server's, the writer's, this test's."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


async def test_rule_4_a_writer_holds_a_cursor_not_a_queue(tmp_path: Path) -> None:
    """However far behind two clients are, one live and one in a replay, little is kept for them; nothing is lost."""
    number, size = 40, MEGABYTE // 2
    database = await anyio.to_thread.run_sync(lambda: Database.open(f"sqlite:///{tmp_path}/rules.db", durable=False))
    hand = HandWorker(database)
    async with served(Service(hand.desk, database, limits=PATIENT, drain_seconds=0.0)) as address:
        async with client(address) as one:
            await one.create()
            await one.taken()
            conversation = (await hand.answer()).conversation_id
        query = f"?conversation={conversation}"
        with traced() as kept:
            async with deaf(address, query) as live:
                await live.until("frontdesk:subscribed")
                for count in range(number):
                    await hand.note(conversation, f"{count} " + "x" * size)
                async with deaf(address, f"{query}&after=0") as resumed:
                    await resumed.until("frontdesk:note")
                    with anyio.move_on_after(PATIENCE):
                        while kept() > number * size / 3:  # noqa: ASYNC110 - nobody is woken for that
                            await anyio.sleep(0.01)
                    assert kept() <= number * size / 3, f"{kept():,} bytes of {number * size:,} that were not read"
                    for each in (live, resumed):
                        await each.until("frontdesk:note", lambda event: event["text"].startswith(f"{number - 1} "))
                        notes = [event["text"] for event in each.events if event["type"] == "frontdesk:note"]
                        assert [text.split(" ")[0] for text in notes] == [str(count) for count in range(number)]
    await anyio.to_thread.run_sync(database.close)
