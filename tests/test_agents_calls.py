"""The calls of one reply: parallelism, order, exactly one output each, and every way in which a tool can fail."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import pytest
from anyio import CapacityLimiter

from frontdesk.agents.calls import Call, CallOutput, one_by_one, run_calls, run_tool, unknown_tool
from frontdesk.agents.context import Context
from frontdesk.agents.places import Places
from frontdesk.agents.tool import Tool, tool
from frontdesk.tasks.errors import ToolError

CONTEXT = Context(
    dependencies=None,
    conversation_id="conv_1",
    response_id="resp_1",
    call_id="call_1",
    agent="orders",
    tenant="",
    idempotency_key="key_1",
)


def calls_of(*names: str) -> list[Call]:
    return [Call(call_id=f"call_{number}", name=name, arguments="{}") for number, name in enumerate(names)]


def nobody(call: Call) -> bool:
    return False


async def forget(output: CallOutput) -> None:
    return None


class Run:
    """Runs calls by name and writes down what happened."""

    def __init__(self, **functions: Callable[..., Any]) -> None:
        self.tools = {name: tool(name=name)(function) for name, function in functions.items()}
        self.log: list[str] = []

    async def one(self, call: Call) -> CallOutput:
        self.log.append(f"begin {call.name}")
        try:
            return await run_tool(self.tools[call.name], call, CONTEXT)
        except asyncio.CancelledError:
            self.log.append(f"cancel {call.name}")
            raise

    async def done(self, output: CallOutput) -> None:
        self.log.append(f"done {output.output}")


# --- together


async def test_three_async_tools_run_at_the_same_time() -> None:
    barrier = asyncio.Barrier(3)

    async def meet() -> str:
        await barrier.wait()
        return "met"

    run = Run(meet=meet)
    with anyio.fail_after(30):
        outputs = await run_calls(calls_of("meet", "meet", "meet"), run.one, parallel=True, alone=nobody, done=run.done)
    assert [output.output for output in outputs] == ["met"] * 3


async def test_three_blocking_tools_run_at_the_same_time() -> None:
    barrier = threading.Barrier(3)

    def meet() -> str:
        barrier.wait(30)
        return "met"

    run = Run(meet=meet)
    with anyio.fail_after(30):
        outputs = await run_calls(calls_of("meet", "meet", "meet"), run.one, parallel=True, alone=nobody, done=run.done)
    assert [output.output for output in outputs] == ["met"] * 3


async def test_async_and_blocking_tools_run_at_the_same_time() -> None:
    pinged, ponged = threading.Event(), anyio.Event()

    def ping() -> str:
        pinged.set()
        anyio.from_thread.run(ponged.wait)
        return "ping"

    async def pong() -> str:
        await anyio.to_thread.run_sync(pinged.wait)
        ponged.set()
        return "pong"

    run = Run(ping=ping, pong=pong)
    with anyio.fail_after(30):
        outputs = await run_calls(calls_of("ping", "pong"), run.one, parallel=True, alone=nobody, done=run.done)
    assert [output.output for output in outputs] == ["ping", "pong"]


async def test_outputs_keep_the_order_of_the_calls_and_are_done_in_the_order_of_their_ends() -> None:
    ended = {name: anyio.Event() for name in "abc"}
    waits_for = {"a": "b", "b": "c"}

    async def one(call: Call) -> CallOutput:
        if call.name in waits_for:
            await ended[waits_for[call.name]].wait()
        return CallOutput(call.call_id, call.name)

    finished: list[str] = []

    async def done(output: CallOutput) -> None:
        finished.append(output.output)
        ended[output.output].set()

    with anyio.fail_after(30):
        outputs = await run_calls(calls_of("a", "b", "c"), one, parallel=True, alone=nobody, done=done)
    assert ([output.output for output in outputs], finished) == (["a", "b", "c"], ["c", "b", "a"])


async def test_an_output_is_done_while_its_siblings_still_run() -> None:
    done_first = anyio.Event()

    async def one(call: Call) -> CallOutput:
        if call.name == "slow":
            await done_first.wait()
        return CallOutput(call.call_id, call.name)

    async def done(output: CallOutput) -> None:
        if output.output == "quick":
            done_first.set()

    with anyio.fail_after(30):
        outputs = await run_calls(calls_of("slow", "quick"), one, parallel=True, alone=nobody, done=done)
    assert [output.call_id for output in outputs] == ["call_0", "call_1"]


async def test_no_calls_are_no_outputs() -> None:
    assert await run_calls([], Run().one, parallel=True, alone=nobody, done=forget) == []


async def test_one_call_needs_no_further_task() -> None:
    here = asyncio.current_task()
    ran_in: list[object] = []

    async def one(call: Call) -> CallOutput:
        ran_in.append(asyncio.current_task())
        return CallOutput(call.call_id, "")

    await run_calls(calls_of("a"), one, parallel=True, alone=nobody, done=forget)
    assert ran_in == [here]


# --- in order


class Overlap:
    """Counts how many calls are under way at once, over many steps of the event loop."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.order: list[str] = []

    async def one(self, call: Call) -> CallOutput:
        self.running += 1
        self.most = max(self.most, self.running)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        self.running -= 1
        self.order.append(call.name)
        return CallOutput(call.call_id, call.name)


async def test_without_parallelism_no_two_calls_overlap() -> None:
    overlap = Overlap()
    outputs = await run_calls(calls_of(*"abcd"), overlap.one, parallel=False, alone=nobody, done=forget)
    assert (overlap.most, overlap.order) == (1, [*"abcd"])
    assert [output.output for output in outputs] == [*"abcd"]


async def test_with_parallelism_calls_overlap() -> None:
    overlap = Overlap()
    await run_calls(calls_of(*"abcd"), overlap.one, parallel=True, alone=nobody, done=forget)
    assert overlap.most == 4


async def test_without_parallelism_an_output_is_done_before_the_next_call_begins() -> None:
    run = Run(a=lambda_returning("a"), b=lambda_returning("b"))
    await run_calls(calls_of("a", "b"), run.one, parallel=False, alone=nobody, done=run.done)
    assert run.log == ["begin a", "done a", "begin b", "done b"]


async def test_a_call_that_runs_alone_keeps_its_place_among_the_others() -> None:
    overlaps: dict[str, int] = {}
    order: list[str] = []
    running: set[str] = set()

    async def one(call: Call) -> CallOutput:
        running.add(call.call_id)
        order.append(call.name)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
            overlaps[call.name] = max(overlaps.get(call.name, 0), len(running))
        running.remove(call.call_id)
        return CallOutput(call.call_id, call.name)

    calls = calls_of("a", "b", "X", "Y", "c", "d", "Z")
    outputs = await run_calls(calls, one, parallel=True, alone=lambda call: call.name.isupper(), done=forget)
    assert overlaps == {"a": 2, "b": 2, "X": 1, "Y": 1, "c": 2, "d": 2, "Z": 1}
    assert [output.output for output in outputs] == ["a", "b", "X", "Y", "c", "d", "Z"]
    assert [set(order[:2]), order[2:4], set(order[4:6]), order[6]] == [{"a", "b"}, ["X", "Y"], {"c", "d"}, "Z"]


def test_one_by_one_is_alone_for_every_call() -> None:
    assert all(one_by_one(call) for call in calls_of("a", "b"))


def lambda_returning(text: str) -> Callable[[], Any]:
    async def function() -> str:
        return text

    return function


# --- when something goes wrong around a call


class LeaseLost(Exception):
    pass


@pytest.mark.parametrize("failing", [0, 1, 2])
async def test_when_done_fails_the_siblings_are_cancelled_and_its_error_is_raised_as_it_is(failing: int) -> None:
    begun = asyncio.Barrier(3)

    async def one(call: Call) -> CallOutput:
        run.log.append(f"begin {call.name}")
        await begun.wait()
        if call.call_id == f"call_{failing}":
            return CallOutput(call.call_id, call.name)
        try:
            await anyio.sleep_forever()
        finally:
            run.log.append(f"cancel {call.name}")
        raise AssertionError

    async def done(output: CallOutput) -> None:
        raise LeaseLost(output.output)

    run = Run()
    with anyio.fail_after(30), pytest.raises(LeaseLost) as caught:
        await run_calls(calls_of("a", "b", "c"), one, parallel=True, alone=nobody, done=done)
    names = ["a", "b", "c"]
    assert str(caught.value) == names.pop(failing)
    assert sorted(run.log) == ["begin a", "begin b", "begin c", *(f"cancel {name}" for name in names)]


async def test_of_several_failures_the_first_is_raised() -> None:
    async def one(call: Call) -> CallOutput:
        raise LeaseLost(call.name)

    with pytest.raises(LeaseLost, match=r"^a$"):
        await run_calls(calls_of("a", "b"), one, parallel=True, alone=nobody, done=forget)


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
async def test_after_a_failure_no_further_call_begins(names: list[str]) -> None:
    run = Run(a=lambda_returning("a"), b=lambda_returning("b"), last=lambda_returning("last"))

    async def done(output: CallOutput) -> None:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        await run_calls(
            calls_of(*names, "last"), run.one, parallel=True, alone=lambda call: call.name == "last", done=done
        )
    assert "begin last" not in run.log


async def test_a_cancellation_from_outside_cancels_every_call() -> None:
    begun = asyncio.Barrier(4)

    async def hang() -> None:
        await begun.wait()
        await anyio.sleep_forever()

    run = Run(a=hang, b=hang, c=hang)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:

            async def turn() -> None:
                await run_calls(calls_of("a", "b", "c"), run.one, parallel=True, alone=nobody, done=run.done)
                run.log.append("not cancelled")

            tasks.start_soon(turn)
            await begun.wait()
            tasks.cancel_scope.cancel()
    assert sorted(run.log) == ["begin a", "begin b", "begin c", "cancel a", "cancel b", "cancel c"]


async def test_a_plain_cancellation_of_the_task_cancels_every_call() -> None:
    begun = asyncio.Barrier(3)

    async def hang() -> None:
        await begun.wait()
        await anyio.sleep_forever()

    run = Run(a=hang, b=hang)
    running = asyncio.ensure_future(run_calls(calls_of("a", "b"), run.one, parallel=True, alone=nobody, done=run.done))
    with anyio.fail_after(30):
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert sorted(run.log) == ["begin a", "begin b", "cancel a", "cancel b"]


async def test_one_failing_call_never_loses_the_results_of_its_siblings() -> None:
    failed = anyio.Event()

    async def fails() -> str:
        failed.set()
        raise ValueError("secret")

    async def waits() -> str:
        await failed.wait()
        return "fine"

    run = Run(fails=fails, waits=waits)
    with anyio.fail_after(30):
        outputs = await run_calls(calls_of("waits", "fails"), run.one, parallel=True, alone=nobody, done=run.done)
    assert [(output.kind, output.error) for output in outputs] == [("result", False), ("error", True)]
    assert outputs[0].output == "fine"


# --- one tool


async def output_of(function: Any, arguments: str = "{}", **options: Any) -> CallOutput:
    """The output of a tool that is made of ``function``."""
    made: Tool = tool(**options)(function)
    with anyio.fail_after(30):
        return await run_tool(made, Call("call_1", made.wire_name, arguments), CONTEXT)


async def test_a_result_is_text_with_the_value_beside_it() -> None:
    async def numbers() -> list[int]:
        return [1, 2]

    output = await output_of(numbers)
    assert output == CallOutput("call_1", "[1,2]", error=False, kind="result")
    assert output.value == [1, 2]


async def test_the_text_of_a_result_can_be_made_by_the_caller() -> None:
    async def agent() -> object:
        return object

    output = await run_tool(
        tool(agent), Call("call_1", "agent", ""), CONTEXT, text=lambda value: f"to {value.__name__}"
    )
    assert (output.output, output.value) == ("to object", object)


async def test_wrong_arguments_are_answered_in_words_without_running_the_tool() -> None:
    def find(order: int) -> None:
        raise AssertionError

    output = await output_of(find, '{"ordr": 7}')
    assert (output.error, output.kind) == (True, "error")
    assert "- ordr: unknown; did you mean order?" in output.output


async def test_a_tool_error_is_told_as_it_is() -> None:
    async def fails() -> None:
        raise ToolError("The till is closed.")

    assert await output_of(fails) == CallOutput("call_1", "The till is closed.", error=True, kind="error")


async def test_a_tool_error_without_text_is_told_by_name() -> None:
    async def fails() -> None:
        raise ToolError

    assert (await output_of(fails)).output == "The tool fails failed."


@pytest.mark.parametrize("blocking", [True, False])
async def test_any_other_exception_is_told_without_its_internals_and_logged_with_them(
    blocking: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise ValueError("password=hunter2")

    async def fails_later() -> None:
        fails()

    output = await output_of(fails if blocking else fails_later, name="pay")
    assert output.output.startswith("The tool pay failed: internal error (ValueError). ")
    assert "hunter2" not in output.output
    assert (output.error, output.kind) == (True, "error")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("frontdesk.calls", logging.ERROR)
    assert "call call_1, conversation conv_1" in record.getMessage()
    assert "password=hunter2" in caplog.text
    assert "in fails" in caplog.text


async def test_the_only_exception_in_groups_is_told_as_if_it_stood_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        async with anyio.create_task_group(), anyio.create_task_group():
            raise ToolError("The till is closed.")

    assert (await output_of(fails)).output == "The till is closed."
    assert caplog.records == []


async def test_several_exceptions_in_a_group_are_an_internal_error() -> None:
    async def fails() -> None:
        raise ExceptionGroup("both", [ToolError("a"), ToolError("b")])

    assert "internal error (ExceptionGroup)" in (await output_of(fails)).output


@pytest.mark.parametrize("error", [SystemExit(1), StopIteration(), BaseExceptionGroup("x", [SystemExit(1)])])
@pytest.mark.parametrize("blocking", [True, False])
async def test_not_even_an_exit_gets_out_of_a_tool(error: BaseException, blocking: bool) -> None:
    def leaves() -> None:
        raise error

    async def leaves_later() -> None:
        leaves()

    output = await output_of(leaves if blocking else leaves_later)
    assert output.output.startswith("The tool leaves")
    assert "internal error (" in output.output


async def test_an_interrupt_that_a_blocking_tool_raises_does_not_get_out_of_it() -> None:
    def leaves() -> None:
        raise KeyboardInterrupt

    assert "internal error (KeyboardInterrupt)" in (await output_of(leaves)).output


async def test_a_cancellation_that_nobody_asked_for_is_a_failure_of_the_tool() -> None:
    async def awaits_a_cancelled_future() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    output = await output_of(awaits_a_cancelled_future)
    assert "internal error (CancelledError)" in output.output


async def test_a_result_that_cannot_be_shown_is_an_error_that_says_that_the_tool_ran(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def make() -> object:
        return object()

    output = await output_of(make)
    assert output.output == (
        "The tool make ran, but what it returned cannot be shown: internal error. Do not call it again."
    )
    assert (output.error, output.value) == (True, None)
    assert "make returned a object, which cannot be stored" in caplog.text


async def test_a_result_that_is_too_large_is_an_error_that_says_how_large() -> None:
    def fetch() -> str:
        return "x" * 10_000_001

    output = await output_of(fetch)
    assert output.output.endswith("ran, but its result is too large, 10,000,001 bytes. Ask it for less.")
    assert output.error


# --- a limit on the calls of one tool


class Crowd:
    """Calls of one tool, begun all at once; each holds its place until it is let go."""

    def __init__(self, limit: int, *, blocking: bool) -> None:
        self.inside, self.most, self.begun = 0, 0, 0
        self.gate, self.entered = threading.Event(), threading.Event()
        self.places = Places()
        function: Any = self._block if blocking else self._await
        self.tool = tool(name="crowd", concurrency_limit=limit)(function)

    def _enter(self) -> None:
        self.inside += 1
        self.begun += 1
        self.most = max(self.most, self.inside)
        self.entered.set()

    async def _await(self) -> None:
        self._enter()
        await anyio.lowlevel.checkpoint()
        self.inside -= 1

    def _block(self) -> None:
        self._enter()
        self.gate.wait(30)
        self.inside -= 1

    async def call(self, number: int = 0) -> CallOutput:
        return await run_tool(self.tool, Call(f"call_{number}", "crowd", "{}"), CONTEXT, places=self.places)


@pytest.mark.parametrize("blocking", [False, True])
async def test_no_more_calls_of_a_tool_run_than_it_allows(blocking: bool) -> None:
    crowd = Crowd(2, blocking=blocking)
    crowd.gate.set()
    with anyio.fail_after(30):
        outputs = await asyncio.gather(*(crowd.call(number) for number in range(12)))
    assert [one.output for one in outputs] == ["Done."] * 12
    assert (crowd.begun, crowd.inside) == (12, 0)
    assert 1 <= crowd.most <= 2


async def test_waiting_for_a_place_is_no_part_of_a_call_s_time() -> None:
    free, left, waited = anyio.Event(), list[float](), 0.0

    async def slow() -> None:
        left.append(anyio.current_effective_deadline() - anyio.current_time())
        await free.wait()

    limited, places = tool(concurrency_limit=1, timeout=60)(slow), Places()
    with anyio.fail_after(3600):
        async with anyio.create_task_group() as tasks:
            for number in range(2):
                tasks.start_soon(partial(run_tool, limited, Call(f"call_{number}", "slow", ""), CONTEXT, places=places))
            begun = anyio.current_time()
            with anyio.move_on_after(0.2):
                await anyio.sleep_forever()
            waited = anyio.current_time() - begun
            free.set()
    assert len(left) == 2
    assert min(left) > 60 - waited / 2


async def test_a_call_that_gets_no_place_is_answered_and_never_run() -> None:
    crowd = Crowd(1, blocking=True)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crowd.call)
            await anyio.to_thread.run_sync(crowd.entered.wait)
            tasks.cancel_scope.cancel()  # its thread goes on, and holds the place
        patient = crowd.tool
        crowd.tool = replace(patient, timeout=0.01)
        busy = await crowd.call()
        assert (busy.output, busy.kind) == (
            "The tool crowd is busy with other calls, and this one was not begun. Try again later.",
            "timeout",
        )
        assert crowd.begun == 1
        crowd.gate.set()
        crowd.tool = patient
        assert (await crowd.call()).output == "Done."
    assert crowd.begun == 2


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_place_comes_back_however_a_call_ends(blocking: bool) -> None:
    crowd = Crowd(1, blocking=blocking)
    crowd.gate.set()
    with anyio.fail_after(30):
        wrong = await run_tool(crowd.tool, Call("call_0", "crowd", '{"a": 1}'), CONTEXT, places=crowd.places)
        assert "a: unknown" in wrong.output
        for steps in range(8):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(crowd.call, steps)
                tasks.start_soon(crowd.call, steps)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        assert (await crowd.call(9)).output == "Done."


async def test_a_limit_counts_the_calls_of_both_agents_that_have_the_tool() -> None:
    crowd = Crowd(1, blocking=False)
    other = replace(crowd.tool)
    with anyio.fail_after(30):
        calls = [
            run_tool(one, Call("call_1", "crowd", ""), CONTEXT, places=crowd.places) for one in (crowd.tool, other)
        ]
        await asyncio.gather(*calls)
    assert crowd.most == 1


# --- time-outs


@pytest.mark.parametrize(
    ("idempotent", "advice"), [(True, "It is safe to call it again."), (False, "Its outcome is unknown: ")]
)
async def test_a_tool_that_does_not_end_is_given_up(
    idempotent: bool, advice: str, caplog: pytest.LogCaptureFixture
) -> None:
    output = await output_of(anyio.sleep_forever, timeout=0.01, idempotent=idempotent)
    assert output.output.startswith("The tool sleep_forever did not end within 0.01 s and was given up. " + advice)
    assert (output.error, output.kind) == (True, "timeout")
    assert "tool sleep_forever timed out after 0.01 s (call call_1" in caplog.text


async def test_a_blocking_tool_that_does_not_end_is_left_behind_and_that_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release, ended = threading.Event(), threading.Event()

    def hang() -> None:
        release.wait(30)
        ended.set()

    limiter = CapacityLimiter(1)
    with anyio.fail_after(30):
        output = await run_tool(tool(timeout=1)(hang), Call("call_1", "hang", ""), CONTEXT, limiter=limiter)
        assert (output.kind, ended.is_set(), limiter.borrowed_tokens) == ("timeout", False, 1)
        release.set()
        await limiter.acquire()  # the place of the thread, once it has ended
    assert ended.is_set()
    assert "its thread cannot be stopped" in caplog.text


async def test_waiting_for_a_free_thread_counts_as_time_of_the_call() -> None:
    limiter = CapacityLimiter(1)
    await limiter.acquire()
    ran: list[str] = []

    def late() -> None:
        ran.append("late")

    with anyio.fail_after(30):
        output = await run_tool(tool(timeout=0.01)(late), Call("call_1", "late", ""), CONTEXT, limiter=limiter)
    assert (output.kind, ran) == ("timeout", [])


async def test_a_tool_without_a_time_limit_is_waited_for() -> None:
    async def answer() -> int:
        await anyio.lowlevel.checkpoint()
        return 42

    assert (await output_of(answer, timeout=None)).output == "42"


async def test_a_time_out_that_the_tool_raises_itself_is_its_error() -> None:
    async def asks() -> None:
        raise TimeoutError("the till")

    output = await output_of(asks)
    assert (output.kind, "internal error (TimeoutError)" in output.output) == ("error", True)


async def test_a_tool_that_answers_when_it_is_cancelled_has_answered() -> None:
    async def last_words() -> str:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            return "all I have"
        raise AssertionError

    assert (await output_of(last_words, timeout=0.01)).output == "all I have"


async def test_a_time_out_loses_no_sibling() -> None:
    timed_out = anyio.Event()

    async def waits() -> str:
        await timed_out.wait()
        return "fine"

    run = Run(waits=waits)
    run.tools["hangs"] = tool(timeout=0.01, name="hangs")(anyio.sleep_forever)

    async def done(output: CallOutput) -> None:
        if output.kind == "timeout":
            timed_out.set()

    with anyio.fail_after(30):
        outputs = await run_calls(calls_of("hangs", "waits"), run.one, parallel=True, alone=nobody, done=done)
    assert [output.kind for output in outputs] == ["timeout", "result"]


async def test_a_cancelled_caller_is_cancelled_and_gets_no_output() -> None:
    begun = anyio.Event()
    outputs: list[CallOutput] = []

    async def hang() -> None:
        begun.set()
        await anyio.sleep_forever()

    async def turn() -> None:
        outputs.append(await run_tool(tool(hang), Call("call_1", "hang", ""), CONTEXT))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn)
            await begun.wait()
            tasks.cancel_scope.cancel()
    assert outputs == []


# --- names


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("order_stats", ["order_status", "refund"], "There is no tool 'order_stats'. Did you mean order_status?"),
        ("ORDERS.Add", ["orders-add", "refund"], "There is no tool 'ORDERS.Add'. Did you mean orders-add?"),
        ("zzz", ["b", "a", "a"], "There is no tool 'zzz'. There are: a, b."),
        ("zzz", [], "There is no tool 'zzz', and no other tool either. Answer without one."),
        ("zzz", [f"t{n:02}" for n in range(25)], f"There are: {', '.join(f't{n:02}' for n in range(20))}, …."),
    ],
)
def test_a_tool_that_does_not_exist_is_answered_with_those_that_do(name: str, known: list[str], text: str) -> None:
    assert unknown_tool(name, known).endswith(text)
