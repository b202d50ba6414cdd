from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from frontdesk.agents import Answer, Context
from frontdesk.agents.caller import ApprovalRequest
from frontdesk.agents.models.scripted import ScriptedModel, call, calls
from frontdesk.examples import front_desk
from frontdesk.examples.front_desk import build
from frontdesk.examples.front_desk.order_tools import Orders
from frontdesk.examples.front_desk.services import Services
from frontdesk.examples.front_desk.shop import Shop
from frontdesk.tasks.errors import ArgumentsError
from frontdesk.tests.fakes.strict_rules import refused_schema

EVERYBODY = {"triage", "files", "orders", "market"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "more").mkdir(parents=True)
    (folder / "sales.csv").write_text("day,total\n2024-01-01,20\n2024-01-02,30\n")
    (folder / "more" / "copy.csv").write_text("day,total\n2024-01-01,20\n2024-01-02,30\n")
    (folder / "notes.txt").write_text("apples and pears\n")
    (tmp_path / "secret.txt").write_text("outside")
    return folder


def outputs(answer: Answer, name: str) -> list[str]:
    """What the calls of one tool or task tool gave."""
    items = [item for response in answer.responses for item in response["output"]]
    done = [item for item in items if item["type"] == "mcp_call" and item["name"] == name]
    return [item.get("output") or item["error"] for item in done]


async def asked(folder: Path, text: str) -> Answer:
    """The answer of the offline model."""
    return await build(folder, state=folder.parent / "state").run(text, timeout=60)


async def scripted(folder: Path, *replies: Any) -> Answer:
    """The answer of a model that makes these replies, then one more for each task that it has filed."""
    model = ScriptedModel([*replies, "Done.", *["Noted."] * len(replies)])
    return await build(folder, state=folder.parent / "state", model=model).run("Please", timeout=60, approve=agreed)


def agreed(request: ApprovalRequest) -> bool:
    assert (request.agent, request.tool, request.arguments) == ("orders", "orders.checkout", {})
    return True


def filing(name: str, **arguments: Any) -> Any:
    return call("create_task", {"task": {"name": name, "arguments": arguments}, "title": None, "again": None})


def context(folder: Path, key: str, conversation: str = "conv_1") -> Context[Services]:
    services = build(folder, state=folder.parent / "state").dependencies
    assert services is not None
    return Context(services, conversation, "resp_1", "call_1", "orders", "tenant", key)


def test_everybody_can_hand_over_to_everybody_else(folder: Path) -> None:
    desk = build(folder, state=folder.parent / "state")
    assert set(desk.agents) == EVERYBODY
    for name, catalog in desk.catalogs.items():
        assert set(catalog.handoffs.values()) == EVERYBODY - {name}


def test_everything_may_be_repeated_after_a_crash(folder: Path) -> None:
    desk = build(folder, state=folder.parent / "state")
    assert len(desk.tasks) == 4
    for function in desk.tasks.values():
        assert (function.idempotent, function.on_crash) == (True, "retry")
    for agent in desk.agents.values():
        assert all(tool.idempotent for tool in agent.own_tools)


def test_every_tool_and_task_has_a_strict_form_and_says_what_it_is_for(folder: Path) -> None:
    desk = build(folder, state=folder.parent / "state")
    for tool in [tool for agent in desk.agents.values() for tool in agent.own_tools]:
        assert tool.spec().strict
        assert tool.description
        for name, schema in tool.signature.schema["properties"].items():
            assert "description" in schema or "$ref" in schema, f"{tool.name}: {name}"


def test_the_api_takes_everything_that_the_models_are_offered(folder: Path) -> None:
    desk = build(folder, state=folder.parent / "state")
    specs = [spec for catalog in desk.catalogs.values() for spec in catalog.specs]
    assert {"create_task", "check_task", "transfer_to_files", "orders-checkout"} <= {spec.name for spec in specs}
    assert [(spec.name, problem) for spec in specs for problem in refused_schema(spec.parameters)] == []


def test_the_desk_of_the_current_folder_is_ready_to_be_served() -> None:
    services = front_desk.desk.dependencies
    assert services is not None
    assert services.folder.root == Path.cwd().resolve()


def test_building_a_desk_writes_nothing(tmp_path: Path) -> None:
    build(tmp_path, state=tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_the_example_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (Path(front_desk.__file__).parent / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    written: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), written)
    assert "Hello, Ada" in written["answer"].text


def test_neither_cart_nor_payment_is_something_that_a_model_can_name() -> None:
    tools = Orders(Shop(Path("never written.db"))).tools
    named = {name for tool in tools for name in tool.signature.schema["properties"]}
    assert named == {"size", "toppings", "quantity", "special_instructions", "pizza_id"}
    assert {tool.wire_name.partition("-")[0] for tool in tools} == {"orders"}


async def test_an_order_from_menu_to_checkout(folder: Path) -> None:
    answer = await scripted(
        folder,
        call("transfer_to_orders"),
        call("orders-get_pizza_menu"),
        call("orders-add_pizza_to_cart", {"size": "large", "toppings": ["mushrooms", "pepperoni"]}),
        calls(call("orders-get_cart"), call("orders-get_pizza_from_cart", {"pizza_id": 1})),
        call("orders-checkout"),
    )
    assert from_json(outputs(answer, "get_pizza_menu")[0])["sizes"]["large"] == "15.00"
    added = from_json(outputs(answer, "add_pizza_to_cart")[0])
    assert added["summary"] == "1 large pizza (Mushrooms, Pepperoni) in your cart"
    assert [from_json(outputs(answer, "get_pizza_from_cart")[0])] == from_json(outputs(answer, "get_cart")[0])["pizzas"]
    order = from_json(outputs(answer, "checkout")[0])
    assert (order["order_number"], order["total_usd"]) == (1, "18.00")
    assert answer.agent == "orders"


async def test_a_call_that_is_run_again_after_a_crash_adds_nothing(folder: Path) -> None:
    orders = Orders(Shop(folder.parent / "shop.db"))
    add, get_cart = orders.add_pizza_to_cart, orders.get_cart
    first = await add.call('{"size": "small"}', context(folder, "key 1"))
    again = await add.call('{"size": "small"}', context(folder, "key 1"))
    assert again == first
    assert len((await get_cart.call("{}", context(folder, "key 2"))).pizzas) == 1
    assert (await get_cart.call("{}", context(folder, "key 3", "conv_2"))).pizzas == ()


async def test_a_size_or_topping_that_does_not_exist_is_refused_with_those_that_do(folder: Path) -> None:
    add = Orders(Shop(folder.parent / "shop.db")).add_pizza_to_cart
    with pytest.raises(ArgumentsError, match="small"):
        await add.call('{"size": "huge"}', context(folder, "key"))
    with pytest.raises(ArgumentsError, match="mushrooms"):
        await add.call('{"size": "small", "toppings": ["chocolate"]}', context(folder, "key"))


async def test_quick_looks_into_the_folder(folder: Path) -> None:
    answer = await scripted(
        folder,
        call("transfer_to_files"),
        calls(
            call("list_files"),
            call("find_files", {"pattern": "*.csv"}),
            call("read_head", {"path": "notes.txt"}),
            call("search_files", {"text": "PEARS"}),
            call("read_head", {"path": "../secret.txt"}),
        ),
    )
    assert from_json(outputs(answer, "list_files")[0])["found"] == 3
    assert [file["path"] for file in from_json(outputs(answer, "find_files")[0])["files"]] == [
        "more/copy.csv",
        "sales.csv",
    ]
    head, refused = outputs(answer, "read_head")
    assert from_json(head)["lines"] == ["apples and pears"]
    assert "outside the folder" in str(refused)
    assert from_json(outputs(answer, "search_files")[0])["matches"][0]["path"] == "notes.txt"


async def test_the_four_tasks_on_real_files(folder: Path) -> None:
    answer = await scripted(
        folder,
        call("transfer_to_files"),
        calls(filing("profile_csv", path="sales.csv", header=None), filing("find_duplicates", path=None)),
        calls(filing("index_tree", path="."), filing("checksum_tree", path="more")),
    )
    results = {task["name"]: task["result"] for task in answer.tasks}
    assert {task["status"] for task in answer.tasks} == {"succeeded"}
    assert [column["mean"] for column in results["profile_csv"]["columns"]] == [None, 25.0]
    assert results["find_duplicates"]["groups"][0]["paths"] == ["more/copy.csv", "sales.csv"]
    assert results["index_tree"]["files"] == 3
    content = (folder / "more" / "copy.csv").read_bytes()
    assert results["checksum_tree"]["checksums"][0]["sha256"] == hashlib.sha256(content).hexdigest()


async def test_a_task_on_what_is_outside_or_missing_fails_at_once_and_says_why(folder: Path) -> None:
    answer = await scripted(
        folder,
        call("transfer_to_files"),
        calls(
            filing("profile_csv", path="../secret.txt", header=None),
            filing("index_tree", path="/"),
            filing("checksum_tree", path="absent"),
        ),
    )
    errors = {task["name"]: (task["status"], task["attempt"], task["error"]) for task in answer.tasks}
    assert errors["profile_csv"][:2] == ("failed", 1)
    assert "outside the folder" in errors["profile_csv"][2]
    assert "outside the folder" in errors["index_tree"][2]
    assert "There is no 'absent'" in errors["checksum_tree"][2]


async def test_the_desk_keeps_its_own_state_out_of_sight(folder: Path) -> None:
    state = folder / ".frontdesk"
    state.mkdir()
    (state / "shop.db").touch()
    (folder / "frontdesk.db-wal").touch()
    model = ScriptedModel(
        [
            call("transfer_to_files"),
            calls(call("list_files"), call("read_head", {"path": ".frontdesk/shop.db"})),
            "Done",
        ]
    )
    answer = await build(folder, state=state, model=model).run("Look", timeout=60)
    assert "frontdesk" not in outputs(answer, "list_files")[0]
    assert "belongs to the desk" in str(outputs(answer, "read_head")[0])


async def test_a_price_in_won_is_multiplied_exactly(folder: Path) -> None:
    answer = await scripted(
        folder,
        call("transfer_to_market"),
        calls(call("get_oil_price", {"benchmark": "Dubai"}), call("get_usd_krw_rate"), call("get_oil_price")),
        call("multiply", {"a": 77.04, "b": "1455.00", "decimals": 0}),
    )
    dubai, default = (from_json(one) for one in outputs(answer, "get_oil_price"))
    assert (dubai["benchmark"], dubai["usd_per_barrel"], default["benchmark"]) == ("Dubai", "77.04", "WTI")
    assert "sample data" in dubai["source"]
    assert from_json(outputs(answer, "multiply")[0])["product"] == "112093"


# The offline model is a stand-in, but the demo has to be of use with it: these are the requests that the page suggests.
@pytest.mark.parametrize(
    ("text", "agent", "tool"),
    [
        ("What files are there?", "files", "list_files"),
        ("Find files named sales", "files", "find_files"),
        ("search for apples in my files", "files", "search_files"),
        ("파일 목록 보여줘", "files", "list_files"),
        ("what is on the menu?", "orders", "get_pizza_menu"),
        ("I want two small pizzas with olives", "orders", "add_pizza_to_cart"),
        ("show me my cart", "orders", "get_cart"),
        ("What does a barrel of Brent cost in won?", "market", "get_oil_price"),
        ("유가를 원화로 알려줘", "market", "get_usd_krw_rate"),
        ("multiply 73.32 by 1455", "market", "multiply"),
        ("help", "triage", "about_this_desk"),
    ],
)
async def test_the_offline_model_finds_the_tool(folder: Path, text: str, agent: str, tool: str) -> None:
    answer = await asked(folder, text)
    assert (answer.agent, len(outputs(answer, tool))) == (agent, 1)


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("Profile sales.csv", "profile_csv"),
        ("Find duplicate files", "find_duplicates"),
        ("중복 파일 찾아줘", "find_duplicates"),
        ("Compute checksums of all my files", "checksum_tree"),
        ("index this folder", "index_tree"),
    ],
)
async def test_the_offline_model_files_the_task(folder: Path, text: str, task: str) -> None:
    answer = await asked(folder, text)
    assert [(task, "succeeded")] == [(one["name"], one["status"]) for one in answer.tasks]


async def test_the_offline_model_computes_a_price_in_won(folder: Path) -> None:
    assert "106,680.60" in (await asked(folder, "What is the price of oil in won?")).text
