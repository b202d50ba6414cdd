"""``frontdesk tasks``, as a person or a script uses it on a running server: following, retrying, counting, refusals."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.schedules import GO_ON, Schedules, pause_schedule
from frontdesk.server.door import Door
from frontdesk.server.service import Service
from frontdesk.server.task_lines import schedule_line
from frontdesk.tasks.registry import task
from frontdesk.tests import forked
from frontdesk.tests.fakes.hand_worker import HandWorker
from frontdesk.tests.fakes.served import served
from frontdesk.tests.served import House, file_errand, open_house
from frontdesk.tests.talk import ask, connected

PROGRAM = [sys.executable, "-c", "from frontdesk.server.cli import main; main()", "tasks"]
SECONDS = 60  # a bound for what never happens


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as found:
        yield found


@pytest.fixture
async def filed(house: House) -> AsyncGenerator[str]:
    """A task that runs until its gate is opened."""
    async with connected(house) as connection:
        house.lines["file"] = (file_errand("shop"), "It is being done.")
        await ask(connection, "file")
        await house.gates["shop"].reached()
        (task,) = json.loads((await run(address(house), "list", "--json")).stdout)["data"]
        yield task["id"]


def address(house: House) -> str:
    return house.base_url.removesuffix("/v1")


def environment(server: str, **more: str) -> dict[str, str]:
    return {**os.environ, "FRONTDESK_SERVER": server, "COLUMNS": "200", "TERM": "xterm", **more}


async def run(server: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    command, env = [*PROGRAM, *arguments], environment(server, **more)
    return await anyio.to_thread.run_sync(lambda: forked.run(command, env=env, capture_output=True, timeout=SECONDS))


@contextmanager
def following(server: str, *arguments: str) -> Generator[forked.Popen]:
    command = [*PROGRAM, "tail", "--every", "0.1", *arguments]
    with forked.Popen(
        command, env=environment(server), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: forked.Popen) -> str:
    assert process.stdout is not None
    return str(process.stdout.readline())


async def next_line(process: forked.Popen) -> str:
    with anyio.fail_after(SECONDS):
        return await anyio.to_thread.run_sync(line, process)


async def test_a_task_is_followed_to_its_end_in_lines(house: House, filed: str) -> None:
    with following(address(house), "T1") as process:
        said = ""
        while "50%" not in said:  # it is written a moment after it is reported
            said = await next_line(process)
        assert said == f"{filed}  T1   running   50%  Errand: at shop\n"
        house.gates["shop"].open()
        assert (await next_line(process)).startswith(f"{filed}  T1   succeeded")
        assert (await next_line(process), process.wait(SECONDS)) == ("", 0)


async def test_all_tasks_are_followed_as_events_and_one_that_ends_badly_counts(house: House, filed: str) -> None:
    with following(address(house), "--json") as process:
        first = json.loads(await next_line(process))
        assert (first["type"], first["task"]["id"]) == ("frontdesk:task.updated", filed)
        await run(address(house), "cancel", filed)
        events = [first]
        while text := await next_line(process):
            events.append(json.loads(text))
        assert (events[-1]["type"], events[-1]["task"]["status"]) == ("frontdesk:task.finished", "cancelled")
        assert process.wait(SECONDS) == 1
    house.gates["shop"].open()


async def test_a_server_that_is_restarted_meanwhile_is_waited_for(house: House, filed: str) -> None:
    with following(address(house)) as process:
        await next_line(process)
        await anyio.to_thread.run_sync(house.stop)
        house.gates["shop"].open()
        await anyio.to_thread.run_sync(house.start)
        said = ""
        while "succeeded" not in said:
            said = await next_line(process)
            assert said, process.communicate()
        assert process.wait(SECONDS) == 0


async def test_at_a_terminal_what_runs_has_a_bar(house: House, filed: str) -> None:
    outer, inner = pty.openpty()
    command = [*PROGRAM, "tail", "--every", "0.1"]
    process = await anyio.to_thread.run_sync(
        lambda: forked.Popen(command, env=environment(address(house)), stdout=inner)
    )
    os.close(inner)

    def read(until: str) -> str:
        seen = b""
        while until.encode() not in seen:
            try:
                seen += os.read(outer, 65_536)
            except OSError:  # the other end is closed
                break
        return seen.decode(errors="replace")

    with anyio.fail_after(SECONDS):
        assert "━" in await anyio.to_thread.run_sync(read, "at shop")
        house.gates["shop"].open()
        assert "succeeded" in await anyio.to_thread.run_sync(read, "never said")
    assert process.wait(SECONDS) == 0
    os.close(outer)


async def test_following_ends_when_its_time_is_over_and_when_nothing_is_live(house: House, filed: str) -> None:
    done = await run(address(house), "tail", "--timeout", "0")
    assert (done.returncode, done.stderr) == (1, b"frontdesk: 1 task is still live after 0 s\n")
    house.gates["shop"].open()
    await run(address(house), "tail")
    done = await run(address(house), "tail")
    assert (done.returncode, done.stdout) == (0, b"")
    assert (await run(address(house), "tail", filed)).returncode == 0


async def test_a_task_is_retried_from_the_shell(house: House, filed: str) -> None:
    refused = await run(address(house), "retry", "T1")
    assert refused.returncode == 1
    assert refused.stderr.startswith(b"frontdesk: task T1 is running: only one that has failed")
    await run(address(house), "cancel", "T1")
    await run(address(house), "tail")
    house.gates["shop"].open()
    first = json.loads((await run(address(house), "retry", "T1", "--json")).stdout)
    assert (first["retry_of"], first["label"], first["repeated"]) == (filed, "T2", False)
    again = (await run(address(house), "retry", filed)).stdout.decode()
    assert again.startswith(first["id"])
    assert again.endswith("  it had been retried before, as this task\n")
    assert (await run(address(house), "tail", "T2")).returncode == 0, "a worker runs it"


async def test_tasks_are_counted_from_the_shell(house: House, filed: str) -> None:
    said = (await run(address(house), "stats")).stdout.decode().splitlines()
    assert said[0] == "tasks   1 running"
    assert f"of process {os.getpid()}: 1 tasks" in "".join(said)
    found: Any = json.loads((await run(address(house), "stats", "--json")).stdout)
    assert (found["names"], found["oldest_queued_seconds"]) == ({"errand": {"running": 1}}, None)
    house.gates["shop"].open()


async def test_a_token_that_is_missing_or_wrong_is_said(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    hand = HandWorker(database)
    service = Service(hand.desk, database, door=Door(token="secret"), drain_seconds=0.0)
    async with served(service) as found:
        for given in ([], ["--token", "wrong"]):
            done = await run(found, "list", *given)
            assert (done.returncode, done.stdout) == (1, b"")
            assert b"--token or in FRONTDESK_TOKEN" in done.stderr
        assert (await run(found, "list", FRONTDESK_TOKEN="secret")).stdout == b"no tasks\n"
        unknown = await run(found, "tail", "task_x", "--token", "secret")
        assert (unknown.returncode, unknown.stderr) == (1, b"frontdesk: task 'task_x' not found\n")
        nowhere = await run(f"{found}/nothing", "stats", "--token", "secret")
        assert (nowhere.returncode, nowhere.stderr) == (
            1,
            b"frontdesk: GET /nothing/v1/tasks/stats does not exist\n",
        )
    database.close()


async def nightly() -> None: ...


async def test_schedules_are_listed_in_their_own_time_zones(house: House) -> None:
    assert (await run(address(house), "schedules")).stdout == b"no schedules\n"
    database = house.database
    functions = [
        task(name="nightly", cron="30 2 * * *", timezone="Europe/Berlin", missed="all")(nightly),
        task(name="hourly", cron="0 * * * *")(nightly),
    ]
    await Schedules(database, functions).register()  # the house's worker knows none of them

    def filed(conn: Connection) -> None:
        conn.run(GO_ON, {"name": "nightly", "next_at": 1774747800.0, "last_at": None})
        conn.run(GO_ON, {"name": "hourly", "next_at": 1774749600.0, "last_at": 1774746000.0})

    await database.write(filed)
    await database.write(pause_schedule, "hourly", paused=True)
    said = await run(address(house), "schedules")
    assert said.stdout.decode().splitlines() == [
        "hourly  0 * * * *  UTC  paused  last 2026-03-29 01:00+00:00",
        "nightly  30 2 * * *  Europe/Berlin  next 2026-03-29 03:30+02:00  never filed",
    ]
    found = json.loads((await run(address(house), "schedules", "--json")).stdout)
    assert found["data"][1] == {
        "object": "frontdesk.schedule", "name": "nightly", "cron": "30 2 * * *", "timezone": "Europe/Berlin",
        "missed": "all", "paused": False, "next_at": 1774747800.0, "last_at": None,
    }  # fmt: skip


def test_a_time_zone_that_is_not_known_here_is_shown_in_utc() -> None:
    one = {"name": "a", "cron": "0 * * * *", "timezone": "Mars/X", "paused": False, "next_at": 0.0, "last_at": None}
    assert schedule_line(one) == "a  0 * * * *  Mars/X  next 1970-01-01 00:00+00:00  never filed"
