"""The session that a person types at the demo desk, offline, over a real socket, with the server killed in the
middle."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frontdesk.tests.playback.caller import Caller
from frontdesk.tests.playback.process import ServerProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """The demo desk on a folder with a table, and with two files so large that comparing them takes as long as the
    test."""
    data = tmp_path / "files" / "data"
    data.mkdir(parents=True)
    with (data / "sales.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["day", "amount"], *(["2026-01-05", number] for number in range(200))])
    for name in ("one.bin", "other.bin"):
        with (tmp_path / "files" / name).open("wb") as file:
            file.truncate(200 * 2**30)  # sparse: it takes no space
    process = ServerProcess(tmp_path, desk="front_desk")
    process.start()
    yield process
    process.stop()


def said(response: dict[str, Any]) -> str:
    return "\n".join(item["content"][0]["text"] for item in response["output"] if item["type"] == "message")


def agent(response: dict[str, Any]) -> str:
    return str([item["agent"]["agent_name"] for item in response["output"] if item["type"] == "message"][-1])


def called(response: dict[str, Any]) -> list[str]:
    return [item["name"] for item in response["output"] if item["type"] == "mcp_call"]


def messages(caller: Caller) -> list[str]:
    """Everything that the desk has said in the conversation."""
    return [
        event["item"]["content"][0]["text"]
        for event in sorted(caller.events.values(), key=lambda one: int(one["cursor"]))
        if event["type"] == "response.output_item.done" and event["item"]["type"] == "message"
    ]


async def test_the_session_works_offline_and_survives_kill_9(server: ServerProcess) -> None:
    async with Caller(server) as caller:
        await whole_session(caller, server)


async def whole_session(caller: Caller, server: ServerProcess) -> None:
    filed = await caller.say("1", "find duplicate files in . and profile data/sales.csv")
    assert called(filed).count("create_task") == 2
    assert (agent(filed), "T1 find_duplicates" in said(filed), "T2 profile_csv" in said(filed)) == ("files", True, True)

    ordered = await caller.say("2", "order a large pizza with mushrooms and pepperoni")
    assert (agent(ordered), "1 large pizza (Mushrooms, Pepperoni)" in said(ordered)) == ("orders", True)

    await caller.until(lambda: caller.tasks()["T1"]["status"] == "running")
    looked = await caller.say("3", "how is T1 doing?")
    assert "check_task" in called(looked)
    assert "T1 find_duplicates: running" in said(looked)

    await caller.until(lambda: any("T2 profile_csv finished" in text for text in messages(caller)))
    assert caller.tasks()["T2"]["result"]["rows"] == 200

    server.kill()
    cart = await caller.say("4", "show my cart")
    assert (server.kills, "arge" in said(cart)) == (1, True)
    await caller.until(lambda: caller.tasks()["T1"]["status"] == "running")

    await caller.say("5", "cancel T1")
    await caller.until(lambda: caller.tasks()["T1"]["status"] == "cancelled")

    priced = await caller.say("6", "what is the oil price in won?")
    assert sorted(set(called(priced)) & {"get_oil_price", "get_usd_krw_rate", "multiply"}) == [
        "get_oil_price",
        "get_usd_krw_rate",
        "multiply",
    ]
    assert "106,680.60" in said(priced)
    korean = await caller.say("7", "현재 WTI 석유 가격을 원화로 알려줄래?")
    assert {"get_oil_price", "get_usd_krw_rate", "multiply"} <= set(called(korean))
    assert "106,680.60" in said(korean)

    announcements = [text for text in messages(caller) if "T2 profile_csv finished" in text]
    assert len(announcements) == 1


async def test_two_lookups_of_one_question_run_side_by_side(server: ServerProcess) -> None:
    """Both calls are added before either is done."""
    async with Caller(server) as caller:
        await caller.say("1", "what is the oil price in won?")
        order = [
            event["type"].rsplit(".", 1)[-1]
            for event in sorted(caller.events.values(), key=lambda one: int(one["cursor"]))
            if event["type"].startswith("response.output_item") and event["item"].get("name", "").startswith("get_")
        ]
    assert order == ["added", "added", "done", "done"]
