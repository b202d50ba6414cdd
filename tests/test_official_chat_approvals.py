"""Approvals through chat completions: a front end that knows none is asked in words, and answers in words."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI

from frontdesk.agents.approvals import plain_decision
from frontdesk.agents.models.scripted import call, calls, say
from frontdesk.tests.served import House, open_house

ASKED = 'May this be run: till.pay({"amount":7})?'
HOW = 'Answer "yes" to have it run, or "no" and why.'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house")) as found:
        yield found


@pytest.fixture
async def front(house: House, request: pytest.FixtureRequest) -> AsyncGenerator[Front]:
    async with house.client() as client:
        yield Front(client, request.node.name)


class Front:
    """A chat front end of one person: it holds messages and nothing else."""

    def __init__(self, client: AsyncOpenAI, who: str) -> None:
        self._client, self._who = client, who
        self._messages: list[Any] = []
        self.conversations: set[str] = set()

    async def say(self, text: str, *, stream: bool = False) -> str:
        self._messages.append({"role": "user", "content": text})
        create: Any = self._client.chat.completions.create
        found: Any = await create(model="house", messages=self._messages, user=self._who, stream=stream)
        if stream:
            chunks = [one async for one in found]
            self.conversations.add(chunks[0].conversation["id"])
            said = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
        else:
            self.conversations.add(found.conversation["id"])
            said = found.choices[0].message.content
        self._messages.append({"role": "assistant", "content": said})
        return str(said)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_person_is_asked_in_words_and_says_yes(house: House, front: Front, *, stream: bool) -> None:
    house.lines["pay seven"] = (call("till-pay", {"amount": 7}), say("It is paid."))
    assert await front.say("pay seven", stream=stream) == f"{ASKED}\n\n{HOW}"
    assert await front.say("Yes.", stream=stream) == "It is paid."
    outputs = [item for item in house.model.requests[-1].items if item.get("type") == "function_call_output"]
    assert [one["output"] for one in outputs] == ["paid 7"]
    assert len(front.conversations) == 1


async def test_a_no_is_a_refusal_with_its_reason(house: House, front: Front) -> None:
    house.lines["pay seven"] = (call("till-pay", {"amount": 7}), say("Then not."))
    await front.say("pay seven")
    assert await front.say("no, because it is too much") == "Then not."
    output = house.model.requests[-1].items[-1]["output"]
    assert (output.startswith("Refused"), "because it is too much" in output) == (True, True)


async def test_one_answer_is_for_all_that_was_asked_at_once(house: House, front: Front) -> None:
    both = calls(call("till-pay", {"amount": 7}), call("till-pay", {"amount": 8}))
    house.lines["pay both"] = (both, say("Both are paid."))
    assert 'Answer "yes" to have all of them run' in await front.say("pay both")
    assert await front.say("ok") == "Both are paid."
    outputs = [item for item in house.model.requests[-1].items if item.get("type") == "function_call_output"]
    assert sorted(one["output"] for one in outputs) == ["paid 7", "paid 8"]


async def test_another_message_is_no_answer_and_a_later_yes_is_not_one_either(house: House, front: Front) -> None:
    """Between them the model may have asked something else."""
    house.lines["pay seven"] = (call("till-pay", {"amount": 7}), say("paid?"))
    house.lines["yes, but what is it for"] = "For the pizza. Shall I go on?"
    house.lines["yes"] = "I cannot: it waits for your approval."
    await front.say("pay seven")
    assert await front.say("yes, but what is it for") == "For the pizza. Shall I go on?"
    assert await front.say("yes") == "I cannot: it waits for your approval."
    assert len(front.conversations) == 1


@pytest.mark.parametrize(
    ("text", "approve"),
    [
        ("Yes!", True),
        ("ok", True),
        ("yes, half of it", None),
        ("no", False),
        ("No, never", False),
        ("now", None),
        ("", None),
    ],
)
def test_what_is_an_answer(text: str, approve: bool | None) -> None:
    found = plain_decision(text)
    assert (None if found is None else found["approve"]) is approve
