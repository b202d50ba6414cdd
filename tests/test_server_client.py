"""The client for Python programs, against a real server: asking, steering, tasks, and everything across a restart."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from frontdesk.agents.models.scripted import call, say, wait
from frontdesk.server.client import (
    AddressError,
    Asked,
    Client,
    Ended,
    News,
    NotAccepted,
    Reply,
    Said,
    TaskNews,
    text_of,
)
from frontdesk.tests.served import House, file_errand, open_house, said_around
from frontdesk.tests.wire_record import PATIENCE


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house that no test restarts."""
    with open_house(tmp_path_factory.mktemp("house")) as found:
        yield found


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as found:
        yield found


@pytest.fixture
async def client(shared: House) -> AsyncGenerator[Client]:
    async with Client(shared.base_url) as found:
        yield found


class Heard:
    """All news of a client."""

    def __init__(self) -> None:
        self.news: list[News] = []

    def text(self) -> str:
        return "".join(one.text for one in self.news if isinstance(one, Said))

    def ended(self) -> int:
        return sum(isinstance(one, Ended) for one in self.news)


async def test_a_question_is_answered(client: Client) -> None:
    first, second = await client.ask("one"), await client.ask("two")
    assert (first.text, first.status, first.problem) == ("You said: one", "completed", "")
    assert second.text == "You said: two"
    assert first.response["conversation"]["id"] == second.response["conversation"]["id"] == client.conversation


async def test_questions_at_once_belong_to_one_conversation_and_are_answered_each(client: Client) -> None:
    found: dict[str, str] = {}

    async def ask(text: str) -> None:
        found[text] = (await client.ask(text)).text

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(ask, f"{number}")
    assert found == {f"{number}": f"You said: {number}" for number in range(5)}


async def test_what_is_refused_raises_with_the_protocols_code(client: Client) -> None:
    with pytest.raises(NotAccepted) as caught:
        await client.ask("one", model="nobody")
    assert caught.value.code == "model_not_found"
    assert (await client.ask("two")).text == "You said: two"


async def test_an_agent_is_asked_by_its_name(shared: House) -> None:
    async with Client(shared.base_url, model="helper") as client:
        reply = await client.ask("one")
    assert reply.response["output"][0]["agent"]["agent_name"] == "helper"


async def test_what_is_being_answered_is_steered(shared: House, client: Client) -> None:
    shared.lines["long"] = (call("hold", {"name": "steered"}), "never said")
    replies: list[Reply] = []

    async def ask() -> None:
        replies.append(await client.ask("long"))

    async def steer() -> None:
        replies.append(await client.steer("shorter"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await shared.gates["steered"].reached()
        await client.until(lambda: bool(client.dialog.running))
        group.start_soon(steer)
        await client.until(lambda: len(client.dialog.answers) == 2)
        shared.gates["steered"].open()
    assert [(one.status, one.problem) for one in replies] == [("incomplete", "steered"), ("completed", "")]
    assert replies[1].text == "You said: shorter"


async def test_what_is_being_answered_is_cancelled(shared: House, client: Client) -> None:
    shared.lines["talk"] = said_around("one ", shared.gates["never"], "two")
    assert client.cancel() is False
    replies: list[Reply] = []

    async def ask() -> None:
        replies.append(await client.ask("talk"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        async for one in client.news():
            if isinstance(one, Said):
                assert client.cancel()
                break
    assert [(one.status, one.text) for one in replies] == [("cancelled", "one ")]


async def test_tasks_are_news_and_are_listed_and_answered(shared: House, client: Client) -> None:
    filed = {"task": {"name": "choose", "arguments": {"what": "color"}}, "title": "A choice", "again": None}
    shared.lines["choose"] = (call("create_task", filed), "You will be asked.")
    assert await client.tasks() == []
    await client.ask("choose")
    await client.until(lambda: bool((client.dialog.task("T1") or {}).get("question")))
    assert [task["status"] for task in await client.tasks()] == ["waiting"]
    assert client.answer("T1", "blue")
    assert client.answer("T9", "blue") is False
    async for one in client.news():
        if isinstance(one, TaskNews) and one.what == "finished":
            assert one.task["result"] == "blue"
            break
    assert client.cancel("T1") is False, "it has ended"


async def test_what_waits_for_an_approval_is_allowed_or_refused(shared: House) -> None:
    shared.lines["pay"] = (call("till-pay", {"amount": 7}), "So it is.")
    heard = Heard()
    async with Client(shared.base_url, show=heard.news.append) as desk:
        assert (await desk.ask("pay")).text == ""
        (asked,) = (one for one in heard.news if isinstance(one, Asked))
        assert (asked.tool, json.loads(asked.arguments)) == ("till.pay", {"amount": 7})
        allowed = await desk.approve(asked.request_id)
        assert (allowed.status, allowed.text, outcome(allowed)) == ("completed", "So it is.", "paid 7")
        with pytest.raises(NotAccepted) as again:
            await desk.approve(asked.request_id)
        assert again.value.code == "invalid_request"
        await desk.ask("pay")
        last = [one for one in heard.news if isinstance(one, Asked)][-1]
        async with Client(shared.base_url, conversation=desk.conversation) as other:  # whoever comes may decide
            refused = await other.approve(last.request_id, approve=False, reason="too dear")
        assert refused.text == "So it is."
        assert "too dear" in outcome(refused)


def outcome(reply: Reply) -> str:
    """What came of the call in it."""
    (found,) = (item for item in reply.response["output"] if item["type"] == "mcp_call")
    return str(found["output"] or found["error"])


async def test_a_task_is_cancelled(shared: House, client: Client) -> None:
    shared.lines["file"] = (file_errand("cancelled"), "It is being done.")
    await client.ask("file")
    await shared.gates["cancelled"].reached()
    await client.until(lambda: client.dialog.task("T1") is not None)
    assert client.cancel("T1")
    await client.until(lambda: (client.dialog.task("T1") or {})["status"] == "cancelled")


async def test_one_that_comes_back_hears_what_was_said_meanwhile(shared: House, client: Client) -> None:
    await client.ask("one")
    await client.until(lambda: client.dialog.following)
    await client.ask("two")
    conversation, cursor = client.conversation, client.cursor
    await client.ask("three")
    heard = Heard()
    async with Client(shared.base_url, conversation=conversation, after=cursor, show=heard.news.append) as other:
        await other.until(lambda: heard.ended() > 0)
    assert heard.text() == "You said: three"


async def test_what_is_asked_is_answered_across_restarts(house: House) -> None:
    house.lines["long"] = (call("hold", {"name": "desk"}), "said after the restart")
    heard, replies = Heard(), list[str]()
    async with Client(house.base_url, show=heard.news.append) as client:

        async def ask() -> None:
            replies.append((await client.ask("long")).text)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await house.gates["desk"].reached()
                await anyio.to_thread.run_sync(house.stop)
                await anyio.to_thread.run_sync(house.start)
                house.gates["desk"].open()
            assert replies == ["said after the restart"]
            assert (await client.ask("on")).text == "You said: on"
    assert heard.text() == "said after the restartYou said: on"
    assert heard.ended() == 2


async def test_what_is_asked_while_there_is_no_server_is_answered_when_it_is_back(house: House) -> None:
    house.lines["slow"] = wait(house.gates["slow"]) + say("slow")
    async with Client(house.base_url) as client:
        await client.ask("one")
        await anyio.to_thread.run_sync(house.stop)
        replies: list[str] = []

        async def ask() -> None:
            replies.append((await client.ask("two")).text)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await anyio.to_thread.run_sync(house.start)
        assert replies == ["You said: two"]


def test_the_text_of_a_reply_leaves_out_what_was_begun_and_then_said_anew() -> None:
    def message(text: str, status: str) -> dict[str, Any]:
        return {"type": "message", "status": status, "content": [{"type": "output_text", "text": text}]}

    first, half = message("First.", "completed"), message("Seco", "incomplete")
    assert text_of({"output": [first, half, message("Second.", "completed")]}) == "First.\n\nSecond."
    assert text_of({"output": [first, half]}) == "First.\n\nSeco", "cut off by a limit: that is all there is"


async def test_where_nobody_answers_asking_raises() -> None:
    async with Client("http://127.0.0.1:9", patience=0.1) as client:
        with anyio.fail_after(PATIENCE), pytest.raises(AddressError, match="no Frontdesk answers"):
            await client.ask("hello")


async def test_a_server_that_cannot_take_us_now_is_asked_again() -> None:
    """One that stops, or is full, in front of one that is neither: as behind a load balancer."""
    answers = [503, 500, 429]

    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(HTTPStatus(answers.pop()), "not now\n") if answers else None

    async def listen(connection: ServerConnection) -> None:
        asked = json.loads(await connection.recv())
        refused = {"code": "unsupported_parameter", "message": "no"}
        input_id = asked["metadata"]["frontdesk:input_id"]
        await connection.send(json.dumps({"type": "error", "error": refused, "input_id": input_id}))
        await connection.wait_closed()

    async with serve(listen, "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with Client(f"http://127.0.0.1:{port}") as client:
            with anyio.fail_after(PATIENCE), pytest.raises(NotAccepted, match="no"):
                await client.ask("hello")
    assert answers == []
