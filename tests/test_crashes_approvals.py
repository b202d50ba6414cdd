"""A server killed around the commits by which approvals and outputs are asked for, accepted and gone on with: nothing
is asked for twice, no answer is lost, no call is forgotten.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from frontdesk.agents.history import StoredItem, model_items, validate_items
from frontdesk.tests.playback.caller import Caller
from frontdesk.tests.playback.process import ServerProcess

THEIRS: Any = {"type": "function", "name": "theirs", "parameters": {"type": "object", "properties": {}}}
# Which commit: of an input, of a turn's beginning, of a reply that asks, of a response that ends (the fifth parks a
# delegated run).
PLACES = [
    "accept_create:3", "accept_create:5", "begin_turn:3", "save_reply:1", "finish_turn:1",
    "finish_turn:5",
]  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path)
    yield process
    process.stop()


def yes(request: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}]


def asked(caller: Caller, amount: int) -> dict[str, Any] | None:
    """The request for an approval of this amount."""
    done = (event["item"] for event in caller.events.values() if event["type"] == "response.output_item.done")
    requests = (item for item in done if item["type"] == "mcp_approval_request")
    return next((item for item in requests if from_json(item["arguments"]) == {"amount": amount}), None)


async def session(server: ServerProcess) -> dict[str, Any]:
    """A call of each kind that asks for something, and what was said to it."""
    async with Caller(server) as caller:
        script: Any = [[["pay", {"amount": 7}], ["note", {"text": "a"}], ["theirs", {}]], "paid"]
        answers = [await caller.say("one", script, tools=[THEIRS])]
        (call,) = (item for item in answers[0]["output"] if item["type"] == "function_call")
        output = [{"type": "function_call_output", "call_id": call["call_id"], "output": "there"}]
        answers.append(await caller.say("two", "", input=output))
        answers.append(await caller.say("three", "", input=yes(await caller.until(lambda: asked(caller, 7)))))
        below = '[[["pay", {"amount": 8}]], "from below"]'
        file = [
            "create_task",
            {"task": {"name": "helper", "arguments": {"input": below}}, "title": None, "again": None},
        ]
        answers.append(await caller.say("four", [[file], "filed"]))
        request = await caller.until(lambda: asked(caller, 8))
        answers.append(await caller.say("five", "", input=yes(request)))
        await caller.until(lambda: caller.tasks()["T1"]["status"] == "succeeded")
        await caller.until(lambda: rows(server, LIVE) == [(0,)])
        paid = set((server.folder / "paid").read_text().splitlines())
        return {
            "answers": [summary(one) for one in answers[:3]],
            "paid": sorted(line.split()[0] for line in paid),
            **stored(server),
        }


def summary(response: dict[str, Any]) -> Any:
    calls = [item for item in response["output"] if item["type"] == "mcp_call" and item["name"] != "check_task"]
    said = [item["content"][0]["text"] for item in response["output"] if item["type"] == "message"]
    outputs = [(item["name"], item["output"] if item["name"] in ("pay", "note") else "") for item in calls]
    asks = sorted(
        item["name"] for item in response["output"] if item["type"] in ("mcp_approval_request", "function_call")
    )
    return response["status"], outputs, asks, said


LIVE = "SELECT count(*) FROM frontdesk_task WHERE finished_at IS NULL"
ITEMS = "SELECT conversation_id, id, response_id, step, status, agent, body FROM frontdesk_item ORDER BY 1, position"
REQUIRED = "SELECT kind, answered_by IS NULL, task_id <> '' FROM frontdesk_required ORDER BY 1, 2, 3"


def rows(server: ServerProcess, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{server.database}?mode=ro", uri=True, timeout=10) as raw:
        found = raw.execute(sql).fetchall()
    raw.close()
    return found


def item(row: tuple[Any, ...]) -> StoredItem:
    _, item_id, response_id, step, status, agent, body = row
    return StoredItem(item_id, response_id, step, status, agent, from_json(body))


def stored(server: ServerProcess) -> dict[str, Any]:
    """A valid history, in which each call has run once; everything that was asked for is answered."""
    found = rows(server, ITEMS)
    for conversation in {row[0] for row in found}:
        items = [item(row) for row in found if row[0] == conversation]
        assert validate_items(model_items(items, model="playback")) == []
        assert not [one for one in items if one.status == "in_progress"]
    kinds = [from_json(row[6])["type"] for row in found]
    return {
        "required": rows(server, REQUIRED),
        "asks": kinds.count("mcp_approval_request"),
        "calls": kinds.count("mcp_call"),
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How the session ends when nothing is killed."""
    process = ServerProcess(tmp_path_factory.mktemp("undisturbed"))
    process.start()
    try:
        return asyncio.run(session(process))
    finally:
        process.stop()


def test_undisturbed_each_call_is_asked_about_and_run(undisturbed: dict[str, Any]) -> None:
    assert undisturbed["answers"] == [
        ("completed", [("note", "noted a")], ["pay", "theirs"], []),
        ("completed", [], [], []),
        ("completed", [("pay", "paid 7")], [], ["paid"]),
    ]
    assert undisturbed["paid"] == ["7", "8"]
    assert [unanswered for _, unanswered, _ in undisturbed["required"]] == [0, 0, 0, 0]


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("place", PLACES)
async def test_killed_while_something_is_asked_for_the_session_ends_as_if_nothing_had_happened(
    server: ServerProcess, undisturbed: dict[str, Any], side: str, place: str
) -> None:
    server.start(f"{side}:{place}")
    ended = await session(server)
    assert server.kills == 1, f"the session never reached {side}:{place}"
    assert ended == undisturbed
