from __future__ import annotations

import json
from typing import Any

import pytest

from frontdesk.agents.model import ToolSpec
from frontdesk.agents.models.offline.answer import outputs_text, phrase, task_line, title
from frontdesk.agents.models.offline.catalogue import catalogue
from frontdesk.agents.models.offline.clause import clause
from frontdesk.agents.models.offline.combine import equation, found_numbers, given, main_number, products, written
from frontdesk.agents.models.offline.schema import parameters_of
from frontdesk.agents.models.offline.turn import Made, parsed, read

JSON = dict[str, Any]


def made(name: str, output: Any, **arguments: Any) -> Made:
    text = output if isinstance(output, str) or output is None else json.dumps(output)
    return Made(name, name, arguments, text, parsed(text or ""))


def told(*calls: Made) -> str:
    return "\n".join(outputs_text(calls, {"T1": "find_duplicates"}))


def filed(label: str, name: str, **more: Any) -> Made:
    return made("create_task", {"task": label, "status": "queued", **more}, task={"name": name, "arguments": {}})


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("It is sunny.", "It is sunny."),
        ({"order_id": 7, "state": "baking", "left": None, "note": ""}, "order id: 7, state: baking"),
        ({"summary": "1 pizza added", "price": 9.5}, "1 pizza added\nprice: 9.5"),
        ({"a": {"b": [1, 2], "c": True}, "d": [], "e": {}}, "a: (b: 1, 2, c: yes), d: none, e: ()"),
        ([{"name": "x", "size": 1}, "plain", False], "- name: x, size: 1\n- plain\n- no"),
        ({"found": 2, "files": [{"path": "a"}, {"path": "b"}]}, "found: 2\nfiles:\n- path: a\n- path: b"),
        ([], "none"),
        ({}, "nothing"),
        (list(range(22)), "\n".join(f"- {number}" for number in range(20)) + "\n… and 2 more"),
        ({str(number): 1 for number in range(60)}, ", ".join(f"{number}: 1" for number in range(40)) + ", …"),
        ({"x": {"y": list(range(30))}}, "x: (y: " + ", ".join(map(str, range(20))) + " …)"),
        ("x" * 5000, "x" * 4000 + " …"),
    ],
)
def test_one_output_is_put_into_words(output: Any, expected: str) -> None:
    assert told(made("get_thing", output)) == expected


def test_several_outputs_are_labelled_where_they_do_not_speak_for_themselves() -> None:
    calls = (
        made("get_price", 7),
        made("rates-get_rate", {"rate": 2}),
        made("weather", "It is sunny in Seoul today."),
        made("list_files", ["a", "b"]),
        made("pending", None),
        made("transfer_to_x", "x has taken over."),
    )
    assert told(*calls) == "price: 7\nrate: rate: 2\nIt is sunny in Seoul today.\nlist files:\n- a\n- b"


def test_tasks_that_were_filed_share_a_line() -> None:
    assert told(filed("T1", "a"), filed("T2", "b")) == "Created T1 a, T2 b. They run in the background."
    assert told(filed("T1", "a", note="the same task is live already")) == (
        "T1 a is already under way; I did not create it again."
    )
    assert told(made("create_task", "done")) == "Created done. It runs in the background."
    assert told(made("create_task", "There is no task 'x'")) == "create task did not work: There is no task 'x'"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"task": "T1", "status": "running", "progress": 0.43, "message": "comparing"},
         "T1 find_duplicates: running, 43 %, comparing"),
        ({"task": "T1", "status": "running", "progress": {"fraction": 0.5, "message": "half"}},
         "T1 find_duplicates: running, 50 %, half"),
        ({"label": "T9", "name": "x", "status": "running", "progress": "1 of 2"}, "T9 x: running, 1 of 2"),
        ({"task": "T9", "status": "queued", "progress": 43, "note": "soon"}, "T9: queued, 43 %, soon"),
        ({"task": "T9", "status": "succeeded", "result": {"rows": 3}}, "T9 finished: rows: 3"),
        ({"task": "T9", "status": "succeeded"}, "T9 finished."),
        ({"task": "T9", "status": "failed", "error": "no file"}, "T9 failed: no file"),
        ({"task": "T9", "status": "held", "error": "gave up"}, "T9 was given up: gave up"),
        ({"task": "T9", "status": "cancelled"}, "T9 was cancelled."),
        ({"task": "T9", "status": "waiting", "question": "Which?"}, "T9 asks: Which? (say “answer T9 with …”)"),
    ],
)  # fmt: skip
def test_the_state_of_a_task_is_one_line(state: JSON, expected: str) -> None:
    assert task_line(state, {"T1": "find_duplicates"}) == expected


def test_outputs_of_the_task_tools_are_read_as_states_or_results() -> None:
    two = [{"task": "T1", "status": "queued"}, {"task": "T2", "status": "succeeded", "result": 4}]
    assert told(made("list_tasks", {"tasks": two})) == "T1 find_duplicates: queued\nT2 finished: 4"
    assert told(made("wait_for_tasks", two)) == "T1 find_duplicates: queued\nT2 finished: 4"
    assert told(made("list_tasks", {"tasks": []})) == "There are no tasks."
    assert told(made("read_task_result", {"task": "T1", "text": "the rest", "offset": 0})) == "the rest"
    assert told(made("cancel_task", {"ok": True})) == "ok: yes"
    assert told(made("check_task", "gone")) == "gone"


def test_a_long_result_is_told_by_its_beginning_or_by_how_it_is_had() -> None:
    cut = "500 characters in all: read_task_result(task, offset) gives the rest"
    state: JSON = {"task": "T1", "name": "find_duplicates", "status": "succeeded", "result_cut": cut}
    assert task_line(state, {}) == "T1 find_duplicates finished. Its result is long; say “show the result of T1”."
    begun = '{"found": 2, "groups": [{"size": 9, "paths": ["a", "b"]}, {"size"'
    said = "found: 2\ngroups:\n- size: 9, paths: a, b"
    assert task_line({**state, "result": begun}, {}).startswith(f"T1 find_duplicates finished: {said}")
    assert told(made("read_task_result", begun, task="T1")).startswith(said)
    assert told(made("read_task_result", "{no JSON", task="T1")) == "{no JSON"
    assert told(made("get_thing", begun)) == begun


def test_names_of_tools_and_numbers_are_written_for_people() -> None:
    assert [title(name) for name in ("orders-get_oil_price", "list_files", "get", "_")] == [
        "oil price", "list files", "get", "_"
    ]  # fmt: skip
    assert [written(one) for one in (1234567, 71.3, 0.1 + 0.2, 1e12, "106680.60")] == [
        "1,234,567", "71.3", "0.3", "1,000,000,000,000.00", "106,680.60"
    ]  # fmt: skip
    assert phrase(1234.5) == "1234.5"


# -- numbers from one tool to the next --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "output", "expected"),
    [
        ("oil_price", {"price": 71.3, "id": 4, "date": "2026-03-01"}, 71.3),
        ("oil_price", {"usd_per_barrel": "73.32", "benchmark": "WTI"}, "73.32"),
        ("lookup", {"height": 3, "rate": 2}, 2),
        ("height_of", {"rate": 2, "height": 3}, 3),
        ("lookup", {"quote": {"value": 5}}, 5),
        ("lookup", {"a": {"value": 5}, "b": {"value": 6}}, None),
        ("lookup", {"year": 2026}, None),
        ("lookup", 12, 12),
        ("lookup", "WTI: 71.3 USD", 71.3),
        ("lookup", "1 USD = 1390 KRW", 1390),
        ("lookup", "between 3 and 4", None),
        ("lookup", "answered with status 503", None),
        ("lookup", "a long text with 3 " * 9, None),
        ("lookup", True, None),
        ("lookup", 10**80, None),
    ],
)
def test_the_number_that_an_output_is_about(name: str, output: Any, expected: Any) -> None:
    assert main_number(output, name)[0] == expected


NUMBER: JSON = {"type": "number"}
PLACES: JSON = {"anyOf": [{"type": "integer"}, {"type": "null"}]}


def computing(name: str, **parameters: JSON) -> Any:
    schema = {"type": "object", "properties": parameters, "required": list(parameters), "additionalProperties": False}
    return catalogue([ToolSpec(name, "", schema)])[0]


MULTIPLY = computing("multiply", a=NUMBER, b=NUMBER, decimals=PLACES)
PRICE = made("price", {"price": 2, "currency": "USD"})
RATE = made("rate", {"rate": "1390.5"})


@pytest.mark.parametrize(
    ("text", "calls", "expected"),
    [
        ("in won", (PRICE, RATE), [(2, 1390.5)]),
        ("in won", (PRICE, made("gas_price", 3), RATE), [(2, 1390.5), (3, 1390.5)]),
        ("in won", (PRICE, made("amount", 3)), [(2, 3)]),
        ("in won", (PRICE,), []),
        ("in won", (RATE,), []),
        ("in won", (made("price", {"price": 2, "currency": "KRW"}), RATE), []),
        ("3 dollars in won", (RATE,), [(3, 1390.5)]),
        ("3 or 4 in won", (RATE,), [(3, 1390.5), (4, 1390.5)]),
    ],
)
def test_amounts_are_multiplied_by_the_rate(
    text: str, calls: tuple[Made, ...], expected: list[tuple[float, float]]
) -> None:
    found = products(MULTIPLY, clause(text), found_numbers(calls), ())
    assert found == [{"a": a, "b": b, "decimals": None} for a, b in expected]


def test_a_number_that_the_tool_does_not_take_is_not_multiplied() -> None:
    only_small = computing("multiply", a={"type": "number", "maximum": 1}, b=NUMBER)
    assert products(only_small, clause("in won"), found_numbers((PRICE, RATE)), ()) == []


def test_what_a_tool_lacks_is_given_from_what_was_found() -> None:
    schema: JSON = {"properties": {"amount": NUMBER, "from_currency": {"type": "string"}, "name": {"type": "string"}}}
    amount, currency, name = parameters_of(schema, schema)
    numbers = found_numbers((PRICE,))
    assert given((amount, currency), numbers) == {"amount": 2, "from_currency": "USD"}
    assert given((amount, name), numbers) is None
    assert given((amount,), []) is None
    (picky,) = parameters_of({"properties": {"amount": {"type": "number", "maximum": 1}}}, {})
    assert given((picky,), numbers) is None


def test_a_product_is_shown_as_an_equation() -> None:
    assert equation(made("multiply", {"product": "2781"}, a=2, b="1390.5"), "KRW") == "2 × 1,390.5 = 2,781 KRW"
    assert equation(made("multiply", 6, a=2, b=3), None) == "2 × 3 = 6"
    assert equation(made("multiply", "no", a=2, b=3), None) is None
    assert equation(made("multiply", 6, a=2), None) is None


# -- reading a history ------------------------------------------------------------------------------------------------


def test_parts_of_a_message_are_one_text_and_half_characters_are_replaced() -> None:
    parts = [{"type": "input_text", "text": "a\ud83c"}, {"type": "input_image"}, {"type": "input_text", "text": "b"}]
    assert read([{"role": "user", "content": parts}]).text == "a\ufffd\nb"


def test_json_is_read_only_where_it_is_some() -> None:
    assert [parsed(text) for text in ("", " ", "{", "12", '{"a": 1}', "-Infinity", "nothing")] == [
        "", " ", "{", 12, {"a": 1}, "-Infinity", "nothing"
    ]  # fmt: skip


def test_labels_are_known_from_what_was_filed_and_announced() -> None:
    call = {"type": "function_call", "call_id": "1", "name": "create_task", "arguments": '{"task": {"name": "scan"}}'}
    output = {"type": "function_call_output", "call_id": "1", "output": '{"task": "T3"}'}
    check = {"type": "function_call", "call_id": "2", "name": "check_task", "arguments": '{"task": "T2"}'}
    odd = {"type": "function_call", "call_id": "3", "name": "check_task", "arguments": '{"task": "x"}'}
    assert dict(read([call, output, check, odd]).known) == {"T3": "scan", "T2": ""}


def test_a_chain_of_questions_is_followed_to_its_beginning() -> None:
    asked = {"role": "assistant", "content": "To run x, I still need `a`."}
    user = [{"role": "user", "content": text} for text in ("first", "second", "third")]
    notice = {"type": "function_call", "call_id": "2", "name": "check_task", "arguments": "{}"}
    turn = read([user[0], asked, notice, user[1], asked, {"type": "reasoning"}, user[2]])
    assert (turn.text, turn.asked) == ("third", ("first", "second"))
    assert read([asked, user[0]]).asked == ()
    assert len(read([*[user[0], asked] * 20, user[1]]).asked) == 8
