"""The programs in docs/agents.md do what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from frontdesk.agents import Context, Desk
from frontdesk.agents.tool import Tool
from frontdesk.tasks.errors import ArgumentsError, ToolError

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "agents.md").read_text("utf-8")
PROGRAMS = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "\ndesk = Desk(" in code]


def program(word: str) -> Desk[Any]:
    """The desk of the page's one program that holds a word."""
    (code,) = [one for one in PROGRAMS if word in one]
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(code, "docs/agents.md", "exec", dont_inherit=True), names)
    desk: Desk[Any] = names["desk"]
    return desk


def test_three_forms_are_three_tools() -> None:
    specs = program("as_tool").catalogs["triage"].specs
    assert [spec.name for spec in specs][:3] == ["translator", "transfer_to_orders", "create_task"]
    assert list(specs[0].parameters["properties"]) == ["input"]
    assert program("as_tool").catalogs["triage"].delegates == {"research"}


async def test_what_is_hidden_is_injected_and_a_toolset_has_its_services() -> None:
    desk = program("Toolset")
    tools: dict[str, Tool] = dict(desk.catalogs["counter"].tools)
    assert set(tools) == {"stock", "who", "orders-reserve", "orders-release"}
    context = Context(desk.dependencies, "conv_1", "resp_1", "call_1", "counter", "acme", "key")
    assert list(tools["stock"].spec().parameters["properties"]) == ["item"]
    assert await tools["orders-reserve"].call('{"item": "pen", "quantity": 2}', context) == "2 put aside"
    assert await tools["stock"].call('{"item": "pen"}', context) == 1
    assert await tools["who"].call("", context) == "acme"
    with pytest.raises(ToolError, match="there are 1 of 'pen'"):
        await tools["orders-reserve"].call('{"item": "pen", "quantity": 2}', context)
    with pytest.raises(ArgumentsError, match="quantity: 11 is wrong"):
        await tools["orders-reserve"].call('{"item": "pen", "quantity": 11}', context)
