"""The server over plain HTTP, and the upgrade: health, models, tasks, refusals, and what a browser's page may do."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.exceptions import InvalidStatus

from frontdesk.broker.database import Database
from frontdesk.broker.errors import DatabaseUnreachable
from frontdesk.server.door import Door
from frontdesk.server.limits import Limits
from frontdesk.server.service import Service
from frontdesk.tests.fakes.hand_worker import HandWorker
from frontdesk.tests.fakes.served import PATIENCE, client, served


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: Any


async def ask(address: str, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
    """One HTTP request, written by hand."""
    host, port = address.removeprefix("http://").split(":")
    stream = await anyio.connect_tcp(host, int(port))
    async with stream:
        given = {"host": f"{host}:{port}", "connection": "close", "content-length": str(len(body)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        await stream.send("\r\n".join(lines).encode() + body)
        received = b"".join([chunk async for chunk in stream])
    head, _, content = received.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    pairs = (field.partition(": ") for field in fields)
    found = {name.lower(): value for name, _, value in pairs}
    return Reply(int(status.split()[1]), found, json.loads(content) if content else None)


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[HandWorker]:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    yield HandWorker(database)
    database.close()


@pytest.fixture
def service(hand: HandWorker) -> Service:
    return Service(hand.desk, hand.database, drain_seconds=0.0)


@pytest.fixture
async def address(service: Service) -> AsyncGenerator[str]:
    async with served(service) as found:
        yield found


@pytest.fixture
async def conversation(address: str, hand: HandWorker) -> str:
    async with client(address) as socket:
        await socket.create()
        await socket.taken()
        return (await hand.answer()).conversation_id


async def test_it_says_that_it_is_alive_and_ready(address: str) -> None:
    assert (await ask(address, "GET", "/healthz")).status == 200
    assert (await ask(address, "GET", "/readyz")).body == {"status": "ready"}


async def test_a_server_that_drains_is_alive_and_not_ready(address: str, service: Service) -> None:
    await service.drain()
    assert (await ask(address, "GET", "/healthz")).status == 200
    reply = await ask(address, "GET", "/readyz")
    assert (reply.status, reply.body["why"]) == (503, "draining")


async def test_a_server_whose_database_is_closed_is_not_ready(tmp_path: Path, hand: HandWorker) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/other.db", durable=False)
    async with served(Service(hand.desk, database, drain_seconds=0.0)) as address, client(address) as socket:
        database.close()
        assert (await ask(address, "GET", "/readyz")).status == 503
        await socket.create()
        error = await socket.until("error")
        assert (error["status"], error["error"]["code"]) == (503, "database_unavailable")


async def test_the_first_model_is_the_desk(address: str) -> None:
    reply = await ask(address, "GET", "/v1/models")
    assert [model["id"] for model in reply.body["data"]] == ["front", "triage", "files"]
    assert {model["object"] for model in reply.body["data"]} == {"model"}


async def test_tasks_are_listed_newest_first_page_by_page(address: str, hand: HandWorker, conversation: str) -> None:
    filed = [await hand.task(conversation, f"job{number}") for number in range(5)]
    first = (await ask(address, "GET", "/v1/tasks?limit=2")).body
    assert [task["id"] for task in first["data"]] == [filed[4], filed[3]]
    assert first["has_more"]
    second = (await ask(address, "GET", f"/v1/tasks?limit=3&after={first['last_id']}")).body
    assert [task["id"] for task in second["data"]] == [filed[2], filed[1], filed[0]]
    assert not second["has_more"]
    assert [task["label"] for task in second["data"]] == ["T3", "T2", "T1"]


async def test_tasks_are_filtered(address: str, hand: HandWorker, conversation: str) -> None:
    task = await hand.task(conversation)
    for query, expected in (
        (f"conversation={conversation}", [task]), ("conversation=conv_other", []), ("status=queued", [task]),
        ("status=failed", []), ("status=live", [task]),
    ):  # fmt: skip
        reply = await ask(address, "GET", f"/v1/tasks?{query}")
        assert [found["id"] for found in reply.body["data"]] == expected


async def test_queues_are_paused_and_resumed(address: str, hand: HandWorker, conversation: str) -> None:
    await hand.task(conversation)
    listed = await ask(address, "GET", "/v1/queues")
    assert listed.body["data"] == [{"object": "frontdesk.queue", "id": "default", "paused": False}]
    for what, paused in (("pause", True), ("pause", True), ("resume", False)):
        reply = await ask(address, "POST", f"/v1/queues/night%20shift/{what}")
        assert (reply.status, reply.body["paused"]) == (200, paused)
        listed = await ask(address, "GET", "/v1/queues")
        assert {one["id"]: one["paused"] for one in listed.body["data"]} == {"default": False, "night shift": paused}
    reply = await ask(address, "POST", f"/v1/queues/{'x' * 201}/pause")
    assert (reply.status, reply.body["error"]["param"]) == (400, "name")


@pytest.mark.parametrize(
    ("query", "param"), [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("status=odd", "status")]
)
async def test_a_list_that_makes_no_sense_is_refused(address: str, query: str, param: str) -> None:
    reply = await ask(address, "GET", f"/v1/tasks?{query}")
    assert (reply.status, reply.body["error"]["param"]) == (400, param)


async def test_a_task_is_shown_and_cancelled(address: str, hand: HandWorker, conversation: str) -> None:
    task = await hand.task(conversation)
    shown = await ask(address, "GET", f"/v1/tasks/{task}")
    assert (shown.body["id"], shown.body["status"], shown.body["conversation"]) == (task, "queued", conversation)
    cancelled = await ask(address, "POST", f"/v1/tasks/{task}/cancel")
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    again = await ask(address, "POST", f"/v1/tasks/{task}/cancel")
    assert (again.status, again.body["status"]) == (200, "cancelled")


async def test_a_page_of_the_greatest_size_knows_that_there_is_more(
    address: str, hand: HandWorker, conversation: str
) -> None:
    for _ in range(101):
        await hand.task(conversation)
    for query in ("limit=100", "limit=100&status=live"):
        page = (await ask(address, "GET", f"/v1/tasks?{query}")).body
        assert (len(page["data"]), page["has_more"]) == (100, True)
        rest = (await ask(address, "GET", f"/v1/tasks?{query}&after={page['last_id']}")).body
        assert (len(rest["data"]), rest["has_more"]) == (1, False)


async def test_a_task_that_was_cancelled_is_retried_once(address: str, hand: HandWorker, conversation: str) -> None:
    old = await hand.task(conversation)
    refused = await ask(address, "POST", f"/v1/tasks/{old}/retry")
    assert (refused.status, refused.body["error"]["code"]) == (409, "task_not_retryable")
    assert refused.headers["x-should-retry"] == "false"
    await ask(address, "POST", f"/v1/tasks/{old}/cancel")
    first, again = [await ask(address, "POST", f"/v1/tasks/{old}/retry") for _ in range(2)]
    assert (first.status, first.body["retry_of"], first.body["repeated"]) == (200, old, False)
    assert (again.body["id"], again.body["repeated"]) == (first.body["id"], True)
    shown = (await ask(address, "GET", f"/v1/tasks/{first.body['id']}")).body
    assert (shown["retry_of"], shown["label"], shown["status"]) == (old, "T2", "queued")


async def test_tasks_are_counted(address: str, hand: HandWorker, conversation: str) -> None:
    done, _ = [await hand.task(conversation) for _ in range(2)]
    await hand.finish_task(done)
    found = (await ask(address, "GET", "/v1/tasks/stats")).body
    assert found["object"] == "frontdesk.stats"
    assert (found["status"], found["queues"], found["names"]) == (
        {"queued": 1},
        {"default": {"queued": 1}},
        {"report": {"queued": 1}},
    )
    assert (found["last_hour"], sum(found["per_minute"]), len(found["per_minute"])) == ({"succeeded": 1}, 1, 60)
    assert found["oldest_queued_seconds"] >= 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/tasks/task_x/retry"),
     ("GET", "/v1/tasks/task_x"), ("POST", "/v1/tasks/task_x/cancel"), ("GET", "/v1/tasks?after=task_x"),
     ("POST", "/v1/tasks/task_x/answer")],
)  # fmt: skip
async def test_an_unknown_task_is_not_found(address: str, method: str, path: str) -> None:
    reply = await ask(address, method, path, b'{"answer":1}')
    assert (reply.status, reply.body["error"]["code"]) == (404, "task_not_found")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [(b'{"answer":1}', 400, "invalid_request"), (b"{}", 400, "invalid_request"), (b"nonsense", 400, "invalid_json"),
     (b"[1]", 400, "invalid_request"), (b"\xff\xfe", 400, "invalid_json"), (b"x" * 20_000, 413, "message_too_large")],
)  # fmt: skip
async def test_an_answer_that_cannot_be_taken(hand: HandWorker, body: bytes, status: int, code: str) -> None:
    async with served(Service(hand.desk, hand.database, limits=Limits(message_bytes=10_000))) as address:
        async with client(address) as socket:
            await socket.create()
            await socket.taken()
        task = await hand.task((await hand.answer()).conversation_id)
        reply = await ask(address, "POST", f"/v1/tasks/{task}/answer", body)
        assert (reply.status, reply.body["error"]["code"]) == (status, code)


async def test_what_does_not_exist_is_said_in_the_apis_form(address: str) -> None:
    reply = await ask(address, "GET", "/v1/nothing")
    assert (reply.status, reply.body["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "/v1/tasks", "GET, HEAD"), ("PUT", "/v1/responses/resp_1", "DELETE, GET, HEAD"),
     ("PATCH", "/v1/conversations/conv_1/items/msg_1", "DELETE, GET, HEAD"), ("GET", "/v1/responses", "POST"),
     ("OPTIONS", "/v1/chat/completions", "POST"), ("POST", "/healthz", "GET, HEAD")],
)  # fmt: skip
async def test_a_path_says_which_methods_it_has(address: str, method: str, path: str, allowed: str) -> None:
    reply = await ask(address, method, path)
    assert (reply.status, reply.body["error"]["code"]) == (405, "invalid_request")
    assert reply.headers["allow"] == allowed
    assert f"{path} takes {allowed}" in reply.body["error"]["message"]


async def test_a_token_is_wanted_where_there_is_one(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, door=Door(token="secret"), drain_seconds=0.0)
    async with served(service) as address:
        refused = await ask(address, "GET", "/v1/models", authorization="Bearer wrong")
        assert (refused.status, refused.body["error"]["code"]) == (401, "invalid_api_key")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert (await ask(address, "GET", "/v1/models", authorization="Bearer secret")).status == 200
        assert (await ask(address, "GET", "/healthz")).status == 200
        with pytest.raises(InvalidStatus) as caught:
            async with client(address):
                pass
        assert caught.value.response.status_code == 401
        async with client(address, subprotocols=["openai-insecure-api-key.secret"]) as socket:
            assert socket.socket.subprotocol == "openai-insecure-api-key.secret"
            await socket.taken()


async def test_a_page_of_another_origin_is_kept_out(address: str) -> None:
    reply = await ask(address, "GET", "/v1/models", origin="http://evil.example")
    assert (reply.status, reply.body["error"]["code"]) == (403, "forbidden_origin")
    with pytest.raises(InvalidStatus) as caught:
        async with client(address, origin="http://evil.example"):
            pass
    assert caught.value.response.status_code == 403
    async with client(address, origin=address) as socket:
        await socket.taken()


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("GET", "/v1/tasks?conversation=%00", b"", "conversation"),
        ("GET", "/v1/tasks?after=%00", b"", "after"),
        ("POST", "/v1/queues/%00/pause", b"", "name"),
        ("POST", "/v1/quotas", b'{"tenant":"\\u0000","turns":1}', "tenant"),
        ("POST", "/v1/tokens", b'{"name":"\\u0000"}', "name"),
    ],
)
async def test_what_no_database_can_hold_is_refused(
    address: str, method: str, path: str, body: bytes, param: str
) -> None:
    reply = await ask(address, method, path, body)
    assert (reply.status, reply.body["error"]["param"]) == (400, param)


async def test_who_comes_at_the_same_time_finds_no_more_room(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(connections=1), drain_seconds=0.0)
    replies: list[int] = []
    async with served(service) as address:

        async def post() -> None:
            replies.append((await ask(address, "POST", "/v1/responses", b'{"input":"x"}')).status)
            if len(replies) == 3:  # the fourth one waits for its answer
                await hand.answer()

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(post)
    assert replies == [429, 429, 429, 200]


async def test_a_tenant_has_so_many_connections(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(connections=1), drain_seconds=0.0)
    async with served(service) as address:
        async with client(address):
            with pytest.raises(InvalidStatus) as caught:
                async with client(address):
                    pass
            assert caught.value.response.status_code == 429
            assert caught.value.response.headers["retry-after"] == "1"
        while service.connections:
            await service.left.wait()
        async with client(address) as socket:
            await socket.taken()


def test_a_database_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable, match="create it first"):
        Database.open(f"sqlite:///{tmp_path}/nowhere/desk.db")
