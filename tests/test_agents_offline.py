from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from frontdesk.agents.model import FunctionCall, Message, ModelRequest, ToolSpec
from frontdesk.agents.models.offline import OfflineModel

JSON = dict[str, Any]
Calls = list[tuple[str, JSON]]

TEXT: JSON = {"type": "string"}
WHOLE: JSON = {"type": "integer"}
NUMBER: JSON = {"type": "number"}
DATE: JSON = {"type": "string", "format": "date"}


def maybe(schema: JSON) -> JSON:
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(*members: str) -> JSON:
    return {"type": "string", "enum": list(members)}


def listed(schema: JSON) -> JSON:
    return {"type": "array", "items": schema}


def taking(**properties: JSON) -> JSON:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False
    }  # fmt: skip


def tool(
    name: str, description: str, *keywords: str, kind: Literal["tool", "handoff", "client"] = "tool", **parameters: JSON
) -> ToolSpec:
    return ToolSpec(name, description, taking(**parameters), keywords=keywords, kind=kind)


def variant(name: str, description: str, **parameters: JSON) -> JSON:
    called: JSON = {"type": "string", "enum": [name]}
    return {**taking(name=called, arguments=taking(**parameters)), "description": description}


def create_task(*variants: JSON, keywords: tuple[str, ...] = ()) -> ToolSpec:
    parameters = taking(task={"anyOf": list(variants)}, title=maybe(TEXT), again=maybe({"type": "boolean"}))
    return ToolSpec("create_task", "Files a long job.", parameters, keywords=keywords, kind="task")


def filed(name: str, **arguments: Any) -> tuple[str, JSON]:
    return "create_task", {"task": {"name": name, "arguments": arguments}, "title": None, "again": None}


FOLLOW_UP = (
    tool("check_task", "State, progress and result of a task.", "status", task=TEXT),
    tool(
        "wait_for_tasks",
        "Waits for tasks.",
        tasks=listed(TEXT),
        until={"type": ["string", "null"], "enum": ["all", "any", None]},
        timeout_seconds=maybe(NUMBER),
    ),
    tool("list_tasks", "All tasks of this conversation."),
    tool("cancel_task", "Stops a task.", task=TEXT),
    tool("answer_task", "Answers the question of a task.", task=TEXT, answer=TEXT),
    tool("update_task", "Tells a delegated agent something.", task=TEXT, message=TEXT),
    tool("read_task_result", "A piece of a long result.", task=TEXT, offset=maybe(WHOLE)),
)
FILES = (
    tool("list_folder", "Lists the files and folders in a folder.", path=maybe(TEXT)),
    tool("read_text", "Shows the beginning of a text file.", path=TEXT, lines=maybe(WHOLE)),
    create_task(
        variant("find_duplicates", "Finds files with the same content below a folder.", path=TEXT),
        variant("profile_csv", "Profiles the columns of a CSV file.", path=TEXT, delimiter=maybe(TEXT)),
        variant("research", "A specialist that researches a question thoroughly.", input=TEXT),
        keywords=("find_duplicates:중복", "profile_csv:프로파일"),
    ),
    *FOLLOW_UP,
)
ORDERS = (
    tool(
        "order_pizza",
        "Orders a pizza.",
        "피자",
        "extra_large=huge",
        size=one_of("small", "medium", "large", "extra_large"),
        toppings=maybe(listed(one_of("mushrooms", "pepperoni", "onions", "extra cheese"))),
        quantity=maybe({"type": "integer", "minimum": 1}),
        note=maybe(TEXT),
    ),
    tool("order_status", "Where an order is.", "delivery", order_id=WHOLE),
    tool("cancel_order", "Cancels an order.", order_id=WHOLE),
    tool("get_menu", "The menu with all prices."),
    tool("checkout", "Pays for what is in the cart."),
)
MARKET = (
    tool("oil_price", "Price of a barrel of crude oil.", "석유", "유가", grade=maybe(one_of("WTI", "Brent", "Dubai"))),
    tool("exchange_rate", "Rate between two currencies.", "환율", "원화", base=maybe(TEXT), quote=maybe(TEXT)),
    tool("multiply", "Multiplies two numbers.", "곱하기", a=NUMBER, b=NUMBER),
    tool("stock_quote", "Last price of a share.", symbol={"type": "string", "pattern": "^[A-Z]{2,5}$"}),
)
HOSPITAL = (
    tool(
        "book_appointment",
        "Books an appointment with a doctor.",
        "예약",
        doctor=TEXT,
        date=DATE,
        time=maybe({"type": "string", "format": "time"}),
        patient=TEXT,
        urgent=maybe({"type": "boolean"}),
    ),
    tool("find_doctors", "Doctors of a department.", department=one_of("cardiology", "dermatology", "pediatrics")),
    tool("cancel_appointment", "Cancels an appointment.", appointment_id=TEXT),
    tool("opening_hours", "When the hospital is open.", day=maybe(one_of("monday", "sunday"))),
)
LIBRARY = (
    tool("suche_buch", "Sucht Bücher nach Titel oder Thema.", "katalog", suche=TEXT, sprache=maybe(one_of("deutsch"))),
    tool("verlaengere_ausleihe", "Verlängert eine Ausleihe.", "verlängern", ausleihe_nr=WHOLE),
    tool("oeffnungszeiten", "Wann die Bibliothek offen ist.", "geöffnet"),
)
TRIAGE = (
    *FILES,
    tool("transfer_to_orders", "Hands over to orders: takes pizza orders, knows the menu.", "피자", kind="handoff"),
    tool("transfer_to_market", "Hands over to market: oil prices, exchange rates.", "석유", "유가", kind="handoff"),
)
DESKS: Mapping[str, tuple[ToolSpec, ...]] = {
    "files": FILES, "orders": ORDERS, "market": MARKET, "hospital": HOSPITAL, "library": LIBRARY, "triage": TRIAGE
}  # fmt: skip
OUTPUTS = {
    "oil_price": '{"price": 71.3, "currency": "USD", "grade": "WTI", "date": "2026-03-01"}',
    "exchange_rate": '{"base": "USD", "quote": "KRW", "rate": 1390.5}',
    "multiply": "99142.65",
}


async def converse(desk: str, *texts: str) -> list[Calls]:
    """The calls of each reply to the last text, with outputs that make sense; a handoff changes the tools."""
    model, tools, history, replies = OfflineModel(), DESKS[desk], list[JSON](), list[Calls]()
    for text in texts:
        history.append({"type": "message", "role": "user", "content": text})
        replies.clear()
        while True:
            events = [event async for event in model.stream(ModelRequest("", tuple(history), tools))]
            calls = [event for event in events if isinstance(event, FunctionCall)]
            if not calls:
                message = next(event.text for event in events if isinstance(event, Message))
                history.append({"type": "message", "role": "assistant", "content": message})
                break
            replies.append([(call.name, json.loads(call.arguments)) for call in calls])
            for call in calls:
                history.append(
                    {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
                )
                filed_so_far = sum(item.get("name") == "create_task" for item in history)
                created = json.dumps({"task": f"T{filed_so_far}", "status": "queued"})
                output = created if call.name == "create_task" else OUTPUTS.get(call.name, '{"ok": true}')
                history.append({"type": "function_call_output", "call_id": call.call_id, "output": output})
                tools = DESKS.get(call.name.removeprefix("transfer_to_"), tools)
    return replies


PIZZA: JSON = {"size": "large", "toppings": ["mushrooms", "pepperoni"], "quantity": None, "note": None}
WITH_DOCTOR: JSON = {"doctor": "Dr. Kim", "patient": "Anna Lee", "date": "2026-03-14", "urgent": None}


SENTENCES: list[tuple[str, str, list[Calls]]] = [
    (
        "files",
        "find duplicate files in . and profile data/sales.csv",
        [[filed("find_duplicates", path="."), filed("profile_csv", path="data/sales.csv", delimiter=None)]],
    ),
    (
        "files",
        "Profile a.csv and b/c.csv; then find duplicates in /var/log.",
        [
            [
                filed("profile_csv", path="a.csv", delimiter=None),
                filed("profile_csv", path="b/c.csv", delimiter=None),
                filed("find_duplicates", path="/var/log"),
            ]
        ],
    ),
    ("files", "중복 파일을 . 에서 찾아줘", [[filed("find_duplicates", path=".")]]),
    ("files", "data/sales.csv를 프로파일 해줘", [[filed("profile_csv", path="data/sales.csv", delimiter=None)]]),
    ("files", "show me the first 5 lines of readme.txt", [[("read_text", {"path": "readme.txt", "lines": 5})]]),
    ("files", "list the files in data", [[("list_folder", {"path": "data"})]]),
    ("files", "list the files in parallel", [[("list_folder", {"path": None})]]),
    ("files", "what files are in the reports folder?", [[("list_folder", {"path": "reports"})]]),
    (
        "files",
        "research the history of tea and coffee",
        [[filed("research", input="research the history of tea and coffee")]],
    ),
    ("orders", "order a large pizza with mushrooms and pepperoni", [[("order_pizza", PIZZA)]]),
    (
        "orders",
        "order 2 extra large pizzas with onion but no mushrooms, note: ring twice, please",
        [
            [
                (
                    "order_pizza",
                    {"size": "extra_large", "toppings": ["onions"], "quantity": 2, "note": "ring twice, please"},
                )
            ]
        ],
    ),
    ("orders", "a huge pizza", [[("order_pizza", {**PIZZA, "size": "extra_large", "toppings": None})]]),
    (
        "orders",
        "order a large pizza with mushrooms and a small pizza with pepperoni and check out",
        [
            [
                ("order_pizza", {**PIZZA, "toppings": ["mushrooms"]}),
                ("order_pizza", {**PIZZA, "size": "small", "toppings": ["pepperoni"]}),
                ("checkout", {}),
            ]
        ],
    ),
    ("orders", "where is order 7?", [[("order_status", {"order_id": 7})]]),
    ("orders", "cancel order #12", [[("cancel_order", {"order_id": 12})]]),
    ("orders", "show me the menu", [[("get_menu", {})]]),
    (
        "market",
        "what is the oil price in won?",
        [
            [("oil_price", {"grade": None}), ("exchange_rate", {"base": None, "quote": "KRW"})],
            [("multiply", {"a": 71.3, "b": 1390.5})],
        ],
    ),
    (
        "market",
        "현재 WTI 석유 가격을 원화로 알려줄래?",
        [
            [("oil_price", {"grade": "WTI"}), ("exchange_rate", {"base": None, "quote": "KRW"})],
            [("multiply", {"a": 71.3, "b": 1390.5})],
        ],
    ),
    ("market", "What is the oil price?", [[("oil_price", {"grade": None})]]),
    (
        "market",
        "oil price of wti and brent",
        [[("oil_price", {"grade": "WTI"}), ("oil_price", {"grade": "Brent"})]],
    ),
    ("market", "what is 3 * 4?", [[("multiply", {"a": 3, "b": 4})]]),
    (
        "market",
        "100 US dollars in euros",
        [[("exchange_rate", {"base": "USD", "quote": "EUR"})], [("multiply", {"a": 100, "b": 1390.5})]],
    ),
    ("market", "stock quote of ACME please", [[("stock_quote", {"symbol": "ACME"})]]),
    (
        "hospital",
        "book an appointment with Dr. Kim for Anna Lee on 14 March 2026 at 10:30",
        [[("book_appointment", {**WITH_DOCTOR, "time": "10:30:00"})]],
    ),
    ("hospital", "which doctors work in Dermatology?", [[("find_doctors", {"department": "dermatology"})]]),
    ("hospital", "cancel appointment A-17", [[("cancel_appointment", {"appointment_id": "A-17"})]]),
    ("hospital", "when are you open on Sunday?", [[("opening_hours", {"day": "sunday"})]]),
    ("library", "Suche Bücher über Wale", [[("suche_buch", {"suche": "Wale", "sprache": None})]]),
    (
        "library",
        "Bitte suche das Buch „Momo“ auf deutsch",
        [[("suche_buch", {"suche": "Momo", "sprache": "deutsch"})]],
    ),
    ("library", "Kannst du die Ausleihe 4711 verlängern?", [[("verlaengere_ausleihe", {"ausleihe_nr": 4711})]]),
    ("library", "Wann habt ihr geöffnet?", [[("oeffnungszeiten", {})]]),
    ("triage", "order a large pizza with mushrooms and pepperoni", [
        [("transfer_to_orders", {})],
        [("order_pizza", PIZZA)],
    ]),
    ("triage", "현재 WTI 석유 가격을 원화로 알려줄래?", [
        [("transfer_to_market", {})],
        [("oil_price", {"grade": "WTI"}), ("exchange_rate", {"base": None, "quote": "KRW"})],
        [("multiply", {"a": 71.3, "b": 1390.5})],
    ]),
    ("triage", "find duplicates in . and order a large pizza", [
        [filed("find_duplicates", path="."), ("transfer_to_orders", {})],
        [("order_pizza", {**PIZZA, "toppings": None})],
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("desk", "text", "expected"), SENTENCES)
async def test_a_sentence_becomes_these_calls(desk: str, text: str, expected: list[Calls]) -> None:
    assert await converse(desk, text) == expected


ABOUT_TASKS: list[tuple[str, Calls]] = [
    ("how is T1 doing?", [("check_task", {"task": "T1"})]),
    ("T2?", [("check_task", {"task": "T2"})]),
    ("status of t1 and T2", [("check_task", {"task": "T1"}), ("check_task", {"task": "T2"})]),
    ("cancel T1", [("cancel_task", {"task": "T1"})]),
    ("T1 취소해줘", [("cancel_task", {"task": "T1"})]),
    ("stop T1 and how is T2?", [("cancel_task", {"task": "T1"}), ("check_task", {"task": "T2"})]),
    ("list my tasks", [("list_tasks", {})]),
    ("what are my tasks?", [("list_tasks", {})]),
    ("작업 목록 보여줘", [("list_tasks", {})]),
    ("wait for T1", [("wait_for_tasks", {"tasks": ["T1"], "until": "all", "timeout_seconds": None})]),
    (
        "wait for any of T1 and T2, 30 seconds at most",
        [("wait_for_tasks", {"tasks": ["T1", "T2"], "until": "any", "timeout_seconds": 30})],
    ),
    ("answer T2 with yes", [("answer_task", {"task": "T2", "answer": "yes"})]),
    ("answer “only images” to T2", [("answer_task", {"task": "T2", "answer": "only images"})]),
    ("T2: go ahead", [("answer_task", {"task": "T2", "answer": "go ahead"})]),
    ("tell T1 to look at images only", [("update_task", {"task": "T1", "message": "look at images only"})]),
    ("the result of T1, please", [("read_task_result", {"task": "T1", "offset": 0})]),
    ("answer T2", [("check_task", {"task": "T2"})]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ABOUT_TASKS)
async def test_what_people_say_about_tasks(text: str, expected: Calls) -> None:
    assert await converse("files", text) == [expected]


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ("cancel it", [("cancel_task", {"task": "T2"})]),
        ("is it done?", [("check_task", {"task": "T2"})]),
        ("how are the duplicates going?", [("check_task", {"task": "T1"})]),
        ("cancel all tasks", [("cancel_task", {"task": "T1"}), ("cancel_task", {"task": "T2"})]),
        ("tell the duplicates to hurry", [("check_task", {"task": "T1"})]),
        ("stop both", [("cancel_task", {"task": "T1"}), ("cancel_task", {"task": "T2"})]),
    ],
)
async def test_tasks_are_known_by_what_was_said_before(then: str, expected: Calls) -> None:
    assert await converse("files", "find duplicates in . and profile data/sales.csv", then) == [expected]


ANSWERS: list[tuple[str, list[str], Calls]] = [
    ("orders", ["order a pizza", "large"], [("order_pizza", {**PIZZA, "toppings": None})]),
    ("orders", ["order a pizza with pepperoni", "hm", "small"], [
        ("order_pizza", {**PIZZA, "size": "small", "toppings": ["pepperoni"]}),
    ]),
    ("orders", ["order a pizza", "where is order 7?"], [("order_status", {"order_id": 7})]),
    ("orders", ["order a pizza", "show me the menu"], [("get_menu", {})]),
    ("hospital", ["cancel my appointment", "A-17"], [("cancel_appointment", {"appointment_id": "A-17"})]),
    ("hospital", ["cancel my appointment", "which doctors are in dermatology?"], [
        ("find_doctors", {"department": "dermatology"}),
    ]),
    ("hospital", ["book an appointment with Dr. Kim for Anna Lee", "2026-03-14"], [
        ("book_appointment", {**WITH_DOCTOR, "time": None}),
    ]),
    ("files", ["profile a csv file", "here it is: data/sales.csv"], [
        filed("profile_csv", path="data/sales.csv", delimiter=None),
    ]),
    ("files", ["profile a csv file", "cancel T1"], [("cancel_task", {"task": "T1"})]),
    ("triage", ["order a pizza", "medium"], [("order_pizza", {**PIZZA, "size": "medium", "toppings": None})]),
]  # fmt: skip


@pytest.mark.parametrize(("desk", "texts", "expected"), ANSWERS)
async def test_an_answer_completes_the_request_that_was_asked_about(
    desk: str, texts: list[str], expected: Calls
) -> None:
    assert (await converse(desk, *texts))[-1] == expected


@pytest.mark.parametrize(
    ("desk", "text"),
    [
        ("files", "tell me a joke"),
        ("files", ""),
        ("orders", "cancel my subscription"),
        ("orders", "order a pizza"),
        ("hospital", "who are you?"),
        ("library", "Hallo!"),
        ("market", "who won the game"),
    ],
)
async def test_nothing_is_called_when_nothing_fits_or_something_is_missing(desk: str, text: str) -> None:
    assert await converse(desk, text) == []
