"""``frontdesk usage``: what was used by day or by a conversation, asked of the running server."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .commands import AsJSON, ServerAddress, Token
from .task_commands import remote_of, say

Days = Annotated[int, typer.Option(min=1, max=366, help="How many days, today with them (UTC).")]
OfConversation = Annotated[
    str | None, typer.Option("--conversation", help="All that this conversation has used.", show_default=False)
]


def usage(
    days: Days = 7,
    conversation: OfConversation = None,
    server: ServerAddress = None,
    token: Token = None,
    as_json: AsJSON = False,
) -> None:
    """Show what was used: turns, model calls, tool calls, tokens, seconds at work, cost."""
    asked = {"days": days} if conversation is None else {"conversation": conversation}
    found = remote_of(server, token).get("usage", **asked)
    say(found, "\n".join(map(_line, found["data"])) or "nothing was used", as_json=as_json)


def _line(one: dict[str, Any]) -> str:
    calls = f"{one['model_calls']:,} model calls, {one['tool_calls']:,} tool calls"
    tokens = f"{one['input_tokens']:,} + {one['output_tokens']:,} tokens"
    cost = f"  cost {one['cost']:.4f}" if one["cost"] else ""
    which = one.get("day") or one["conversation"]
    return f"{which}  {one['turns']:,} turns  {calls}  {tokens}  {one['seconds']:.1f} s{cost}"
