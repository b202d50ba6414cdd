"""Titles of tasks, in any language."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, say
from frontdesk.tests.fakes.office import office

TITLES = ["مهمة طويلة \u202e‏", "작업 🧹👩‍👩‍👧", "two\nlines\ttabbed", "a\0b", "e\u0301" * 400, "'; DROP TABLE--", "  "]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_title_is_in_any_language(tmp_path: Path, engine: str, request: pytest.FixtureRequest) -> None:
    url = None if engine == "sqlite" else request.getfixturevalue("postgresql").create()
    gate = Gate()

    @tool
    async def hold() -> str:
        """Holds."""
        await gate.wait()
        return "{}"

    def expert(request: ModelRequest) -> ScriptedReply:
        return say("Done.") if request.items[-1].get("output") else call("hold")

    def triage(request: ModelRequest) -> ScriptedReply:
        text = str(request.items[-1].get("content"))
        if request.items[-1].get("role") != "user" or "title" not in text:
            return call("list_tasks") if "last" in text else say("Ok.")
        title = TITLES[int(request.items[-1]["content"][0]["text"].split()[1])]
        task = {"name": "painter", "arguments": {"input": "Paint it."}}
        return call("create_task", {"task": task, "title": title, "again": True})

    painter = Agent("painter", model=ScriptedModel(expert), tools=[hold])
    one_desk = Desk(Agent("triage", delegates=[painter], model=ScriptedModel(triage)))
    async with office(one_desk, tmp_path, url=url) as at:
        one = None
        for number in range(len(TITLES)):
            accepted = await at.create(f"title {number}", one)
            await at.ended(accepted)
            one = accepted.conversation_id
        rows = [await at.task(f"T{number + 1}", str(one)) for number in range(len(TITLES))]
        told = [event["task"]["title"] for event in at.said(str(one), "frontdesk:task.created")]
        gate.open()
        await at.quiet(str(one))
    expected = [(title.replace("\0", "")[:500]) or "painter" for title in TITLES]
    assert [row["title"] for row in rows] == expected
    assert told == expected
