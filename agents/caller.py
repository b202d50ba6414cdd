"""Who stands in for the client when an application asks its desk itself: who approves calls, and who runs the tools
that are the application's own.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypedDict

from pydantic_core import from_json

from ..tasks.errors import FrontdeskError, ToolError
from .model import JSON
from .owed import approval_stub
from .tool import result_text

log = logging.getLogger("frontdesk.caller")


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A call that waits for an approval: of which agent, which tool (``orders.checkout``), with which arguments."""

    agent: str
    tool: str
    arguments: JSON


Approve: TypeAlias = Callable[[ApprovalRequest], Any]  # true, false, or the reason of a refusal; may be async


class RunOptions(TypedDict, total=False):
    """What `Desk.run` may be given."""

    timeout: float | None  # seconds
    approve: Approve | None
    calls: Mapping[str, Callable[..., Any]]


class NobodyAnswers(FrontdeskError):
    """The desk asks for something that nobody was given for; the message says what to give."""


@dataclass(frozen=True, slots=True)
class Caller:
    """``approve`` decides about calls that need it, ``calls`` runs manual tools, by the name that models see."""

    approve: Approve | None = None
    calls: Mapping[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])

    async def answer(self, item: JSON) -> JSON:
        """The input item that an item of a response asks for. Raises NobodyAnswers, and what ``approve`` raises."""
        if item["type"] == "mcp_approval_request":
            return await self._approval(item)
        name = item["name"]
        function = self.calls.get(name)
        if function is None:
            wanted = f"calls={{{name!r}: function}}"
            raise NobodyAnswers(f"the tool {name} is run by the application: give desk.run {wanted}")
        return {"type": "function_call_output", "call_id": item["call_id"], "output": await _output(function, item)}

    async def _approval(self, item: JSON) -> JSON:
        label, name = item["server_label"], item["name"]
        tool = name if label == "desk" else f"{label}.{name}"
        if self.approve is None:
            raise NobodyAnswers(f"a call of {tool} waits for an approval: give desk.run approve=function, or serve it")
        made_by: JSON = item.get("agent") or {}
        agent = str(made_by.get("agent_name", ""))
        said = self.approve(ApprovalRequest(agent, tool, from_json(item["arguments"] or "{}")))
        said = await said if inspect.isawaitable(said) else said
        reason = {"reason": said} if isinstance(said, str) else {}
        return {**approval_stub(item["id"]), "approve": said is True, **reason}


async def _output(function: Callable[..., Any], item: JSON) -> str:
    """What the model reads of a call that the application runs; as with a tool, errors are told without internals."""
    try:
        found = function(**from_json(item["arguments"] or "{}"))
        return result_text(await found if inspect.isawaitable(found) else found, name=item["name"])
    except ToolError as error:
        return str(error)
    except Exception as error:
        log.exception("the application's %s failed", item["name"])
        return f"The tool {item['name']} failed: internal error ({type(error).__name__})."


def caller_of(options: RunOptions) -> Caller:
    """Who answers what a desk asks for, by what `Desk.run` was given."""
    return Caller(options.get("approve"), options.get("calls") or {})
