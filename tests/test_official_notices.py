"""What enters a conversation beside a person's inputs, by the official client: notices, and steers that wait for an
output of the client.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.resources.responses.responses import AsyncResponsesConnection

from frontdesk.agents.models.scripted import call, calls, say, wait
from frontdesk.tests.served import House, file_errand, open_house
from frontdesk.tests.talk import ask, connected, final, input_of, send, text_of, until

WEATHER: Any = {"type": "function", "name": "weather"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as found:
        yield found


@pytest.fixture
async def connection(house: House) -> AsyncGenerator[AsyncResponsesConnection]:
    async with connected(house) as found:
        yield found


async def test_two_notices_in_one_turn_name_both_tasks(house: House, connection: AsyncResponsesConnection) -> None:
    house.lines["file"] = (calls(file_errand("one"), file_errand("two")), "Both are being done.")
    house.lines["talk"] = wait(house.gates["talk"]) + say("said")
    conversation = (await ask(connection, "file")).conversation.id
    await connection.response.create(model="house", input="talk", conversation=conversation)
    await house.gates["talk"].reached()
    await send(connection, "frontdesk:subscribe", conversation=conversation)
    await until(connection, "frontdesk:subscribed")
    ids: set[str] = set()
    for name in ("one", "two"):
        house.gates[name].open()
        finished: Any = await until(connection, "frontdesk:task.finished")
        ids.add(finished.task["id"])
    house.gates["talk"].open()
    assert text_of(await final(connection)) == "said"
    notice = await final(connection, f"frontdesk.{conversation}")
    assert set(notice.metadata["frontdesk:trigger"].split(",")) == ids
    assert len(ids) == 2
    assert [item.name for item in notice.output[:-1]] == ["check_task", "check_task"]


async def test_a_steer_that_waits_for_the_clients_output_is_told_and_goes_before_it(
    house: House, connection: AsyncResponsesConnection
) -> None:
    both = calls(call("hold", {"name": "desk"}), call("weather", {}, call_id="c1"))
    house.lines["both"] = (both, "never said")
    await connection.response.create(model="house", input="both", tools=[WEATHER], stream_id="a")
    target = (await until(connection, "response.created")).response.id
    await house.gates["desk"].reached()
    await connection.response.steer(input="in Oslo", previous_response_id=target)
    accepted: Any = await until(connection, "response.steer.accepted")
    house.gates["desk"].open()
    ended = await final(connection, "a")
    assert (ended.id, ended.status) == (target, "completed")
    pending: Any = await until(connection, "response.steer.pending")
    assert (pending.stream_id, pending.steer.id, pending.reason) == (
        "a", accepted.steer.id, "waiting_for_required_input",
    )  # fmt: skip
    assert [one.to_dict() for one in pending.required_input] == [
        {"type": "function_call_output", "call_id": "c1", "name": "weather"}
    ]
    output: Any = [{"type": "function_call_output", "call_id": "c1", "output": "cold"}]
    await connection.response.create(model="house", input=output, previous_response_id=target, stream_id="a")
    assert text_of(await final(connection, "a")) == "You said: in Oslo"
    assert input_of(house.model.requests[-1]) == ["both", "in Oslo"]
