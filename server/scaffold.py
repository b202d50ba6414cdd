"""The files that ``frontdesk new`` writes: a desk with a tool, a task, a specialist, and tests that pass."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Final

from ..agents.errors import DeskError

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

DESK: Final = '''\
"""The desk {name}: who answers, who knows what, and what runs in the background."""

from frontdesk.agents import Agent, Desk, ToolError, tool
from frontdesk.tasks import TaskContext, task

ORDERS = {{7: "left the warehouse this morning", 8: "waits for its payment"}}


@tool
async def order_status(order_id: int) -> str:
    """Where an order is."""
    if order_id not in ORDERS:
        raise ToolError(f"There is no order {{order_id}}. Ask for the number on the receipt.")
    return f"Order {{order_id}} {{ORDERS[order_id]}}."


@task(idempotent=True, timeout=600)
async def count_orders(context: TaskContext) -> dict[str, int]:
    """Counts all orders, one by one."""
    for number, order_id in enumerate(ORDERS, start=1):
        await context.progress(number / len(ORDERS), f"order {{order_id}}")
    return {{"orders": len(ORDERS)}}


orders = Agent("orders", "You answer questions about orders.", tools=[order_status], handoffs=["triage"])
triage = Agent(
    "triage",
    "You are the first to answer. Hand questions about orders over to orders; file long jobs as tasks.",
    handoffs=[orders],
    tasks=[count_orders],
)
desk = Desk(triage, name="{name}")
'''

TESTS: Final = '''\
"""Tests of the desk: its tools and tasks really run, its models are played by scripts. No network, no key."""

import pytest
from frontdesk.agents.testing import assert_calls, call, rehearsal, say

from {name}_desk import desk

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_question_about_an_order_is_answered_by_who_knows_it() -> None:
    script = [call("transfer_to_orders"), call("order_status", {{"order_id": 7}}), say("It has left the warehouse.")]
    async with rehearsal(desk, script) as at_work:
        answer = await at_work.ask("Where is order 7?")
    assert (answer.agent, answer.text) == ("orders", "It has left the warehouse.")
    assert_calls(answer, "transfer_to_orders", ("order_status", {{"order_id": 7}}))


async def test_counting_runs_in_the_background_and_its_end_is_told() -> None:
    job = {{"name": "count_orders", "arguments": {{}}}}
    filing = call("create_task", {{"task": job, "title": None, "again": None}})
    async with rehearsal(desk, [filing, say("I am counting."), say("There are two.")]) as at_work:
        answer = await at_work.ask("How many orders are there?")
    assert answer.text == "There are two."
    assert [(task["name"], task["status"], task["result"]) for task in answer.tasks] == [
        ("count_orders", "succeeded", {{"orders": 2}})
    ]
'''

README: Final = """\
# {name}

A desk made with [Frontdesk](https://pypi.org/project/frontdesk/).

    pip install frontdesk pytest
    frontdesk chat {name}_desk:desk         # talk to it here; without OPENAI_API_KEY a rule-based stand-in answers
    frontdesk serve {name}_desk:desk        # serve it to clients of OpenAI's Responses API
    frontdesk check {name}_desk:desk        # look it over, and draw it (--svg desk.svg)
    pytest                                # its tests
"""


def write_desk(name: str, parent: Path) -> list[Path]:
    """Writes a new desk into the folder ``name`` of ``parent``; the files, in the order to read them.

    Raises DeskError: a name that Python cannot import, or a folder that holds something already; nothing was written.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise DeskError(f"{name!r} cannot be a desk's name here: a small letter, then small letters, digits or '_'")
    folder = parent / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DeskError(f"the folder {folder} is not empty; choose another name, or empty it")
        files = {f"{name}_desk.py": DESK, f"test_{name}_desk.py": TESTS, "README.md": README}
        for file, text in files.items():
            (folder / file).write_text(text.format(name=name), encoding="utf-8")
    except OSError as error:
        raise DeskError(f"{folder} cannot be written: {error.strerror}") from error
    return [folder / file for file in files]
