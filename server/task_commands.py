"""``frontdesk tasks …``: what runs in the background, asked of the running server."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import typer

from .commands import ServerAddress, Token, epilog, settings
from .remote import Remote, RemoteError
from .settings import DEFAULT_HOST, DEFAULT_PORT

app = typer.Typer(no_args_is_help=True, help="See and cancel background tasks of a running server.")

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
TaskId = Annotated[
    str,
    typer.Argument(metavar="TASK", help="A task's id (task_…), or its label (T3) when only one conversation has one."),
]


def _remote(server: str | None, token: str | None) -> Remote:
    chosen = settings(server=server, token=token)
    address = chosen.server or f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
    return Remote(address, chosen.token.get_secret_value())


@app.command("list", epilog=epilog("frontdesk tasks list --status running"))
def list_tasks(
    server: ServerAddress = None,
    token: Token = None,
    status: Annotated[str | None, typer.Option(help="Only tasks in this state.", show_default=False)] = None,
    conversation: Annotated[str | None, typer.Option(help="Only of this conversation.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many, the newest first.")] = 20,
    as_json: AsJSON = False,
) -> None:
    """List tasks, the newest first."""
    found = _remote(server, token).get("tasks", status=status, conversation=conversation, limit=limit)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for task in found["data"]:
        typer.echo(line_of(task))
    if not found["data"]:
        typer.echo("no tasks")


@app.command(epilog=epilog("frontdesk tasks show task_0123456789abcdef"))
def show(task: TaskId, server: ServerAddress = None, token: Token = None, as_json: AsJSON = False) -> None:
    """Show one task: its state, progress, result or error."""
    remote = _remote(server, token)
    _show(remote.get("tasks", _id_of(remote, task)), as_json=as_json)


@app.command(epilog=epilog("frontdesk tasks cancel task_0123456789abcdef"))
def cancel(task: TaskId, server: ServerAddress = None, token: Token = None, as_json: AsJSON = False) -> None:
    """Ask for a task to be cancelled; it ends when its work has stopped."""
    remote = _remote(server, token)
    _show(remote.post("tasks", _id_of(remote, task), "cancel"), as_json=as_json)


def _id_of(remote: Remote, task: str) -> str:
    """The id of a task that is given by its label; other text as it is. Raises RemoteError for a label of several."""
    if not re.fullmatch(r"[Tt]\d+", task):
        return task
    found = [one for one in remote.get("tasks", limit=100)["data"] if one["label"] == task.upper()]
    if len(found) > 1:
        ids = ", ".join(one["id"] for one in found[:5])
        raise RemoteError(f"{len(found)} conversations have a task {task.upper()}; give its id: {ids}")
    return str(found[0]["id"]) if found else task


def line_of(task: dict[str, Any]) -> str:
    """A task in one line."""
    progress = "" if task["progress"] is None else f" {task['progress']:.0%}"
    return f"{task['id']}  {task['label']:<4} {task['status']:<9}{progress:<5} {task['title'] or task['name']}"


def _show(task: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(task, ensure_ascii=False))
        return
    typer.echo(line_of(task))
    for name in ("conversation", "message", "question", "error"):
        if task.get(name):
            typer.echo(f"  {name}: {task[name]}")
    if task["cancel_requested"] and task["finished_at"] is None:
        typer.echo("  it has been asked to stop")
    if task["result"] is not None:
        typer.echo(f"  result: {json.dumps(task['result'], ensure_ascii=False, indent=2)}")
