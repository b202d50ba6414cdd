"""``@tool``: options, the call of one tool, and what a model reads of its result."""

from __future__ import annotations

import functools
import threading
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import anyio
import pytest
from anyio import CapacityLimiter

from frontdesk.agents.context import Context
from frontdesk.agents.model import ToolSpec
from frontdesk.agents.threads import in_thread
from frontdesk.agents.tool import Tool, result_text, tool
from frontdesk.tasks.errors import ArgumentsError, InvalidOption, NotSerializable


@dataclass
class Shop:
    name: str = "corner"


CONTEXT = Context(
    dependencies=Shop(),
    conversation_id="conv_1",
    response_id="resp_1",
    call_id="call_1",
    agent="orders",
    tenant="",
    idempotency_key="key_1",
)


@tool
async def order_status(order_id: int, context: Context[Shop]) -> str:
    """Status of an order."""
    return f"{context.dependencies.name} {order_id}"


@tool(name="add", namespace="sums", timeout=5, idempotent=True, alone=True, keywords=["더하기"])
def add_up(a: int, b: int = 10) -> int:
    return a + b


@tool
def greet(context: Context[Shop], name: str) -> str:
    return f"{threading.current_thread() is threading.main_thread()} {context.agent} {name}"


def test_a_function_is_a_tool_with_sensible_options() -> None:
    assert isinstance(order_status, Tool)
    assert (order_status.name, order_status.wire_name, order_status.namespace) == ("order_status", "order_status", None)
    assert order_status.description == "Status of an order."
    assert (order_status.timeout, order_status.idempotent, order_status.alone) == (30.0, False, False)
    assert (order_status.keywords, order_status.signature.context) == ((), "context")


def test_every_option_can_be_given() -> None:
    assert (add_up.name, add_up.namespace, add_up.wire_name) == ("add", "sums", "sums-add")
    assert (add_up.timeout, add_up.idempotent, add_up.alone, add_up.keywords) == (5, True, True, ("더하기",))


@pytest.mark.parametrize("namespace", ["desk", "tasks", "handoff"])
def test_the_namespaces_of_the_desk_are_no_part_of_the_name_on_the_wire(namespace: str) -> None:
    assert replace(add_up, namespace=namespace).wire_name == "add"


def test_a_model_is_told_name_description_and_schema() -> None:
    assert order_status.spec() == ToolSpec(
        name="order_status",
        description="Status of an order.",
        parameters={
            "type": "object",
            "properties": {"order_id": {"type": "integer"}},
            "required": ["order_id"],
            "additionalProperties": False,
        },
        strict=True,
        keywords=(),
        kind="tool",
    )
    assert (add_up.spec().name, add_up.spec().keywords) == ("sums-add", ("더하기",))


def test_strictness_is_chosen_by_the_signature_unless_it_is_said() -> None:
    def free(options: dict[str, int]) -> None: ...
    def fixed(option: int) -> None: ...

    assert (tool(free).spec().strict, tool(fixed).spec().strict) == (False, True)
    assert tool(strict=False)(fixed).spec().strict is False
    with pytest.raises(InvalidOption, match="free: no strict form for options: a dict"):
        tool(strict=True)(free)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"name": "order status"}, "'order status' cannot be a tool's name: .*; give name="),
        ({"name": "주문"}, "'주문' cannot be a tool's name"),
        ({"name": "a.b"}, "'a.b' cannot be a tool's name"),
        ({"namespace": "my shop"}, "'my shop' cannot be a tool's namespace: .*; give namespace="),
        ({"namespace": ""}, "'' cannot be a tool's namespace"),
        ({"name": "x" * 65}, "has 65 characters, more than 64"),
        ({"name": "x" * 60, "namespace": "shop"}, "'shop-x*' has 65 characters, more than 64; shorten it"),
        ({"timeout": 0}, "timeout is in seconds, above 0, or None for no limit, not 0"),
        ({"timeout": "5"}, "timeout is in seconds"),
        ({"keywords": "sum"}, r"keywords takes several words: keywords=\('sum',\)"),
    ],
)
def test_an_impossible_option_is_refused_where_it_is_declared(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidOption, match=complaint):
        tool(**options)(add_up.function)


def test_a_name_on_the_wire_may_have_64_characters() -> None:
    assert len(tool(name="x" * 59, namespace="shop")(add_up.function).wire_name) == 64


def test_a_tool_is_changed_by_copying() -> None:
    assert (replace(add_up, namespace=None).wire_name, add_up.wire_name) == ("add", "sums-add")
    with pytest.raises(InvalidOption, match="timeout"):
        replace(add_up, timeout=-1)


# --- calls


async def test_an_async_tool_is_awaited_with_checked_arguments_and_context() -> None:
    assert await order_status.call('{"order_id": "7"}', CONTEXT) == "corner 7"


async def test_a_blocking_tool_runs_in_a_thread() -> None:
    assert await greet.call('{"name": "Ada"}', CONTEXT) == "False orders Ada"


async def test_what_a_model_leaves_out_has_its_default() -> None:
    assert [await add_up.call(text, CONTEXT) for text in ('{"a": 1}', '{"a": 1, "b": null}')] == [11, 11]


async def test_arguments_that_do_not_fit_are_refused_before_the_function_runs() -> None:
    ran: list[int] = []
    with pytest.raises(ArgumentsError, match="append do not fit: object: missing"):
        await tool(name="append")(lambda_of(ran)).call("{}", CONTEXT)
    assert ran == []


def lambda_of(ran: list[int]) -> Any:
    def append(object: int) -> None:
        ran.append(object)

    return append


async def test_what_a_function_raises_is_raised() -> None:
    @tool
    def fails() -> None:
        raise LookupError("no such order")

    with pytest.raises(LookupError, match="no such order"):
        await fails.call("{}", CONTEXT)


async def test_a_result_is_returned_as_it_is() -> None:
    value = object()

    @tool
    async def make() -> object:
        return value

    assert await make.call("{}", CONTEXT) is value


async def test_a_wrapper_that_returns_a_coroutine_is_awaited() -> None:
    @functools.wraps(order_status.function)
    def wrapper(*args: Any, **options: Any) -> Any:
        return order_status.function(*args, **options)

    assert await tool(wrapper).call('{"order_id": 7}', CONTEXT) == "corner 7"


async def test_a_method_of_an_object_is_a_tool() -> None:
    class Till:
        def __init__(self) -> None:
            self.total = 3

        async def read(self) -> int:
            return self.total

    assert await tool(Till().read).call("", CONTEXT) == 3


async def test_a_blocking_tool_sees_the_context_variables_of_its_caller() -> None:
    tenant = ContextVar("tenant", default="")

    @tool
    def read() -> str:
        return tenant.get()

    tenant.set("a")
    assert await read.call("{}", CONTEXT) == "a"


# --- threads


async def test_a_limiter_bounds_the_threads() -> None:
    limiter = CapacityLimiter(2)
    inside: list[int] = []
    most: list[int] = []

    def count() -> None:
        inside.append(1)
        most.append(len(inside))
        inside.pop()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(in_thread, count, limiter)
    assert (len(most), limiter.borrowed_tokens) == (20, 0)
    assert max(most) <= 2


async def test_an_abandoned_thread_keeps_its_place_until_it_ends() -> None:
    limiter = CapacityLimiter(1)
    begun, release = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait(30)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_thread, hang, limiter)
            await anyio.to_thread.run_sync(begun.wait)
            tasks.cancel_scope.cancel()
        assert limiter.borrowed_tokens == 1
        release.set()
        assert await in_thread(lambda: "next", limiter) == "next"
    assert limiter.borrowed_tokens == 0


async def test_a_function_that_is_given_up_before_its_thread_began_never_runs() -> None:
    limiter = CapacityLimiter(1)
    ran: list[str] = []
    await limiter.acquire()
    with anyio.move_on_after(0.01):
        await in_thread(lambda: ran.append("ran"), limiter)
    limiter.release()
    assert (ran, limiter.borrowed_tokens) == ([], 0)


async def test_every_place_comes_back_whenever_the_caller_gives_up() -> None:
    limiter = CapacityLimiter(3)
    counted: list[str] = []

    def work() -> None:
        counted.append("begun")
        counted.append("ended")

    with anyio.fail_after(60):
        for steps in range(60):
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(in_thread, work, limiter)
                for _ in range(steps % 12):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        places = [object() for _ in range(3)]
        for place in places:
            await limiter.acquire_on_behalf_of(place)  # returns when the threads that were left behind have ended
    assert counted.count("begun") == counted.count("ended")
    assert limiter.borrowed_tokens == 3


# --- text


@dataclass
class Status:
    order: int
    state: str = "sent"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("sent", "sent"),
        ("", ""),
        (7, "7"),
        (True, "true"),
        (None, "null"),
        (Status(7), '{"order":7,"state":"sent"}'),
        ([Status(7)], '[{"order":7,"state":"sent"}]'),
        ({"가": 1}, '{"가":1}'),
    ],
)
def test_a_result_is_text_as_it_is_or_compact_json(value: object, text: str) -> None:
    assert result_text(value) == text


def test_none_is_done_for_an_action_and_null_for_an_answer() -> None:
    @tool
    def act() -> None: ...
    @tool
    def find() -> str | None: ...

    assert (act.text(None), find.text(None), act.text("x")) == ("Done.", "null", "x")


def test_a_result_without_text_is_refused_by_name() -> None:
    with pytest.raises(NotSerializable, match="sums-add returned a object, which cannot be stored"):
        add_up.text(object())
