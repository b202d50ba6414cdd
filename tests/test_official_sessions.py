"""The official client's sessions with lanes (``openai.lib.responses_websocket``): answers go to their lanes, alone.

A session takes any ``response.created`` on a lane for the answer to its create: a stray response would be returned as
the answer to the next question. What a conversation does by itself comes on a lane of its own, when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from openai.lib.responses_websocket import (
    AsyncResponsesWebSocketLane,
    AsyncResponsesWebSocketSession,
    ResponsesWebSocketAccumulator,
    ResponsesWebSocketError,
    ResponsesWebSocketLimits,
    ResponsesWebSocketSession,
)
from openai.types.websocket_reconnection import ReconnectingEvent, ReconnectingOverrides

from frontdesk.agents.models.scripted import Signal, call, calls, say, wait
from frontdesk.tests.served import House, file_errand, open_house, said_around
from frontdesk.tests.talk import connected, send, text_of, until
from frontdesk.tests.wire_record import PATIENCE, TERMINAL

LIMITS = ResponsesWebSocketLimits(
    max_lanes=32, max_events_per_lane=1_000, max_events=10_000, max_bytes_per_lane=10_000_000, max_bytes=100_000_000
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as found:
        yield found


@asynccontextmanager
async def opened(house: House, **options: Any) -> AsyncGenerator[AsyncResponsesWebSocketSession]:
    async with (
        connected(house, **options) as connection,
        AsyncResponsesWebSocketSession(connection, limits=LIMITS) as session,
    ):
        yield session


@pytest.fixture
async def session(house: House) -> AsyncGenerator[AsyncResponsesWebSocketSession]:
    async with opened(house) as found:
        yield found


async def create(lane: AsyncResponsesWebSocketLane, given: Any, **fields: Any) -> None:
    message: Any = {"type": "response.create", "model": "house", "input": given, **fields}
    await lane.send(message)


async def final(lane: AsyncResponsesWebSocketLane) -> Any:
    with anyio.fail_after(PATIENCE):
        return await lane.get_final_response()


async def ask(lane: AsyncResponsesWebSocketLane, given: Any, **fields: Any) -> Any:
    await create(lane, given, **fields)
    return await final(lane)


async def heard(lane: AsyncResponsesWebSocketLane, kind: str) -> Any:
    """The lane's next event of this type."""
    with anyio.fail_after(PATIENCE):
        while True:
            event: Any = await lane.recv()
            if event.type == kind:
                return event


async def notice_is_answered(house: House, conversation: str) -> None:
    """Returns when a finished task has started a turn and that has ended: seen by somebody else."""
    async with connected(house) as other:
        await send(other, "frontdesk:subscribe", conversation=conversation, after="0")
        await until(other, "response.completed", lambda event: "frontdesk:trigger" in event.response.metadata)


def answers(house: House, connection: int) -> list[str]:
    """What the responses that ended on a connection said, in their order."""
    ends = [event["response"] for event in house.record.events(connection) if event["type"] in TERMINAL]
    return [one["output"][-1]["content"][0]["text"] for one in ends]


# --- lanes


async def test_each_lane_gets_the_answers_to_its_own_questions(
    house: House, session: AsyncResponsesWebSocketSession
) -> None:
    lanes = [session.default, *(session.lane(f"lane-{number}") for number in range(7))]

    async def talk(number: int, lane: AsyncResponsesWebSocketLane) -> None:
        previous: dict[str, str] = {}
        for turn in range(4):
            response = await ask(lane, f"{number}.{turn}", **previous)
            assert text_of(response) == f"You said: {number}.{turn}"
            previous = {"previous_response_id": response.id}

    async with anyio.create_task_group() as group:
        for number, lane in enumerate(lanes):
            group.start_soon(talk, number, lane)


async def test_lanes_run_at_once(house: House, session: AsyncResponsesWebSocketSession) -> None:
    arrived = [Signal(), Signal(), Signal()]

    def meet(mine: int) -> Any:
        async def arrive() -> None:
            arrived[mine].set()
            for one in arrived:
                await one.wait()

        return wait(arrive) + say(f"{mine} has met the others")

    lanes = [session.lane(f"lane-{number}") for number in range(3)]
    for number, lane in enumerate(lanes):
        house.lines[f"meet {number}"] = meet(number)
        await create(lane, f"meet {number}")
    for number, lane in enumerate(lanes):
        assert text_of(await final(lane)) == f"{number} has met the others"


async def test_an_answer_can_be_put_together_from_its_events(
    house: House, session: AsyncResponsesWebSocketSession
) -> None:
    house.lines["look"] = (call("look", {"word": "sun"}), "The sun is a word.")
    lane, accumulator = session.lane("one"), ResponsesWebSocketAccumulator()
    await create(lane, "look")
    while True:
        with anyio.fail_after(PATIENCE):
            event: Any = await lane.recv()
        accumulator.add_event(event)
        if event.type == "response.output_text.delta":
            assert accumulator.snapshot().output_text.endswith(event.delta)
        if event.type in TERMINAL:
            break
    assert accumulator.snapshot().output_text == "The sun is a word."
    details: Any = accumulator.detailed_snapshot()["output"]
    assert [one["item"]["type"] for one in details] == ["mcp_call", "message"]
    assert accumulator.get_final_response().id == event.response.id


async def test_forks_on_another_lane_leave_the_first_as_it_is(
    house: House, session: AsyncResponsesWebSocketSession
) -> None:
    main, fork = session.lane("main"), session.lane("fork")
    first = await ask(main, "one")
    house.lines["slow"] = wait(house.gates["slow"]) + say("slow")
    await create(main, "slow", previous_response_id=first.id)
    await heard(main, "response.in_progress")
    forked = await ask(fork, "other", previous_response_id=first.id)
    assert text_of(forked) == "You said: other"
    assert forked.conversation.id != first.conversation.id
    house.gates["slow"].open()
    assert (await final(main)).conversation.id == first.conversation.id


async def test_functions_of_the_client_go_round_on_a_lane(
    house: House, session: AsyncResponsesWebSocketSession
) -> None:
    house.lines["weather?"] = (call("weather", {"city": "Oslo"}, call_id="c1"), "Cold.")
    tools = [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}]
    lane = session.lane("one")
    first = await ask(lane, "weather?", tools=tools)
    assert (first.output[0].type, first.output[0].call_id) == ("function_call", "c1")
    output = [{"type": "function_call_output", "call_id": "c1", "output": "-3"}]
    assert text_of(await ask(lane, output, previous_response_id=first.id, tools=tools)) == "Cold."


async def test_a_lanes_error_is_its_own(house: House, session: AsyncResponsesWebSocketSession) -> None:
    house.lines["slow"] = wait(house.gates["slow"]) + say("slow")
    good, bad = session.lane("good"), session.lane("bad")
    await create(good, "slow")
    with pytest.raises(ResponsesWebSocketError) as caught:
        await ask(bad, "hello", previous_response_id="resp_nobody")
    event: Any = caught.value.event
    assert event.error.code == "previous_response_not_found"
    house.gates["slow"].open()
    assert text_of(await final(good)) == "slow"
    assert text_of(await ask(bad, "again")) == "You said: again"


async def test_steering_on_a_lane_ends_one_response_and_the_next_comes_by_itself(
    house: House, session: AsyncResponsesWebSocketSession
) -> None:
    house.lines["long"] = (call("hold", {"name": "desk"}), "never said")
    lane = session.lane("one")
    await create(lane, "long")
    target = (await heard(lane, "response.created")).response.id
    await house.gates["desk"].reached()
    steer: Any = {"type": "response.steer", "previous_response_id": target, "input": "shorter"}
    await lane.send(steer)
    assert (await heard(lane, "response.steer.accepted")).steer.previous_response_id == target
    house.gates["desk"].open()
    assert (await final(lane)).incomplete_details.reason == "steered"
    successor = (await heard(lane, "response.created")).response
    assert successor.previous_response_id == target
    assert text_of(await final(lane)) == "You said: shorter"


async def test_a_cancelled_response_is_final(house: House, session: AsyncResponsesWebSocketSession) -> None:
    house.lines["talk"] = said_around("one ", house.gates["never"], "two")
    lane = session.lane("one")
    await create(lane, "talk")
    delta = await heard(lane, "response.output_text.delta")
    cancel: Any = {"type": "frontdesk:cancel", "response_id": delta.response_id}
    await lane.send(cancel)
    response = await final(lane)
    assert (response.status, text_of(response)) == ("cancelled", "one ")
    assert text_of(await ask(lane, "on", previous_response_id=response.id)) == "You said: on"


# --- what a conversation does by itself


@pytest.mark.parametrize("name", [None, "talk"])
async def test_turns_that_finished_tasks_start_do_not_stray_onto_a_lane(house: House, name: str | None) -> None:
    house.lines["file"] = (file_errand("shop"), "It is being done.")
    async with opened(house) as session:
        lane = session.default if name is None else session.lane(name)
        first = await ask(lane, "file")
        assert text_of(first) == "It is being done."
        house.gates["shop"].open()
        await notice_is_answered(house, first.conversation.id)
        after = await ask(lane, "and now?", previous_response_id=first.id)
        assert text_of(after) == "You said: and now?"
        assert after.conversation.id == first.conversation.id
        assert text_of(await ask(lane, "elsewhere")) == "You said: elsewhere"
    assert answers(house, 0) == ["It is being done.", "You said: and now?", "You said: elsewhere"]
    assert {event.get("stream_id") for event in house.record.events(0)} == {name}
    assert all(event["type"].startswith("response.") for event in house.record.events(0)), "nothing that is only ours"


async def test_many_lanes_stay_clean_while_notices_start_turns(
    house: House, session: AsyncResponsesWebSocketSession
) -> None:
    async def talk(number: int) -> None:
        lane, name = session.lane(f"lane-{number}"), f"errand {number}"
        house.lines[f"file {number}"] = (file_errand(name), f"Filed {number}.")
        response = await ask(lane, f"file {number}")
        assert text_of(response) == f"Filed {number}."
        house.gates[name].open()
        for turn in range(5):  # meanwhile the notice comes, before, between or during these
            response = await ask(lane, f"{number}.{turn}", previous_response_id=response.id)
            assert text_of(response) == f"You said: {number}.{turn}"

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(talk, number)


async def test_a_subscription_has_a_lane_of_its_own(house: House, session: AsyncResponsesWebSocketSession) -> None:
    house.lines["file"] = (file_errand("shop"), "It is being done.")
    lane = session.lane("talk")
    first = await ask(lane, "file")
    conversation = first.conversation.id
    events = session.lane(f"frontdesk.{conversation}")
    subscribe: Any = {"type": "frontdesk:subscribe", "conversation": conversation, "after": "0"}
    await events.send(subscribe)
    assert (await heard(events, "frontdesk:subscribed")).cursor == "0"
    created = await heard(events, "frontdesk:task.created")
    assert (created.task["label"], created.task["name"]) == ("T1", "errand")
    house.gates["shop"].open()
    finished = await heard(events, "frontdesk:task.finished")
    assert finished.task["result"] == "shop is done"
    notice = await final(events)
    assert notice.metadata["frontdesk:trigger"] == created.task["id"]
    assert text_of(notice) == "heard of 1"
    assert text_of(await ask(lane, "on", previous_response_id=first.id)) == "You said: on"
    assert {event.get("stream_id") for event in house.record.events(0)} == {"talk", f"frontdesk.{conversation}"}


async def test_after_a_restart_the_subscriptions_lane_goes_on(house: House) -> None:
    house.lines["long"] = (call("hold", {"name": "desk"}), "said after the restart")
    seen: dict[str, str] = {}

    def on_reconnecting(event: ReconnectingEvent) -> ReconnectingOverrides:
        return {"extra_query": dict(seen)}

    async with opened(house, on_reconnecting=on_reconnecting, initial_delay=0.05) as session:
        lane = session.lane("talk")
        await create(lane, "long")
        arguments = await heard(lane, "response.mcp_call_arguments.done")
        await house.gates["desk"].reached()
        seen.update(conversation=arguments.conversation, after=arguments.cursor)
        events = session.lane(f"frontdesk.{arguments.conversation}")
        await anyio.to_thread.run_sync(house.restart)
        house.gates["desk"].open()
        assert (await heard(events, "frontdesk:subscribed")).cursor == arguments.cursor
        end = await heard(events, "response.completed")
        assert (end.response.id, text_of(end.response)) == (arguments.response_id, "said after the restart")
        other = session.lane("afterwards")
        assert text_of(await ask(other, "on", previous_response_id=end.response.id)) == "You said: on"


# --- all of it at once


class Talker:
    """Says one thing after the other on its lane, by chance, and checks that it gets the answer to each."""

    def __init__(self, house: House, session: AsyncResponsesWebSocketSession, name: str, shared: str) -> None:
        self._house, self._lane, self._name, self._shared = house, session.lane(name), name, shared
        self._said = 0
        self._last: dict[str, Any] = {}

    async def say_something(self, random: Random) -> None:
        self._said += 1
        text = f"{self._name} {self._said}"
        kinds = [self._ask, self._share, self._look, self._steer, self._cancel, self._file, self._err]
        await random.choice(kinds)(text)

    async def _ask(self, text: str) -> None:
        response = await ask(self._lane, text, **self._last)
        assert text_of(response) == f"You said: {text}"
        self._last = {"previous_response_id": response.id}

    async def _share(self, text: str) -> None:
        assert text_of(await ask(self._lane, text, conversation=self._shared)) == f"You said: {text}"

    async def _look(self, text: str) -> None:
        self._house.lines[text] = (calls(call("look", {"word": "a"}), call("look", {"wrong": "b"})), f"{text} looked")
        assert text_of(await ask(self._lane, text, **self._last)) == f"{text} looked"

    async def _steer(self, text: str) -> None:
        self._house.lines[text] = (call("hold", {"name": text}), "never said")
        await create(self._lane, text, **self._last)
        target = (await heard(self._lane, "response.created")).response.id
        await self._house.gates[text].reached()
        steer: Any = {"type": "response.steer", "previous_response_id": target, "input": f"{text} more"}
        await self._lane.send(steer)
        await heard(self._lane, "response.steer.accepted")
        self._house.gates[text].open()
        assert (await final(self._lane)).incomplete_details.reason == "steered"
        assert (await heard(self._lane, "response.created")).response.previous_response_id == target
        assert text_of(await final(self._lane)) == f"You said: {text} more"

    async def _cancel(self, text: str) -> None:
        self._house.lines[text] = said_around("one ", self._house.gates[text], "two")
        await create(self._lane, text)
        delta = await heard(self._lane, "response.output_text.delta")
        cancel: Any = {"type": "frontdesk:cancel", "response_id": delta.response_id}
        await self._lane.send(cancel)
        assert (await final(self._lane)).status == "cancelled"

    async def _file(self, text: str) -> None:
        self._house.lines[text] = (file_errand(text), f"{text} filed")
        response = await ask(self._lane, text, conversation=self._shared)
        assert text_of(response) == f"{text} filed"
        self._house.gates[text].open()

    async def _err(self, text: str) -> None:
        with pytest.raises(ResponsesWebSocketError):
            await ask(self._lane, text, previous_response_id="resp_nobody")


async def test_a_busy_afternoon(house: House, session: AsyncResponsesWebSocketSession) -> None:
    """Six talkers on their lanes, a shared conversation that tasks and notices move on, and two who follow it."""
    chance = Random()
    shared = (await ask(session.default, "hello")).conversation.id
    followed = session.lane(f"frontdesk.{shared}")

    async def talk(name: str, seed: float) -> None:
        talker, random = Talker(house, session, name, shared), Random(seed)
        for _ in range(8):
            await talker.say_something(random)

    async def follow() -> None:
        for _ in range(4):
            for kind in ("subscribe", "unsubscribe"):
                message: Any = {"type": f"frontdesk:{kind}", "conversation": shared}
                await followed.send(message)
                if kind == "subscribe":
                    await heard(followed, "frontdesk:subscribed")
                    await ask(session.default, "on", conversation=shared)

    async with connected(house) as other:
        await send(other, "frontdesk:subscribe", conversation=shared, after="0")
        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(talk, f"talker-{number}", chance.random())
            group.start_soon(follow)
        last = await ask(session.default, "the end", conversation=shared)
        await until(other, "response.completed", lambda event: event.response.id == last.id)
    texts = [event for event in house.record.events(1) if event["type"] == "response.output_text.done"]
    assert len(texts) == len({event["item_id"] for event in texts}), "each once"


# --- synchronous sessions


@contextmanager
def opened_sync(house: House) -> Generator[ResponsesWebSocketSession]:
    with (
        house.sync_client() as client,
        client.responses.connect(websocket_connection_options=house.record.sync_options()) as connection,
        ResponsesWebSocketSession(connection, limits=LIMITS) as session,
    ):
        yield session


# The client has not followed websockets 17.1.
@pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")
def test_a_synchronous_session_works_alike(house: House) -> None:
    house.lines["file"] = (file_errand("shop"), "It is being done.")
    house.lines["slow"] = wait(house.gates["slow"]) + say("slow")
    with opened_sync(house) as session:

        def create(lane: Any, text: str, **fields: Any) -> None:
            lane.send({"type": "response.create", "model": "house", "input": text, **fields})

        def final(lane: Any) -> Any:
            return lane.get_final_response(timeout=PATIENCE)

        lanes = [session.lane(f"lane-{number}") for number in range(3)]
        create(session.default, "slow")
        for number, lane in enumerate(lanes):
            create(lane, f"hello {number}")
        for number, lane in enumerate(lanes):
            assert final(lane).output_text == f"You said: hello {number}"
        house.gates["slow"].open()
        assert final(session.default).output_text == "slow"

        create(lanes[0], "file")
        first: Any = final(lanes[0])
        assert first.output_text == "It is being done."
        house.gates["shop"].open()
        anyio.run(notice_is_answered, house, first.conversation.id)
        create(lanes[0], "on", previous_response_id=first.id)
        assert final(lanes[0]).output_text == "You said: on"
        assert "heard of 1" not in answers(house, 0)

        events: Any = session.lane(f"frontdesk.{first.conversation.id}")
        session.connection.send_raw(
            json.dumps({"type": "frontdesk:subscribe", "conversation": first.conversation.id, "after": "0"})
        )
        kinds: list[str] = []
        while "response.completed" not in kinds:
            kinds.append(events.recv(timeout=PATIENCE).type)
        assert (kinds[0], "frontdesk:task.finished" in kinds) == ("frontdesk:subscribed", True)
        assert events.get_final_response(timeout=PATIENCE).output_text == "heard of 1"
