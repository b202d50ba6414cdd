"""The command line: what each command takes, shows and exits with. What it does is imported when it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from . import (
    db_commands,
    desk_commands,
    export_command,
    queue_commands,
    quota_commands,
    task_commands,
    token_commands,
    usage_command,
)
from .commands import (
    Authenticate,
    Conversation,
    Database,
    DeskName,
    Folder,
    Queues,
    ServerAddress,
    Tasks,
    TLSCertificate,
    TLSKey,
    Token,
    Turns,
    epilog,
    explain,
    log_to_stderr,
    settings,
    settle_memory,
    share_processor,
)

ORDER: Final = (
    "demo", "chat", "new", "check", "serve", "worker", "tasks", "queues", "usage", "tokens", "quotas", "db", "export"
)  # fmt: skip


class InOrder(TyperGroup):
    """The commands in the order in which somebody comes to need them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = typer.Typer(
    name="frontdesk",
    cls=InOrder,
    help="A desk of agents that answers at once, works in the background, and forgets nothing that it has accepted.",
    epilog="Start with: frontdesk demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(desk_commands.app)
app.add_typer(export_command.app)
app.add_typer(task_commands.app, name="tasks")
app.add_typer(queue_commands.app, name="queues")
app.add_typer(token_commands.app, name="tokens")
app.add_typer(quota_commands.app, name="quotas")
app.add_typer(db_commands.app, name="db")
app.command(short_help="Show what was used, by day.", epilog=epilog("frontdesk usage --days 30"))(usage_command.usage)


def main() -> None:
    """The program ``frontdesk``."""
    try:
        app()
    except Exception as error:
        explain(error)


@app.command(
    short_help="Serve a desk over WebSocket and HTTP.",
    epilog=epilog("frontdesk serve shop:desk --port 8765 --database sqlite:///shop.db"),
)
def serve(
    desk: DeskName = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8765")] = None,
    database: Database = None,
    folder: Folder = Path(),
    token: Token = None,
    authenticate: Authenticate = None,
    tls_cert: TLSCertificate = None,
    tls_key: TLSKey = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Run no turns and tasks here.")] = False,
    turns: Turns = None,
    tasks: Tasks = None,
    queues: Queues = None,
) -> None:
    """Serve a desk over WebSocket and HTTP, with a worker inside.

    The database is sqlite:///frontdesk.db in this folder unless another is given. Without a token (--token, `frontdesk
    tokens create`, --authenticate) the server listens on this machine only. Ctrl-C stops it: clients are told, running
    work is given back, nothing is lost.
    """
    from .assembly import choose_desk, door_of, open_database, service_of, wants_token
    from .serving import Server, address_of, listen
    from .tls import tls_of

    chosen = settings(
        host=host, port=port, database=database, token=token, turns=turns, tasks=tasks, queues=queues,
        authenticate=authenticate, tls_cert=tls_cert, tls_key=tls_key,
    )  # fmt: skip
    log_to_stderr(chosen)
    share_processor()
    found, door, tls = choose_desk(desk, folder, chosen), door_of(chosen), tls_of(chosen)
    with (
        open_database(chosen) as storage,
        listen(chosen.host, chosen.port, guarded=wants_token(door, storage)) as socket,
    ):
        server = Server(service_of(found, storage, chosen, working=not no_worker, door=door), tls=tls)
        settle_memory()
        typer.echo(f"{found.name} is served at {address_of(socket, tls=tls is not None)}/v1 (Ctrl-C stops it)")
        server.run([socket])


@app.command(
    short_help="Run turns and tasks, beside servers.",
    epilog=epilog("frontdesk worker shop:desk --database postgresql://desk@db/desk --processes 4"),
)
def worker(
    desk: DeskName = None,
    database: Database = None,
    folder: Folder = Path(),
    turns: Turns = None,
    tasks: Tasks = None,
    queues: Queues = None,
    processes: Annotated[int, typer.Option(min=1, max=1_000, help="How many, each with so many slots.")] = 1,
) -> None:
    """Run turns and tasks of a desk, beside servers on the same database.

    SQLite before 3.51.3 takes one process at a time; `frontdesk serve` has a worker inside. With --processes a process
    that ends is replaced. SIGTERM drains: nothing more is claimed, what runs may come to its end for the grace period
    (FRONTDESK_GRACE_SECONDS), the rest is given back, and others go on with it at once.
    """
    from .assembly import choose_desk, open_database, run_worker

    chosen = settings(database=database, turns=turns, tasks=tasks, queues=queues)
    log_to_stderr(chosen)
    if processes > 1:
        from .crew import run_crew

        raise typer.Exit(run_crew(chosen, desk, folder, processes))
    share_processor()
    found = choose_desk(desk, folder, chosen)
    with open_database(chosen) as storage:
        settle_memory()
        run_worker(found, storage, chosen, ready=lambda: typer.echo(f"working for {found.name} (Ctrl-C stops it)"))


@app.command(short_help="Talk to a desk, here or on a server.", epilog=epilog("frontdesk chat --folder ~/papers"))
def chat(
    desk: DeskName = None,
    folder: Folder = Path(),
    server: ServerAddress = None,
    database: Database = None,
    conversation: Conversation = None,
    token: Token = None,
) -> None:
    """Talk to a desk: to the one of a running server, or to one inside this program.

    At a terminal it goes on with the folder's last conversation; what ran in the background has gone on. From a pipe it
    takes one message per line in a new conversation, answers each, waits for the tasks that were filed, and ends.
    Without --server the database lies in ~/.local/state/frontdesk (XDG_STATE_HOME), one for each folder.
    """
    from .chat_command import converse

    chosen = settings(server=server, database=database, token=token)
    log_to_stderr(chosen)
    raise typer.Exit(converse(chosen, desk, folder, conversation))


@app.command(
    short_help="Try it: the demo desk, served, and a chat with it.", epilog=epilog("frontdesk demo --folder ~/papers")
)
def demo(
    folder: Folder = Path(),
    conversation: Conversation = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8765, or a free one when it is taken")
    ] = None,
) -> None:
    """Try it: the demo desk with its server on this machine, and a chat with it right here.

    Other clients (the page, OpenAI's SDKs) can talk to it at the address that it shows. Without OPENAI_API_KEY a
    rule-based stand-in answers, without a network.
    """
    from .chat_command import converse
    from .settings import DEFAULT_PORT

    chosen = settings(server="", port=port).model_copy(update={"server": None})
    log_to_stderr(chosen)
    at = (chosen.port or DEFAULT_PORT) if port is None else port
    raise typer.Exit(converse(chosen, None, folder, conversation, port=at, exactly=port is not None))
