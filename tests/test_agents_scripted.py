"""The scripted model, as a test of a desk uses it: replies, gates, records."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing

import anyio
import anyio.lowlevel
import pytest

from frontdesk.agents.errors import ModelRefused, ModelUnavailable
from frontdesk.agents.model import (
    FunctionCall,
    Message,
    Model,
    ModelEvent,
    ModelRequest,
    Reasoning,
    ReasoningDelta,
    ReplyDone,
    TextDelta,
    Usage,
)
from frontdesk.agents.models.scripted import (
    Gate,
    ScriptedModel,
    Signal,
    call,
    calls,
    delay,
    done,
    fail,
    say,
    think,
    wait,
)


def request(text: str = "hello") -> ModelRequest:
    return ModelRequest("", ({"type": "message", "role": "user", "content": text},), agent="triage")


async def ask(model: Model, asked: ModelRequest | None = None) -> list[ModelEvent]:
    async with aclosing(model.stream(asked or request())) as events:
        return [event async for event in events]


async def test_text_is_streamed_word_by_word_before_its_message() -> None:
    events = await ask(ScriptedModel([say("It is on its way.")]))
    assert events[-2:] == [Message("It is on its way."), ReplyDone()]
    deltas = [event.text for event in events if isinstance(event, TextDelta)]
    assert deltas == ["It ", "is ", "on ", "its ", "way."]


async def test_text_can_be_cut_into_a_number_of_pieces() -> None:
    events = await ask(ScriptedModel([say("abcdefgh", pieces=3)]))
    assert events[:-2] == [TextDelta("abc"), TextDelta("def"), TextDelta("gh")]


async def test_plain_text_is_a_reply() -> None:
    assert await ask(ScriptedModel(["hi"])) == [TextDelta("hi"), Message("hi"), ReplyDone()]


async def test_several_calls_come_in_one_reply_each_with_its_own_new_id() -> None:
    model = ScriptedModel([calls(call("add", {"a": 1}), call("slow", "{broken", call_id="c7"))] * 2)
    (first, second, _), (third, _, _) = await ask(model), await ask(model)
    assert isinstance(first, FunctionCall)
    assert isinstance(third, FunctionCall)
    assert (first.name, first.arguments) == ("add", '{"a":1}')
    assert second == FunctionCall("c7", "slow", "{broken")
    assert first.call_id.startswith("call_")
    assert first.call_id != third.call_id


async def test_parts_of_a_reply_come_in_the_order_in_which_they_were_added() -> None:
    model = ScriptedModel([think("hm") + say("ok") + call("add", call_id="c1") + done(Usage(3), finish="length")])
    hm, reasoning, *rest = await ask(model)
    assert hm == ReasoningDelta("hm")
    assert isinstance(reasoning, Reasoning)
    assert reasoning.body["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert rest == [TextDelta("ok"), Message("ok"), FunctionCall("c1", "add", "{}"), ReplyDone(Usage(3), "length")]


async def test_a_failure_after_some_text_raises_with_the_models_name() -> None:
    model = ScriptedModel([say("half", whole=False) + fail(ModelUnavailable, "overloaded", status=503)], name="fast")
    heard: list[ModelEvent] = []

    async def listen() -> None:
        async for event in model.stream(request()):
            heard.append(event)

    with pytest.raises(ModelUnavailable, match="model fast: overloaded") as caught:
        await listen()
    assert heard == [TextDelta("half")]
    assert caught.value.status == 503


async def test_an_error_of_your_own_is_raised_as_it_is() -> None:
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught:
        await ask(ScriptedModel([fail(error)]))
    assert caught.value is error


async def test_a_reply_can_be_a_function_of_the_request() -> None:
    model = ScriptedModel([lambda asked: say(asked.items[0]["content"]), "second"])
    assert Message("echo") in await ask(model, request("echo"))
    assert Message("second") in await ask(model)


async def test_one_function_can_answer_every_request() -> None:
    model = ScriptedModel(lambda asked: asked.items[0]["content"])
    assert [Message(text) in await ask(model, request(text)) for text in ("one", "two", "three")] == [True] * 3


async def test_it_records_what_it_was_asked() -> None:
    model = ScriptedModel(["a", "b"])
    assert model.remaining == 2
    await ask(model, request("one"))
    assert model.name == "scripted"
    assert [asked.items[0]["content"] for asked in model.requests] == ["one"]
    assert model.remaining == 1


@pytest.mark.parametrize(
    ("asked", "described"),
    [
        (request("where is it?"), "ending with user 'where is it?'"),
        (
            ModelRequest("", ({"type": "function_call_output", "call_id": "c", "output": "3"},)),
            "function_call_output '3'",
        ),
        (ModelRequest("", ()), "request 2 came, ending with no items"),
    ],
)
async def test_a_request_after_the_last_reply_is_refused_naming_what_was_asked(
    asked: ModelRequest, described: str
) -> None:
    model = ScriptedModel(["only"])
    await ask(model)
    with pytest.raises(ModelRefused, match="the script has 1 replies, but request 2") as caught:
        await ask(model, asked)
    assert described in str(caught.value)
    assert model.remaining == 0


async def test_a_gate_holds_the_reply_until_it_is_opened() -> None:
    gate = Gate()
    model = ScriptedModel([say("before") + wait(gate) + say("after")])
    heard: list[ModelEvent] = []

    async def listen() -> None:
        async for event in model.stream(request()):
            heard.append(event)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await gate.reached()
            assert heard == [TextDelta("before"), Message("before")]
            gate.open()
    assert Message("after") in heard


async def test_a_gate_is_opened_from_another_thread_with_another_loop() -> None:
    gate = Gate()
    model = ScriptedModel([wait(gate) + say("through")])
    answers: list[list[ModelEvent]] = []
    thread = threading.Thread(target=lambda: answers.append(asyncio.run(ask(model))))
    thread.start()
    with anyio.fail_after(10):
        await gate.reached()
        assert answers == []
        gate.open()
        await asyncio.to_thread(thread.join)
    assert Message("through") in answers[0]


class OpenWhenAskedTwice(threading.Event):
    def is_set(self) -> bool:
        opened = super().is_set()
        self.set()
        return opened


def opened_anyio_event() -> anyio.Event:
    event = anyio.Event()
    event.set()
    return event


@pytest.mark.parametrize("gate", [OpenWhenAskedTwice, opened_anyio_event, lambda: anyio.lowlevel.checkpoint])
async def test_an_event_or_a_function_serves_as_a_gate(gate: Callable[[], anyio.Event]) -> None:
    with anyio.fail_after(10):
        assert Message("ok") in await ask(ScriptedModel([wait(gate()) + say("ok")]))


async def test_a_delay_takes_time() -> None:
    with anyio.move_on_after(0.01) as scope:
        await ask(ScriptedModel([delay(3600) + say("never")]))
    assert scope.cancelled_caught


async def test_a_signal_forgets_who_stopped_waiting_and_survives_a_closed_loop() -> None:
    signal = Signal()
    with anyio.move_on_after(0):
        await signal.wait()
    loop = asyncio.new_event_loop()
    task = loop.create_task(signal.wait())
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.sleep(0)))
    thread.start()
    await asyncio.to_thread(thread.join)
    other = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait_for(task, 10)))
    other.start()
    signal.set()
    await asyncio.to_thread(other.join)
    loop.close()
    assert task.done()
    assert signal.is_set()
    signal.set()
    await signal.wait()


async def test_replies_are_taken_once_each_by_many_threads() -> None:
    model = ScriptedModel([str(number) for number in range(200)])

    async def take(count: int) -> list[ModelEvent]:
        return [event for _ in range(count) for event in await ask(model)]

    heard = await asyncio.gather(*(asyncio.to_thread(asyncio.run, take(50)) for _ in range(4)))
    texts = [event.text for events in heard for event in events if isinstance(event, Message)]
    assert sorted(texts, key=int) == [str(number) for number in range(200)]
    await model.aclose()
