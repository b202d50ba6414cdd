"""Calls that a person must approve before they are run: which they are, what was decided, and how it is told. Pure, but
for the desk's own function that says whether a call needs it.

A request for an approval is an ``mcp_approval_request`` item of the response that called; what was decided about it is
input of a later one, which goes on with the same call.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from ..tasks.errors import ArgumentsError
from .context import Context
from .history import StoredItem
from .model import JSON
from .tool import Tool

log = logging.getLogger("frontdesk.approvals")

NOT_RUN: Final = "not run: the turn was stopped before this call was begun, although it was approved"
YES: Final = frozenset({"yes", "y", "ok", "true", "approve", "approved"})
NO: Final = frozenset({"no", "n", "false", "refuse", "refused", "deny", "denied"})
WITHDRAWN: Final = "not run: the turn was stopped before anybody approved this call"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request: the call may run, or the model is told ``refusal`` in place of its output."""

    request: StoredItem
    refusal: str | None = None


async def needs_approval(tool: Tool, arguments: str, context: Context[Any]) -> bool:
    """Whether a person must approve this call. Nobody is asked about arguments that do not fit: the call will fail.
    When the tool's own function for it fails, somebody is asked.
    """
    if isinstance(tool.needs_approval, bool):
        return tool.needs_approval and _fits(tool, arguments)
    try:
        given: dict[str, Any] = dict(tool.signature.validate(arguments))
    except ArgumentsError:
        return False
    if tool.signature.context is not None:
        given[tool.signature.context] = context
    wanted = inspect.signature(tool.needs_approval).parameters
    defaults = inspect.signature(tool.function).parameters
    try:
        needed = tool.needs_approval(**{name: given.get(name, defaults[name].default) for name in wanted})
        return bool(await needed if inspect.isawaitable(needed) else needed)
    except Exception:
        log.exception("needs_approval of the tool %s failed: a person is asked", tool.wire_name)
        return True


def _fits(tool: Tool, arguments: str) -> bool:
    try:
        tool.signature.validate(arguments)
    except ArgumentsError:
        return False
    return True


def decisions(answers: Iterable[JSON], open_: Mapping[str, JSON], item: Mapping[str, StoredItem]) -> list[Decision]:
    """What ``mcp_approval_response`` items decide about calls of this conversation. Of two answers the first counts."""
    found: dict[str, Decision] = {}
    for body in answers:
        request_id = str(body.get("approval_request_id"))
        request = item.get(request_id)
        if body.get("type") != "mcp_approval_response" or request_id not in open_ or request is None:
            continue
        if "frontdesk:task" not in request.body:
            refusal = None if body.get("approve") is True else refused(body.get("reason"))
            found.setdefault(request_id, Decision(request, refusal))
    return list(found.values())


def refused(reason: object) -> str:
    """What a model reads of a call that was not approved."""
    why = f" Reason: {reason}." if isinstance(reason, str) and reason.strip() else ""
    return f"Refused: the person did not approve this call, and it was not run.{why.replace('..', '.')}"


def decision(given: Any) -> JSON | None:
    """An answer in words, or in the API's form, as ``approve`` and ``reason``; None when it is neither yes nor no."""
    if isinstance(given, bool):
        return {"approve": given}
    if isinstance(given, dict):
        found = cast(JSON, given)
        return {"approve": found["approve"], "reason": found.get("reason")} if _is_bool(found.get("approve")) else None
    first, _, rest = given.strip().partition(" ") if isinstance(given, str) else ("", "", "")
    said = first.strip(".,;:!").lower()
    return {"approve": said in YES, "reason": rest.strip() or None} if said in YES | NO else None


def plain_decision(text: str) -> JSON | None:
    """What a message decides that is nothing but an answer: a yes with nothing after it, or a no, with its reason."""
    found = decision(text)
    return None if found is None or (found["approve"] and found["reason"]) else found


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)
