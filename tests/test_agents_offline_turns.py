from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import anyio
import pytest

from frontdesk.agents.model import (
    FunctionCall,
    Message,
    ModelEvent,
    ModelRequest,
    ModelSettings,
    ReplyDone,
    TextDelta,
    ToolSpec,
)
from frontdesk.agents.models.offline import OfflineModel
from frontdesk.agents.models.offline.plan import Desk
from frontdesk.agents.models.offline.reply import Reply, next_reply

JSON = dict[str, Any]
TEXT: JSON = {"type": "string"}


def taking(**properties: JSON) -> JSON:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False
    }  # fmt: skip


def tool(
    name: str, description: str = "", *keywords: str, kind: Literal["tool", "handoff"] = "tool", **parameters: JSON
) -> ToolSpec:
    return ToolSpec(name, description, taking(**parameters), keywords=keywords, kind=kind)


def task_variant(name: str, description: str, **parameters: JSON) -> JSON:
    return {**taking(name={"const": name}, arguments=taking(**parameters)), "description": description}


NULLABLE: JSON = {"anyOf": [TEXT, {"type": "null"}]}
CREATE = ToolSpec(
    "create_task",
    "Files a job.",
    taking(
        task={
            "anyOf": [
                task_variant("find_duplicates", "Finds duplicate files.", path=TEXT),
                task_variant("profile_csv", "Profiles a CSV file.", path=TEXT),
            ]
        },
        title=NULLABLE,
        again=NULLABLE,
    ),
)
CHECK = tool("check_task", "State of a task.", task=TEXT)
TO_ORDERS = tool("transfer_to_orders", "Hands over to orders: pizza.", kind="handoff")
TO_FILES = tool("transfer_to_files", "Hands over to files: duplicates.", kind="handoff")
TO_TRIAGE = tool("transfer_to_triage", "Hands over to triage: duplicates, pizza, everything.", kind="handoff")
ORDER = tool("order_pizza", "Orders a pizza.", size={"enum": ["small", "large"]})
WEATHER = tool("weather", "Weather of a city.", city=TEXT)
MENU = tool("get_menu", "The menu.")


def said(text: str, role: str = "user") -> JSON:
    return {"type": "message", "role": role, "content": text}


def called(name: str, output: Any, /, call_id: str = "c1", **arguments: Any) -> list[JSON]:
    text = output if isinstance(output, str) else json.dumps(output)
    return [
        {"type": "function_call", "call_id": call_id, "name": name, "arguments": json.dumps(arguments)},
        {"type": "function_call_output", "call_id": call_id, "output": text},
    ]


def reply(tools: list[ToolSpec], *items: JSON, today: date | None = None, agent: str = "", **settings: Any) -> Reply:
    request = ModelRequest("", items, tuple(tools), ModelSettings(**settings), agent)
    return next_reply(request, Desk.of(tools), today=today)


async def stream(request: ModelRequest, model: OfflineModel | None = None) -> list[ModelEvent]:
    return [event async for event in (model or OfflineModel()).stream(request)]


DUPLICATES: JSON = {"task": {"name": "find_duplicates", "arguments": {"path": "."}}, "title": None, "again": None}
BOTH = said("find duplicates in . and profile a.csv")
PIZZA = said("order a large pizza")
FOUND: JSON = {"task": "T1", "name": "find_duplicates", "status": "succeeded", "result": {"groups": 3}}


# -- the stream -------------------------------------------------------------------------------------------------------


async def test_an_answer_is_streamed_in_pieces_then_whole_then_counted() -> None:
    *deltas, message, done = await stream(ModelRequest("Be brief.", (said("tell me  a joke"),), (MENU,)))

    assert isinstance(message, Message)
    assert isinstance(done, ReplyDone)
    assert all(isinstance(delta, TextDelta) and delta.text.split() for delta in deltas)
    assert len(deltas) == len(message.text.split())
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == message.text
    assert done.finish == "stop"
    assert done.usage.input_tokens > 0 < done.usage.output_tokens


async def test_calls_come_without_a_text_and_with_ids_that_the_history_does_not_have() -> None:
    request = ModelRequest("", (BOTH,), (CREATE,))
    first, second, _ = await stream(request)
    assert isinstance(first, FunctionCall)
    assert isinstance(second, FunctionCall)

    taken = {"type": "function_call", "call_id": first.call_id, "name": "x", "arguments": "{}"}
    again = await stream(replace(request, items=(taken, BOTH)))

    ids = [event.call_id for event in again if isinstance(event, FunctionCall)]
    assert len({first.call_id, second.call_id, *ids}) == 4


async def test_an_id_that_is_taken_by_chance_is_not_used_again() -> None:
    request = ModelRequest("", (said("x", "assistant"), BOTH), (CREATE,))
    (first, *_) = await stream(request)
    assert isinstance(first, FunctionCall)
    taken = {"type": "function_call", "call_id": first.call_id, "name": "x", "arguments": "{}"}

    (again, *_) = await stream(replace(request, items=(taken, BOTH)))

    assert isinstance(again, FunctionCall)
    assert again.call_id == first.call_id + "x"


async def test_the_same_request_gets_the_same_reply_from_any_model_object() -> None:
    request = ModelRequest("", (BOTH,), (CREATE,))
    model = OfflineModel()
    assert await stream(request, model) == await stream(request, model) == await stream(request)


async def test_other_tools_get_another_plan_from_the_same_model_object() -> None:
    model = OfflineModel()
    for number in range(70):  # more desks than it remembers
        spec = tool(f"fetch_{number}", "", "pizza")
        events = await stream(ModelRequest("", (said("pizza!"),), (spec,)), model)
        assert isinstance(events[0], FunctionCall)
        assert events[0].name == spec.name


def test_its_name_is_offline() -> None:
    assert OfflineModel().name == "offline"


async def test_a_delay_lets_others_run_between_the_pieces() -> None:
    seen: list[str] = []

    async def others() -> None:
        while True:
            seen.append("other")
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(others)
            async for event in OfflineModel(delay=1e-9).stream(ModelRequest("", (said("thanks"),))):
                seen.append(type(event).__name__)
            group.cancel_scope.cancel()

    assert [one for one in seen if one != "other"] == ["TextDelta"] * 3 + ["Message", "ReplyDone"]
    first, last = seen.index("TextDelta"), len(seen) - seen[::-1].index("TextDelta")
    assert "other" in seen[first:last]


def test_a_delay_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"-1"):
        OfflineModel(delay=-1)


async def test_relative_dates_are_counted_from_the_day_that_is_given() -> None:
    book = tool("book_table", "Books a table.", date={"type": "string", "format": "date"})
    request = ModelRequest("", (said("book a table tomorrow"),), (book,))

    (call, _) = await stream(request, OfflineModel(today=lambda: date(2026, 2, 28)))
    assert isinstance(call, FunctionCall)
    assert json.loads(call.arguments) == {"date": "2026-03-01"}
    assert reply([book], said("book a table tomorrow")).text == (
        "To run book_table, I still need `date` (a date such as 2026-03-14)."
    )


# -- handing over -----------------------------------------------------------------------------------------------------


def test_a_handoff_is_not_repeated_in_a_turn() -> None:
    moved = called("transfer_to_orders", "orders has taken over.")
    assert reply([TO_ORDERS], PIZZA).calls == (("transfer_to_orders", {}),)
    assert reply([TO_ORDERS], PIZZA, *moved).calls == ()


def test_the_new_agent_goes_on_with_the_request_and_does_not_hand_it_back() -> None:
    moved = called("transfer_to_orders", "orders has taken over.")
    assert reply([TO_TRIAGE, ORDER], PIZZA, *moved).calls == (("order_pizza", {"size": "large"}),)
    assert reply([TO_TRIAGE], PIZZA, *moved).calls == ()


def test_it_may_pass_a_request_on_to_an_agent_that_has_not_had_it() -> None:
    moved = called("transfer_to_files", "files has taken over.")
    assert reply([TO_ORDERS, TO_TRIAGE], PIZZA, *moved).calls == (("transfer_to_orders", {}),)


def test_own_tools_come_before_a_handoff() -> None:
    assert reply([TO_ORDERS, ORDER], PIZZA).calls == (("order_pizza", {"size": "large"}),)


def test_what_was_done_before_the_handoff_is_not_handed_on() -> None:
    text = said("find duplicates in . and order a large pizza")
    before = [*called("create_task", {"task": "T1", "status": "queued"}, "c1", **DUPLICATES)]
    moved = called("transfer_to_orders", "orders has taken over.", "c2")

    assert reply([CREATE, TO_ORDERS], text).calls == (("create_task", DUPLICATES), ("transfer_to_orders", {}))
    assert reply([ORDER, TO_FILES, TO_TRIAGE], text, *before, *moved).calls == (("order_pizza", {"size": "large"}),)


def test_a_handoff_that_fits_better_comes_before_a_tool_that_hardly_does() -> None:
    profile = tool("profile_csv", "Describes a CSV file.", path=TEXT)
    read_head = tool("transfer_to_files", "Hands over to files.", "read_head", "read", "lines", kind="handoff")
    text = said("read the first lines of data/sales.csv")
    assert reply([profile, read_head], text).calls == (("transfer_to_files", {}),)
    assert reply([profile, read_head], said("profile sales.csv")).calls == (("profile_csv", {"path": "sales.csv"}),)


def test_a_handoff_with_a_reason_gets_the_request_as_its_reason() -> None:
    spec = tool("transfer_to_orders", "Hands over to orders: pizza.", kind="handoff", reason=TEXT)
    assert reply([spec], PIZZA).calls == (("transfer_to_orders", {"reason": "order a large pizza"}),)


def test_a_handoff_whose_arguments_cannot_be_known_is_not_made() -> None:
    spec = tool("transfer_to_orders", "Hands over to orders: pizza.", kind="handoff", code={"type": "integer"})
    assert reply([spec], PIZZA).calls == ()


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "The tool order_pizza failed: internal error (ValueError).",
            "The tool order_pizza failed: internal error (ValueError).",
        ),
        ({"error": {"message": "the oven is cold"}}, "order pizza did not work: the oven is cold"),
        ({"error": "sold out"}, "order pizza did not work: sold out"),
        ("Error: no dough", "order pizza did not work: Error: no dough"),
        (
            "interrupted, outcome unknown: check before you repeat it",
            "order pizza did not work: interrupted, outcome unknown: check before you repeat it",
        ),
    ],
)
def test_an_error_is_told_and_nothing_is_repeated(output: Any, expected: str) -> None:
    assert reply([ORDER], PIZZA, *called("order_pizza", output, size="large")) == Reply(text=expected)


def test_after_an_error_the_calls_that_are_left_are_named_and_not_made() -> None:
    first = called("create_task", "The task find_duplicates could not be filed.", **DUPLICATES)
    answer = reply([CREATE], BOTH, *first, parallel_tool_calls=False)
    assert answer.calls == ()
    assert answer.text.splitlines()[-1] == "I stopped there; not done: profile csv."


# -- settings ---------------------------------------------------------------------------------------------------------


def test_without_parallel_calls_each_reply_makes_one() -> None:
    (first,) = reply([CREATE], BOTH, parallel_tool_calls=False).calls
    done = called("create_task", {"task": "T1", "status": "queued"}, **first[1])
    (second,) = reply([CREATE], BOTH, *done, parallel_tool_calls=False).calls
    done += called("create_task", {"task": "T2", "status": "queued"}, "c2", **second[1])

    assert [one[1]["task"]["name"] for one in (first, second)] == ["find_duplicates", "profile_csv"]
    assert reply([CREATE], BOTH, *done, parallel_tool_calls=False).text == (
        "Created T1 find_duplicates, T2 profile_csv. They run in the background."
    )


def test_tool_choice_none_says_what_it_would_have_called() -> None:
    assert reply([ORDER], PIZZA, tool_choice="none").text == (
        "That needs order pizza, but no tools may be called for this reply."
    )
    assert reply([TO_ORDERS], PIZZA, tool_choice="none").text == (
        "That needs handing over to orders, but no tools may be called for this reply."
    )
    assert "I found nothing" in reply([ORDER], said("tell me a joke"), tool_choice="none").text


def test_tool_choice_required_calls_something_once() -> None:
    assert reply([WEATHER, MENU], said("tell me a joke"), tool_choice="required").calls == (
        ("weather", {"city": "joke"}),
    )
    assert reply([WEATHER, MENU], said("the menu!"), tool_choice="required").calls == (("get_menu", {}),)
    done = called("get_menu", "Pizza 9")
    assert reply([WEATHER, MENU], said("the menu!"), *done, tool_choice="required").text == "Pizza 9"


def test_a_named_tool_is_called_once_whatever_was_asked() -> None:
    text = said("hello")
    assert reply([MENU, ORDER], text, tool_choice="order_pizza").calls == (("order_pizza", {"size": "small"}),)
    assert reply([MENU, ORDER], text, *called("order_pizza", "Ordered."), tool_choice="order_pizza").calls == ()
    assert reply([MENU], text, tool_choice="unknown_tool").calls == ()


def test_a_named_task_tool_is_called_as_well() -> None:
    assert reply([CHECK], said("hello"), tool_choice="check_task").calls == (("check_task", {"task": "hello"}),)
    assert reply([CREATE], said("hello"), tool_choice="create_task").calls[0][0] == "create_task"


def test_a_tool_that_takes_what_no_text_gives_is_not_forced() -> None:
    odd = tool("odd", "", when={"type": "string", "format": "date-time"})
    assert reply([odd], said("hello"), tool_choice="required").calls == ()


# -- notices ----------------------------------------------------------------------------------------------------------


def test_a_notice_is_announced_and_nothing_is_called() -> None:
    history = [
        BOTH, *called("create_task", {"task": "T1", "status": "queued"}, **DUPLICATES), said("Created.", "assistant")
    ]  # fmt: skip
    notice = called("check_task", FOUND, "n1", task="T1")
    assert reply([CREATE, CHECK], *history, *notice) == Reply(text="T1 find_duplicates finished: groups: 3")


def test_each_notice_is_announced_once() -> None:
    first = called("check_task", FOUND, "n1", task="T1")
    second = called("check_task", {"task": "T2", "name": "profile_csv", "status": "failed", "error": "no file"}, "n2")
    history = [BOTH, said("Created.", "assistant"), *first, said("T1 finished", "assistant"), *second]
    assert reply([CHECK], *history).text == "T2 profile_csv failed: no file"


def test_a_notice_beside_a_request_is_told_after_the_answer() -> None:
    notice = called("check_task", FOUND, "n1", task="T1")
    for order in ([PIZZA, *notice], [PIZZA, *notice, *called("order_pizza", "Ordered.", size="large")]):
        last = reply([ORDER, CHECK], *order)
        if last.calls:
            assert last.calls == (("order_pizza", {"size": "large"}),)
        else:
            assert last.text == "Ordered.\nT1 find_duplicates finished: groups: 3"


def test_a_check_that_was_asked_for_is_not_taken_for_a_notice() -> None:
    running = {"task": "T1", "status": "running", "progress": 0.43, "message": "comparing"}
    asked = said("how is T1?")
    assert reply([CHECK], asked).calls == (("check_task", {"task": "T1"}),)
    assert reply([CHECK], asked, *called("check_task", running, task="T1")).text == "T1: running, 43 %, comparing"


def test_messages_with_a_notice_between_them_are_one_request() -> None:
    notice = called("check_task", FOUND, "n1", task="T1")
    order = said("and a large pizza please")
    assert reply([MENU, ORDER], said("show me the menu"), *notice, order).calls == (
        ("get_menu", {}),
        ("order_pizza", {"size": "large"}),
    )


def test_without_a_request_the_outputs_are_told_or_it_introduces_itself() -> None:
    assert reply([MENU], *called("get_menu", "Pizza 9")).text == "Pizza 9"
    assert reply([MENU]).text.startswith("I am the offline model")
    assert reply([MENU], said("hi"), said("Hello.", "assistant")).text == "There is nothing new."


# -- which tools are meant -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "text", "expected"),
    [
        ("which folder", "So, which folder is it?", True),
        ("which folder", "a folder", False),
        ("identical copies", "find copies that are identical", True),
        ("identical copies", "find copies", False),
        ("termin", "Ich brauche einen Arzttermin", True),
        ("art", "a start", False),
        ("예약", "내일 예약해줘", True),
        ("wo", "Wo bin ich?", True),
        ("wo", "Wohin?", False),
        (" ", "anything", False),
    ],
)
def test_keywords_hint_at_a_tool_in_any_language(keyword: str, text: str, expected: bool) -> None:
    for name in ("thing", "get"):
        assert bool(reply([tool(name, "", keyword)], said(text)).calls) is expected


LOOKUPS = [tool(f"{name}_price", f"Price of {name}.") for name in ("oil", "gas", "gold", "silver", "copper", "tin")]


def test_lookups_that_other_words_point_at_run_in_parallel_but_not_without_end() -> None:
    prices = reply(LOOKUPS, said("compare oil gas gold silver copper tin")).calls
    assert [name for name, _ in prices] == ["oil_price", "gas_price", "gold_price", "silver_price", "copper_price"]


def test_a_lookup_that_lacks_what_only_a_person_can_tell_is_left_out() -> None:
    assert reply([*LOOKUPS, WEATHER], said("oil price versus weather")).calls == (("oil_price", {}),)


def test_a_tool_that_changes_something_is_not_called_beside_another() -> None:
    remove = tool("remove_gas", "Removes gas.")
    assert reply([*LOOKUPS[:1], remove], said("oil versus gas")).calls == (("oil_price", {}),)


def test_every_price_is_multiplied_with_the_rate() -> None:
    grade = {"anyOf": [{"enum": ["WTI", "Brent"]}, {"type": "null"}]}
    number = {"type": "number"}
    tools = [
        tool("oil_price", "Price of oil.", grade=grade),
        tool("usd_krw_rate", "Won for a dollar.", "exchange"),
        tool("multiply", "Multiplies.", "convert", a=number, b=number, decimals=NULLABLE),
    ]
    text = said("price of WTI and Brent oil in won")
    first = reply(tools, text)
    assert first.calls == (("oil_price", {"grade": "WTI"}), ("oil_price", {"grade": "Brent"}), ("usd_krw_rate", {}))

    done = [
        *called("oil_price", {"price": 70}, "c1", grade="WTI"),
        *called("oil_price", {"price": 75}, "c2", grade="Brent"),
        *called("usd_krw_rate", {"rate": 1400}, "c3"),
    ]
    second = reply(tools, text, *done)
    assert second.calls == tuple(("multiply", {"a": price, "b": 1400, "decimals": None}) for price in (70, 75))

    done += called("multiply", "98000", "c4", **second.calls[0][1])
    done += called("multiply", "105000", "c5", **second.calls[1][1])
    assert reply(tools, text, *done).text.splitlines()[-2:] == [
        "70 × 1,400 = 98,000 KRW", "75 × 1,400 = 105,000 KRW"
    ]  # fmt: skip


def test_a_converting_tool_gets_what_it_lacks_from_what_was_looked_up() -> None:
    tools = [
        tool("oil_price", "Price of oil."),
        tool("convert_currency", "Converts an amount.", amount={"type": "number"}, to_currency=TEXT),
    ]
    text = said("convert the oil price to won")
    found = called("oil_price", {"price": 70, "currency": "USD"})
    assert reply(tools, text).calls == (("oil_price", {}),)
    assert reply(tools, text, *found).calls == (("convert_currency", {"to_currency": "KRW", "amount": 70}),)
    assert reply(tools, text, *called("oil_price", "unknown today")).text == "unknown today"
    converted = called("convert_currency", "98000", "c2", to_currency="KRW", amount=70)
    assert reply(tools, text, *found, *converted).calls == ()


def test_outputs_that_are_still_missing_are_not_built_upon() -> None:
    tools = [
        tool("oil_price", "Price of oil."),
        tool("multiply", "Multiplies.", a={"type": "number"}, b={"type": "number"}),
    ]
    pending = called("oil_price", "70")[:1]
    assert reply(tools, said("oil price in won"), *pending).calls == ()


def test_without_the_task_tools_a_label_means_nothing() -> None:
    assert reply([MENU], said("cancel T1")).calls == ()
    assert reply([CHECK], said("cancel T1")).calls == (("check_task", {"task": "T1"}),)


def test_a_task_is_told_something_by_its_name_or_as_it() -> None:
    update = tool("update_task", "Tells an agent something.", task=TEXT, message=TEXT)
    filed = called("create_task", {"task": "T1", "status": "queued"}, **DUPLICATES)
    tell = said("tell it to look at images only")
    assert reply([update], BOTH, *filed, said("Created.", "assistant"), tell).calls == (
        ("update_task", {"task": "T1", "message": "look at images only"}),
    )


# -- what it says of itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["who are you?", "What can you do?", "help", "Hello!", "hi there, what can I ask?", "안녕하세요", "넌 누구야?"],
)
def test_who_asks_gets_the_whole_truth(text: str) -> None:
    assert reply([CREATE, ORDER, TO_FILES], said(text), agent="triage").text == (
        "I am triage, run by the offline model, a rule-based stand-in for a language model: I compare the words of a "
        "request with the tools of this desk, fill in their arguments and report what they return. I understand no "
        "language. Set OPENAI_API_KEY (and OPENAI_BASE_URL for another server) to connect a real one.\n\n"
        "What I can do:\n"
        "- find_duplicates (in the background): Finds duplicate files.\n"
        "- profile_csv (in the background): Profiles a CSV file.\n"
        "- order_pizza: Orders a pizza.\n"
        "- hand over to files: duplicates."
    )


def test_what_fits_nothing_gets_a_short_note_with_what_there_is() -> None:
    text = reply([MENU], said("tell me a joke")).text
    assert text == (
        "I found nothing here that fits that (I am the offline model, a rule-based stand-in for a language model). "
        "Set OPENAI_API_KEY (and OPENAI_BASE_URL for another server) to connect a real one.\n\n"
        "What I can do:\n- get_menu: The menu."
    )


def test_a_long_list_of_what_it_can_do_is_cut() -> None:
    tools = [tool(f"thing_{number}") for number in range(20)]
    assert reply(tools, said("hello")).text.endswith("- thing_11\n- … and 8 more")


def test_an_agent_without_tools_says_so() -> None:
    assert reply([], said("hello")).text.endswith(
        "This agent has no tools, so there is nothing that I can do for you here."
    )


def test_a_tool_about_the_desk_answers_together_with_the_truth() -> None:
    about = tool("about_this_desk", "What this desk is.", "help")
    answer = reply([about], said("help"), *called("about_this_desk", "A pizza counter."))
    assert answer.text == "A pizza counter.\n(I am the offline model, a rule-based stand-in for a language model.)"


@pytest.mark.parametrize(("text", "expected"), [("Thanks a lot!", "You are welcome."), ("never mind", "All right.")])
def test_small_talk_is_kept_short(text: str, expected: str) -> None:
    assert reply([MENU], said(text)) == Reply(text=expected)


# -- questions --------------------------------------------------------------------------------------------------------


def test_what_is_missing_is_asked_for_by_its_name_and_choices() -> None:
    spec = tool(
        "book_room",
        "Books a room.",
        beds={"type": "array", "items": {"enum": ["single", "double"]}},
        quiet={"type": "boolean"},
        guests={"type": "integer", "description": "How many people."},
        code={"type": "integer"},
    )
    assert reply([spec], said("book a room")).text == (
        "To run book_room, I still need `beds` (single or double), `quiet` (yes or no), `guests` (How many people) "
        "and `code`."
    )


def test_a_yes_answers_a_question_of_yes_or_no() -> None:
    spec = tool("book_room", "Books a room.", quiet={"type": "boolean"})
    history = [said("book a room"), said("To run book_room, I still need `quiet` (yes or no).", "assistant")]
    assert reply([spec], *history, said("yes, please")).calls == (("book_room", {"quiet": True}),)
    assert reply([spec], *history, said("no")).calls == (("book_room", {"quiet": False}),)
    assert reply([spec], *history, said("hm")).text.startswith("To run book_room, I still need")


def test_any_words_answer_a_question_for_a_text() -> None:
    history = [said("what is the weather?"), said("To run weather, I still need `city`.", "assistant")]
    assert reply([WEATHER, MENU], *history, said("seoul")).calls == (("weather", {"city": "seoul"}),)
    assert reply([WEATHER, MENU], *history, said("never mind")).text == "All right."
    assert reply([WEATHER, MENU], *history, said("show me the menu")).calls == (("get_menu", {}),)


def test_an_answer_to_a_question_that_no_longer_stands_is_a_request_of_its_own() -> None:
    history = [said("what is the weather?"), said("To run weather, I still need `city`.", "assistant")]
    assert reply([MENU], *history, said("the menu")).calls == (("get_menu", {}),)


def test_the_done_and_the_open_part_of_a_request_are_both_answered() -> None:
    text = said("show me the menu; order a pizza; sing me a song about orders of magnitude")
    answer = reply([MENU, ORDER], text, *called("get_menu", "Pizza 9")).text
    assert answer.startswith("Pizza 9\nTo run order_pizza, I still need `size` (small or large).")


def test_a_part_that_nothing_fits_is_named_beside_the_others() -> None:
    text = said("show me the menu. find duplicates in x")
    answer = reply(
        [MENU, TO_FILES], text, *called("get_menu", "Pizza 9"), *called("transfer_to_files", "ok", "c2")
    ).text
    assert answer == "Pizza 9"


REPORTS = ToolSpec(
    "create_task",
    "Files a job.",
    taking(task={"anyOf": [task_variant("refund_report", "Collects refunds.", month=TEXT)]}),
)
READ_RESULT = tool("read_task_result", "A piece of a long result.", task=TEXT, offset={"type": "integer"})


def test_a_task_that_was_just_filed_is_not_what_its_request_asks_about() -> None:
    asked = said("Make the refund report for month 2026-10, please.")
    tools = [REPORTS, CHECK, READ_RESULT]
    ((name, arguments),) = reply(tools, asked).calls
    assert name == "create_task"

    after = reply(tools, asked, *called("create_task", {"task": "T1", "status": "queued"}, **arguments))

    assert (after.calls, "T1 refund_report" in after.text) == ((), True)


def test_another_task_of_a_name_is_filed_though_the_name_sounds_like_a_question() -> None:
    before = called("check_task", {"task": "T1", "name": "refund_report", "status": "succeeded"}, task="T1")
    tools = [REPORTS, CHECK, READ_RESULT]

    def of(text: str) -> list[str]:
        return [name for name, _ in reply(tools, *before, said("Done.", "assistant"), said(text)).calls]

    assert of("make the refund report for month 2026-11") == ["create_task"]
    assert of("how is the refund report doing?") == ["check_task"]
    assert of("show me the result of the refund report") == ["read_task_result"]
