"""A server killed around the commits by which a delegated agent asks and is answered: each question is asked once, and
its answer reaches the run.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from frontdesk.tests.playback.caller import Caller
from frontdesk.tests.playback.process import ServerProcess

# Odd ones park; even ones are the same call, gone on with: answered, answered, withdrawn.
PLACES = [
    "before:ask:1", "after:ask:1", "before:ask:2", "after:ask:2", "before:ask:6", "after:ask:6", "after:answer_task",
    "after:give_answer",
]  # fmt: skip
ASKED: dict[str, Any] = {"question": "How deep?"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path)
    yield process
    process.stop()


async def session(server: ServerProcess) -> dict[str, Any]:
    """A question that the person answers, one that the agent answers which delegated, one that is withdrawn."""
    async with Caller(server) as caller:
        answers = [await asking(caller, "T1")]
        answer = {"type": "frontdesk:answer", "task_id": caller.tasks()["T1"]["id"], "answer": "very"}
        await caller.until(lambda: caller.tasks()["T1"]["status"] == "succeeded", answer)
        answers.append(await asking(caller, "T2"))
        answers.append(await caller.say("told-T2", [[["answer_task", {"task": "T2", "answer": "a bit"}]], "told"]))
        await caller.until(lambda: caller.tasks()["T2"]["status"] == "succeeded")
        answers.append(await asking(caller, "T3"))
        message = json.dumps(["never mind"])
        answers.append(await caller.say("told-T3", [[["update_task", {"task": "T3", "message": message}]], "told"]))
        await caller.until(lambda: caller.tasks()["T3"]["status"] == "succeeded")
        await caller.until(lambda: rows(server, LIVE) == [(0,)])
        return {
            "answers": [(one["status"], one["output"][-1]["content"][0]["text"]) for one in answers],
            "results": {label: task["result"] for label, task in caller.tasks().items()},
            "outputs": outputs(server),
            "notices": rows(server, NOTICES),
            "open": rows(server, OPEN),
        }


async def asking(caller: Caller, label: str) -> dict[str, Any]:
    """Files a run that asks, and waits for its question."""
    task = {"name": "helper", "arguments": {"input": json.dumps([[["ask", ASKED]], "deep enough"])}}
    file = ["create_task", {"task": task, "title": label, "again": True}]
    response = await caller.say(label, [[file], "filed"])
    await caller.until(lambda: caller.tasks().get(label, {}).get("question"))
    return response


LIVE = "SELECT count(*) FROM frontdesk_task WHERE finished_at IS NULL"
NOTICES = (
    "SELECT json_extract(payload, '$.task.label'), json_extract(payload, '$.task.status'), count(*), "
    "min(taken_by IS NOT NULL) FROM frontdesk_inbox WHERE kind = 'notice' GROUP BY 1, 2 ORDER BY 1, 2"
)
OPEN = "SELECT count(*) FROM frontdesk_durable_call"
ITEMS = "SELECT body FROM frontdesk_item ORDER BY id"


def rows(server: ServerProcess, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{server.database}?mode=ro", uri=True, timeout=10) as raw:
        found = raw.execute(sql).fetchall()
    raw.close()
    return found


def outputs(server: ServerProcess) -> list[str]:
    """What the calls of `ask` were answered with."""
    bodies = [from_json(row[0]) for row in rows(server, ITEMS)]
    return sorted(body["output"] for body in bodies if body["type"] == "mcp_call" and body["name"] == "ask")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How the session ends when nothing is killed."""
    process = ServerProcess(tmp_path_factory.mktemp("undisturbed"))
    process.start()
    try:
        return asyncio.run(session(process))
    finally:
        process.stop()


def test_undisturbed_each_question_is_asked_once_and_answered(undisturbed: dict[str, Any]) -> None:
    assert [from_json(one)["answer"] for one in undisturbed["outputs"]] == ["a bit", "very", None]
    assert undisturbed["results"] == {"T1": "deep enough", "T2": "deep enough", "T3": "never mind"}
    ended, asked = "succeeded", "waiting"
    assert undisturbed["notices"] == [(f"T{n}", status, 1, 1) for n in (1, 2, 3) for status in (ended, asked)]
    assert undisturbed["open"] == [(0,)]


@pytest.mark.parametrize("place", PLACES)
async def test_killed_while_an_agent_asks_the_session_ends_as_if_nothing_had_happened(
    server: ServerProcess, undisturbed: dict[str, Any], place: str
) -> None:
    server.start(place)
    ended = await session(server)
    assert server.kills == 1, f"the session never reached {place}"
    assert ended == undisturbed
