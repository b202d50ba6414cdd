"""What a model may be shown: each rule of the repair by an example, all of them together by random histories."""

from collections.abc import Sequence
from itertools import count
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.agents.history import INTERRUPTED, StoredItem, model_items, said, shorter, validate_items
from frontdesk.agents.model import JSON
from frontdesk.agents.models.chat_messages import chat_messages
from frontdesk.tests.fakes.openai_rules import validate_messages

Status = Literal["completed", "in_progress", "incomplete"]
ids = count()


def stored(
    body: JSON, *, status: Status = "completed", step: int = 0, response: str = "resp_1", id: str = ""
) -> StoredItem:
    return StoredItem(id or f"item_{next(ids)}", response, step, status, "triage", body)


def user(text: str) -> JSON:
    return {"type": "message", "role": "user", "content": text}


def assistant(text: str) -> JSON:
    content: list[JSON] = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}


def function_call(call_id: str, name: str = "add", arguments: str = "{}") -> JSON:
    body = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
    return body | {"id": f"fc_{call_id}", "status": "completed", "agent": {"agent_name": "triage"}}


def output(call_id: str, text: Any = "3") -> JSON:
    return {"type": "function_call_output", "call_id": call_id, "output": text, "id": f"fco_{call_id}"}


def mcp_call(call_id: str, text: str | None = None, *, label: str = "desk", **more: Any) -> JSON:
    body = {"type": "mcp_call", "id": f"mcp_{call_id}", "server_label": label, "name": "add", "arguments": "{}"}
    return body | {"output": text, "error": None, "frontdesk:call_id": call_id} | more


def reasoning(id: str, model: str = "m", **more: Any) -> JSON:
    body: JSON = {"type": "reasoning", "id": id, "summary": [], "encrypted_content": "secret", "status": None}
    return body | {"frontdesk:model": model} | more


def shown(*items: StoredItem, pending: Sequence[str] = ()) -> list[JSON]:
    result = model_items(items, model="m", pending=frozenset(pending))
    assert validate_items(result) == []
    return list(result)


def plain_call(call_id: str, name: str = "add", arguments: str = "{}") -> JSON:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def plain_output(call_id: str, text: Any = "3") -> JSON:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def test_messages_lose_what_only_the_wire_needs() -> None:
    asked = user("hi") | {"id": "item_9", "status": "completed", "agent": None, "frontdesk:input_id": "x"}
    assert shown(stored(asked), stored(assistant("hello") | {"phase": "final_answer"})) == [
        user("hi"),
        {"type": "message", "role": "assistant", "content": "hello", "phase": "final_answer"},
    ]


def test_images_and_files_of_the_user_pass_as_they_are() -> None:
    content = [{"type": "input_text", "text": "?"}, {"type": "input_image", "image_url": "data:", "detail": "auto"}]
    assert shown(stored({"role": "user", "content": content})) == [
        {"type": "message", "role": "user", "content": content}
    ]


def test_a_refusal_is_part_of_what_was_said() -> None:
    assert said([{"type": "output_text", "text": "I "}, {"type": "refusal", "refusal": "won't"}]) == "I won't"


@pytest.mark.parametrize("status", ["in_progress", "incomplete"])
@pytest.mark.parametrize("body", [assistant("half a sen"), reasoning("rs_1")])
def test_what_was_not_finished_never_reaches_the_model(body: JSON, status: Status) -> None:
    assert shown(stored(user("hi")), stored(body, status=status)) == [user("hi")]


def test_an_empty_answer_or_a_message_of_nobody_is_left_out() -> None:
    assert shown(stored(assistant("")), stored({"type": "message", "role": "critic", "content": "?"})) == []


def test_calls_of_one_reply_come_together_and_their_outputs_after_them_in_the_order_of_the_calls() -> None:
    items = [stored(mcp_call("a", "1")), stored(mcp_call("b", "2")), stored(mcp_call("c", "3"), step=1)]
    assert shown(*items) == [
        plain_call("a"),
        plain_call("b"),
        plain_output("a", "1"),
        plain_output("b", "2"),
        plain_call("c"),
        plain_output("c", "3"),
    ]


def test_calls_that_server_and_client_run_are_one_reply() -> None:
    items = [stored(mcp_call("a", "1")), stored(function_call("b")), stored(output("b"), response="resp_2")]
    assert [item["type"] for item in shown(*items)] == ["function_call"] * 2 + ["function_call_output"] * 2


def test_calls_that_a_client_sent_with_outputs_between_them_stay_apart() -> None:
    items = [function_call("a"), output("a"), function_call("b"), output("b")]
    expected = [plain_call("a"), plain_output("a"), plain_call("b"), plain_output("b")]
    assert shown(*(stored(item) for item in items)) == expected


def test_an_output_that_came_late_is_moved_behind_its_call() -> None:
    items = [function_call("a"), user("still there?"), output("a", [{"type": "input_text", "text": "yes"}])]
    assert shown(*(stored(item) for item in items)) == [
        plain_call("a"),
        plain_output("a", [{"type": "input_text", "text": "yes"}]),
        user("still there?"),
    ]


@pytest.mark.parametrize(
    ("label", "name"), [("orders", "orders-add"), ("desk", "add"), ("tasks", "add"), ("handoff", "add")]
)
def test_a_namespace_is_part_of_the_name_except_for_the_desks_own(label: str, name: str) -> None:
    assert shown(stored(mcp_call("a", "1", label=label)))[0]["name"] == name


@pytest.mark.parametrize(("name", "allowed"), [("functions.add", "functions_add"), ("", "_"), ("x" * 70, "x" * 64)])
def test_a_name_that_a_model_invented_is_made_one_that_the_api_takes(name: str, allowed: str) -> None:
    assert shown(stored(function_call("a", name)))[0]["name"] == allowed


def test_the_item_id_serves_as_call_id_when_the_desk_made_the_call() -> None:
    notice = mcp_call("x", "done", label="tasks")
    del notice["frontdesk:call_id"]
    assert [item["call_id"] for item in shown(stored(notice))] == ["mcp_x", "mcp_x"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("no such order", "no such order"),
        ({"type": "protocol_error", "code": 1, "message": "bad"}, "bad"),
        ({"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "boom"}]}, "boom"),
        ({"type": "odd", "content": {"a": 1}}, "{'a': 1}"),
        ({"type": "http_error"}, "the call failed"),
        (7, "7"),
    ],
)
def test_an_error_is_the_output_of_its_call(error: object, text: str) -> None:
    assert shown(stored(mcp_call("a", None, error=error)))[1] == plain_output("a", text)


def test_a_finished_call_without_output_has_an_empty_one() -> None:
    assert shown(stored(mcp_call("a")))[1] == plain_output("a", "")


@pytest.mark.parametrize(
    "item",
    [
        stored(mcp_call("a"), status="in_progress"),
        stored(mcp_call("a"), status="incomplete"),
        stored(function_call("a")),
        stored(function_call("a"), status="incomplete"),
    ],
)
def test_a_call_without_an_output_was_interrupted(item: StoredItem) -> None:
    assert shown(item) == [plain_call("a"), plain_output("a", INTERRUPTED)]


@pytest.mark.parametrize("body", [mcp_call("a", arguments='{"a": 1'), function_call("a", arguments="")])
def test_a_call_that_was_cut_off_while_it_was_written_never_ran(body: JSON) -> None:
    assert shown(stored(body, status="incomplete")) == []


def test_pending_calls_are_left_out_with_their_outputs() -> None:
    items = [mcp_call("a", "1"), mcp_call("b"), function_call("c"), output("c"), user("hm")]
    expected = [plain_call("a"), plain_output("a", "1"), user("hm")]
    assert shown(*(stored(item) for item in items), pending=["b", "c"]) == expected


def test_outputs_of_no_call_are_dropped_and_of_two_the_first_counts() -> None:
    items = [output("x"), function_call("a"), output("a", "first"), output("a", "second")]
    assert shown(*(stored(item) for item in items)) == [plain_call("a"), plain_output("a", "first")]


def test_of_items_with_one_id_or_calls_with_one_call_id_the_first_counts() -> None:
    items = [
        stored(user("one"), id="i"),
        stored(user("two"), id="i"),
        stored(mcp_call("a", "1")),
        stored(mcp_call("a", "2")),
    ]
    assert shown(*items) == [user("one"), plain_call("a"), plain_output("a", "1")]


def test_reasoning_is_kept_for_the_model_that_made_it() -> None:
    expected: JSON = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "secret"}
    assert shown(stored(reasoning("rs_1")), stored(assistant("4")))[0] == expected
    assert len(shown(stored(reasoning("rs_1", model="other")), stored(assistant("4")))) == 1


@pytest.mark.parametrize(
    "items",
    [
        [reasoning("rs_1")],
        [reasoning("rs_1"), user("next")],
        [reasoning("rs_1"), reasoning("rs_2"), mcp_call("pending")],
        [reasoning("rs_1", encrypted_content=None), function_call("a")],
    ],
)
def test_reasoning_that_leads_to_nothing_or_cannot_be_read_is_dropped(items: list[JSON]) -> None:
    kinds = [item["type"] for item in shown(*(stored(item) for item in items), pending=["pending"])]
    assert "reasoning" not in kinds


def test_reasoning_is_sent_once_and_open_reasoning_needs_no_encryption() -> None:
    thought = reasoning(
        "rs_1", encrypted_content=None, content=[{"type": "reasoning_text", "text": "hm"}], summary=None
    )
    items = shown(stored(thought), stored(assistant("a")), stored(thought), stored(assistant("b")))
    assert [item["type"] for item in items] == ["reasoning", "message", "message"]


@pytest.mark.parametrize("kind", ["mcp_approval_request", "mcp_approval_response", "mcp_list_tools", "item_reference"])
def test_item_types_that_no_model_is_told_of_are_left_out(kind: str) -> None:
    assert shown(stored({"type": kind, "id": "x"})) == []


@pytest.mark.parametrize("by_client", [True, False])
def test_an_id_that_is_longer_than_a_server_takes_is_shortened_the_same_way_each_time(by_client: bool) -> None:
    long = [f"functions.{number}:{'x' * 60}" for number in range(2)]
    calls = [function_call(one) if by_client else mcp_call(one, one[:12]) for one in long]
    outputs = [output(one, one[:12]) for one in long] if by_client else []
    once = shown(*(stored(one) for one in (*calls, *outputs)))
    found = [item["call_id"] for item in once]
    assert found[:2] == found[2:]
    assert len(set(found)) == 2
    assert all(len(one) <= 40 for one in found)
    assert [item["output"] for item in once[2:]] == [one[:12] for one in long]
    assert shown(*(stored(one) for one in once)) == once
    assert validate_messages(chat_messages("", once)) == []
    assert shown(*(stored(one) for one in calls), pending=long) == []


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([{"type": "mcp_call"}], "Invalid value: 'mcp_call' at input[0].type."),
        ([user("a") | {"agent": "x"}], "Unknown parameter: 'input[0].agent'."),
        ([user("a") | {"id": "item_1"}], "Invalid 'input[0].id': expected an ID that begins with 'msg'."),
        ([{"role": "critic", "content": ""}], "Invalid value: 'critic' at input[0].role."),
        ([{"role": "user"}], "Invalid type for 'input[0].content': expected a string or an array."),
        ([plain_call("a")], "No tool output found for function call a."),
        ([plain_output("a")], "No tool call found for function call output with call_id a."),
        (
            [plain_output("x" * 65)],
            "Invalid 'input[0].call_id': string too long. Expected a string with maximum length 64.",
        ),
        ([plain_output("")], "Missing required parameter: 'input[0].call_id'."),
        ([plain_call("a"), plain_call("a"), plain_output("a")], "Duplicate function call with call_id a."),
        ([plain_call("a"), plain_output("a"), plain_output("a")], "Duplicate function call output with call_id a."),
        (
            [plain_call("a", name="a b"), plain_output("a")],
            "Invalid 'input[0].name': expected a string of at most 64 letters, digits, '_' and '-'.",
        ),
        (
            [plain_call("a") | {"arguments": None}, plain_output("a")],
            "Invalid type for 'input[0].arguments': expected a string.",
        ),
        ([plain_call("a"), plain_output("a", 3)], "Invalid type for 'input[1].output': expected a string or an array."),
        (
            [{"type": "reasoning", "id": "rs", "encrypted_content": "x"}, user("a")],
            "Item 'rs' of type 'reasoning' was provided without its required following item.",
        ),
        (
            [{"type": "reasoning", "id": "rs"}, plain_call("a"), plain_output("a")],
            "Item with id 'rs' not found. Items are not persisted when `store` is set to false.",
        ),
        (
            [{"type": "reasoning", "id": "rs", "content": ["x"]}] * 2 + [{"role": "assistant", "content": "b"}],
            "Duplicate item found with id rs. Remove duplicate items from your input.",
        ),
    ],
)
def test_what_the_api_would_refuse_is_named(items: list[JSON], problem: str) -> None:
    assert validate_items(items) == [problem]


LONG = "call" + "x" * 70


def bodies() -> st.SearchStrategy[JSON]:
    call_id = st.sampled_from([*"abcde", LONG])
    text = st.sampled_from(["", "text"])
    error = st.sampled_from([None, {"type": "http_error", "message": "down"}])
    name = st.sampled_from(["add", "functions.add", "", "더하기", "x" * 70])
    return st.one_of(
        st.builds(user, text),
        st.builds(assistant, text),
        st.builds(function_call, call_id, name, arguments=st.sampled_from(["{}", "{", ""])),
        st.builds(output, call_id),
        st.builds(mcp_call, call_id, st.none() | text, label=st.sampled_from(["desk", "shop"]), error=error),
        st.builds(reasoning, st.sampled_from(["rs_1", "rs_2", "rs_3"]), model=st.sampled_from(["m", "n"])),
        st.just({"type": "mcp_approval_request", "id": "apr_1"}),
    )


histories = st.lists(
    st.builds(
        StoredItem,
        id=st.integers(0, 30).map(str),
        response_id=st.sampled_from(["resp_1", "resp_2"]),
        step=st.integers(0, 1),
        status=st.sampled_from(["completed", "completed", "in_progress", "incomplete"]),
        agent=st.just("triage"),
        body=bodies(),
    ),
    max_size=14,
)
pendings = st.frozensets(st.sampled_from([*"abcde", LONG]), max_size=3)


@given(histories, pendings)
def test_any_history_is_mended_without_touching_what_is_pending(
    items: list[StoredItem], pending: frozenset[str]
) -> None:
    result = model_items(items, model="m", pending=pending)
    assert validate_items(result) == []
    assert validate_messages(chat_messages("Be brief.", result)) == []
    assert {shorter(one) for one in pending}.isdisjoint(str(item.get("call_id")) for item in result)


@given(histories, pendings)
def test_every_started_call_is_shown_with_exactly_one_output(items: list[StoredItem], pending: frozenset[str]) -> None:
    seen: dict[str, StoredItem] = {}
    for item in items:
        seen.setdefault(item.id, item)
    started = {
        str(item.body.get("frontdesk:call_id") or item.body["call_id"])
        for item in seen.values()
        if item.body["type"] in ("mcp_call", "function_call") and item.status != "incomplete"
    }
    result = model_items(items, model="m", pending=pending)
    outputs = [item["call_id"] for item in result if item["type"] == "function_call_output"]
    assert len(outputs) == len(set(outputs))
    assert {shorter(one) for one in started - pending} <= set(outputs)


@given(histories, pendings)
def test_mending_twice_changes_nothing(items: list[StoredItem], pending: frozenset[str]) -> None:
    once = model_items(items, model="m", pending=pending)
    again = [stored(item | {"frontdesk:model": "m"}, id=f"again_{place}") for place, item in enumerate(once)]
    assert model_items(again, model="m", pending=pending) == once
