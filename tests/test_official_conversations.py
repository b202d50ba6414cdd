"""The official client's conversations: made, described, their items listed, added and deleted; and what a turn then
sees."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from frontdesk.agents.models.scripted import call
from frontdesk.tests.http_house import client, house, record
from frontdesk.tests.served import House, file_errand
from frontdesk.tests.talk import input_of

__all__ = ["client", "house", "record"]  # fixtures


def said(text: str, role: str = "user") -> Any:
    return {"type": "message", "role": role, "content": text}


async def ask(client: AsyncOpenAI, given: Any, conversation: str, **fields: Any) -> Any:
    options: Any = {"model": "house", "input": given, "conversation": conversation, **fields}
    create: Any = client.responses.create
    found: Any = await create(**options)
    return found


async def texts(client: AsyncOpenAI, conversation: str, **query: Any) -> list[str]:
    listed = client.conversations.items.list(conversation, **query)
    items: list[Any] = [item async for item in listed]
    return [item.content[0].text if item.type == "message" else item.type for item in items]


async def test_a_conversation_begins_with_what_it_is_given(house: House, client: AsyncOpenAI) -> None:
    made = await client.conversations.create(
        items=[said("we spoke of Oslo"), said("Yes, of its rain.", "assistant")], metadata={"topic": "weather"}
    )
    assert made.metadata == {"topic": "weather"}
    response = await ask(client, "and today?", made.id)
    assert response.conversation.id == made.id
    assert input_of(house.model.requests[-1]) == ["we spoke of Oslo", "and today?"]
    assert [item.get("role") for item in house.model.requests[-1].items] == ["user", "assistant", "user"]
    assert await texts(client, made.id, order="asc") == [
        "we spoke of Oslo", "Yes, of its rain.", "and today?", "You said: and today?",
    ]  # fmt: skip


async def test_a_conversation_is_described(client: AsyncOpenAI) -> None:
    made = await client.conversations.create()
    assert made.metadata == {}
    updated = await client.conversations.update(made.id, metadata={"title": "mine"})
    assert updated.metadata == {"title": "mine"}
    assert (await client.conversations.retrieve(made.id)).to_dict() == updated.to_dict()
    assert (await client.conversations.items.list(made.id)).data == []


async def test_items_are_listed_a_page_at_a_time_in_either_order(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(items=[said(f"item {number}") for number in range(5)])
    names = [f"item {number}" for number in range(5)]
    assert await texts(client, made.id, limit=2, order="asc") == names
    assert await texts(client, made.id, limit=2) == names[::-1]
    page: Any = await client.conversations.items.list(made.id, limit=2)
    assert page.has_more
    rest = await client.conversations.items.list(made.id, limit=3, after=page.last_id)
    assert (len(rest.data), rest.has_more) == (3, False)


async def test_every_kind_of_item_can_be_kept_and_read(client: AsyncOpenAI) -> None:
    given: Any = [
        {"role": "user", "content": [
            {"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "data:image/png;base64,eA=="},
            {"type": "input_file", "file_data": "eA==", "filename": "x.txt"},
        ]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "cold"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "mcp_call", "id": "mcp_1", "server_label": "desk", "name": "look", "arguments": "{}", "output": "x"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "seen"}]},
        {"role": "developer", "content": "be kind"},
    ]  # fmt: skip
    made = await client.conversations.create()
    added: Any = await client.conversations.items.create(made.id, items=given)
    assert [item.type for item in added.data][:3] == ["message", "function_call", "function_call_output"]
    listed: list[Any] = [item async for item in client.conversations.items.list(made.id, order="asc")]
    assert [item.type for item in listed] == [item.type for item in added.data]
    for one in listed:
        assert (await client.conversations.items.retrieve(one.id, conversation_id=made.id)).to_dict() == one.to_dict()


async def test_an_id_that_is_taken_is_replaced(client: AsyncOpenAI) -> None:
    mine: Any = {**said("mine"), "id": "msg_mine"}
    made = await client.conversations.create(items=[mine, mine])
    again: Any = await client.conversations.items.create(made.id, items=[mine])
    ids: list[Any] = [item.id async for item in client.conversations.items.list(made.id, order="asc")]
    assert (ids[0], len(set(ids)), again.data[0].id) == ("msg_mine", 3, ids[2])


async def test_an_item_that_is_deleted_is_seen_by_no_model(house: House, client: AsyncOpenAI) -> None:
    made = await client.conversations.create()
    await ask(client, "first secret", made.id)
    await ask(client, "then this", made.id)  # the worker knows the history now
    secrets: list[Any] = [item async for item in client.conversations.items.list(made.id, order="asc")][:2]
    for one in secrets:
        assert (await client.conversations.items.delete(one.id, conversation_id=made.id)).id == made.id
    await client.conversations.items.create(made.id, items=[said("added beside")])
    await ask(client, "what do you know?", made.id)
    assert input_of(house.model.requests[-1]) == ["then this", "added beside", "what do you know?"]
    with pytest.raises(openai.NotFoundError) as caught:
        await client.conversations.items.retrieve(secrets[0].id, conversation_id=made.id)
    assert caught.value.code == "item_not_found"


async def test_an_item_that_is_deleted_before_many_are_added_is_seen_by_no_model(
    house: House, client: AsyncOpenAI
) -> None:
    made = await client.conversations.create()
    await ask(client, "one secret", made.id)
    await ask(client, "and this", made.id)  # the worker knows the first turn now
    first: Any = (await client.conversations.items.list(made.id, order="asc")).data[0]
    await client.conversations.items.delete(first.id, conversation_id=made.id)
    many = [said(f"item {number}") for number in range(600)]  # more than a worker reads at once
    await client.conversations.items.create(made.id, items=many)
    await ask(client, "how many?", made.id)
    assert input_of(house.model.requests[-1]) == ["and this", *(one["content"] for one in many), "how many?"]


async def test_while_it_answers_nobody_changes_its_history(house: House, client: AsyncOpenAI) -> None:
    house.lines["hold on"] = (call("hold", {"name": "busy"}), "held")
    made = await client.conversations.create(items=[said("before")])
    first: Any = (await client.conversations.items.list(made.id)).data[0]
    response = await ask(client, "hold on", made.id, background=True)
    for refused in (
        client.conversations.items.create(made.id, items=[said("between")]),
        client.conversations.items.delete(first.id, conversation_id=made.id),
        client.conversations.delete(made.id),
    ):
        with pytest.raises(openai.ConflictError) as caught:
            await refused
        assert caught.value.code == "conversation_busy"
        assert caught.value.response.headers["x-should-retry"] == "false"
    house.gates["busy"].open()
    async for _ in await client.responses.retrieve(response.id, stream=True):
        pass
    await client.conversations.items.create(made.id, items=[said("after")])
    assert (await texts(client, made.id))[0] == "after"


async def test_a_deleted_conversation_is_gone_with_everything_in_it(house: House, client: AsyncOpenAI) -> None:
    house.lines["file one"] = (file_errand("deleted"), "filed")
    made = await client.conversations.create()
    response = await ask(client, "file one", made.id)
    with pytest.raises(openai.ConflictError):
        await client.conversations.delete(made.id)  # its task runs
    (task,) = (await client.get(f"/tasks?conversation={made.id}", cast_to=dict[str, Any]))["data"]
    house.gates["deleted"].open()
    while True:  # a turn tells of the task's end
        turns: list[Any] = [item async for item in client.conversations.items.list(made.id)]
        if any(getattr(item, "name", "") == "check_task" for item in turns):
            break
    await until_idle(client, made.id)
    deleted = await client.conversations.delete(made.id)
    assert (deleted.id, deleted.deleted) == (made.id, True)
    for gone, code in (
        (client.conversations.retrieve(made.id), "conversation_not_found"),
        (client.conversations.items.list(made.id), "conversation_not_found"),
        (client.conversations.delete(made.id), "conversation_not_found"),
        (client.responses.retrieve(response.id), "response_not_found"),
        (client.get(f"/tasks/{task['id']}", cast_to=dict[str, Any]), "task_not_found"),
        (ask(client, "still there?", made.id), "conversation_not_found"),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            await gone
        assert caught.value.code == code


async def test_a_conversation_is_deleted_with_a_task_that_runs(house: House, client: AsyncOpenAI) -> None:
    house.lines["file two"] = (file_errand("given up"), "filed")
    made = await client.conversations.create()
    response = await ask(client, "file two", made.id)
    (task,) = (await client.get(f"/tasks?conversation={made.id}", cast_to=dict[str, Any]))["data"]
    await house.gates["given up"].reached()
    with pytest.raises(openai.BadRequestError, match="cancel"):
        await client.conversations.delete(made.id, extra_query={"cancel": "yes"})
    deleted = await client.conversations.delete(made.id, extra_query={"cancel": "true"})
    assert (deleted.id, deleted.deleted) == (made.id, True)
    for gone, code in (
        (client.conversations.retrieve(made.id), "conversation_not_found"),
        (client.conversations.delete(made.id, extra_query={"cancel": "true"}), "conversation_not_found"),
        (client.responses.retrieve(response.id), "response_not_found"),
        (ask(client, "still there?", made.id), "conversation_not_found"),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            await gone
        assert caught.value.code == code
    found = await client.get(f"/tasks/{task['id']}", cast_to=dict[str, Any])
    while found["status"] not in ("cancelled", "succeeded"):
        found = await client.get(f"/tasks/{task['id']}", cast_to=dict[str, Any])
    assert found["status"] == "cancelled"


async def until_idle(client: AsyncOpenAI, conversation: str) -> None:
    """A response that waits for its turn has ended: what was before it has too."""
    await ask(client, "idle now?", conversation)


@pytest.mark.parametrize(
    ("body", "param"),
    [({"items": [{"type": "no such"}]}, "items[0].type"), ({"items": "text", "metadata": 1}, "metadata"),
     ({"metadata": {"k": 1}}, "metadata")],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(client: AsyncOpenAI, body: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post("/conversations", body=body, cast_to=dict[str, Any])
    assert caught.value.param == param
    made = await client.conversations.create()
    with pytest.raises(openai.BadRequestError) as missing:
        await client.post(f"/conversations/{made.id}/items", body={}, cast_to=dict[str, Any])
    assert missing.value.param == "items"
