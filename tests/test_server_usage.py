"""What was used, as an operator and a client see it: over HTTP and at a shell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from openai import OpenAI

from frontdesk.agents.model import Usage
from frontdesk.agents.models.scripted import call, done, say
from frontdesk.server import wire_replies
from frontdesk.tests.served import House, open_house
from frontdesk.tests.test_server_cli import home, run
from frontdesk.tests.test_server_http import ask

__all__ = ["home"]  # a fixture


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("usage")) as found:
        found.lines["cat"] = call("look", {"word": "cat"}) + done(Usage(1000, 0, 0, 200))
        found.lines["hello"] = say("Hello") + done(Usage(30, 10, 0, 20))
        yield found


def today() -> str:
    return datetime.now(UTC).date().isoformat()


async def input_tokens(address: str) -> int:
    """Of all the days that are shown."""
    return sum(day["input_tokens"] for day in (await ask(address, "GET", "/v1/usage")).body["data"])


async def test_a_conversation_and_the_day_are_counted_and_a_deleted_conversation_stays_in_the_day(house: House) -> None:
    address = house.base_url.removesuffix("/v1")
    assert (await ask(address, "GET", "/v1/usage?conversation=conv_none")).status == 404
    first, counted = today(), await input_tokens(address)
    with OpenAI(base_url=house.base_url, api_key="none") as official:
        response = official.responses.create(model="house", input="hello")
        assert response.usage is not None
        assert (response.usage.input_tokens, response.usage.output_tokens) == (30, 20)
        assert response.conversation is not None
        conversation = response.conversation.id
        (one,) = (await ask(address, "GET", f"/v1/usage?conversation={conversation}")).body["data"]
        assert (one["object"], one["conversation"], one["turns"], one["model_calls"]) == (
            "frontdesk.usage", conversation, 1, 1,
        )  # fmt: skip
        wire_replies.UsageView.model_validate(one, strict=True)
        amounts = [one[f"{kind}_tokens"] for kind in ("input", "cached", "output", "total")]
        assert amounts == [30, 10, 20, 50]
        official.conversations.delete(conversation)
    assert (await ask(address, "GET", f"/v1/usage?conversation={conversation}")).status == 404
    days = (await ask(address, "GET", "/v1/usage")).body["data"]
    assert {day["day"] for day in days} <= {first, today()}
    assert await input_tokens(address) == counted + 30


@pytest.mark.parametrize("days", ["0", "367", "-1", "many", "١"])
async def test_days_are_a_number(house: House, days: str) -> None:
    from urllib.parse import quote

    reply = await ask(house.base_url.removesuffix("/v1"), "GET", f"/v1/usage?days={quote(days)}")
    assert (reply.status, reply.body["error"]["param"]) == (400, "days")


def test_it_is_shown_at_a_shell(house: House, home: Path) -> None:
    with OpenAI(base_url=house.base_url, api_key="none") as official:
        response = official.responses.create(model="house", input="hello")
    assert response.conversation is not None
    address = house.base_url.removesuffix("/v1")
    shown = run(home, "usage", "--conversation", response.conversation.id, "--server", address)
    assert shown.stdout.startswith(f"{response.conversation.id}  1 turns  1 model calls, 0 tool calls  30 + 20 tokens")
    found = json.loads(run(home, "usage", "--days", "2", "--server", address, "--json").stdout)
    assert {one["object"] for one in found["data"]} == {"frontdesk.usage"}
