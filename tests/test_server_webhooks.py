"""Webhooks of a served desk: the secret from the settings to the receiver, and what a person sees of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import ValidationError
from starlette.responses import Response

from frontdesk.agents import Agent, Desk
from frontdesk.broker import deliveries
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.queue import enqueue
from frontdesk.server.assembly import service_of
from frontdesk.server.commands import settings
from frontdesk.server.task_lines import lines_of
from frontdesk.tasks.request import TaskRequest
from frontdesk.tests import forked
from frontdesk.tests.fakes.hook_worker import quick
from frontdesk.tests.fakes.receiver import SECRET, receiving
from frontdesk.tests.fakes.served import served

PROGRAM = [sys.executable, "-c", "from frontdesk.server.cli import main; main()"]


@asynccontextmanager
async def serving(folder: Path, **options: Any) -> AsyncGenerator[tuple[str, Database]]:
    desk: Desk[None] = Desk(Agent("triage"), tasks=[quick])
    database = await anyio.to_thread.run_sync(lambda: Database.open(f"sqlite:///{folder}/desk.db", durable=False))
    try:
        async with served(service_of(desk, database, settings(grace_seconds=0.1, **options))) as address:
            yield address, database
    finally:
        await anyio.to_thread.run_sync(database.close)


async def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    command, env = [*PROGRAM, *arguments], {**os.environ, "COLUMNS": "200", **more}
    return await anyio.to_thread.run_sync(lambda: forked.run(command, env=env, capture_output=True, timeout=60))


def filed(conn: Connection, request: TaskRequest) -> dict[str, Any]:
    return enqueue(conn, request)


async def until(database: Database, task_id: str, status: str) -> None:
    with anyio.fail_after(60):
        while [one["status"] for one in await database.read(deliveries.of_task, task_id)] != [status]:  # noqa: ASYNC110 - nothing tells
            await anyio.sleep(0.02)


async def test_the_secret_of_the_settings_signs_and_a_task_shows_what_was_told(tmp_path: Path) -> None:
    async with receiving() as receiver, serving(tmp_path, webhook_secret=SECRET) as (address, database):
        row = await database.write(filed, quick.request({}, webhook=receiver.url))
        await receiver.has(1)
        await until(database, row["id"], "delivered")
        shown = json.loads((await run("tasks", "show", row["id"], "--server", address, "--json")).stdout)
        (one,) = shown["deliveries"]
        assert (one["status"], one["url"], one["last_status"], one["attempts"]) == ("delivered", receiver.url, 204, 1)
        text = (await run("tasks", "show", row["id"], "--server", address)).stdout.decode()
        assert f"webhook {receiver.url}: delivered (1 attempt)" in text
        listed = json.loads((await run("tasks", "list", "--server", address, "--json")).stdout)["data"]
        assert "deliveries" not in listed[0]


async def test_a_task_that_has_no_webhook_shows_none(tmp_path: Path) -> None:
    async with serving(tmp_path, webhook_secret=SECRET) as (address, database):
        row = await database.write(filed, quick.request({}))
        shown = json.loads((await run("tasks", "show", row["id"], "--server", address, "--json")).stdout)
        assert "deliveries" not in shown


async def test_what_is_tried_again_says_when_and_why(tmp_path: Path) -> None:
    sorry = Response("busy", 503, {"Retry-After": "1800"})
    async with receiving(lambda number: sorry) as receiver, serving(tmp_path, webhook_secret=SECRET) as (_, database):
        row = await database.write(filed, quick.request({}, webhook=receiver.url))
        await receiver.has(1)
        with anyio.fail_after(60):
            while not (found := await database.read(deliveries.of_task, row["id"])) or not found[0]["last_error"]:  # noqa: ASYNC110 - nothing tells
                await anyio.sleep(0.02)
        line = lines_of({**_shown(row), "deliveries": found})[-1]
        assert line == f"  webhook {receiver.url}: pending (1 attempt, next in 30 min): answered 503: busy"


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "result": None, "result_size": 0}


def test_a_result_that_is_gone_is_told_to_a_person() -> None:
    row = {"id": "task_1", "label": "T1", "status": "succeeded", "progress": None, "title": "Work", "finished_at": 1.0,
           "cancel_requested": False, "result_expired": True}  # fmt: skip
    assert lines_of(_shown(row))[-1] == "  result: it was kept for a time only, which is over"


@pytest.mark.parametrize("command", [["serve"], ["tasks", "list"]])
async def test_a_secret_that_is_none_is_refused_at_start_and_not_shown(command: list[str]) -> None:
    done = await run(*command, FRONTDESK_WEBHOOK_SECRET="whsec_too-short")
    assert done.returncode == 2
    said = done.stderr.decode()
    assert "webhook_secret" in said
    assert "24 to 64 random bytes" in said
    assert "too-short" not in said


def test_several_secrets_are_taken_while_receivers_change() -> None:
    assert settings(webhook_secret=f"{SECRET} {SECRET}").webhook_secret.get_secret_value() == f"{SECRET} {SECRET}"
    with pytest.raises(ValidationError):
        settings(webhook_secret=f"{SECRET},{SECRET}")
