"""``frontdesk queues …``: queues looked at, paused and resumed, asked of the running server."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .commands import AsJSON, ServerAddress, Token, epilog
from .task_commands import remote_of, say

app = typer.Typer(no_args_is_help=True, help="See, pause and resume the queues of a running server.")

Name = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue's name; it need not have been used yet.")]


@app.command("list", epilog=epilog("frontdesk queues list --json"))
def list_queues(server: ServerAddress = None, token: Token = None, as_json: AsJSON = False) -> None:
    """List the queues that have been used."""
    found = remote_of(server, token).get("queues")
    say(found, "\n".join(map(_line, found["data"])) or "no queues yet", as_json=as_json)


@app.command(epilog=epilog("frontdesk queues pause reports"))
def pause(name: Name, server: ServerAddress = None, token: Token = None, as_json: AsJSON = False) -> None:
    """Pause a queue: nothing more of it begins, what runs goes on, and tasks may still be filed."""
    found = remote_of(server, token).post("queues", name, "pause")
    say(found, _line(found), as_json=as_json)


@app.command(epilog=epilog("frontdesk queues resume reports"))
def resume(name: Name, server: ServerAddress = None, token: Token = None, as_json: AsJSON = False) -> None:
    """Let a paused queue go on."""
    found = remote_of(server, token).post("queues", name, "resume")
    say(found, _line(found), as_json=as_json)


def _line(queue: dict[str, Any]) -> str:
    return f"{queue['id']}  {'paused' if queue['paused'] else 'open'}"
