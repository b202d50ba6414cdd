"""A desk inside somebody's application: Starlette and FastAPI, with and without its lifespan, under a path, on a real
uvicorn."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import anyio
import pytest
from fastapi import FastAPI
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from frontdesk.agents.hosting import Application
from frontdesk.broker.database import Database
from frontdesk.broker.errors import DatabaseError
from frontdesk.server.auth import Principal, bearer
from frontdesk.server.client import AddressError, Client
from frontdesk.tests.mounted import desk, running
from frontdesk.tests.wire_record import PATIENCE


def in_starlette(served: Application, lifespan: Any = None) -> Any:
    app = Starlette(lifespan=lifespan)
    app.mount("/desk", served)
    return app


def in_fastapi(served: Application, lifespan: Any = None) -> Any:
    app = FastAPI(lifespan=lifespan)

    @app.get("/own")
    def own() -> dict[str, str]:
        return {"whose": "theirs"}

    app.mount("/desk", served)
    return app


def served_from(folder: Path, **options: Any) -> Application:
    return desk().asgi(database=f"sqlite:///{folder}/desk.db", **options)


def closed(folder: Path) -> bool:
    """Whether the database was closed: another process could open it."""
    try:
        Database.open(f"sqlite:///{folder}/desk.db", exclusive=True, patience=5.0).close()
    except DatabaseError:
        return False
    return True


def read(url: str) -> bytes:
    with urlopen(url) as reply:
        found: bytes = reply.read()
        return found


async def check(url: str) -> None:
    """It can be talked to under its path: over a WebSocket by the official client and by ours, and over HTTP."""
    with anyio.fail_after(PATIENCE):
        async with (
            AsyncOpenAI(base_url=f"{url}/desk/v1", api_key="any", max_retries=0) as official,
            official.responses.connect() as connection,
        ):
            await connection.response.create(model="desk", input="hello")
            async for event in connection:
                if event.type == "response.completed":
                    assert event.response.output_text == "You said: hello"
                    break
            assert [one.id async for one in official.models.list()] == ["desk", "triage"]
        async with Client(f"{url}/desk") as client:
            assert (await client.ask("on")).text == "You said: on"
            assert await client.tasks() == []


@pytest.mark.parametrize("inside", [in_starlette, in_fastapi])
async def test_with_its_lifespan_it_begins_and_ends_with_the_application(tmp_path: Path, inside: Any) -> None:
    served = served_from(tmp_path)
    with running(inside(served, served.lifespan)) as url:
        assert (tmp_path / "desk.db").exists(), "before anybody has asked for anything"
        await check(url)
        if inside is in_fastapi:
            assert await anyio.to_thread.run_sync(read, f"{url}/own") == b'{"whose":"theirs"}'
    assert closed(tmp_path)


@pytest.mark.parametrize("inside", [in_starlette, in_fastapi])
async def test_without_it_it_begins_when_it_is_first_used(tmp_path: Path, inside: Any) -> None:
    with running(inside(served_from(tmp_path))) as url:
        assert not (tmp_path / "desk.db").exists()
        await check(url)
    assert closed(tmp_path), "it ends with the event loop"


async def test_work_goes_on_from_the_beginning_of_its_lifespan(tmp_path: Path) -> None:
    one = desk()
    database = Database.open(f"sqlite:///{tmp_path}/desk.db")
    filed = await one.file("errand", {"name": "x"}, database=database)
    database.close()
    assert filed.row["status"] == "queued"
    served = one.asgi(database=f"sqlite:///{tmp_path}/desk.db")

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        async with served.lifespan(app):  # an application has its own, too
            yield

    with running(in_starlette(served, lifespan)) as url, anyio.fail_after(PATIENCE):
        async with Client(f"{url}/desk") as client:
            await client.ask("hello")
    database = Database.open(f"sqlite:///{tmp_path}/desk.db")
    assert database.read_blocking(lambda conn: conn.script("SELECT epoch FROM frontdesk_task WHERE name='errand'"))[0][
        0
    ]
    database.close()


async def test_by_itself_it_is_an_application_like_any_other(tmp_path: Path) -> None:
    with running(served_from(tmp_path)) as url:
        assert (tmp_path / "desk.db").exists()
        async with Client(url) as client:
            with anyio.fail_after(PATIENCE):
                assert (await client.ask("hello")).text == "You said: hello"
    assert closed(tmp_path)


async def test_the_application_says_who_comes_in(tmp_path: Path) -> None:
    def whoever_has_the_word(request: HTTPConnection) -> Principal | None:
        return Principal(tenant="theirs") if bearer(request.headers, ()) == "sesame" else None

    served = served_from(tmp_path, authenticate=whoever_has_the_word)
    with running(in_starlette(served)) as url, anyio.fail_after(PATIENCE):
        async with Client(f"{url}/desk", token="sesame") as client:
            assert (await client.ask("hello")).text == "You said: hello"
        async with Client(f"{url}/desk", token="open") as client:
            with pytest.raises(AddressError, match="token"):
                await client.ask("hello")


async def test_what_keeps_it_from_starting_is_said_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    served = served_from(folder)

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/healthz", "headers": [], "query_string": b""}
    for _ in range(2):
        with pytest.raises(DatabaseError):
            await served(dict(scope), nothing, send)
    folder.mkdir()
    await served(dict(scope), nothing, send)
    assert sent[0]["status"] == 200
