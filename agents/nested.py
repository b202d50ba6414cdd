"""What a call of an agent comes to: what it is asked, how its end reads. Pure; values and words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from .agent import AgentTool
from .calls import Call, CallOutput

DEEPEST: Final = 16  # levels of agents that call agents
EMPTY: Final = "It ended without saying anything."


@dataclass(frozen=True, slots=True)
class NestedCall:
    """A call of an agent that is used as a tool."""

    tool: AgentTool
    call: Call

    def asked(self) -> str:
        """What the agent is asked. Raises ArgumentsError."""
        return str(self.tool.signature.validate(self.call.arguments)["input"])

    def said(self, text: str) -> CallOutput:
        """The output for an agent that has answered."""
        return CallOutput(self.call.call_id, text if text.strip() else EMPTY)

    def failed(self, why: str) -> CallOutput:
        """The output for an agent that has not."""
        text = f"The agent {self.tool.agent.name} {why}"
        return CallOutput(self.call.call_id, text, True, "error")

    def too_deep(self) -> CallOutput:
        """The output for a call from as deep as calls may go."""
        return self.failed(f"was not asked: agents call agents {DEEPEST} levels deep, and this is the last.")

    def timed_out(self) -> CallOutput:
        """The output for an agent that took too long."""
        text = f"The agent {self.tool.agent.name} did not end within {self.tool.timeout or 0:g} s and was stopped."
        return CallOutput(self.call.call_id, text, True, "timeout")


Fit: TypeAlias = Callable[[NestedCall, CallOutput], Awaitable[CallOutput]]


class NestedTools(Protocol):
    """Runs the agents that calls of a reply ask for."""

    async def begin(self, calls: Sequence[NestedCall], agent: str) -> None:
        """Begins those that have not begun; one that cannot is answered. ``agent`` is who calls."""
        ...

    async def join(self, calls: Sequence[NestedCall], fit: Fit) -> bool:
        """Waits for them, and answers each with what ``fit`` makes of its output; False: the turn has been parked."""
        ...
