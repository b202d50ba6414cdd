"""Toolsets: classes whose methods are tools. And hidden parameters, as a tool is given them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from frontdesk.agents import Agent, Context, Desk, Hidden, Toolset, tool
from frontdesk.agents.errors import DeskError
from frontdesk.tasks import TaskContext, task
from frontdesk.tasks.errors import ArgumentsError, InvalidOption
from frontdesk.tests.fakes.strict_rules import refused_schema


@dataclass
class Shop:
    name: str = "corner"
    sold: list[str] = field(default_factory=list[str])


CONTEXT = Context(Shop("north"), "conv_1", "resp_1", "call_1", "orders", "acme", "key_1")


class Orders(Toolset):
    """A counter."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    @tool(idempotent=True)
    async def status(self, order_id: int) -> str:
        """Status of an order.

        Args:
            order_id: Its number.
        """
        return f"{self._shop.name} {order_id} {self.helper()}"

    @tool(alone=True)
    def sell(self, item: str, context: Context[Shop], *more: str, tenant: Annotated[str, Hidden()] = "none") -> str:
        self._shop.sold += [item, *more]
        return f"{context.tenant} {tenant}"

    def helper(self) -> str:
        return "no tool"


class PizzaOrders(Toolset, namespace="pizza"):
    @tool
    def status(self) -> str:
        return "hot"


class Refunds(Orders):
    """One is inherited, one overridden, one taken away, one added."""

    sell = None  # type: ignore[assignment]

    @tool(name="status", timeout=1)
    async def status(self, order_id: int) -> str:
        return f"refunded {order_id}"

    @tool
    async def refund(self) -> str:
        return self._shop.name


def test_the_methods_that_are_declared_are_tools_namespaced_by_their_class() -> None:
    tools = Orders(Shop()).tools
    assert [(one.namespace, one.name, one.wire_name) for one in tools] == [
        ("orders", "status", "orders-status"),
        ("orders", "sell", "orders-sell"),
    ]
    assert (tools[0].idempotent, tools[1].alone, tools[0].description) == (True, True, "Status of an order.")
    assert tools[0].signature.schema["properties"] == {"order_id": {"type": "integer", "description": "Its number."}}
    assert [refused_schema(one.signature.schema) for one in tools] == [[], []]
    assert PizzaOrders().tools[0].wire_name == "pizza-status"


async def test_each_object_has_tools_of_its_own() -> None:
    north, south = Orders(Shop("north")), Orders(Shop("south"))
    assert await north.status.call('{"order_id": 1}', CONTEXT) == "north 1 no tool"
    assert await south.status.call('{"order_id": 2}', CONTEXT) == "south 2 no tool"


async def test_context_and_rest_reach_a_method_and_what_is_hidden_has_its_default() -> None:
    shop = Shop()
    assert await Orders(shop).sell.call('{"item": "pen", "more": ["ink"]}', CONTEXT) == "acme none"
    assert shop.sold == ["pen", "ink"]


def test_a_subclass_inherits_overrides_takes_away_and_adds() -> None:
    assert [(one.wire_name, one.timeout) for one in Refunds(Shop()).tools] == [
        ("refunds-status", 1),
        ("refunds-refund", 30),
    ]


def test_an_object_may_name_its_own_namespace() -> None:
    class Counter(Toolset):
        def __init__(self, namespace: str) -> None:
            self.namespace = namespace

        @tool
        def status(self) -> str:
            return self.namespace

    agent = Agent("a", tools=[Counter("north"), Counter("south")])
    assert [one.wire_name for one in agent.own_tools] == ["north-status", "south-status"]


def test_the_same_name_in_two_toolsets_is_two_tools() -> None:
    agent = Agent("a", tools=[Orders(Shop()), PizzaOrders()])
    assert [one.wire_name for one in agent.own_tools] == ["orders-status", "orders-sell", "pizza-status"]
    names = [spec.name for spec in Desk(agent).catalogs["a"].specs]
    assert names == ["orders-status", "orders-sell", "pizza-status"]


def test_one_toolset_twice_is_a_clash() -> None:
    with pytest.raises(DeskError, match="agent a has two tools named 'orders-sell'"):
        Agent("a", tools=[Orders(Shop()), Orders(Shop())])


def test_a_namespace_that_ends_like_another_begins_is_a_clash_too() -> None:
    class A(Toolset, namespace="a"):
        @tool(name="b-c")
        def one(self) -> None: ...

    class AB(Toolset, namespace="a-b"):
        @tool(name="c")
        def one(self) -> None: ...

    with pytest.raises(DeskError, match="two tools named 'a-b-c'"):
        Agent("a", tools=[A(), AB()])


def test_two_methods_of_one_name_are_an_error_when_the_class_is_made() -> None:
    with pytest.raises(DeskError, match="Twice has two tools named 'status'; give one of them another name"):

        class Twice(Toolset):  # pyright: ignore[reportUnusedClass]
            @tool
            def status(self) -> None: ...  # pyright: ignore[reportRedeclaration]

            @tool  # type: ignore[no-redef]
            def status(self, order_id: int) -> None: ...  # noqa: F811


def test_two_tools_of_one_name_are_an_error_when_the_class_is_made() -> None:
    with pytest.raises(DeskError, match="Twice: one and other are both tools named 'status'"):

        class Twice(Toolset):  # pyright: ignore[reportUnusedClass]
            @tool(name="status")
            def one(self) -> None: ...

            @tool(name="status")
            def other(self) -> None: ...


def test_what_overrides_a_tool_says_what_it_is() -> None:
    with pytest.raises(DeskError, match=r"Silent\.status overrides a tool and is none; declare it with @tool too, or"):

        class Silent(Orders):  # pyright: ignore[reportUnusedClass]
            async def status(self, order_id: int) -> str:  # type: ignore[override]
                return ""


def test_a_toolset_may_be_abstract() -> None:
    class Counter(Toolset, ABC):
        @tool
        def status(self) -> str:
            return self.word()

        @abstractmethod
        def word(self) -> str: ...

    class Loud(Counter):
        def word(self) -> str:
            return "open"

    assert [one.wire_name for one in Loud().tools] == ["loud-status"]


def test_a_tool_of_a_class_needs_an_object() -> None:
    with pytest.raises(DeskError, match=r"agent a: Orders\.status needs an object; give the tool of one"):
        Agent("a", tools=[Orders.status])


async def test_any_class_may_declare_tools() -> None:
    class Till:
        def __init__(self) -> None:
            self.total = 3

        @tool(namespace="till")
        async def read(self) -> int:
            return self.total

    assert Till().read.wire_name == "till-read"
    assert await Till().read.call("", CONTEXT) == 3


@pytest.mark.parametrize("name", ["b-a-d name", "späti"])
def test_a_namespace_must_fit_the_wire(name: str) -> None:
    class Odd(Toolset, namespace=name):
        @tool
        def status(self) -> None: ...

    with pytest.raises(InvalidOption, match="cannot be a tool's namespace"):
        Agent("a", tools=[Odd()])


# --- hidden parameters


@tool
async def greet(
    word: str, name: Annotated[str, Hidden()], tenant: Annotated[str, Hidden(lambda context: context.tenant)]
) -> str:
    return f"{word}, {name} of {tenant}"


async def test_a_tool_is_given_what_the_model_does_not_see() -> None:
    assert await greet.call('{"word": "hello"}', CONTEXT) == "hello, north of acme"
    assert list(greet.spec().parameters["properties"]) == ["word"]


async def test_a_model_cannot_set_what_is_hidden() -> None:
    with pytest.raises(ArgumentsError, match="name: unknown; it takes word"):
        await greet.call('{"word": "hello", "name": "root"}', CONTEXT)


def test_what_dependencies_cannot_give_is_an_error_of_the_desk() -> None:
    agent = Agent("a", tools=[greet])
    assert Desk(agent, dependencies=Shop()).dependencies.name == "corner"
    Desk(agent, dependencies=Shop)  # made when it is first needed: nothing is known before
    with pytest.raises(DeskError, match=r"greet of agent a: the dependencies \(int\) have no 'name'"):
        Desk(agent, dependencies=7)


@task
async def report(month: str, shop: Annotated[str, Hidden(lambda context: context.dependencies.name)]) -> str:
    return f"{month} {shop}"


async def test_a_task_has_hidden_parameters_too() -> None:
    context: Any = TaskContext.__new__(TaskContext)
    context.dependencies = Shop("south")
    arguments = report.signature.inject(report.signature.validate('{"month": "May"}'), context)
    assert await report.signature.call(report.function, arguments) == "May south"
    assert list(report.signature.schema["properties"]) == ["month"]


def counted(month: str, shop: Annotated[str, Hidden()]) -> str:
    return f"{month} {shop}"


def test_another_process_has_nothing_to_inject() -> None:
    with pytest.raises(InvalidOption, match="counted: 'shop' is hidden, and another process has no dependencies"):
        task(runs_in="process")(counted)
