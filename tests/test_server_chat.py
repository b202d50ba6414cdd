"""A chat over a real server: lost connections, restarts, what is remembered, how a script's lines are answered."""

from __future__ import annotations

import io
import socket as sockets
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskGroup

from frontdesk.agents.models.scripted import call, calls
from frontdesk.broker.database import Database
from frontdesk.server.chat import Chat, recall
from frontdesk.server.commands import Exit
from frontdesk.server.dialog import Dialog
from frontdesk.server.door import Door
from frontdesk.server.errors import AddressError
from frontdesk.server.news import Asked, Called, Ended, News, Refused, Remark, Said, TaskNews
from frontdesk.server.service import Service
from frontdesk.server.typed import Typed
from frontdesk.tests.fakes.hand_worker import HandTurn, HandWorker
from frontdesk.tests.fakes.served import PATIENCE, served
from frontdesk.tests.served import open_house


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[HandWorker]:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    yield HandWorker(database)
    database.close()


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "chat.json"


class Talk:
    """A chat that keeps what it would show."""

    def __init__(self, address: str, memory: Path, dialog: Dialog | None = None, token: str = "") -> None:
        self.shown: list[News] = []
        self.dialog = dialog or Dialog()
        self.chat = Chat(address, self.dialog, self.shown.append, memory=memory, token=token)
        self.client = self.chat.client

    async def until(self, test: Callable[[News], bool]) -> None:
        with anyio.fail_after(PATIENCE):
            await self.client.until(lambda: any(map(test, self.shown)))

    def text(self) -> str:
        return "".join(news.text for news in self.shown if isinstance(news, Said))


async def claimed(hand: HandWorker) -> HandTurn:
    """The next turn, as soon as there is one."""
    ready = anyio.Event()
    listening = hand.database.hub.listen("ready", "turn", ready.set)
    try:
        with anyio.fail_after(PATIENCE):
            while (turn := await hand.claim()) is None:
                await ready.wait()
                ready = anyio.Event()
                listening.stop()
                listening = hand.database.hub.listen("ready", "turn", ready.set)
        return turn
    finally:
        listening.stop()


async def answering(hand: HandWorker, *answers: str) -> None:
    """A worker that answers so many turns."""
    for answer in answers:
        turn = await claimed(hand)
        await turn.say(answer)
        await turn.end()


async def test_a_line_is_answered(hand: HandWorker, memory: Path) -> None:
    async with served(Service(hand.desk, hand.database, drain_seconds=0.0)) as address:
        talk = Talk(address, memory)

        async def person() -> None:
            talk.client.say("hello")
            await answering(hand, "good day")
            await talk.until(lambda news: isinstance(news, Ended))

        assert await talk.chat.run(person) == Exit.OK
    assert talk.text() == "good day"
    left = recall(memory, "last")
    assert (left.conversation, max(left.cursor or 0, *left.ahead, 0)) == (talk.dialog.conversation, 3)


async def test_a_chat_survives_a_restart_of_the_server(hand: HandWorker, memory: Path) -> None:
    """It comes back by itself, sends again what may not have arrived, and shows everything once."""
    port = free_port()
    talk = Talk(f"http://127.0.0.1:{port}", memory)

    async def person() -> None:
        talk.client.say("first")
        turn = await claimed(hand)
        await turn.say("before ")
        await talk.until(lambda news: isinstance(news, Said))
        await restart.stop()
        await turn.say("between ")
        talk.client.say("second")  # while nobody listens
        await talk.until(lambda news: isinstance(news, Remark) and "lost" in news.text)
        await restart.start()
        await talk.until(lambda news: isinstance(news, Said) and "between" in news.text)
        await turn.say("after ")
        await turn.end()
        await answering(hand, "and the second")
        await talk.until(lambda news: isinstance(news, Said) and "second" in news.text)

    async with anyio.create_task_group() as group:
        restart = Restartable(group, hand, port)
        await restart.start()
        assert await talk.chat.run(person) == Exit.OK
        await restart.stop()
    assert talk.text() == "before between after and the second"


class Restartable:
    """A server that can be stopped and started again on its port."""

    def __init__(self, group: TaskGroup, hand: HandWorker, port: int) -> None:
        self._group, self._hand, self._port = group, hand, port
        self._enough, self._over = anyio.Event(), anyio.Event()

    async def start(self) -> None:
        self._enough, self._over, ready = anyio.Event(), anyio.Event(), anyio.Event()

        async def serve(enough: anyio.Event, over: anyio.Event) -> None:
            service = Service(self._hand.desk, self._hand.database, drain_seconds=0.0)
            async with served(service, self._port):
                ready.set()
                await enough.wait()
            over.set()

        self._group.start_soon(serve, self._enough, self._over)
        await ready.wait()

    async def stop(self) -> None:
        self._enough.set()
        await self._over.wait()


async def test_a_script_gets_each_line_answered_before_the_next_and_waits_for_its_tasks(
    hand: HandWorker, memory: Path
) -> None:
    async with served(Service(hand.desk, hand.database, drain_seconds=0.0)) as address:
        talk = Talk(address, memory)
        order: list[str] = []

        async def worker() -> None:
            one = await claimed(hand)
            await one.say("one")
            task = await hand.task(one.conversation_id)
            await one.end()
            two = await claimed(hand)
            order.extend(news.text for news in talk.shown if isinstance(news, Said))
            await two.say("two")
            await two.end()
            await hand.finish_task(task)
            notice = await claimed(hand)
            await notice.tell("T1")
            await notice.say("T1 is done")
            await notice.end()

        async with anyio.create_task_group() as group:
            group.start_soon(worker)
            with anyio.fail_after(PATIENCE):
                lines = io.StringIO("first\n\n  second  \n")
                assert await talk.chat.run(lambda: talk.chat.pipe(lines)) == Exit.OK
    assert order == ["one"], "the second line was sent when the first had been answered"
    assert talk.text() == "onetwoT1 is done"
    assert [news.what for news in talk.shown if isinstance(news, TaskNews)] == ["created", "updated", "finished"]


async def test_a_failed_response_or_a_refusal_is_a_failed_chat(hand: HandWorker, memory: Path) -> None:
    async with served(Service(hand.desk, hand.database, drain_seconds=0.0)) as address:
        talk = Talk(address, memory)

        async def worker() -> None:
            await (await claimed(hand)).end("failed")

        async with anyio.create_task_group() as group:
            group.start_soon(worker)
            assert await talk.chat.run(lambda: talk.chat.pipe(io.StringIO("x\n"))) == Exit.FAILED
        refused = Talk(address, memory)
        refused.client.say("x")
        refused.dialog.inputs[next(iter(refused.dialog.inputs))]["temperature"] = 9

        async def person() -> None:
            await refused.until(lambda news: isinstance(news, Refused))

        assert await refused.chat.run(person) == Exit.FAILED


async def test_what_was_running_is_known_when_one_comes_back(hand: HandWorker, memory: Path) -> None:
    async with served(Service(hand.desk, hand.database, drain_seconds=0.0)) as address:
        talk = Talk(address, memory)

        async def person() -> None:
            talk.client.say("hello")
            await answering(hand, "hi")
            await talk.until(lambda news: isinstance(news, Ended))

        await talk.chat.run(person)
        conversation = talk.dialog.conversation
        assert conversation is not None
        await hand.task(conversation)
        again = Talk(address, memory, recall(memory, "last"))

        async def look() -> None:
            await again.until(lambda news: isinstance(news, TaskNews))
            assert [task["label"] for task in await again.chat.client.tasks()] == ["T1"]

        await again.chat.run(look)
        assert [task["label"] for task in again.dialog.live_tasks] == ["T1"]
        assert again.text() == "", "what was seen is not shown again"


async def test_no_server_and_no_entry_end_the_chat_with_a_reason(hand: HandWorker, memory: Path) -> None:
    with pytest.raises(AddressError, match="no Frontdesk answers"):
        await Talk(f"http://127.0.0.1:{free_port()}", memory).chat.run(anyio.sleep_forever)
    with pytest.raises(AddressError, match="is not an address"):
        await Talk("http://", memory).chat.run(anyio.sleep_forever)
    async with served(Service(hand.desk, hand.database, door=Door(token="secret"), drain_seconds=0.0)) as address:
        with pytest.raises(AddressError, match="wants a token, and the right one"):
            await Talk(address, memory).chat.run(anyio.sleep_forever)
        talk = Talk(address, memory, token="secret")

        async def person() -> None:
            talk.client.say("hello")
            await answering(hand, "hi")
            await talk.until(lambda news: isinstance(news, Ended))

        assert await talk.chat.run(person) == Exit.OK


def test_where_a_conversation_was_left(memory: Path) -> None:
    assert recall(memory, "last") == Dialog()
    memory.write_text('{"conversation":"conv_1","cursor":7,"ahead":[9]}')
    assert recall(memory, "last") == Dialog("conv_1", 7, ahead={9}) == recall(memory, "conv_1")
    assert recall(memory, "conv_2") == Dialog(conversation="conv_2")
    assert recall(memory, "new") == Dialog()
    memory.write_text("nonsense")
    assert recall(memory, "last") == Dialog()


def free_port() -> int:
    with sockets.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def test_what_a_person_types_is_obeyed(hand: HandWorker, memory: Path) -> None:
    async with served(Service(hand.desk, hand.database, drain_seconds=0.0)) as address:
        talk = Talk(address, memory)
        said: list[str] = []
        typed = Typed(talk.chat, said.append)

        async def last(line: str) -> str:
            assert await typed.obey(line)
            return said[-1]

        async def person() -> None:
            assert "no tasks" in await last("/tasks")
            assert "nothing is being answered" in await last("/cancel")
            assert await typed.obey("  hello  ")
            assert await typed.obey("   ")
            turn = await claimed(hand)
            await talk.client.until(lambda: bool(talk.dialog.running))
            await typed.obey("/cancel")
            await hand.asked_to_cancel(turn)
            task = await hand.task(turn.conversation_id)
            await turn.end("cancelled")
            await talk.until(lambda news: isinstance(news, TaskNews))
            assert task in await last("/tasks")
            assert "no task T9" in await last("/cancel T9")
            assert "/answer T1 TEXT" in await last("/answer T1")
            await typed.obey("/answer T1 yes please")
            await talk.until(lambda news: isinstance(news, Refused) and "asks nothing" in news.message)
            await typed.obey("/cancel t1")
            await talk.until(lambda news: isinstance(news, TaskNews) and news.task["status"] == "cancelled")
            assert "is cancelled already" in await last("/cancel T1")
            assert "/help shows" in await last("/nonsense")
            assert "Ctrl-C" in await last("/help")
            assert not await typed.obey("/quit")

        with anyio.fail_after(PATIENCE):
            await talk.chat.run(person)


async def test_a_person_is_asked_and_says_yes_or_no_and_why(tmp_path: Path, memory: Path) -> None:
    with open_house(tmp_path) as house:
        both = calls(call("till-pay", {"amount": 7}), call("till-pay", {"amount": 8}))
        house.lines["pay"] = (both, "So be it.")
        talk = Talk(house.base_url.removesuffix("/v1"), memory)
        lines = io.StringIO("pay\nyes\nwhat?\n")
        assert await talk.chat.run(lambda: talk.chat.pipe(lines)) == Exit.OK
        asked = [one.arguments for one in talk.shown if isinstance(one, Asked)]
        assert asked == ['{"amount":7}', '{"amount":8}', '{"amount":8}'], "the next one is shown once more"
        assert [one.error for one in talk.shown if isinstance(one, Called)] == [""]
        assert "what?" in talk.text()
        assert talk.shown[-1] == Remark("till.pay waits for your approval; come back with frontdesk chat")
        again = Talk(house.base_url.removesuffix("/v1"), memory, recall(memory, "last"))
        assert again.dialog.asked() == [Asked("triage", "till.pay", '{"amount":8}')]
        assert await again.chat.run(lambda: again.chat.pipe(io.StringIO("n, too dear\n"))) == Exit.OK
    called = [one for one in again.shown if isinstance(one, Called)]
    assert [(one.tool, "Reason: too dear" in one.error) for one in called] == [("pay", True)]
