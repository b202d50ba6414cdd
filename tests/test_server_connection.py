"""A WebSocket over real sockets: what a client says and what it gets, with a worker that is moved by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from openai.types.responses.responses_server_event import ResponsesServerEvent
from pydantic import TypeAdapter

from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.server.follow import Follows
from frontdesk.server.limits import Limits
from frontdesk.server.service import Service
from frontdesk.tests.fakes.hand_worker import HandTurn, HandWorker
from frontdesk.tests.fakes.served import Client, client, served

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponsesServerEvent)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    yield found
    found.close()


@pytest.fixture
def hand(database: Database) -> HandWorker:
    return HandWorker(database)


@pytest.fixture
def service(hand: HandWorker) -> Service:
    return Service(hand.desk, hand.database, drain_seconds=0.2)


@pytest.fixture
async def address(service: Service) -> AsyncGenerator[str]:
    async with served(service) as found:
        yield found


@pytest.fixture
async def socket(address: str) -> AsyncGenerator[Client]:
    async with client(address) as found:
        yield found


def turns(conn: Connection) -> int:
    """How many turns there are."""
    return int(conn.script("SELECT count(*) FROM frontdesk_turn")[0][0])


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def cursors(events: list[dict[str, Any]]) -> list[int]:
    return [int(event["cursor"]) for event in events if "cursor" in event]


async def answered(socket: Client, hand: HandWorker, text: str = "hello", **fields: Any) -> dict[str, Any]:
    """One whole exchange; the terminal event."""
    await socket.create(text, **fields)
    await socket.taken()
    await hand.answer("well", " then")
    return await socket.until("response.completed")


# --- responses


async def test_a_create_is_answered_on_the_default_lane(socket: Client, hand: HandWorker) -> None:
    await answered(socket, hand)
    expected = ["response.created", "response.output_text.delta", "response.output_text.delta", "response.completed"]
    assert expected == kinds(socket.events)
    assert all("stream_id" not in event for event in socket.events)
    assert cursors(socket.events) == [1, 2, 3, 4]
    assert len({(event["response_id"], event["conversation"]) for event in socket.events}) == 1


async def test_every_event_of_a_response_is_what_the_sdk_expects(socket: Client, hand: HandWorker) -> None:
    await answered(socket, hand, stream_id="lane-1")
    for event in socket.events:
        assert EVENTS.validate_python(event).stream_id == "lane-1"


async def test_lanes_are_parallel_across_conversations(socket: Client, hand: HandWorker) -> None:
    await socket.create("one", stream_id="a")
    await socket.taken()
    slow = await hand.begin()
    await socket.create("two", stream_id="b")
    await socket.taken()
    await hand.answer("quick")
    assert (await socket.until("response.completed"))["stream_id"] == "b"
    await slow.end()
    assert (await socket.until("response.completed"))["stream_id"] == "a"


async def test_within_a_lane_the_later_response_waits(socket: Client, hand: HandWorker) -> None:
    await socket.create("one")
    await socket.taken()
    slow = await hand.begin()
    await socket.create("two")
    await socket.taken()
    quick = await hand.answer("quick")
    await slow.end()
    first = await socket.until("response.completed")
    second = await socket.until("response.completed")
    assert [slow.response_id, quick.response_id] == [first["response_id"], second["response_id"]]
    assert [slow.response_id] * 2 == [event["response_id"] for event in socket.events[:2]]


async def test_a_create_that_has_to_wait_is_acknowledged_and_answered_in_its_turn(
    socket: Client, hand: HandWorker
) -> None:
    await socket.create("one")
    created = None
    await socket.taken()
    first = await hand.begin()
    created = await socket.until("response.created")
    metadata = {"frontdesk:input_id": "i2"}
    await socket.create("two", conversation=created["conversation"], metadata=metadata, stream_id="b")
    accepted = await socket.until("frontdesk:accepted")
    assert ("i2", 1, "b", created["conversation"]) == (
        accepted["input_id"], accepted["position"], accepted["stream_id"], accepted["conversation"],
    )  # fmt: skip
    await first.end()
    second = await hand.answer()
    assert accepted["response_id"] == second.response_id
    assert (
        second.response_id
        == (await socket.until("response.completed", lambda e: e.get("stream_id") == "b"))["response_id"]
    )


async def test_a_create_that_starts_at_once_is_acknowledged_by_its_response_alone(
    socket: Client, hand: HandWorker
) -> None:
    await answered(socket, hand)
    assert "frontdesk:accepted" not in kinds(socket.events)


async def test_a_busy_conversation_can_refuse(socket: Client, hand: HandWorker) -> None:
    await socket.create("one")
    await socket.taken()
    turn = await hand.begin()
    await socket.create("two", conversation=turn.conversation_id, metadata={"frontdesk:when_busy": "reject"})
    error = await socket.until("error")
    assert (error["status"], error["error"]["code"]) == (409, "conversation_busy")


async def test_a_conversation_goes_on_from_a_response(socket: Client, hand: HandWorker) -> None:
    first = await answered(socket, hand)
    second = await answered(socket, hand, previous_response_id=first["response_id"])
    assert first["conversation"] == second["conversation"]
    assert [*range(1, 9)] == cursors(socket.events)


async def test_a_cancelled_response_ends_as_incomplete(socket: Client, hand: HandWorker) -> None:
    await socket.create("one")
    await socket.taken()
    turn = await hand.begin()
    await socket.send("frontdesk:cancel", response_id=turn.response_id)
    await turn.end("cancelled")
    ended = await socket.until("response.incomplete")
    assert ended["response"]["status"] == "cancelled"


async def test_models_are_the_desk_and_its_agents(socket: Client, hand: HandWorker) -> None:
    await answered(socket, hand, model="front")
    await answered(socket, hand, model="files")
    await socket.create(model="gpt-5")
    error = (await socket.until("error"))["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "front, triage, files" in error["message"]


# --- accepted once


async def test_a_repeat_of_an_input_id_gets_the_first_ones_response(socket: Client, hand: HandWorker) -> None:
    once: dict[str, Any] = {"metadata": {"frontdesk:input_id": "i1"}}
    first = await answered(socket, hand, **once)
    await socket.create("hello", stream_id="again", **once)
    again = await socket.until("response.completed")
    assert first["response_id"] == again["response_id"]
    assert cursors(socket.of_lane(None)) == cursors(socket.of_lane("again"))
    assert await hand.database.read(turns) == 1


async def test_a_repeat_on_another_connection_gets_the_past_and_then_live(
    address: str, socket: Client, hand: HandWorker
) -> None:
    once: dict[str, Any] = {"metadata": {"frontdesk:input_id": "i1"}}
    await socket.create("hello", **once)
    await socket.taken()
    turn = await hand.begin()
    await turn.say("so far")
    async with client(address) as other:
        await other.create("hello", **once)
        await other.until("response.output_text.delta")
        await turn.end()
        await other.until("response.completed")
        assert cursors(other.events) == [1, 2, 3]


async def test_a_used_input_id_with_other_content_is_refused(socket: Client, hand: HandWorker) -> None:
    once: dict[str, Any] = {"metadata": {"frontdesk:input_id": "i1"}}
    await answered(socket, hand, **once)
    await socket.create("something else", stream_id="b", **once)
    error = await socket.until("error")
    assert (error["status"], error["error"]["code"]) == (409, "idempotency_mismatch")
    assert (error["stream_id"], error["input_id"]) == ("b", "i1")


async def test_a_full_inbox_refuses_and_says_when_to_come_back(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(inbox=2))
    async with served(service) as address, client(address) as socket:
        await socket.create("one")
        await socket.taken()
        conversation = (await hand.begin()).conversation_id
        for text in ("two", "three", "four"):
            await socket.create(text, conversation=conversation)
        error = await socket.until("error")
        assert (
            error["status"], error["error"]["code"], error["error"]["headers"],
        ) == (429, "inbox_full", {"retry-after": "1"})  # fmt: skip


# --- subscriptions and resuming


async def test_unasked_a_connection_gets_nothing_of_others(address: str, socket: Client, hand: HandWorker) -> None:
    first = await answered(socket, hand)
    async with client(address) as other:
        await answered(other, hand, conversation=first["conversation"])
    await hand.task(first["conversation"])
    last = await answered(socket, hand, conversation=first["conversation"])
    assert {first["response_id"], last["response_id"]} == {event["response_id"] for event in socket.events}


async def test_a_subscription_is_confirmed_and_then_shows_everything_else(
    address: str, socket: Client, hand: HandWorker
) -> None:
    first = await answered(socket, hand)
    conversation = first["conversation"]
    lane = f"frontdesk.{conversation}"
    await socket.send("frontdesk:subscribe", conversation=conversation)
    subscribed = await socket.until("frontdesk:subscribed")
    assert (lane, conversation, first["cursor"]) == (
        subscribed["stream_id"], subscribed["conversation"], subscribed["cursor"],
    )  # fmt: skip
    async with client(address) as other:
        await answered(other, hand, conversation=conversation)
    task = await hand.task(conversation)
    created = await socket.until("frontdesk:task.created")
    assert task == created["task"]["id"]
    own = await answered(socket, hand, conversation=conversation)
    shown = socket.of_lane(lane)[1:]
    assert [event["conversation"] for event in shown] == [conversation] * 5
    assert kinds(shown)[3:] == ["response.completed", "frontdesk:task.created"]
    assert own["response_id"] not in {event.get("response_id") for event in shown}
    assert cursors(socket.events) == [1, 2, 3, 4, 4, *range(5, 14)], "in the log's order, each once"


async def test_nothing_is_missed_by_subscribing_after_the_created_event(socket: Client, hand: HandWorker) -> None:
    await socket.create("hello")
    await socket.taken()
    turn = await hand.begin()
    created = await socket.until("response.created")
    await hand.task(turn.conversation_id)  # before the subscription arrives
    await socket.send("frontdesk:subscribe", conversation=turn.conversation_id, after=created["cursor"])
    await socket.until("frontdesk:task.created")
    await turn.end()
    await socket.until("response.completed")
    assert cursors(socket.events) == [1, 1, 2, 3]


async def test_resuming_gives_every_later_event_also_those_that_were_not_shown_before(
    address: str, socket: Client, hand: HandWorker
) -> None:
    first = await answered(socket, hand)
    conversation = first["conversation"]
    await hand.task(conversation)
    await answered(socket, hand, conversation=conversation)
    async with client(address, f"?conversation={conversation}&after=2") as other:
        await other.until("frontdesk:subscribed")
        assert {"2"} == {event["cursor"] for event in other.events}
        await hand.note(conversation, "live")
        await other.until("frontdesk:note")
        assert [2, *range(3, 11)] == cursors(other.events)
        assert {f"frontdesk.{conversation}"} == {event["stream_id"] for event in other.events}


async def test_events_of_a_burst_have_a_cursor_each_and_can_be_resumed_in_between(
    address: str, socket: Client, hand: HandWorker
) -> None:
    conversation = (await answered(socket, hand))["conversation"]
    await hand.note(conversation, "a", "b", "c", "d")
    async with client(address, f"?conversation={conversation}&after=6") as other:
        await other.until("frontdesk:note", lambda event: event["text"] == "d")
        assert [event["text"] for event in other.events if "text" in event] == ["c", "d"]


async def test_several_conversations_can_be_resumed_at_once(address: str, socket: Client, hand: HandWorker) -> None:
    one = (await answered(socket, hand))["conversation"]
    two = (await answered(socket, hand))["conversation"]
    async with client(address, f"?conversation={one}&after=3&conversation={two}&after=4") as other:
        await hand.note(two, "x")
        await other.until("frontdesk:note")
        assert {(one, 4), (two, 5)} <= {(event["conversation"], int(event["cursor"])) for event in other.events}


async def test_a_long_replay_is_whole_and_comes_before_what_is_live(
    address: str, socket: Client, hand: HandWorker
) -> None:
    conversation = (await answered(socket, hand))["conversation"]
    for number in range(30):
        await hand.note(conversation, *(f"{number}.{one}" for one in range(40)))
    async with client(address, f"?conversation={conversation}&after=0") as other:
        await hand.note(conversation, "live")
        await other.until("frontdesk:note", lambda event: event["text"] == "live")
        assert [0, *range(1, 4 + 30 * 40 + 2)] == cursors(other.events)


async def test_an_unknown_conversation_cannot_be_followed_and_the_connection_stays(
    address: str, hand: HandWorker
) -> None:
    async with client(address, "?conversation=conv_unknown&after=3") as socket:
        error = await socket.until("error")
        assert (error["status"], error["error"]["code"]) == (404, "conversation_not_found")
        await answered(socket, hand)


async def test_a_cursor_from_elsewhere_is_refused(socket: Client, hand: HandWorker) -> None:
    conversation = (await answered(socket, hand))["conversation"]
    await socket.send("frontdesk:subscribe", conversation=conversation, after="4000")
    error = (await socket.until("error"))["error"]
    assert (error["code"], error["param"]) == ("invalid_request", "after")


@pytest.mark.parametrize(
    "query",
    ["?conversation=a%20b", "?conversation=a&after=x", "?after=3", "?conversation=a&conversation=b&after=1"],
)
async def test_a_query_that_makes_no_sense_is_refused_at_the_upgrade(address: str, query: str) -> None:
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus) as caught:
        async with client(address, query):
            pass
    assert caught.value.response.status_code == 400
    assert json.loads(caught.value.response.body)["error"]["code"] == "invalid_request"


async def test_unsubscribing_ends_it_and_subscribing_again_is_no_error(socket: Client, hand: HandWorker) -> None:
    conversation = (await answered(socket, hand))["conversation"]
    await socket.send("frontdesk:subscribe", conversation=conversation)
    await socket.send("frontdesk:subscribe", conversation=conversation)
    for _ in range(2):
        await socket.until("frontdesk:subscribed")
    await hand.note(conversation, "seen")
    await socket.until("frontdesk:note")
    await socket.send("frontdesk:unsubscribe", conversation=conversation)
    await socket.send("frontdesk:unsubscribe", conversation="conv_other")
    await socket.send("frontdesk:cancel")  # its error says that what came before has been dealt with
    await socket.until("error")
    await hand.note(conversation, "unseen")
    await answered(socket, hand, conversation=conversation)
    assert [event["text"] for event in socket.events if "text" in event] == ["seen"]


async def test_a_connection_has_so_many_subscriptions_lanes_and_responses(hand: HandWorker) -> None:
    limits = Limits(subscriptions=1, lanes=2, responses=3)
    async with served(Service(hand.desk, hand.database, limits=limits)) as address, client(address) as socket:
        one = (await answered(socket, hand))["conversation"]
        two = (await answered(socket, hand))["conversation"]
        await socket.send("frontdesk:subscribe", conversation=one)
        await socket.send("frontdesk:subscribe", conversation=two)
        assert (await socket.until("error"))["error"]["code"] == "rate_limit_exceeded"
        for lane in ("a", "b", "c"):
            await socket.create(stream_id=lane)
        assert "lanes" in (await socket.until("error"))["error"]["message"]
        await socket.create(stream_id="a")
        await socket.create(stream_id="a")
        assert "unfinished" in (await socket.until("error"))["error"]["message"]


# --- steering, cancelling, answering


async def test_a_steer_is_accepted_and_its_successor_comes_on_the_lane_of_its_target(
    socket: Client, hand: HandWorker
) -> None:
    await socket.create("one", stream_id="a")
    await socket.taken()
    turn = await hand.begin()
    await socket.send("response.steer", previous_response_id=turn.response_id, input="rather this")
    accepted = await socket.until("response.steer.accepted")
    EVENTS.validate_python(accepted)
    assert ("a", turn.response_id, 1) == (
        accepted["stream_id"], accepted["steer"]["previous_response_id"], accepted["sequence_number"],
    )  # fmt: skip
    await turn.end("incomplete", reason="steered")
    successor = await hand.answer("rather that")
    ended = await socket.until("response.completed")
    assert (successor.response_id, "a") == (ended["response_id"], ended["stream_id"])
    assert accepted["response_id"] == successor.response_id


async def test_a_steer_that_comes_too_late_is_returned(socket: Client, hand: HandWorker) -> None:
    ended = await answered(socket, hand)
    await socket.send("response.steer", previous_response_id=ended["response_id"], input="too late")
    failed = await socket.until("response.steer.failed")
    EVENTS.validate_python(failed)
    assert (failed["error"]["code"], failed["steer"]["input"]) == ("response_already_completed", "too late")


async def test_a_steer_of_an_unknown_response_is_returned(socket: Client) -> None:
    await socket.send("response.steer", previous_response_id="resp_x", input=[{"role": "user", "content": "x"}])
    failed = await socket.until("response.steer.failed")
    assert failed["error"]["code"] == "response_not_found"
    assert failed["steer"]["input"] == [{"role": "user", "content": "x"}]


async def test_a_repeated_steer_is_accepted_once(socket: Client, hand: HandWorker) -> None:
    await socket.create("one")
    await socket.taken()
    turn = await hand.begin()
    steer = {"previous_response_id": turn.response_id, "input": "rather this", "frontdesk:input_id": "s1"}
    await socket.send("response.steer", **steer)
    await socket.send("response.steer", **steer)
    first = await socket.until("response.steer.accepted")
    second = await socket.until("response.steer.accepted")
    assert first["response_id"] == second["response_id"]
    await turn.end("incomplete", reason="steered")
    await hand.answer("done")
    await socket.until("response.completed")
    await answered(socket, hand)
    assert await hand.database.read(turns) == 3
    assert len([event for event in socket.events if event["type"] == "response.completed"
                     and event["response_id"] == first["response_id"]]) == 1  # fmt: skip


async def test_a_task_can_be_cancelled(socket: Client, hand: HandWorker) -> None:
    conversation = (await answered(socket, hand))["conversation"]
    await socket.send("frontdesk:subscribe", conversation=conversation)
    await socket.until("frontdesk:subscribed")
    task = await hand.task(conversation)
    await socket.until("frontdesk:task.created")
    await socket.send("frontdesk:cancel", task_id=task)
    assert (await socket.until("frontdesk:task.finished"))["task"]["status"] == "cancelled"
    await socket.send("frontdesk:cancel", task_id="task_unknown")
    assert (await socket.until("error"))["error"]["code"] == "task_not_found"
    await socket.send("frontdesk:cancel", response_id="resp_unknown")
    assert (await socket.until("error"))["error"]["code"] == "response_not_found"


async def test_a_task_that_asks_nothing_takes_no_answer(socket: Client, hand: HandWorker) -> None:
    conversation = (await answered(socket, hand))["conversation"]
    task = await hand.task(conversation)
    await socket.send("frontdesk:answer", task_id=task, answer={"yes": True})
    assert "asks nothing" in (await socket.until("error"))["error"]["message"]
    await socket.send("frontdesk:answer", task_id="task_unknown", answer=1)
    assert (await socket.until("error"))["error"]["code"] == "task_not_found"


# --- bad messages


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("not json", "invalid_json"), ("[1]", "invalid_request"), (b"\x00\x01", "invalid_request"),
        ('{"type":"nope"}', "invalid_request"), ("[" * 300, "invalid_json"),
        ('{"x":' * 70 + "1" + "}" * 70, "invalid_json"),
        ('{"type":"response.create"}', "invalid_request"), ('{"type":"response.create","input":NaN}', "invalid_json"),
        ('{"type":"response.create","input":"x","conversation":"conv_x"}', "conversation_not_found"),
        ('{"type":"response.create","input":"x","previous_response_id":"resp_x"}', "previous_response_not_found"),
        ('{"type":"frontdesk:subscribe","conversation":"conv_x"}', "conversation_not_found"),
        ('{"type":"response.create","input":"x","tools":[{"type":"web_search"}]}', "unsupported_parameter"),
    ],
)  # fmt: skip
async def test_a_bad_message_gets_an_error_and_the_connection_stays(
    socket: Client, hand: HandWorker, message: str | bytes, code: str
) -> None:
    await socket.socket.send(message)
    error = await socket.until("error")
    EVENTS.validate_python(error)
    assert code == error["error"]["code"]
    await answered(socket, hand)


async def test_an_error_goes_to_the_lane_and_names_the_input(socket: Client) -> None:
    await socket.create(stream_id="a", metadata={"frontdesk:input_id": "i1"}, temperature=9)
    error = await socket.until("error")
    assert (error["stream_id"], error["input_id"]) == ("a", "i1")


async def test_five_hundred_bad_messages_in_a_row_end_the_connection(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(bad_messages=20))
    async with served(service) as address, client(address) as socket:
        for _ in range(19):
            await socket.socket.send("bad")
        await socket.create()  # a good one between them
        for _ in range(20):
            await socket.socket.send("bad")
        assert await socket.closed() == (1008, "20 bad messages in a row")
        assert kinds(socket.events).count("error") == 39


async def test_refusals_keep_the_order_of_the_messages(socket: Client, hand: HandWorker) -> None:
    for number in range(10):  # one that is looked up, one that is refused as it comes, one that is written
        await socket.send("frontdesk:subscribe", conversation=f"conv_{number}")
        await socket.create(stream_id=f"l{number}", temperature=9)
        await socket.send("frontdesk:cancel", response_id=f"resp_{number}")
    await socket.taken()
    expected = [(f"frontdesk.conv_{n}", f"l{n}", None) for n in range(10)]
    assert [lane for lanes in expected for lane in lanes] == [event.get("stream_id") for event in socket.events]
    await answered(socket, hand)


async def test_a_message_over_the_size_limit_ends_the_connection(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(message_bytes=5_000))
    async with served(service) as address, client(address) as socket:
        await socket.create("x" * 4_000)
        await socket.taken()
        await socket.create("x" * 6_000)
        assert (await socket.closed())[0] == 1009


# --- store: false


async def test_what_is_not_stored_is_continued_on_its_own_connection_only(
    address: str, socket: Client, hand: HandWorker
) -> None:
    first = await answered(socket, hand, store=False)
    second = await answered(socket, hand, store=False, previous_response_id=first["response_id"])
    assert first["conversation"] == second["conversation"]
    async with client(address) as other:
        await other.create(previous_response_id=second["response_id"])
        assert (await other.until("error"))["error"]["code"] == "previous_response_not_found"
        await other.create(conversation=second["conversation"])
        assert (await other.until("error"))["error"]["code"] == "conversation_not_found"
        await other.send("frontdesk:subscribe", conversation=second["conversation"])
        assert (await other.until("error"))["error"]["code"] == "conversation_not_found"


async def test_what_is_not_stored_is_steered_on_its_own_connection_only(
    address: str, socket: Client, hand: HandWorker
) -> None:
    await socket.create(store=False)
    turn = await hand_begins(socket, hand)
    async with client(address) as other:
        await other.send("response.steer", previous_response_id=turn.response_id, input="what do you know?")
        failed = await other.until("response.steer.failed")
        await other.send("response.steer", previous_response_id="resp_x", input="what do you know?")
        unknown = await other.until("response.steer.failed")
        assert failed["error"]["code"] == unknown["error"]["code"] == "response_not_found"
    await socket.send("response.steer", previous_response_id=turn.response_id, input="and more")
    assert await socket.until("response.steer.accepted")


async def test_what_is_not_stored_goes_on_from_a_steers_successor_too(socket: Client, hand: HandWorker) -> None:
    conversation = (await answered(socket, hand))["conversation"]
    await socket.create(store=False, conversation=conversation)
    turn = await hand_begins(socket, hand)
    await socket.send("response.steer", previous_response_id=turn.response_id, input="and more")
    successor = (await socket.until("response.steer.accepted"))["response_id"]
    await turn.end("incomplete", reason="steered")
    await hand.answer("more")
    await socket.until("response.completed")
    await answered(socket, hand, store=False, previous_response_id=successor)


async def hand_begins(socket: Client, hand: HandWorker) -> HandTurn:
    await socket.taken()
    return await hand.begin()


@pytest.mark.parametrize("how", ["invalid", "refused", "failed"])
async def test_a_continuation_that_failed_drops_the_chain(socket: Client, hand: HandWorker, how: str) -> None:
    first = await answered(socket, hand, store=False)
    previous: dict[str, Any] = {"previous_response_id": first["response_id"], "store": False}
    if how == "invalid":
        await socket.create(**previous, temperature=9)
        await socket.until("error")
    elif how == "refused":
        await socket.create(**previous, model="nobody")
        await socket.until("error")
    else:
        await socket.create(**previous)
        await socket.taken()
        turn = await hand.begin()
        await turn.end("failed")
        await socket.until("response.failed")
    await socket.create(**previous)
    assert (await socket.until("error"))["error"]["code"] == "previous_response_not_found"


# --- the end


async def test_draining_is_announced_takes_nothing_new_and_ends_with_1012(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, drain_seconds=0.3)
    async with served(service) as address, client(address) as socket:
        ended = await answered(socket, hand)
        async with anyio.create_task_group() as group:
            group.start_soon(service.drain)
            notice = await socket.until("frontdesk:draining")
            assert notice["closes_in_seconds"] == 0.3
            await socket.create()
            error = await socket.until("error")
            assert (error["status"], error["error"]["code"]) == (503, "draining")
            await socket.send("response.steer", previous_response_id=ended["response_id"], input="x")
            assert (await socket.until("response.steer.failed"))["error"]["code"] == "draining"


async def test_at_the_end_of_the_server_connections_are_closed_with_1012(service: Service) -> None:
    code: list[int | None] = []
    async with anyio.create_task_group() as group:

        async def stay(address: str, connected: anyio.Event) -> None:
            async with client(address) as socket:
                connected.set()
                code.append((await socket.closed())[0])

        async with served(service) as address:
            connected = anyio.Event()
            group.start_soon(stay, address, connected)
            await connected.wait()
    assert code == [1012]


@pytest.mark.parametrize("where", ["take", "show"])
async def test_a_failure_of_our_own_code_closes_with_1011_and_the_client_resumes(
    where: str, hand: HandWorker, address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sound = getattr(Follows, where)

    def fail_once(self: Follows, *given: Any) -> Any:
        monkeypatch.setattr(Follows, where, sound)
        raise ZeroDivisionError("somebody's mistake")

    async with client(address) as socket:
        ended = await answered(socket, hand)
        await socket.create("and then?", conversation=ended["conversation"])
        await socket.taken()
        monkeypatch.setattr(Follows, where, fail_once)
        await hand.answer("and", " then")
        assert (await socket.closed())[0] == 1011
    assert [record.name for record in caplog.records if record.levelname == "ERROR"] == ["frontdesk.connection"]
    assert "somebody's mistake" in caplog.text
    async with client(address, f"?conversation={ended['conversation']}&after={ended['cursor']}") as socket:
        await socket.until("response.created")
        await socket.until("response.completed")


async def test_disconnecting_cancels_nothing(address: str, hand: HandWorker) -> None:
    async with client(address) as socket:
        await socket.create("hello", metadata={"frontdesk:input_id": "i1"})
        await socket.taken()
        turn = await hand.begin()
        await socket.until("response.created")
    await turn.say("still here")
    await turn.end()
    async with client(address) as socket:
        await socket.create("hello", metadata={"frontdesk:input_id": "i1"})
        assert turn.response_id == (await socket.until("response.completed"))["response_id"]


async def test_after_a_connection_nothing_is_listened_to_any_more(
    address: str, service: Service, hand: HandWorker
) -> None:
    async with client(address) as socket:
        conversation = (await answered(socket, hand))["conversation"]
        await socket.send("frontdesk:subscribe", conversation=conversation)
        await socket.until("frontdesk:subscribed")
        await hand.note(conversation, "heard")
        await socket.until("frontdesk:note")
        assert hand.database.hub.recent(conversation, 4)
    async with client(address) as socket:
        await socket.taken()  # the server has dealt with the end of the other connection
    await hand.note(conversation, "unheard")
    assert hand.database.hub.recent(conversation, 4) is None
