"""A server killed just before and just after every commit that its code knows: the session ends as if nothing had
happened.

The list of commits is the code's own (`broker.failpoints.operations`); a new write path appears here by itself.
"""

from __future__ import annotations

import ast
import importlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic_core import from_json

from frontdesk.agents.history import StoredItem, model_items, validate_items
from frontdesk.broker.failpoints import operations
from frontdesk.tests.chaos.scale import LONG
from frontdesk.tests.playback.caller import Caller
from frontdesk.tests.playback.process import ServerProcess

# What only a drained worker writes, an operator asks for, or needs a receiver: tests of their own kill it there.
ELSEWHERE = {
    "give_up", "release", "release_all", "retry_task", "set_paused", "file_task",
    "fire_schedules", "pause_schedule", "register_schedules",
    "issue_token", "revoke_token", "set_quota", "claim_deliveries", "settle_delivery", "give_back_deliveries",
    "start_conversation", "update_conversation", "add_items", "delete_item", "delete_conversation", "delete_response",
    "shorten_log", "remove_conversation", "prune", "keep_unstored", "ask", "count_beside",
}  # fmt: skip
UNTOLD = {"double", "inner"}
ROOT = Path(__file__).resolve().parent.parent
for room in ("broker", "agents", "server"):
    for path in sorted((ROOT / room).glob("*.py")):  # importing a module declares its operations
        importlib.import_module(f"frontdesk.{room}.{path.stem}".removesuffix(".__init__"))


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path, url=url)
    yield process
    process.stop()


def filed(name: str, **arguments: Any) -> list[Any]:
    return ["create_task", {"task": {"name": name, "arguments": arguments}, "title": None, "again": None}]


async def session(server: ServerProcess) -> dict[str, Any]:
    """Everything that a person can do with the desk; what is left of it at the end, without ids and times."""
    async with Caller(server) as caller:
        answers = [await caller.say("one", [[filed("double", number=4), ["note", {"text": "a"}]], "filed"])]
        wait = ["wait_for_tasks", {"tasks": ["T1"], "until": None, "timeout_seconds": None}]
        answers.append(await caller.say("two", [[wait], [["check_task", {"task": "T1"}]], "waited"]))
        answers.append(await caller.say("three", [[filed("family", number=3), filed("second_try")], "family"]))
        await caller.until(lambda: caller.tasks().get("T2", {}).get("question"))
        answer = {"type": "frontdesk:answer", "task_id": caller.tasks()["T2"]["id"], "answer": "blue"}
        await caller.until(lambda: caller.tasks()["T2"]["status"] == "succeeded", answer)
        handoff: list[Any] = [["note", {"text": "b"}], ["transfer_to_other", {}]]
        answers.append(await caller.say("four", [handoff, [filed("forever")], "moved"]))
        label = next(label for label, task in caller.tasks().items() if task["name"] == "forever")
        await caller.until(lambda: caller.tasks()[label]["status"] == "running")
        answers.append(await caller.say("five", [[["cancel_task", {"task": label}]], "cancelling"]))
        await caller.until(lambda: caller.tasks()[label]["status"] == "cancelled")
        answers += await steered(caller, server)
        answers.append(await cancelled(caller))
        answers.append(await delegated(caller, server))
        answers.append(await caller.say("ten", [[filed("asking")], "asking"]))
        label = next(label for label, task in caller.tasks().items() if task["name"] == "asking")
        await caller.until(lambda: caller.tasks()[label]["question"])
        answers.append(await caller.say("eleven", [[["answer_task", {"task": label, "answer": "yes"}]], "answered"]))
        nested = ["inner", {"input": '[[["note", {"text": "within"}]], "from within"]'}]
        answers.append(await caller.say("twelve", [[nested, ["note", {"text": "beside"}]], "nested"]))
        await caller.until(lambda: all(task["finished_at"] for task in caller.tasks().values()))
        await caller.until(lambda: announced(server) == sorted(unheard(caller)))
        await caller.until(lambda: quiet(server))
        return {"answers": [summary(one) for one in answers], "tasks": finals(caller), **stored(server)}


async def steered(caller: Caller, server: ServerProcess) -> list[dict[str, Any]]:
    create = caller.create("six", [[["hold", {"name": "first"}]], "never said"])

    def created() -> Any:
        return next(
            (
                one["response"]["id"]
                for one in caller.events.values()
                if one["type"] == "response.created" and one["response"]["metadata"].get("frontdesk:input_id") == "six"
            ),
            None,
        )

    response_id = await caller.until(created, create)
    steer = {
        "type": "response.steer",
        "previous_response_id": response_id,
        "input": '["steered"]',
        "frontdesk:input_id": "seven",
    }
    known = len(caller.others)
    await caller.until(lambda: [one for one in caller.others[known:] if "steer" in one["type"]], steer)
    (server.folder / "first").touch()

    def successor() -> Any:
        return next(
            (
                one["response"]
                for one in caller.events.values()
                if one["type"] == "response.completed" and one["response"]["previous_response_id"] == response_id
            ),
            None,
        )

    after = await caller.until(successor)
    first = caller.terminal("six")
    assert first is not None
    return [first["response"], after]


async def cancelled(caller: Caller) -> dict[str, Any]:
    create = caller.create("eight", [[["hold", {"name": "never"}]], "never said"])

    def holding() -> Any:
        return next(
            (
                one["response_id"]
                for one in caller.events.values()
                if one["type"] == "response.mcp_call_arguments.done" and "never" in one["arguments"]
            ),
            None,
        )

    response_id = await caller.until(holding, create)
    terminal = await caller.until(
        lambda: caller.terminal("eight"), {"type": "frontdesk:cancel", "response_id": response_id}
    )
    response: dict[str, Any] = terminal["response"]
    return response


async def delegated(caller: Caller, server: ServerProcess) -> dict[str, Any]:
    script = '[[["hold", {"name": "deep"}], ["note", {"text": "deep"}]], "from below"]'
    update = ["update_task", {"task": "T7", "message": '["told"]'}]
    response = await caller.say("nine", [[filed("helper", input=script)], [update], "delegated"])
    (server.folder / "deep").touch()
    return response


def summary(response: dict[str, Any]) -> list[Any]:
    """What a response came to: its state, and its calls with their outputs. Texts of notices may come in either of
    two turns."""
    calls = [
        (item["name"], item["output"] if item["name"] in ("note", "hold", "inner") else item["status"])
        for item in response["output"]
        if item["type"] == "mcp_call" and item["name"] != "check_task"
    ]
    said = [item["content"][0]["text"] for item in response["output"] if item["type"] == "message"]
    return [response["status"], calls, said[-1:]]


def finals(caller: Caller) -> list[Any]:
    """How every task ended. Two that are filed at once may have their labels either way round."""
    return sorted(([task["name"], task["status"], task["result"]] for task in caller.tasks().values()), key=str)


def unheard(caller: Caller) -> list[str]:
    """Tasks whose end the conversation is told: all but the children of a function, and agents that are tools."""
    return [task["id"] for task in caller.tasks().values() if task["name"] not in UNTOLD or task["label"] == "T1"]


def rows(server: ServerProcess, sql: str) -> list[tuple[Any, ...]]:
    if not server.store_url.startswith("sqlite"):
        with psycopg.connect(server.store_url) as opened:
            return list(opened.execute(sql.encode()).fetchall())
    path = server.store_url.removeprefix("sqlite:///")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as raw:
        found = raw.execute(sql).fetchall()
    raw.close()
    return found


def announced(server: ServerProcess) -> list[str]:
    """Whose final notices have entered the conversation."""
    sql = "SELECT target_id, payload FROM frontdesk_inbox WHERE kind IN ('notice', 'note') AND taken_by IS NOT NULL"
    return sorted(str(target) for target, payload in rows(server, sql) if from_json(payload)["task"]["finished_at"])


def quiet(server: ServerProcess) -> bool:
    live = "SELECT count(*) FROM frontdesk_task WHERE status IN ('queued', 'running', 'waiting')"
    return rows(server, live) == [(0,)]


def item(row: tuple[Any, ...]) -> StoredItem:
    _, item_id, response_id, step, status, agent, body = row
    return StoredItem(item_id, response_id, step, status, agent, from_json(body))


def stored(server: ServerProcess) -> dict[str, Any]:
    """What the database holds: each input once, each notice once, a valid history, no run left behind."""
    found = rows(
        server,
        "SELECT conversation_id, id, response_id, step, status, agent, body FROM frontdesk_item ORDER BY 1, position",
    )
    items = [item(row) for row in found]
    assert not [one for one in items if one.status == "in_progress"]
    for conversation in {row[0] for row in found}:
        own = [item(row) for row in found if row[0] == conversation]
        assert validate_items(model_items(own, model="playback")) == []
    notices = Counter(
        one.body["output"]
        for one in items
        if one.body["type"] == "mcp_call" and str(one.body["frontdesk:call_id"]).startswith("notice_")
    )
    assert max(notices.values()) == 1, notices
    inputs = [one.body["content"][0]["text"] for one in items if one.body.get("role") == "user"]
    return {
        "inputs": sorted(inputs),
        "tasks stored": rows(server, "SELECT count(*) FROM frontdesk_task WHERE kind <> 'turn' AND label <> ''"),
        "summarised": rows(server, "SELECT count(*) > 0 FROM frontdesk_summary"),
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How the session ends when nothing is killed."""
    import asyncio

    process = ServerProcess(tmp_path_factory.mktemp("undisturbed"))  # on any engine it ends in the same way
    process.start()
    try:
        return asyncio.run(session(process))
    finally:
        process.stop()


NAMES = sorted(operations() - ELSEWHERE)
# Those that meet others in one transaction on PostgreSQL alone; the long form of the chaos tests runs them all.
ON_POSTGRESQL = NAMES if LONG else ["claim", "finish"]


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(
    ("url", "name"),
    [*(("sqlite", name) for name in NAMES), *(("postgresql", name) for name in ON_POSTGRESQL)],
    indirect=["url"],
)
async def test_killed_at_a_commit_the_session_ends_as_if_nothing_had_happened(
    server: ServerProcess, undisturbed: dict[str, Any], side: str, name: str
) -> None:
    server.start(f"{side}:{name}")
    ended = await session(server)
    assert server.kills == 1, f"the session never reached {side}:{name}"
    assert ended == undisturbed


# Which argument of each of these is the function.
PLACES = {"write": 0, "write_first": 0, "write_blocking": 0, "write_freeing": 1, "take": 1}


def written() -> Iterator[tuple[str, str]]:
    """Every function that the code hands to the database as a write of its own, and where."""
    for path in sorted(path for room in ("broker", "agents", "server") for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                place = {"write": 0, "write_first": 0, "write_blocking": 0, "write_freeing": 1, "take": 1}.get(
                    node.func.attr
                )
                to = ast.unparse(node.func.value)
                if place is None or not ("database" in to or "store" in to) or len(node.args) <= place:
                    continue
                yield ast.unparse(node.args[place]).rsplit(".", 1)[-1], f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_function_that_is_written_by_itself_is_declared_as_an_operation() -> None:
    handed_on = {"_OPERATIONS[what]", "function", "operation"}
    missing = [where for name, where in written() if name not in operations() | handed_on]
    assert missing == []
