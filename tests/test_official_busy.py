"""Several clients at one conversation, by the official client: what each of them sees of the others' turns, and one
order of all inputs also when two servers take them at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from frontdesk.agents.errors import ModelRefused
from frontdesk.agents.models.scripted import call, fail, say, wait
from frontdesk.broker.database import Database
from frontdesk.server.service import Service
from frontdesk.tests.fakes.hand_worker import HandWorker
from frontdesk.tests.fakes.served import Client, client, served
from frontdesk.tests.served import House, open_house, said_around
from frontdesk.tests.talk import ask, connected, final, input_of, send, text_of, until
from frontdesk.tests.wire_record import TERMINAL, Event


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as found:
        yield found


class Two:
    """Two clients that follow one conversation, and one that only looks on."""

    def __init__(self, house: House, one: Any, other: Any, onlooker: Any, conversation: str, after: int) -> None:
        self.house, self.one, self.other, self.onlooker = house, one, other, onlooker
        self.conversation, self.lane, self.after = conversation, f"frontdesk.{conversation}", after

    async def seen(self, ends: int) -> list[Event]:
        """What everybody saw, up to so many ends of responses; the same for all, but for the lanes."""
        found: list[list[Event]] = []
        for number, connection in enumerate((self.one, self.other, self.onlooker)):
            while True:
                events = [one for one in self.house.record.events(number) if int(one.get("cursor", 0)) > self.after]
                if sum(one["type"] in TERMINAL for one in events) >= ends:
                    break
                await connection.recv()
            found.append([{name: value for name, value in one.items() if name != "stream_id"} for one in events])
        assert found[0] == found[1] == found[2]
        return found[0]


@pytest.fixture
async def two(house: House) -> AsyncGenerator[Two]:
    async with AsyncExitStack() as stack:
        one, other, onlooker = [await stack.enter_async_context(connected(house)) for _ in range(3)]
        conversation = (await ask(one, "hello")).conversation.id
        for connection in (one, other, onlooker):
            await send(connection, "frontdesk:subscribe", conversation=conversation)
            after: Any = await until(connection, "frontdesk:subscribed")
        yield Two(house, one, other, onlooker, conversation, int(after.cursor))


def outline(events: list[Event]) -> list[tuple[str, str]]:
    """Where responses begin and how they end."""
    marks = [one for one in events if one["type"] in ("response.created", *TERMINAL)]
    return [(one["type"].removeprefix("response."), one["response"]["status"]) for one in marks]


def own(house: House, connection: int) -> list[tuple[str, str | None]]:
    """The acknowledgements, beginnings and ends on lanes that are no subscription's."""
    shown = ("frontdesk:accepted", "response.steer.accepted", "error", "response.created", *TERMINAL)
    return [
        (one["type"], one.get("stream_id"))
        for one in house.record.events(connection)
        if one["type"] in shown and not str(one.get("stream_id")).startswith("frontdesk.")
    ]


async def test_what_waits_is_acknowledged_and_everybody_sees_both_turns(house: House, two: Two) -> None:
    house.lines["slow"] = wait(house.gates["slow"]) + say("slow")
    await two.one.response.create(model="house", input="slow", conversation=two.conversation, stream_id="a")
    await until(two.one, "response.created")
    await two.other.response.create(model="house", input="next", conversation=two.conversation, stream_id="b")
    waits = await until(two.other, "frontdesk:accepted")
    assert (waits.position, waits.stream_id) == (1, "b")
    house.gates["slow"].open()
    events = await two.seen(2)
    assert outline(events) == [("created", "in_progress"), ("completed", "completed")] * 2
    assert events[-1]["response_id"] == waits.response_id
    assert own(house, 0)[2:] == [("response.created", "a"), ("response.completed", "a")]
    assert own(house, 1) == [("frontdesk:accepted", "b"), ("response.created", "b"), ("response.completed", "b")]
    assert own(house, 2) == []
    assert input_of(house.model.requests[-1]) == ["hello", "slow", "next"]


async def test_who_interrupts_stops_the_others_turn_before_their_own(house: House, two: Two) -> None:
    house.lines["talk"] = said_around("one ", house.gates["never"], "two")
    await two.one.response.create(model="house", input="talk", conversation=two.conversation, stream_id="a")
    await until(two.one, "response.output_text.delta")
    await two.other.response.create(
        model="house", input="stop", conversation=two.conversation, stream_id="b",
        metadata={"frontdesk:when_busy": "interrupt"},
    )  # fmt: skip
    events = await two.seen(2)
    assert outline(events) == [
        ("created", "in_progress"), ("incomplete", "cancelled"), ("created", "in_progress"), ("completed", "completed"),
    ]  # fmt: skip
    stopped = next(one["response"] for one in events if one["type"] == "response.incomplete")
    assert (stopped["incomplete_details"], stopped["output"][0]["status"]) == (None, "incomplete")
    assert own(house, 1) == [("frontdesk:accepted", "b"), ("response.created", "b"), ("response.completed", "b")]
    assert input_of(house.model.requests[-1]) == ["hello", "talk", "stop"]


async def test_what_is_rejected_is_seen_by_nobody_else(house: House, two: Two) -> None:
    house.lines["slow"] = wait(house.gates["slow"]) + say("slow")
    await two.one.response.create(model="house", input="slow", conversation=two.conversation, stream_id="a")
    await until(two.one, "response.created")
    await two.other.response.create(
        model="house", input="now", conversation=two.conversation, stream_id="b",
        metadata={"frontdesk:when_busy": "reject", "frontdesk:input_id": "i1"},
    )  # fmt: skip
    refused: Any = await until(two.other, "error")
    assert (refused.status, refused.error.code, refused.stream_id) == (409, "conversation_busy", "b")
    house.gates["slow"].open()
    assert len(outline(await two.seen(1))) == 2
    assert own(house, 1) == [("error", "b")]
    assert own(house, 2) == []
    again = {"frontdesk:when_busy": "reject", "frontdesk:input_id": "i1"}  # a refused input may be sent again
    await two.other.response.create(model="house", input="now", conversation=two.conversation, metadata=again)
    assert text_of(await final(two.other)) == "You said: now"


async def test_a_turn_of_one_client_is_steered_by_the_other(house: House, two: Two) -> None:
    house.lines["long"] = (call("hold", {"name": "desk"}), "never said")
    await two.one.response.create(model="house", input="long", conversation=two.conversation, stream_id="a")
    target = (await until(two.one, "response.created")).response.id
    await house.gates["desk"].reached()
    await two.other.response.steer(input="rather this", previous_response_id=target)
    accepted: Any = await until(two.other, "response.steer.accepted")
    assert accepted.stream_id is None, "the target is not this connection's"
    house.gates["desk"].open()
    events = await two.seen(2)
    assert outline(events)[1] == ("incomplete", "incomplete")
    assert events[-1]["response_id"] == accepted.response_id
    assert own(house, 0)[2:] == [("response.created", "a"), ("response.incomplete", "a")]
    assert own(house, 1) == [
        ("response.steer.accepted", None), ("response.created", None), ("response.completed", None),
    ]  # fmt: skip
    assert own(house, 2) == []


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_a_steer_is_answered_however_its_target_ends(house: House, how: str) -> None:
    house.lines["talk"] = (
        said_around("one ", house.gates["half"], "two")
        if how == "cancelled"
        else (wait(house.gates["half"]) + fail(ModelRefused))
    )
    async with connected(house) as connection:
        await connection.response.create(model="house", input="talk", stream_id="a")
        target = (await until(connection, "response.created")).response.id
        await house.gates["half"].reached()
        await connection.response.steer(input="more", previous_response_id=target)
        accepted: Any = await until(connection, "response.steer.accepted")
        if how == "cancelled":
            await send(connection, "frontdesk:cancel", response_id=target)
        else:
            house.gates["half"].open()
        assert (await final(connection, "a")).status == how
        successor = await final(connection, "a")
        assert (successor.id, successor.previous_response_id) == (accepted.response_id, target)
        assert text_of(successor) == "You said: more"


# --- two servers

CLIENTS, INPUTS = 4, 6


async def test_two_servers_take_input_for_one_conversation_at_once_in_one_order(postgresql_url: str) -> None:
    first = Database.open(postgresql_url, durable=False, exclusive=False)
    second = Database.open(postgresql_url, durable=False, exclusive=False)
    hand = HandWorker(first)
    try:
        async with AsyncExitStack() as stack:
            services = [Service(hand.desk, one, drain_seconds=0.0) for one in (first, second)]
            addresses = [await stack.enter_async_context(served(one)) for one in services]
            everybody = [await stack.enter_async_context(client(addresses[n % 2])) for n in range(CLIENTS)]
            await everybody[0].create("hello")
            await everybody[0].taken()
            conversation = (await hand.answer("well")).conversation_id
            for one in everybody:
                await one.send("frontdesk:subscribe", conversation=conversation, after="0")
                await one.until("frontdesk:subscribed")
            async with anyio.create_task_group() as group:
                for number, one in enumerate(everybody):
                    group.start_soon(say_all, one, conversation, number)
            for _ in range(CLIENTS * INPUTS):
                await hand.answer("an", "swer")
            seen = [await heard(one, CLIENTS * INPUTS) for one in everybody]
    finally:
        first.close()
        second.close()
    assert seen[0] == seen[1] == seen[2] == seen[3]
    cursors = [cursor for cursor, _, _ in seen[0]]
    assert cursors == sorted(set(cursors))
    created = [response for _, kind, response in seen[0] if kind == "response.created"]
    assert len(created) == len(set(created)) == CLIENTS * INPUTS
    for one in everybody:
        accepted = [event["response_id"] for event in one.events if event["type"] == "frontdesk:accepted"]
        own = {event["response_id"] for event in one.events if event.get("stream_id") == "mine"}
        assert len(own) == INPUTS
        assert [one for one in created if one in accepted] == accepted, "each one's in the order in which it was sent"


async def say_all(one: Client, conversation: str, number: int) -> None:
    for place in range(INPUTS):
        metadata = {"frontdesk:input_id": f"{number}.{place}"}
        await one.create(f"{number}.{place}", conversation=conversation, stream_id="mine", metadata=metadata)
    await one.taken()


async def heard(one: Client, ends: int) -> list[tuple[int, str, str]]:
    """Everything of the conversation after its first response, until so many have ended."""

    def events() -> list[tuple[int, str, str]]:
        found = [event for event in one.events if "cursor" in event and "response_id" in event]
        return [(int(event["cursor"]), event["type"], event["response_id"]) for event in found]

    while sum(kind in TERMINAL for _, kind, _ in events()) < ends + 1:
        await one.until("response.completed")
    found = events()
    begun = next(place for place, (_, kind, _) in enumerate(found) if kind in TERMINAL)
    return found[begun + 1 :]
