"""A person's side of a conversation: what has been sent, what has been seen, what is to be shown. Pure.

A client like any other. It names its inputs, so that sending one again after a lost connection is harmless; it resumes
from the last cursor that it has seen, and drops what it has seen before.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from .news import JSON, Asked, Called, Ended, Moved, News, Refused, Remark, Said, TaskNews
from .outgoing import TERMINAL

TOO_LATE: Final = frozenset({"response_already_completed", "response_not_active"})  # for a steer
AGAIN: Final = "draining"  # of an input that this server does not take any more, and another one will
OVER: Final = frozenset({"succeeded", "failed", "cancelled", "held"})
ENDINGS: Final = {"response.completed": "completed", "response.failed": "failed", "response.incomplete": "incomplete"}


@dataclass(slots=True)
class Dialog:
    """One conversation as its client knows it. Everything up to ``cursor`` has been seen: one can resume there."""

    conversation: str | None = None
    cursor: int | None = None
    inputs: dict[str, JSON] = field(default_factory=dict[str, JSON])  # sent or to be sent, and not known to be accepted
    answers: dict[str, str] = field(default_factory=dict[str, str])  # input id -> response that has not ended
    running: dict[str, None] = field(default_factory=dict[str, None])  # responses that have begun, and not ended
    tasks: dict[str, JSON] = field(default_factory=dict[str, JSON])
    untold: set[str] = field(default_factory=set[str])  # labels of tasks that have ended, and no agent has said so
    approvals: dict[str, JSON] = field(default_factory=dict[str, JSON])  # requests without an answer, oldest first
    ahead: set[int] = field(default_factory=set[int])  # cursors after ``cursor`` that have been seen
    following: bool = False  # the subscription is confirmed: from then on events come in the log's order
    _told: set[str] = field(default_factory=set[str])
    _agents: dict[str, str] = field(default_factory=dict[str, str])  # item -> who
    _shown: dict[str, int] = field(default_factory=dict[str, int])  # item -> characters

    # --- what goes out

    def say(self, given: str | list[JSON], **fields: Any) -> JSON:
        """The message that sends an input; it is kept until the server has it."""
        input_id = _new_id()
        message: JSON = {"type": "response.create", "input": given, "metadata": {"frontdesk:input_id": input_id}}
        if self.conversation is not None:
            message["conversation"] = self.conversation
        self.inputs[input_id] = {**message, **fields}
        return self.inputs[input_id]

    def steer(self, text: str) -> JSON:
        """The message that says this to what is being answered, kept as `say` does; when nothing is, that of `say`."""
        if not self.running:
            return self.say(text)
        target = next(reversed(self.running))
        message: JSON = {"type": "response.steer", "previous_response_id": target, "input": text}
        message["frontdesk:input_id"] = _new_id()
        self.inputs[input_id_of(message)] = message
        return message

    def approve(self, request_id: str, *, approve: bool, reason: str = "") -> JSON:
        """The message that answers an `Asked`, kept as `say` does."""
        self.approvals.pop(request_id, None)
        given: JSON = {"type": "mcp_approval_response", "approval_request_id": request_id, "approve": approve}
        return self.say([{**given, "reason": reason} if reason else given])

    def decide(self, *, approve: bool, reason: str | None) -> None:
        """The person has decided about the oldest request; it is sent as `say` sends."""
        self.approve(next(iter(self.approvals)), approve=approve, reason=reason or "")

    def asked(self) -> list[Asked]:
        """What waits for the person's approval."""
        return [_asked(one) for one in self.approvals.values()]

    @property
    def ready(self) -> list[tuple[str, JSON]]:
        """Inputs that can be sent: while it is not known which conversation it will be, only the first."""
        found = list(self.inputs.items())
        return found if self.conversation is not None else found[: 0 if self.answers else 1]

    def connect(self) -> str:
        """A new connection is made: the query of its upgrade asks for what follows the last event that was seen."""
        self.following = False
        if self.conversation is None:
            return ""
        after = {} if self.cursor is None else {"after": str(self.cursor)}
        return "?" + urlencode({"conversation": self.conversation, **after})

    def cancel(self) -> JSON | None:
        """The message that cancels the response that is running."""
        if not self.running:
            return None
        return {"type": "frontdesk:cancel", "response_id": next(reversed(self.running))}

    def task(self, label: str) -> JSON | None:
        """A task by its label or id."""
        found = (task for task in self.tasks.values() if label.upper() == task["label"] or label == task["id"])
        return next(found, None)

    @property
    def is_waiting(self) -> bool:
        """Whether an input has not been answered to its end."""
        return bool(self.inputs or self.answers)

    @property
    def live_tasks(self) -> list[JSON]:
        """Tasks that will go on by themselves."""
        return [task for task in self.tasks.values() if task["status"] not in OVER and not task.get("question")]

    # --- what comes in

    def receive(self, event: JSON) -> list[News | JSON]:
        """What an event means: news to be shown, and messages to be sent (a subscription to a new conversation)."""
        cursor = int(event["cursor"]) if "cursor" in event and event["type"] != "frontdesk:subscribed" else None
        if cursor is not None and self._seen_before(event["conversation"], cursor):
            return []
        found = list(self._meaning(event))
        if cursor is not None and self.following and not self.is_waiting:
            self.cursor = max(cursor, self.cursor or 0)
            self.ahead = {one for one in self.ahead if one > cursor} if self.ahead else self.ahead
        return found

    def _seen_before(self, conversation: str, cursor: int) -> bool:
        """Not just older than the last one: one's own response may be ahead of what a subscription still replays."""
        if self.conversation is None:
            self.conversation, self.cursor = conversation, cursor - 1
        if conversation != self.conversation or cursor <= (self.cursor or 0) or cursor in self.ahead:
            return True
        self.ahead.add(cursor)
        return False

    def _meaning(self, event: JSON) -> Iterator[News | JSON]:
        kind = event["type"]
        if kind == "response.created":
            yield from self._created(event)
        elif kind in TERMINAL:
            yield self._ended(event)
        elif kind.startswith("frontdesk:task."):
            yield self._task(kind.removeprefix("frontdesk:task."), event["task"])
        elif kind.startswith("response.steer."):
            yield from self._steered(kind, event)
        elif kind.startswith("response."):
            yield from self._said(kind, event)
        elif kind == "error":
            yield from self._refused(event)
        else:
            yield from self._other(kind, event)

    def _created(self, event: JSON) -> Iterator[JSON]:
        response = event["response"]
        input_id = _part(response, "metadata").get("frontdesk:input_id", "")
        sent = self.inputs.pop(input_id, None)
        if sent is not None:
            self.answers[input_id] = response["id"]
        self.running[response["id"]] = None
        if sent is not None and "conversation" not in sent:
            for waiting in self.inputs.values():
                waiting["conversation"] = self.conversation
            yield {"type": "frontdesk:subscribe", "conversation": self.conversation, "after": str(self.cursor)}

    def _ended(self, event: JSON) -> Ended:
        response = event["response"]
        self.running.pop(response["id"], None)
        inputs = tuple(one for one, answer in self.answers.items() if answer == response["id"])
        for one in inputs:
            del self.answers[one]
        self.untold -= self._told
        self._told.clear()
        self._agents.clear()
        self._shown.clear()
        return Ended(response["id"], response["status"], _problem(response), response, inputs)

    def _task(self, what: str, task: JSON) -> TaskNews:
        self.tasks[task["id"]] = task
        if what == "finished":
            self.untold.add(task["label"])
        return TaskNews(what, task)

    def _said(self, kind: str, event: JSON) -> Iterator[News]:
        item = event.get("item_id", "")
        if kind == "response.output_item.added":
            self._agents[event["item"]["id"]] = _agent(event["item"])
        elif kind == "response.output_text.delta":
            yield self._piece(item, event["delta"])
        elif kind == "response.output_text.done" and len(event["text"]) > self._shown.get(item, 0):
            yield self._piece(item, event["text"][self._shown.get(item, 0) :])  # deltas that a replay has left out
        elif kind == "response.output_item.done":
            yield from self._item(event["item"])

    def _piece(self, item: str, text: str) -> Said:
        begins = item not in self._shown
        self._shown[item] = self._shown.get(item, 0) + len(text)
        return Said(self._agents.get(item, ""), text, begins)

    def _item(self, item: JSON) -> Iterator[News]:
        self.approvals.pop(str(item.get("approval_request_id")), None)  # answered, perhaps by another client
        if item["type"] == "mcp_call" and item["server_label"] == "tasks":
            self._told |= {label for label in self.untold if f'"{label}"' in item["arguments"]}
        elif item["type"] == "mcp_call" and item["server_label"] != "handoff":
            yield Called(_agent(item), item["name"], item["arguments"], _error(item))
        elif item["type"] == "mcp_approval_request":
            self.approvals[item["id"]] = item
            yield _asked(item)

    def _refused(self, event: JSON) -> Iterator[News | JSON]:
        error, input_id = event["error"], event.get("input_id", "")
        if error["code"] == "conversation_not_found" and (self.conversation is not None or input_id in self.inputs):
            if self.conversation is not None:
                yield Remark("that conversation is not there any more; a new one begins")
            self.conversation = self.cursor = None
            self.ahead.clear()
            for message in self.inputs.values():
                message.pop("conversation", None)
                yield message
            return
        if error["code"] == AGAIN:  # it is sent once more when the connection is back
            return
        self.inputs.pop(input_id, None)
        yield Refused(input_id, error["message"], str(error["code"]))

    def _steered(self, kind: str, event: JSON) -> Iterator[News | JSON]:
        """A steer is accepted, or comes too late: then it is said as something new, under its own name still."""
        input_id = str(event.get("input_id", ""))
        steer = self.inputs.pop(input_id, None)
        if steer is None:
            return
        if kind == "response.steer.accepted":
            self.answers[input_id] = event["response_id"]
        elif event["error"]["code"] in TOO_LATE:
            self.inputs[input_id] = message = self.say(steer["input"])
            del self.inputs[input_id_of(message)]
            message["metadata"]["frontdesk:input_id"] = input_id
            yield message
        elif event["error"]["code"] == AGAIN:
            self.inputs[input_id] = steer
        else:
            yield Refused(input_id, event["error"]["message"], str(event["error"]["code"]))

    def _other(self, kind: str, event: Mapping[str, Any]) -> Iterator[News]:
        if kind == "frontdesk:accepted" and event["input_id"] in self.inputs:
            self.answers[event["input_id"]] = event["response_id"]
            del self.inputs[event["input_id"]]
        elif kind == "frontdesk:subscribed":
            self.following = True
            self.cursor = int(event["cursor"]) if self.cursor is None else self.cursor
        elif kind == "frontdesk:agent.changed":
            yield Moved(event["to"])
        elif kind == "frontdesk:draining":
            yield Remark("the server is stopping; what runs goes on when it is back")
        elif kind == "frontdesk:gap":
            yield Remark("some older events are not kept any more")


def _asked(request: JSON) -> Asked:
    label, name = request["server_label"], request["name"]
    tool = name if label == "desk" else f"{label}.{name}"
    return Asked(_agent(request), tool, request["arguments"], request["id"])


def input_id_of(message: JSON) -> str:
    """The name of an input, of the message that sends it."""
    found = message.get("frontdesk:input_id") or message["metadata"]["frontdesk:input_id"]
    return str(found)


def _new_id() -> str:
    return f"in_{secrets.token_hex(8)}"


def _part(of: JSON, name: str) -> JSON:
    """An object inside another; empty when it is not there, or null."""
    found: JSON | None = of.get(name)
    return found or {}


def _agent(item: JSON) -> str:
    return str(_part(item, "agent").get("agent_name", ""))


def _error(item: JSON) -> str:
    if not item.get("error"):
        return ""
    content: list[JSON] = item["error"].get("content") or [{}]
    return str(content[0].get("text") or "it failed")


def _problem(response: JSON) -> str:
    match response["status"]:
        case "failed":
            return str(_part(response, "error").get("message") or "it failed")
        case "incomplete":
            limit = _part(response, "metadata").get("frontdesk:limit")
            reason = _part(response, "incomplete_details").get("reason") or "it did not come to its end"
            return f"stopped at a limit: {limit}" if limit else str(reason)
        case "cancelled":
            return "cancelled"
        case _:
            return ""
