"""A client's side of a conversation: what it sends again, what it shows once, what it knows of tasks."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from frontdesk.server.dialog import Dialog
from frontdesk.server.news import JSON, Asked, Called, Ended, Moved, News, Refused, Remark, Said, TaskNews
from frontdesk.server.render import Screen, brief

C = "conv_1"


class Server:
    """Makes events as a server sends them."""

    def __init__(self, dialog: Dialog) -> None:
        self.dialog = dialog
        self.cursor = 0
        self.sent: list[JSON] = []  # by the dialog

    def event(self, kind: str, **fields: Any) -> list[News]:
        self.cursor += 1
        return self.repeat({"type": kind, "conversation": C, "cursor": str(self.cursor), **fields})

    def repeat(self, event: JSON) -> list[News]:
        found = list(self.dialog.receive(event))
        self.sent += [one for one in found if isinstance(one, dict)]
        return [one for one in found if not isinstance(one, dict)]

    def created(self, response: str, message: JSON | None = None) -> list[News]:
        given: dict[str, str] = message["metadata"] if message else {}
        return self.event("response.created", response={"id": response, "status": "in_progress", "metadata": given})

    def ended(self, response: str, status: str = "completed", **fields: Any) -> list[News]:
        kind = {"completed": "completed", "failed": "failed"}.get(status, "incomplete")
        return self.event(f"response.{kind}", response={"id": response, "status": status, "metadata": {}, **fields})

    def task(self, what: str, status: str, **fields: Any) -> list[News]:
        task = {"id": "task_1", "label": "T1", "title": "", "name": "report", "status": status, "progress": None,
                "message": "", "question": None, "error": None, **fields}  # fmt: skip
        return self.event(f"frontdesk:task.{what}", task=task)


@pytest.fixture
def dialog() -> Dialog:
    return Dialog()


@pytest.fixture
def server(dialog: Dialog) -> Server:
    return Server(dialog)


# --- what goes out


def test_an_input_is_kept_until_the_server_has_it(dialog: Dialog, server: Server) -> None:
    first, second = dialog.say("one"), dialog.say("two")
    assert list(dialog.inputs.values()) == [first, second]
    assert first["metadata"]["frontdesk:input_id"] != second["metadata"]["frontdesk:input_id"]
    server.created("r1", first)
    assert list(dialog.inputs.values()) == [second]
    server.repeat({"type": "frontdesk:accepted", "input_id": second["metadata"]["frontdesk:input_id"],
                   "response_id": "r2", "conversation": C, "position": 1})  # fmt: skip
    assert not dialog.inputs
    assert dialog.is_waiting
    server.ended("r1")
    assert dialog.is_waiting
    server.created("r2", second)
    server.ended("r2")
    assert not dialog.is_waiting


def test_a_new_conversation_is_subscribed_to_and_gets_what_is_said_next(dialog: Dialog, server: Server) -> None:
    first, second = dialog.say("one"), dialog.say("two")
    assert "conversation" not in first
    server.created("r1", first)
    assert server.sent == [{"type": "frontdesk:subscribe", "conversation": C, "after": "0"}]
    assert second["conversation"] == C == dialog.say("three")["conversation"]


def test_a_reconnect_asks_for_what_follows_the_last_event_seen(dialog: Dialog, server: Server) -> None:
    assert dialog.connect() == ""
    server.created("r1", dialog.say("one"))
    assert dialog.connect() == "?conversation=conv_1&after=0"
    assert Dialog(conversation="conv_2").connect() == "?conversation=conv_2"


def test_ctrl_c_cancels_what_runs(dialog: Dialog, server: Server) -> None:
    assert dialog.cancel() is None
    server.created("r1")
    assert dialog.cancel() == {"type": "frontdesk:cancel", "response_id": "r1"}
    server.ended("r1", "cancelled")
    assert dialog.cancel() is None


# --- what comes in


def test_what_was_seen_is_dropped(dialog: Dialog, server: Server) -> None:
    event = {"type": "frontdesk:agent.changed", "conversation": C, "cursor": "1", "to": "files"}
    assert server.repeat(event) == [Moved("files")]
    assert server.repeat(event) == []
    assert server.repeat({**event, "cursor": "2", "conversation": "conv_other"}) == []


def test_text_is_shown_as_it_comes_and_completed_from_its_end(dialog: Dialog, server: Server) -> None:
    server.event("response.output_item.added", item={"id": "m1", "type": "message", "agent": {"agent_name": "files"}})
    assert server.event("response.output_text.delta", item_id="m1", delta="Hel") == [Said("files", "Hel", True)]
    assert server.event("response.output_text.delta", item_id="m1", delta="lo") == [Said("files", "lo", False)]
    assert server.event("response.output_text.done", item_id="m1", text="Hello, you") == [Said("files", ", you", False)]
    assert server.event("response.output_text.done", item_id="m1", text="Hello, you") == []


def test_tool_calls_are_shown_when_they_have_answered(dialog: Dialog, server: Server) -> None:
    item = {"id": "c1", "type": "mcp_call", "server_label": "orders", "name": "add", "arguments": "{}"}
    assert server.event("response.output_item.done", item=item) == [Called("", "add", "{}", "")]
    failed = {**item, "error": {"type": "x", "content": [{"type": "text", "text": "sold out"}]}}
    assert server.event("response.output_item.done", item=failed) == [Called("", "add", "{}", "sold out")]
    assert server.event("response.output_item.done", item={**item, "server_label": "handoff"}) == []
    asks = {"type": "mcp_approval_request", "id": "a", "server_label": "till", "name": "pay", "arguments": "{}"}
    assert server.event("response.output_item.done", item=asks) == [Asked("", "till.pay", "{}")]
    answer = dialog.approve("a", approve=False, reason="too much")
    given = {"type": "mcp_approval_response", "approval_request_id": "a", "approve": False, "reason": "too much"}
    assert answer["input"] == [given]
    assert not dialog.approvals


def steered(dialog: Dialog, server: Server) -> JSON:
    """A steer of a response that is running."""
    server.created("r1", dialog.say("one"))
    message = dialog.steer("shorter")
    assert (message["type"], message["previous_response_id"]) == ("response.steer", "r1")
    return message


def test_a_steer_is_kept_until_it_is_accepted_and_answered_by_what_follows(dialog: Dialog, server: Server) -> None:
    message = steered(dialog, server)
    input_id = message["frontdesk:input_id"]
    assert dialog.inputs == {input_id: message}
    server.repeat({"type": "response.steer.accepted", "input_id": input_id, "response_id": "r2", "conversation": C})
    assert not dialog.inputs
    server.ended("r1")
    assert dialog.is_waiting
    (ended,) = server.ended("r2")
    assert isinstance(ended, Ended)
    assert ended.inputs == (input_id,)


def test_a_steer_that_comes_too_late_is_said_as_something_new(dialog: Dialog, server: Server) -> None:
    input_id = steered(dialog, server)["frontdesk:input_id"]
    failed = {"type": "response.steer.failed", "input_id": input_id, "error": {"code": "response_already_completed"}}
    assert server.repeat(failed) == []
    again = server.sent[-1]
    assert (again["type"], again["input"], again["conversation"]) == ("response.create", "shorter", C)
    assert dialog.inputs == {input_id: again}
    assert again["metadata"] == {"frontdesk:input_id": input_id}


def test_a_steer_that_is_refused_is_told(dialog: Dialog, server: Server) -> None:
    input_id = steered(dialog, server)["frontdesk:input_id"]
    error = {"code": "too_many_pending_steers", "message": "full"}
    assert server.repeat({"type": "response.steer.failed", "input_id": input_id, "error": error}) == [
        Refused(input_id, "full")
    ]


def test_where_nothing_is_running_a_steer_is_said(dialog: Dialog) -> None:
    assert dialog.steer("hello")["type"] == "response.create"


def test_until_a_conversation_has_a_name_only_its_first_input_goes_out(dialog: Dialog, server: Server) -> None:
    first, second = dialog.say("one"), dialog.say("two")
    assert [message for _, message in dialog.ready] == [first]
    server.created("r1", first)
    assert [message for _, message in dialog.ready] == [second]
    assert second["conversation"] == C


def test_an_ending_says_what_went_wrong(dialog: Dialog, server: Server) -> None:
    assert server.ended("r1") == [Ended("r1", "completed")]
    assert server.ended("r2", "failed", error={"message": "no model"}) == [Ended("r2", "failed", "no model")]
    assert server.ended("r3", "cancelled") == [Ended("r3", "cancelled", "cancelled")]
    assert server.ended("r4", "incomplete", incomplete_details={"reason": "steered"}) == [
        Ended("r4", "incomplete", "steered")
    ]
    assert server.ended("r5", "incomplete", metadata={"frontdesk:limit": "tool_calls"}) == [
        Ended("r5", "incomplete", "stopped at a limit: tool_calls")
    ]


def test_tasks_are_known_until_they_and_their_notice_are_over(dialog: Dialog, server: Server) -> None:
    server.task("created", "queued")
    assert [task["label"] for task in dialog.live_tasks] == ["T1"]
    (news,) = server.task("updated", "waiting", question="which one?")
    assert isinstance(news, TaskNews)
    assert not dialog.live_tasks, "it waits for a person"
    server.task("finished", "succeeded")
    assert dialog.untold == {"T1"}
    server.created("r1")
    notice = {
        "id": "n",
        "type": "mcp_call",
        "server_label": "tasks",
        "name": "check_task",
        "arguments": '{"task":"T1"}',
    }
    assert server.event("response.output_item.done", item=notice) == []
    assert dialog.untold == {"T1"}
    server.ended("r1")
    assert not dialog.untold
    assert dialog.task("t1") is dialog.task("task_1") is not None
    assert dialog.task("T2") is None


def test_a_refused_input_is_not_sent_again(dialog: Dialog, server: Server) -> None:
    message = dialog.say("one")
    input_id = message["metadata"]["frontdesk:input_id"]
    error = {"type": "error", "status": 429, "input_id": input_id, "error": {"code": "inbox_full", "message": "full"}}
    assert server.repeat(error) == [Refused(input_id, "full")]
    assert not dialog.is_waiting
    assert server.repeat({**error, "input_id": ""}) == [Refused("", "full")]


def test_an_input_that_a_stopping_server_does_not_take_is_sent_again_when_the_connection_is_back(
    dialog: Dialog, server: Server
) -> None:
    message = dialog.say("one")
    input_id = message["metadata"]["frontdesk:input_id"]
    error = {"code": "draining", "message": "stopping"}
    assert server.repeat({"type": "error", "status": 503, "input_id": input_id, "error": error}) == []
    assert dialog.ready == [(input_id, message)]
    server.created("r1", message)
    steer = dialog.steer("two")
    input_id = steer["frontdesk:input_id"]
    assert server.repeat({"type": "response.steer.failed", "input_id": input_id, "error": error}) == []
    assert dialog.ready == [(input_id, steer)]


def test_a_conversation_that_is_gone_is_replaced_by_a_new_one() -> None:
    dialog = Dialog(conversation="conv_gone", cursor=9)
    server = Server(dialog)
    message = dialog.say("one")
    error = {"type": "error", "status": 404, "error": {"code": "conversation_not_found", "message": "?"}}
    assert isinstance(server.repeat(error)[0], Remark)
    assert "conversation" not in message
    assert server.sent == [message]
    input_id = message["metadata"]["frontdesk:input_id"]
    assert server.repeat({**error, "input_id": input_id}) == [], "the input itself was refused as well: once more"
    assert server.sent == [message, message]
    server.created("r1", message)
    assert dialog.conversation == C


def test_what_a_subscription_still_replays_is_not_taken_for_seen(dialog: Dialog, server: Server) -> None:
    """Own events may come before older ones of others, until the subscription is confirmed."""
    server.created("r1", dialog.say("one"))
    server.cursor = 2
    server.ended("r1")
    assert dialog.connect() == "?conversation=conv_1&after=0", "2 has not been seen"
    server.repeat({"type": "frontdesk:subscribed", "conversation": C, "cursor": "0"})
    assert server.repeat({"type": "frontdesk:agent.changed", "conversation": C, "cursor": "2", "to": "a"}) == [
        Moved("a")
    ]
    assert dialog.connect().endswith("after=2")
    assert server.repeat({"type": "frontdesk:agent.changed", "conversation": C, "cursor": "3", "to": "a"}) == []


def test_one_resumes_before_an_answer_that_has_not_ended(dialog: Dialog, server: Server) -> None:
    message = dialog.say("one")
    server.created("r1", message)
    server.repeat({"type": "frontdesk:subscribed", "conversation": C, "cursor": "0"})
    server.event("response.output_text.delta", item_id="m1", delta="x")
    assert dialog.connect().endswith("after=0")
    server.repeat({"type": "frontdesk:subscribed", "conversation": C, "cursor": "0"})
    server.ended("r1")
    assert dialog.connect().endswith("after=3")


def test_what_the_server_says_of_itself(dialog: Dialog, server: Server) -> None:
    assert isinstance(server.repeat({"type": "frontdesk:draining", "closes_in_seconds": 1})[0], Remark)
    assert isinstance(server.repeat({"type": "frontdesk:gap", "conversation": C})[0], Remark)
    assert server.repeat({"type": "something.new"}) == []


# --- what is shown


def shown(*news: News) -> list[str]:
    text = io.StringIO()
    screen = Screen(Console(file=text, width=200, soft_wrap=True, color_system=None))
    for one in news:
        screen.show(one)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def task(**fields: Any) -> dict[str, Any]:
    given = {"id": "t", "label": "T1", "title": "report", "name": "report", "status": "running", "progress": None,
             "message": "", "question": None, "error": None}  # fmt: skip
    return {**given, **fields}


def test_a_conversation_is_lines_of_text() -> None:
    assert shown(
        Said("triage", "I look", True), Said("triage", " at it.", False), Moved("files"),
        Called("files", "read", '{"path":"a.txt","limit":null}', ""), Called("files", "read", "{}", "no such file"),
        Said("files", "Two\nlines", True), Ended("r", "completed"), Said("", "x", True), Said("b", "y", True),
        Refused("i", "full"), Ended("r", "failed", "no model"), Remark("bye"),
    ) == [
        "triage · I look at it.", "  → files takes over", '  ✓ read(path="a.txt")', "  ✗ read() no such file",
        "files · Two", "lines", "desk · x", "b · y", "  full", "  no model", "  bye",
    ]  # fmt: skip


def test_progress_is_a_line_now_and_then() -> None:
    steps = [TaskNews("updated", task(progress=number / 100, message="rows")) for number in range(0, 100, 5)]
    created, finished = TaskNews("created", task(status="queued")), TaskNews("finished", task(status="succeeded"))
    assert shown(created, *steps, finished) == [
        "  T1 report: filed, it runs in the background", "  T1 report: 25% rows", "  T1 report: 50% rows",
        "  T1 report: 75% rows", "  T1 report: succeeded",
    ]  # fmt: skip
    assert shown(TaskNews("finished", task(status="failed", error="no rights"))) == ["  T1 report: failed, no rights"]
    assert shown(TaskNews("updated", task(status="waiting", question="which?"))) == [
        "  T1 report asks: which? (answer with /answer T1 …)"
    ]


def test_nothing_that_is_shown_can_steer_the_terminal() -> None:
    assert shown(Said("a", "\x1b[2Jgone\x07 [red]not red[/] :smile:", True)) == ["a · [2Jgone [red]not red[/] :smile:"]
    assert shown(Remark("\x1b]0;title\x07\x9bx")) == ["  ]0;titlex"]


def test_arguments_are_brief() -> None:
    assert brief("not json") == "not json"
    assert brief("[1]") == "[1]"
    assert len(brief('{"a":"' + "x" * 500 + '"}')) == 100
