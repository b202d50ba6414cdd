"""What a conversation's client owes: outputs of the functions that it runs, and answers to requests for an approval.
Pure: items in, stubs of what is to be sent out.

Only what the desk itself has asked counts; items that a client claims to have been said ask nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .history import StoredItem
from .model import JSON
from .response import INPUT_STEP

CALLS: Final = frozenset({"mcp_call", "function_call", "mcp_approval_request"})
ANSWERS: Final = frozenset({"function_call_output", "mcp_approval_response"})


class Owed:
    """Fed with the items of a history in their order. ``open``: what is owed, by call id or by request id, in the
    API's form (the stubs of ``response.steer.pending``).
    """

    __slots__ = ("_of_tasks", "_spoken", "open")

    def __init__(self) -> None:
        self.open: dict[str, JSON] = {}
        self._of_tasks: set[str] = set()  # requests of delegated runs: nothing here waits for their answers
        self._spoken = True  # something was said since the last of the others was asked

    def copy(self) -> Owed:
        """The same, to be fed with a response's own items."""
        copy = Owed()
        copy.open, copy._of_tasks, copy._spoken = dict(self.open), set(self._of_tasks), self._spoken
        return copy

    @property
    def blocks(self) -> bool:
        """Whether the conversation waits for its client: something is owed, and nothing has been said since."""
        return not self._spoken and len(self.open) > len(self._of_tasks)

    def take(self, item: StoredItem) -> None:
        """The next item of the history."""
        body = item.body
        match body.get("type"):
            case "message":
                self._spoken = self._spoken or body.get("role") != "assistant"
            case "function_call" if item.step > INPUT_STEP:
                self._ask(str(body["call_id"]), output_stub(body))
            case "mcp_approval_request" if item.step > INPUT_STEP:
                self._ask(item.id, approval_stub(item.id), of_task="frontdesk:task" in body)
            case "function_call_output":
                self._settle(body.get("call_id"))
            case "mcp_approval_response" if body.get("approval_request_id") in self._of_tasks:
                self._settle(body["approval_request_id"])
            case "mcp_call" if item.step > INPUT_STEP:  # what follows from the answer settles it, not the answer
                self._settle(body.get("approval_request_id"))
                self._spoken = self._spoken or str(body.get("frontdesk:call_id")).startswith("notice_")
            case _:
                pass

    def _ask(self, key: str, stub: JSON, *, of_task: bool = False) -> None:
        self.open[key] = stub
        if of_task:
            self._of_tasks.add(key)
        else:
            self._spoken = False

    def _settle(self, key: object) -> None:
        self.open.pop(str(key), None)
        self._of_tasks.discard(str(key))


def only_continues(items: Iterable[StoredItem]) -> bool:
    """Whether a response's input holds nothing but outputs and answers."""
    kinds = {one.body.get("type") for one in items if one.step == INPUT_STEP}
    return bool(kinds) and kinds <= ANSWERS


def has_called(items: Iterable[StoredItem], agent: str) -> bool:
    """Whether the agent has called a tool in a response: not the desk for it, by a notice or an approval."""
    return any(
        one.body.get("type") in CALLS
        and "approval_request_id" not in one.body
        and not str(one.body.get("frontdesk:call_id")).startswith("notice_")
        for one in items
        if one.agent == agent and one.step > 0
    )


def requests_of(found: Iterable[StoredItem | None]) -> tuple[JSON, ...]:
    """The requests for an approval among these: which call of which agent each is about."""
    return tuple(
        {name: one.body[name] for name in ("server_label", "name", "arguments")} | {"id": one.id, "agent": one.agent}
        for one in found
        if one is not None and one.body.get("type") == "mcp_approval_request"
    )


def output_stub(body: Mapping[str, object]) -> JSON:
    """What is to be sent for a call that the client runs."""
    return {"type": "function_call_output", "call_id": body["call_id"], "name": body["name"]}


def approval_stub(request_id: str) -> JSON:
    """What is to be sent for a request for an approval."""
    return {"type": "mcp_approval_response", "approval_request_id": request_id}
