"""Who is let in, who is shown out again, and what a body may be: over real sockets, on every route alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.requests import HTTPConnection
from starlette.routing import Route
from websockets.exceptions import InvalidStatus

from frontdesk.broker.database import Database
from frontdesk.server import tokens
from frontdesk.server.app import application
from frontdesk.server.auth import Principal, bearer
from frontdesk.server.door import Door
from frontdesk.server.guard import PUBLIC, Guard, guarded, is_for_operators
from frontdesk.server.httpprotocol import AbortableHTTP
from frontdesk.server.limits import Limits
from frontdesk.server.service import Service
from frontdesk.server.tokens import NewToken, new_token
from frontdesk.tests.fakes.hand_worker import HandWorker
from frontdesk.tests.fakes.served import PATIENCE, Client, client, served
from frontdesk.tests.test_server_http import ask

OFTEN = Limits(recheck_seconds=0.02)


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[HandWorker]:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    yield HandWorker(database)
    database.close()


def service_of(hand: HandWorker, door: Door | None = None, limits: Limits = OFTEN) -> Service:
    return Service(hand.desk, hand.database, door=door, limits=limits, drain_seconds=0.0)


async def issued(hand: HandWorker, **options: Any) -> NewToken:
    new = new_token(**options)
    await hand.database.write(tokens.issue_token, new)
    return new


@asynccontextmanager
async def known(address: str, secret: str) -> AsyncGenerator[Client]:
    async with client(address, additional_headers={"Authorization": f"Bearer {secret}"}) as found:
        yield found


async def status(address: str, path: str, secret: str = "", method: str = "GET", body: bytes = b"") -> int:
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return (await ask(address, method, path, body, **headers)).status


# --- which routes


def test_every_route_that_is_not_public_is_guarded(hand: HandWorker) -> None:
    routes: list[Any] = list(application(service_of(hand)).routes)
    unguarded = {route.path for route in routes if not isinstance(route.app, Guard)}
    assert unguarded == {route.path for route in routes} & PUBLIC
    assert is_for_operators("/v1/tokens/{token_id}")
    assert not is_for_operators("/v1/tokens-of-others")


def test_a_route_that_cannot_be_guarded_is_refused(hand: HandWorker) -> None:
    from starlette.routing import Mount

    with pytest.raises(TypeError, match="no single route"):
        guarded(service_of(hand), [Mount("/v1/x", routes=[Route("/", endpoint=print)])])


# --- tokens of the database


async def test_with_the_first_token_the_door_is_closed_and_with_the_last_it_stays_closed(hand: HandWorker) -> None:
    service = service_of(hand)
    async with served(service) as address, client(address) as early:
        await early.taken()
        assert await status(address, "/v1/models") == 200
        new = await issued(hand, tenant="acme")
        assert await early.closed() == (1008, "your token is not valid any more")
        assert await status(address, "/v1/models") == 401
        assert await status(address, "/v1/models", "sk-anything") == 401
        assert await status(address, "/v1/models", new.secret) == 200
        assert await status(address, "/healthz") == 200
        await hand.database.write(tokens.revoke_token, new.id)
        service.keyring.forget()
        assert await status(address, "/v1/models", new.secret) == 401
        assert await status(address, "/v1/models") == 401


async def test_a_token_sees_its_tenants_tasks(hand: HandWorker) -> None:
    mine, other = await issued(hand, tenant="acme"), await issued(hand, tenant="other")
    async with served(service_of(hand)) as address, known(address, mine.secret) as socket:
        await socket.create()
        await socket.taken()
        conversation = (await hand.answer()).conversation_id
        await socket.until("response.completed")
        async with known(address, other.secret) as stranger:
            await stranger.send("frontdesk:subscribe", conversation=conversation)
            assert (await stranger.until("error"))["error"]["code"] == "conversation_not_found"


async def test_a_revoked_token_ends_its_open_connections_and_nobody_elses(hand: HandWorker) -> None:
    one, other = await issued(hand), await issued(hand)
    async with served(service_of(hand)) as address:
        async with known(address, one.secret) as gone, known(address, other.secret) as stays:
            await gone.taken()
            await hand.database.write(tokens.revoke_token, one.id)
            assert await gone.closed() == (1008, "your token is not valid any more")
            await stays.taken()
        with pytest.raises(InvalidStatus) as caught:
            async with known(address, one.secret):
                pass
        assert caught.value.response.status_code == 401


async def test_a_token_that_expires_ends_its_open_connections(hand: HandWorker) -> None:
    new = await issued(hand, seconds=0.2)
    async with served(service_of(hand)) as address, known(address, new.secret) as socket:
        assert (await socket.closed())[0] == 1008


async def test_a_stream_over_http_ends_with_its_token(hand: HandWorker) -> None:
    ended = anyio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"data", "more_body": True})
            await anyio.sleep_forever()
        finally:
            ended.set()

    new = await issued(hand)
    service = service_of(hand)
    app = Guard(endless, service, "/v1/endless")
    scope = {"type": "http", "method": "GET", "headers": [(b"authorization", f"Bearer {new.secret}".encode())]}
    sent: list[Any] = []

    async def receive() -> Any:
        await anyio.sleep_forever()

    async def send(message: Any) -> None:
        sent.append(message)
        await hand.database.write(tokens.revoke_token, new.id)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(service.watch)
            await app(scope, receive, send)
            group.cancel_scope.cancel()
    assert (ended.is_set(), sent[0]["status"]) == (True, 200)


# --- operators


async def test_what_concerns_all_tenants_is_for_operators(hand: HandWorker) -> None:
    tenant, operator = await issued(hand, tenant="acme"), await issued(hand, operator=True)
    async with served(service_of(hand)) as address:
        for method, path in (
            ("GET", "/v1/queues"), ("POST", "/v1/queues/default/pause"), ("POST", "/v1/queues/default/resume"),
            ("GET", "/v1/schedules"), ("GET", "/v1/tokens"),
        ):  # fmt: skip
            refused = await ask(address, method, path, authorization=f"Bearer {tenant.secret}")
            assert (refused.status, refused.body["error"]["code"]) == (403, "operator_required")
            assert await status(address, path, operator.secret, method) == 200
        assert await status(address, "/v1/tasks", tenant.secret) == 200


async def test_tokens_are_issued_listed_and_revoked_over_http(hand: HandWorker) -> None:
    async with served(service_of(hand, Door(token="root"))) as address:
        made = await ask(
            address, "POST", "/v1/tokens", b'{"name":"ci","tenant":"acme","expires_in":60}', authorization="Bearer root"
        )
        assert (made.status, made.body["tenant"], made.body["token"][:3]) == (200, "acme", "fd_")
        assert await status(address, "/v1/tasks", made.body["token"]) == 200
        (listed,) = (await ask(address, "GET", "/v1/tokens", authorization="Bearer root")).body["data"]
        assert listed == {name: value for name, value in made.body.items() if name != "token"}
        revoked = await ask(address, "DELETE", f"/v1/tokens/{made.body['id']}", authorization="Bearer root")
        assert revoked.body["revoked_at"] is not None
        unknown = await ask(address, "DELETE", "/v1/tokens/tok_x", authorization="Bearer root")
        assert (unknown.status, unknown.body["error"]["code"]) == (404, "token_not_found")
        for body in (b'{"name":1}', b'{"expires_in":0}', b'{"operator":"yes"}', b'{"tenant":[]}', b"[]"):
            assert await status(address, "/v1/tokens", "root", "POST", body) == 400


# --- what an application says


async def test_an_application_says_who_is_asking(hand: HandWorker) -> None:
    people = {"ann": Principal(tenant="acme", name="Ann")}

    def now(request: HTTPConnection) -> Principal | None:
        return people.get(bearer(request.headers, request.scope.get("subprotocols", ())))

    async def later(request: HTTPConnection) -> Principal | None:
        await asyncio.sleep(0)
        return now(request)

    for authenticate in (now, later):
        people["ann"] = Principal(tenant="acme", name="Ann")
        async with served(service_of(hand, Door(authenticate=authenticate))) as address:
            assert await status(address, "/v1/models") == 401
            assert await status(address, "/v1/models", "bob") == 401
            assert await status(address, "/v1/models", "ann") == 200
            async with known(address, "ann") as socket:
                await socket.taken()
                people["ann"] = Principal(tenant="another")
                assert (await socket.closed())[0] == 1008, "she is somebody else now"


async def test_when_the_application_fails_nobody_is_let_in(hand: HandWorker) -> None:
    def broken(request: HTTPConnection) -> Principal:
        raise ZeroDivisionError("secret inside")

    async with served(service_of(hand, Door(authenticate=broken))) as address:
        reply = await ask(address, "GET", "/v1/models", authorization="Bearer x")
        assert (reply.status, "secret inside" in str(reply.body)) == (500, False)


async def test_who_is_connected_stays_while_the_database_cannot_be_asked(tmp_path: Path, hand: HandWorker) -> None:
    new = new_token()
    keys = Database.open(f"sqlite:///{tmp_path}/keys.db", durable=False)
    await keys.write(tokens.issue_token, new)
    service = service_of(hand)
    service.keyring = type(service.keyring)(keys)
    async with served(service) as address, known(address, new.secret) as socket:
        await socket.taken()
        await asyncio.to_thread(keys.close)
        await anyio.sleep(5 * OFTEN.recheck_seconds)  # not a wait for anything: it is asked several times meanwhile
        await socket.taken()


# --- bodies


async def raw(address: str, head: str, *chunks: bytes) -> int:
    """The status of a request that is written as it is."""
    host, port = address.removeprefix("http://").split(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(head.replace("\n", "\r\n").encode())
        for chunk in chunks:
            await stream.send(chunk)
        with anyio.fail_after(PATIENCE):
            return int((await stream.receive()).split()[1])


async def test_a_body_is_bounded_however_it_is_sent(hand: HandWorker) -> None:
    async with served(service_of(hand, limits=Limits(message_bytes=1_000))) as address:
        head = "POST /v1/tokens HTTP/1.1\nhost: localhost\n"
        assert await raw(address, f"{head}content-length: 1001\n\n") == 413, "before any of it was sent"
        chunk = b"200\r\n" + b"x" * 0x200 + b"\r\n"
        assert await raw(address, f"{head}transfer-encoding: chunked\n\n", chunk, chunk) == 413, "before its end"
        assert await raw(address, f"{head}content-encoding: gzip\ncontent-length: 3\n\n", b"abc") == 415
        assert await raw(address, f"{head}content-length: 2\n\n", b"{}") == 200
        deep = b'{"name":' + b"[" * 100 + b"]" * 100 + b"}"
        assert await raw(address, f"{head}content-length: {len(deep)}\n\n", deep) == 400
        assert await raw(address, f"{head}content-length: x\n\n") == 400


async def test_a_body_that_does_not_come_is_not_waited_for(hand: HandWorker) -> None:
    async with served(service_of(hand, limits=Limits(body_seconds=0.05))) as address:
        head = "POST /v1/tokens HTTP/1.1\nhost: localhost\ncontent-length: 100\n\n"
        assert await raw(address, head, b"{") == 408


async def test_a_head_that_does_not_come_is_not_waited_for(hand: HandWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AbortableHTTP, "head_seconds", 0.1)
    async with served(service_of(hand)) as address:
        host, port = address.removeprefix("http://").split(":")
        for said in (b"", b"GET /healthz HTTP/1.1\r\nhost: x\r\n", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET"):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                if said:
                    await stream.send(said)
                with anyio.fail_after(PATIENCE), suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    while True:
                        await stream.receive()
        async with client(address) as socket:
            await anyio.sleep(0.2)  # not a wait for anything: a WebSocket is not a head that does not come
            await socket.taken()


async def test_to_refuse_an_upgrade_is_no_error_of_the_server(
    hand: HandWorker, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(service_of(hand, Door(token="x"))) as address:
        with pytest.raises(InvalidStatus):
            async with client(address):
                pass
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == []
