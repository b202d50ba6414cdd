"""``frontdesk tasks …``: what runs in the background, asked of the running server."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import typer

from .commands import AsJSON, Exit, ServerAddress, Token, epilog, settings
from .remote import Remote, RemoteError
from .settings import DEFAULT_HOST, DEFAULT_PORT
from .task_lines import line_of, lines_of, schedule_line, stats_lines

app = typer.Typer(no_args_is_help=True, help="See, follow, cancel and retry background tasks of a running server.")

TaskId = Annotated[
    str,
    typer.Argument(metavar="TASK", help="A task's id (task_…), or its label (T3) when only one conversation has one."),
]


def remote_of(server: str | None, token: str | None) -> Remote:
    """The running server that is meant."""
    chosen = settings(server=server, token=token)
    address = chosen.server or f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
    return Remote(address, chosen.token.get_secret_value())


@app.command("list", epilog=epilog("frontdesk tasks list --status running"))
def list_tasks(
    server: ServerAddress = None,
    token: Token = None,
    status: Annotated[
        str | None, typer.Option(help="Only tasks in this state; `live`: not ended.", show_default=False)
    ] = None,
    conversation: Annotated[str | None, typer.Option(help="Only of this conversation.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many, the newest first.")] = 20,
    as_json: AsJSON = False,
) -> None:
    """List tasks, the newest first."""
    found = remote_of(server, token).get("tasks", status=status, conversation=conversation, limit=limit)
    say(found, "\n".join(map(line_of, found["data"])) or "no tasks", as_json=as_json)


@app.command(epilog=epilog("frontdesk tasks show task_0123456789abcdef"))
def show(task: TaskId, server: ServerAddress = None, token: Token = None, as_json: AsJSON = False) -> None:
    """Show one task: its state, progress, result or error."""
    remote = remote_of(server, token)
    _show(remote.get("tasks", _id_of(remote, task)), as_json=as_json)


@app.command(epilog=epilog("frontdesk tasks cancel task_0123456789abcdef"))
def cancel(task: TaskId, server: ServerAddress = None, token: Token = None, as_json: AsJSON = False) -> None:
    """Ask for a task to be cancelled; it ends when its work has stopped."""
    remote = remote_of(server, token)
    _show(remote.post("tasks", _id_of(remote, task), "cancel"), as_json=as_json)


@app.command(epilog=epilog("frontdesk tasks retry T3"))
def retry(task: TaskId, server: ServerAddress = None, token: Token = None, as_json: AsJSON = False) -> None:
    """File a task anew that failed, was cancelled or is held.

    It becomes a new task of the same conversation, with the same work, that points to the old one (`retry_of`). A task
    is retried once: asked again, the command shows the task that came of it, and that one can be retried in its turn.
    """
    remote = remote_of(server, token)
    found = remote.post("tasks", _id_of(remote, task), "retry")
    lines = [*lines_of(found), *(["  it had been retried before, as this task"] if found["repeated"] else [])]
    say(found, "\n".join(lines), as_json=as_json)


@app.command(epilog=epilog("frontdesk tasks tail --json | jq .task.progress"))
def tail(
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="[TASK]", help="A task's id or label; without one, every live task.", show_default=False
        ),
    ] = None,
    server: ServerAddress = None,
    token: Token = None,
    every: Annotated[float, typer.Option(min=0.1, max=3_600, help="Seconds between two looks.")] = 0.5,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Give up after so many seconds (exit code 1).", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print an event of JSON per line, for programs.")] = False,
) -> None:
    """Follow a task, or every live task, until they have ended.

    Bars at a terminal, a line for each change in a pipe. The exit code is 1 when a task ended otherwise than well. A
    server that is restarted meanwhile is waited for, 30 seconds long.
    """
    from .tail import Tail, screen

    remote = remote_of(server, token)
    with screen(as_json=as_json) as show:
        ended_well = Tail(
            remote, show, None if task is None else _id_of(remote, task), every=every, timeout=timeout
        ).run()
    raise typer.Exit(Exit.OK if ended_well else Exit.FAILED)


@app.command(epilog=epilog("frontdesk tasks stats"))
def stats(server: ServerAddress = None, token: Token = None, as_json: AsJSON = False) -> None:
    """Count tasks: live ones by state, queue, name and worker, and those that ended within the hour."""
    found = remote_of(server, token).get("tasks", "stats")
    say(found, "\n".join(stats_lines(found)), as_json=as_json)


@app.command(epilog=epilog("frontdesk tasks schedules"))
def schedules(server: ServerAddress = None, token: Token = None, as_json: AsJSON = False) -> None:
    """List the task functions that are filed by themselves (`cron=`): when next, when last, in their own time zones."""
    found = remote_of(server, token).get("schedules")
    say(found, "\n".join(map(schedule_line, found["data"])) or "no schedules", as_json=as_json)


def _id_of(remote: Remote, task: str) -> str:
    """The id of a task that is given by its label; other text as it is. Raises RemoteError for a label of several."""
    if not re.fullmatch(r"[Tt]\d+", task):
        return task
    found = [one for one in remote.get("tasks", limit=100)["data"] if one["label"] == task.upper()]
    if len(found) > 1:
        ids = ", ".join(one["id"] for one in found[:5])
        raise RemoteError(f"{len(found)} conversations have a task {task.upper()}; give its id: {ids}")
    return str(found[0]["id"]) if found else task


def _show(task: dict[str, Any], *, as_json: bool) -> None:
    say(task, "\n".join(lines_of(task)), as_json=as_json)


def say(found: Any, text: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else text)
