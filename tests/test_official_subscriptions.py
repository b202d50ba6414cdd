"""Following a conversation and saying things once, by the official client: subscribing, resuming, repeating, bounds.

The order of events, their cursors and their types are checked for all of it when the house is closed (``wire_record``).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.resources.responses.responses import AsyncResponsesConnection

from frontdesk.agents.models.scripted import call, calls, say, wait
from frontdesk.tests.served import House, file_errand, open_house, said_around
from frontdesk.tests.talk import all_of, ask, connected, final, input_of, send, text_of, until
from frontdesk.tests.wire_record import Event

INBOX = 64  # clients' inputs of a conversation that may wait


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as found:
        yield found


@pytest.fixture
async def connection(house: House) -> AsyncGenerator[AsyncResponsesConnection]:
    async with connected(house) as found:
        yield found


def named(input_id: str, **more: str) -> dict[str, str]:
    """Metadata of an input that is accepted once."""
    return {"frontdesk:input_id": input_id, **more}


async def subscribe(connection: AsyncResponsesConnection, conversation: str, **fields: Any) -> Any:
    await send(connection, "frontdesk:subscribe", conversation=conversation, **fields)
    event: Any = await connection.recv()
    assert event.type == "frontdesk:subscribed"
    assert event.stream_id == f"frontdesk.{conversation}"
    return event


async def eventful(house: House, connection: AsyncResponsesConnection) -> tuple[str, int]:
    """A conversation in which everything happens; its id and its last cursor."""
    house.lines["look"] = (calls(call("look", {"word": "sun"}), call("look", {"wrong": 1})), "The sun is a word.")
    house.lines["file"] = (file_errand("shop"), "It is being done.")
    house.lines["long"] = (call("hold", {"name": "desk"}), "never said")
    house.lines["move"] = (call("transfer_to_helper"), "I am here.")
    house.lines["talk"] = said_around("one ", house.gates["never"], "two")
    conversation: str = (await ask(connection, "look")).conversation.id
    await subscribe(connection, conversation)
    await ask(connection, "file", conversation=conversation)
    house.gates["shop"].open()
    await final(connection, f"frontdesk.{conversation}")
    await connection.response.create(model="house", input="long", conversation=conversation)
    target = (await until(connection, "response.created")).response.id
    await house.gates["desk"].reached()
    await connection.response.steer(input="move", previous_response_id=target)
    await until(connection, "response.steer.accepted")
    house.gates["desk"].open()
    await final(connection)
    assert text_of(await final(connection)) == "I am here."
    await connection.response.create(model="house", input="talk", conversation=conversation)
    delta: Any = await until(connection, "response.output_text.delta")
    await send(connection, "frontdesk:cancel", response_id=delta.response_id)
    end: Any = await until(connection, "response.incomplete")
    return conversation, int(end.cursor)


def without_lane(events: list[Event]) -> list[Event]:
    return [{name: value for name, value in event.items() if name != "stream_id"} for event in events]


def is_passing(event: Event) -> bool:
    """Whether a replay may leave it out, because a later event says the same: deltas, and the progress of a task."""
    is_progress = event["type"] == "frontdesk:task.updated" and event["task"]["message"] is not None
    return is_progress or event["type"] == "response.output_text.delta"


# --- following


async def test_a_subscription_is_confirmed_then_replayed_then_live(
    house: House, connection: AsyncResponsesConnection
) -> None:
    first = await ask(connection, "one")
    async with connected(house) as other:
        lane = f"frontdesk.{first.conversation.id}"
        assert (await subscribe(other, first.conversation.id, after="0")).cursor == "0"
        assert (await final(other, lane)).id == first.id
        second = await ask(connection, "two", previous_response_id=first.id)
        assert (await final(other, lane)).id == second.id


async def test_without_a_cursor_a_subscription_begins_now(house: House, connection: AsyncResponsesConnection) -> None:
    first = await ask(connection, "one")
    async with connected(house) as other:
        await subscribe(other, first.conversation.id)
        second = await ask(connection, "two", previous_response_id=first.id)
        assert (await final(other, f"frontdesk.{first.conversation.id}")).id == second.id
    assert {event["response_id"] for event in house.record.events(1) if "response_id" in event} == {second.id}


async def test_a_query_subscribes_alike(house: House, connection: AsyncResponsesConnection) -> None:
    first = await ask(connection, "one")
    created = next(event for event in house.record.events() if event["type"] == "response.created")
    query = {"conversation": first.conversation.id, "after": created["cursor"]}
    async with connected(house, extra_query=query) as other:
        subscribed: Any = await other.recv()
        assert (subscribed.type, subscribed.cursor) == ("frontdesk:subscribed", created["cursor"])
        assert (await until(other, "response.in_progress")).response.id == first.id
        assert (await final(other, f"frontdesk.{first.conversation.id}")).id == first.id


async def test_resuming_after_each_cursor_gives_every_later_event(
    house: House, connection: AsyncResponsesConnection
) -> None:
    conversation, last = await eventful(house, connection)
    received = [event for event in house.record.events() if event["type"] != "frontdesk:subscribed"]
    seen = {int(event["cursor"]): event for event in received if "cursor" in event}
    assert sorted(seen) == list(range(1, last + 1)), "live, and as its own, this client got everything"
    async with connected(house) as other:
        for after in range(last):
            replayed = await all_of(other, conversation, last, after)
            cursors = [int(event["cursor"]) for event in replayed]
            left_out = [seen[cursor] for cursor in range(after + 1, last + 1) if cursor not in cursors]
            assert [event for event in left_out if not is_passing(event)] == []
            assert without_lane(replayed) == without_lane([seen[cursor] for cursor in cursors])
    kinds = {event["type"] for event in seen.values()}
    assert {f"frontdesk:task.{what}" for what in ("created", "updated", "finished")} <= kinds
    assert {"frontdesk:agent.changed", "response.mcp_call.failed", "response.incomplete"} <= kinds


async def test_a_conversation_begins_with_its_response_so_that_who_follows_from_there_misses_nothing(
    house: House, connection: AsyncResponsesConnection
) -> None:
    """Also when the first thing that it does is to file a task."""
    house.gates["shop"].open()
    house.lines["file"] = (file_errand("shop"), "It is being done.")
    first = await ask(connection, "file")
    async with connected(house) as other:
        (begins, *_) = await all_of(other, first.conversation.id, 3)
    assert (begins["type"], begins["cursor"]) == ("response.created", "1")


async def test_a_replay_goes_on_live_without_a_seam(house: House, connection: AsyncResponsesConnection) -> None:
    house.lines["talk"] = said_around("one ", house.gates["half"], "two")
    await connection.response.create(model="house", input="talk")
    delta: Any = await until(connection, "response.output_text.delta")
    async with connected(house) as other:
        await subscribe(other, delta.conversation, after="0")
        assert (await until(other, "response.created")).response.id == delta.response_id
        assert (await until(other, "response.output_text.delta")).delta == "one "
        house.gates["half"].open()
        assert (await until(other, "response.output_text.delta")).delta == "two"
        assert text_of(await final(other, f"frontdesk.{delta.conversation}")) == "one two"
    await final(connection)


async def test_two_clients_share_a_conversation(house: House, connection: AsyncResponsesConnection) -> None:
    conversation = (await ask(connection, "one")).conversation.id
    lane = f"frontdesk.{conversation}"
    async with connected(house) as other:
        await subscribe(connection, conversation)
        await subscribe(other, conversation)
        mine = await ask(connection, "from me", conversation=conversation)
        assert (await final(other, lane)).id == mine.id
        theirs = await ask(other, "from them", conversation=conversation)
        assert (await final(connection, lane)).id == theirs.id
        assert input_of(house.model.requests[-1]) == ["one", "from me", "from them"]
        house.lines["long"] = (call("hold", {"name": "desk"}), "never said")
        await connection.response.create(model="house", input="long", conversation=conversation)
        target = (await until(other, "response.created")).response.id
        await house.gates["desk"].reached()
        await other.response.steer(input="stop", previous_response_id=target)
        await until(other, "response.steer.accepted")
        house.gates["desk"].open()
        assert (await final(connection)).incomplete_details.reason == "steered"
        successor = await final(other)  # the successor belongs to whoever steered
        assert (await final(connection, lane)).id == successor.id


async def test_the_question_of_a_task_is_asked_and_answered(house: House, connection: AsyncResponsesConnection) -> None:
    filed = {"task": {"name": "choose", "arguments": {"what": "color"}}, "title": "A choice", "again": None}
    house.lines["choose"] = (call("create_task", filed), "You will be asked.")
    conversation = (await ask(connection, "choose")).conversation.id
    await subscribe(connection, conversation, after="0")
    asks: Any = await until(connection, "frontdesk:task.updated", lambda event: event.task["question"] is not None)
    assert (asks.task["status"], asks.task["question"], asks.task["title"]) == ("waiting", "Which color?", "A choice")
    for _ in range(2):  # the second comes too late
        await send(connection, "frontdesk:answer", task_id=asks.task["id"], answer={"name": "blue"})
    finished: Any = await until(connection, "frontdesk:task.finished")
    assert (finished.task["status"], finished.task["result"]) == ("succeeded", {"name": "blue"})
    late = [event["error"] for event in house.record.events() if event["type"] == "error"]
    assert [error["param"] for error in late or [(await until(connection, "error")).error.to_dict()]] == ["task_id"]


async def test_after_unsubscribing_only_ones_own_answers_come(
    house: House, connection: AsyncResponsesConnection
) -> None:
    conversation = (await ask(connection, "one")).conversation.id
    await subscribe(connection, conversation)
    await send(connection, "frontdesk:unsubscribe", conversation=conversation)
    async with connected(house) as other:
        await ask(other, "two", conversation=conversation)
    await ask(connection, "three", conversation=conversation)
    ends = [event["response"] for event in house.record.events(0) if event["type"] == "response.completed"]
    assert [one["output"][0]["content"][0]["text"] for one in ends] == ["You said: one", "You said: three"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"conversation": "conv_nobody"}, "conversation_not_found"),
        ({"conversation": "conv_nobody", "after": "x"}, "invalid_request"),
        ({}, "invalid_request"),
    ],
)
async def test_a_subscription_that_cannot_be_is_an_error(
    connection: AsyncResponsesConnection, fields: dict[str, str], code: str
) -> None:
    await send(connection, "frontdesk:subscribe", **fields)
    assert (await until(connection, "error")).error.code == code


async def test_a_cursor_from_the_future_is_an_error(connection: AsyncResponsesConnection) -> None:
    conversation = (await ask(connection, "one")).conversation.id
    await send(connection, "frontdesk:subscribe", conversation=conversation, after="1000")
    assert (await until(connection, "error")).error.param == "after"


# --- accepted once


async def test_a_repeat_of_an_input_id_gets_the_first_response_from_its_start(
    house: House, connection: AsyncResponsesConnection
) -> None:
    first = await ask(connection, "one", metadata=named("i1"))
    async with connected(house) as other:
        for lane in ("again", "and-again"):
            await other.response.create(model="house", input="one", metadata=named("i1"), stream_id=lane)
            created = await until(other, "response.created")
            assert (created.stream_id, created.response.id, created.sequence_number) == (lane, first.id, 0)
            repeated = await final(other, lane)
            assert (repeated.id, text_of(repeated)) == (first.id, "You said: one")
    assert len(house.model.requests) == 1


async def test_a_repeat_while_the_first_runs_joins_it(house: House, connection: AsyncResponsesConnection) -> None:
    house.lines["talk"] = said_around("one ", house.gates["half"], "two")
    await connection.response.create(model="house", input="talk", metadata=named("i1"))
    delta: Any = await until(connection, "response.output_text.delta")
    async with connected(house) as other:
        await other.response.create(model="house", input="talk", metadata=named("i1"))
        await connection.response.create(model="house", input="talk", metadata=named("i1"), stream_id="again")
        assert (await until(other, "response.created")).response.id == delta.response_id
        assert (await until(connection, "response.created")).response.id == delta.response_id
        house.gates["half"].open()
        assert text_of(await final(other)) == "one two"
        ends = {(await until(connection, "response.completed")).stream_id for _ in range(2)}
    assert ends == {None, "again"}
    assert len(house.model.requests) == 1


async def test_a_repeat_with_other_content_is_refused(house: House, connection: AsyncResponsesConnection) -> None:
    await ask(connection, "one", metadata=named("i1"))
    await connection.response.create(model="house", input="two", metadata=named("i1"), stream_id="lane-1")
    error: Any = await until(connection, "error")
    assert (error.status, error.error.code, error.stream_id) == (409, "idempotency_mismatch", "lane-1")
    assert (await ask(connection, "two", metadata=named("i2"))).status == "completed"
    assert len(house.model.requests) == 2


async def test_a_repeated_steer_enters_once(house: House, connection: AsyncResponsesConnection) -> None:
    house.lines["long"] = (call("hold", {"name": "desk"}), "never said")
    await connection.response.create(model="house", input="long")
    target = (await until(connection, "response.created")).response.id
    await house.gates["desk"].reached()
    steer: dict[str, Any] = {"previous_response_id": target, "input": "stop", "frontdesk:input_id": "s1"}
    for _ in range(3):
        await send(connection, "response.steer", **steer)
    successors = {(await until(connection, "response.steer.accepted")).response_id for _ in range(3)}
    house.gates["desk"].open()
    assert (await final(connection)).incomplete_details.reason == "steered"
    assert successors == {(await final(connection)).id}
    assert input_of(house.model.requests[-1]) == ["long", "stop"]


async def test_an_input_is_accepted_once_across_a_restart(house: House) -> None:
    async with connected(house) as connection:
        first = await ask(connection, "one", metadata=named("i1"))
    house.restart()
    async with connected(house) as connection:
        assert (await ask(connection, "one", metadata=named("i1"))).id == first.id
    assert len(house.model.requests) == 1


# --- a busy conversation


async def test_a_full_inbox_refuses_and_what_it_holds_is_answered_in_order(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["slow"] = wait(house.gates["slow"]) + say("slow")
    await connection.response.create(model="house", input="slow")
    conversation = (await until(connection, "response.created")).conversation
    for number in range(INBOX + 1):
        await connection.response.create(
            model="house", input=str(number), conversation=conversation, metadata=named(f"i{number}")
        )
    positions = [(await until(connection, "frontdesk:accepted")).position for _ in range(INBOX)]
    assert positions == list(range(1, INBOX + 1))
    error: Any = await until(connection, "error")
    assert (error.status, error.error.code, error.input_id) == (429, "inbox_full", f"i{INBOX}")
    assert int(error.error.headers["retry-after"]) >= 1
    house.gates["slow"].open()
    assert text_of(await final(connection)) == "slow"
    for number in range(INBOX):
        assert text_of(await final(connection)) == f"You said: {number}"
    sent_again = await ask(connection, str(INBOX), conversation=conversation, metadata=named(f"i{INBOX}"))
    assert text_of(sent_again) == f"You said: {INBOX}"


async def test_a_busy_conversation_refuses_who_does_not_want_to_wait(
    house: House, connection: AsyncResponsesConnection
) -> None:
    house.lines["slow"] = wait(house.gates["slow"]) + say("slow")
    await connection.response.create(model="house", input="slow")
    conversation = (await until(connection, "response.created")).conversation
    reject = named("i1", **{"frontdesk:when_busy": "reject"})
    await connection.response.create(
        model="house", input="now", conversation=conversation, stream_id="lane-1", metadata=reject
    )
    error: Any = await until(connection, "error")
    assert (error.status, error.error.code, error.stream_id) == (409, "conversation_busy", "lane-1")
    house.gates["slow"].open()
    await final(connection)
    assert text_of(await ask(connection, "now", conversation=conversation, metadata=reject)) == "You said: now"
