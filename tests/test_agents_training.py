"""Conversations as fine-tuning data: what is an example, and how each trainer wants it. And the command, on a real
database."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.history import StoredItem
from frontdesk.agents.model import JSON
from frontdesk.agents.training import Example, examples
from frontdesk.agents.training_formats import hermes, mistral, openai
from frontdesk.tests import forked

PROGRAM = [sys.executable, "-c", "from frontdesk.server.cli import main; main()"]


@tool
async def look(id: int) -> str:
    """Looks up."""
    return str(id)


def a_desk() -> Desk[Any]:
    clerk = Agent("clerk", "You look orders up.", tools=[look], handoffs=["triage"])
    return Desk(Agent("triage", "You answer first.", handoffs=[clerk]), name="shop")


def item(number: int, agent: str, body: JSON, *, response: str = "r1", step: int = 1) -> StoredItem:
    return StoredItem(f"i{number}", response, step, "completed", agent, body)


def message(role: str, text: str) -> JSON:
    return {"type": "message", "role": role, "content": text}


def called(label: str, name: str, arguments: JSON, output: str, call_id: str) -> JSON:
    return {
        "type": "mcp_call", "id": f"mcp_{call_id}", "server_label": label, "name": name, "output": output,
        "arguments": to_json(arguments).decode(), "frontdesk:call_id": call_id,
    }  # fmt: skip


HISTORY = [
    item(1, "", message("user", "Where is order 7?"), step=0),
    item(2, "triage", message("assistant", "One moment.")),
    item(3, "triage", called("handoff", "transfer_to_clerk", {}, "clerk has taken over.", "call_a")),
    item(4, "clerk", called("desk", "look", {"id": 7}, "left", "call_b"), step=2),
    item(5, "clerk", called("desk", "look", {"id": 8}, "waits", "call_c"), step=2),
    item(6, "clerk", message("assistant", "It has left."), step=3),
    item(7, "", message("user", "Thanks!"), response="r2", step=0),
]


def found() -> list[Example]:
    return list(examples(HISTORY, a_desk().catalogs))


def test_an_example_is_what_one_agent_saw_and_did() -> None:
    first, second = found()
    assert (first.agent, first.instructions, first.context) == ("triage", "You answer first.", 0)
    assert [one["role"] for one in first.messages] == ["user", "assistant"], "it ends with what the agent did"
    assert (second.agent, second.instructions, second.context) == ("clerk", "You look orders up.", 1)
    assert [one["role"] for one in second.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
        "tool",
        "assistant",
    ]
    assert [one.name for one in second.tools] == ["look", "transfer_to_triage"]


def test_what_agents_said_that_are_gone_is_context() -> None:
    desk: Desk[Any] = Desk(Agent("clerk", "You look orders up.", tools=[look]))
    (only,) = examples(HISTORY, desk.catalogs)
    assert (only.agent, only.context) == ("clerk", 1)


def test_nothing_said_is_no_example() -> None:
    assert list(examples(HISTORY[:1], a_desk().catalogs)) == []
    assert list(examples([], a_desk().catalogs)) == []


def test_openai_has_tools_and_learns_from_this_agent_alone() -> None:
    line = openai(found()[1])
    assert line["messages"][0] == {"role": "system", "content": "You look orders up."}
    weights = [one.get("weight", 1) for one in line["messages"] if one["role"] == "assistant"]
    assert weights == [0, 1, 1]
    ids = [call["id"] for one in line["messages"] for call in one.get("tool_calls", ())]
    assert ids == [one["tool_call_id"] for one in line["messages"] if one["role"] == "tool"]
    assert line["tools"][0]["function"]["name"] == "look"
    assert line["parallel_tool_calls"] is True


def test_mistral_has_short_ids_names_and_text_everywhere() -> None:
    line = mistral(found()[1])
    ids = [call["id"] for one in line["messages"] for call in one.get("tool_calls", ())]
    assert all(re.fullmatch(r"[A-Za-z0-9]{9}", one) for one in ids)
    outputs = [one for one in line["messages"] if one["role"] == "tool"]
    assert [one["tool_call_id"] for one in outputs] == ids
    assert [one["name"] for one in outputs] == ["transfer_to_clerk", "look", "look"]
    assert all(isinstance(one["content"], str) for one in line["messages"])


def test_hermes_has_turns_with_marks() -> None:
    turns = hermes(found()[1])["conversations"]
    assert [one["from"] for one in turns] == ["system", "human", "gpt", "tool", "gpt", "tool", "gpt"]
    assert "<tools>" in turns[0]["value"]
    assert turns[2]["value"].startswith("One moment.\n<tool_call>")
    assert turns[4]["value"].count("<tool_call>") == 2
    assert turns[5]["value"].count("<tool_response>") == 2


def run(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *arguments, "shop:desk", "--database", "sqlite:///desk.db"]
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    return forked.run(command, cwd=folder, env=env, input=given, text=True, check=True, capture_output=True, timeout=60)


def test_the_command_writes_what_was_said(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from frontdesk.agents import Agent, Desk\ndesk = Desk(Agent('clerk', 'You help.'), name='shop')\n"
    )
    run(tmp_path, "chat", given="hello\n")
    assert "hello" in json.dumps(json.loads(run(tmp_path, "export").stdout))
    done = run(tmp_path, "export", "--format", "hermes", "--output", "out.jsonl")
    assert done.stdout == "1 example in out.jsonl\n"
    (line,) = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["conversations"][1] == {"from": "human", "value": "hello"}
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o077 == 0
    nothing = run(tmp_path, "export", "--conversation", "conv_0")
    assert nothing.stdout == ""
    assert "there is no conversation" in nothing.stderr
