"""Items that an input names instead of holding them, through the official client: what a model is shown of them."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from frontdesk.agents import references
from frontdesk.agents.summaries import described
from frontdesk.tests.http_house import client, house, record
from frontdesk.tests.served import House
from frontdesk.tests.talk import input_of

__all__ = ["client", "house", "record"]  # fixtures


async def ask(client: AsyncOpenAI, given: Any, **fields: Any) -> Any:
    create: Any = client.responses.create
    return await create(model="house", input=given, **fields)


def named(item: Any) -> Any:
    return {"type": "item_reference", "id": item.id}


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


async def asked(client: AsyncOpenAI, response: Any) -> Any:
    """What a response was asked with."""
    return (await client.responses.input_items.list(response.id)).data[0]


async def test_what_is_said_before_the_name_of_an_item_is_not_lost(house: House, client: AsyncOpenAI) -> None:
    first = await ask(client, "the first")
    given = [said("compare this:"), named(first.output[0]), said("with that")]
    for goes_on in ({"conversation": first.conversation.id}, {"previous_response_id": first.id}):
        await ask(client, given, **goes_on)
        assert input_of(house.model.requests[-1])[-2:] == ["compare this:", "with that"]
    texts = [one["content"] for one in house.model.requests[-1].items if one.get("role") == "assistant"]
    assert texts.count("You said: the first") == 1, "it is in the conversation, and once"
    last = await ask(client, [named(first.output[0])], conversation=first.conversation.id)
    assert last.status == "completed", "what the conversation holds is answered"


@pytest.mark.parametrize("store", [True, False])
async def test_a_fork_is_shown_what_only_its_original_has(house: House, client: AsyncOpenAI, store: bool) -> None:
    first = await ask(client, "one")
    second = await ask(client, "two", previous_response_id=first.id)
    given = [named(first.output[0]), named(second.output[0]), said("three")]
    fork = await ask(client, given, previous_response_id=first.id, store=store)
    assert fork.conversation != second.conversation
    assert [one["content"] for one in house.model.requests[-1].items if one.get("role") == "assistant"] == [
        "You said: one", "You said: two",
    ]  # fmt: skip


async def test_items_of_several_conversations_are_named(house: House, client: AsyncOpenAI) -> None:
    one, other = await ask(client, "in one"), await ask(client, "in another")
    both = await ask(client, [named(one.output[0]), named(other.output[0]), said("and now?")])
    assert both.conversation == other.conversation, "the last one says which conversation it is"
    shown = described(house.model.requests[-1].items)
    assert [line for line in shown if "in one" in line] == ['{"assistant":"You said: in one"}']


async def test_names_do_not_stand_for_more_than_fits_into_an_input(
    client: AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await ask(client, "x" * 1_000)
    elsewhere = await client.conversations.create()
    monkeypatch.setattr(references, "MOST", 5_000)
    item = await asked(client, first)
    await ask(client, [named(item)] * 4, conversation=elsewhere.id)
    await ask(client, [named(item)] * 50, conversation=first.conversation.id)  # it has it already
    with pytest.raises(openai.APIStatusError, match="name fewer") as caught:
        await ask(client, [named(item)] * 5, conversation=elsewhere.id)
    assert (caught.value.status_code, caught.value.code, caught.value.param) == (413, "message_too_large", "input")


async def test_a_conversation_is_given_items_by_their_names(house: House, client: AsyncOpenAI) -> None:
    first = await ask(client, "kept elsewhere")
    made = await client.conversations.create(items=[named(first.output[0])])
    added: Any = await client.conversations.items.create(made.id, items=[named(await asked(client, first))])
    assert added.data[0].content[0].text == "kept elsewhere"
    again: Any = await client.conversations.items.create(made.id, items=[named(added.data[0])])
    assert [one.id for one in again.data] == [added.data[0].id], "it is there, as it was"
    listed: list[Any] = [item async for item in client.conversations.items.list(made.id, order="asc")]
    assert [one.content[0].text for one in listed] == ["You said: kept elsewhere", "kept elsewhere"]
    missing: Any = {"type": "item_reference", "id": "msg_nowhere"}
    for path in ("/conversations", f"/conversations/{made.id}/items"):
        with pytest.raises(openai.NotFoundError) as caught:
            await client.post(path, body={"items": [named(first.output[0]), missing]}, cast_to=object)
        assert (caught.value.code, caught.value.param) == ("item_not_found", "items[1].id")


async def test_what_is_compacted_may_be_named(client: AsyncOpenAI) -> None:
    first = await ask(client, "to be compacted")
    compacted: Any = await client.responses.compact(model="house", input=[named(await asked(client, first))])
    assert compacted.output[0].content[0].text == "to be compacted"


async def test_a_type_may_be_left_to_be_guessed(house: House, client: AsyncOpenAI) -> None:
    first = await ask(client, "of no type")
    item = await asked(client, first)
    elsewhere = await client.conversations.create()
    given = [{"type": None, "id": item.id}, {"id": item.id}, {"type": None, "role": "user", "content": "so"}]
    await ask(client, given, conversation=elsewhere.id)
    assert input_of(house.model.requests[-1]) == ["of no type", "of no type", "so"]
