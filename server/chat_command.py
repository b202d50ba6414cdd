"""``frontdesk chat`` and ``frontdesk demo``: from options to a server, a conversation and a screen."""

from __future__ import annotations

import hashlib
import socket
import sys
from pathlib import Path
from typing import Final

import anyio
from rich.console import Console

from .assembly import choose_desk, make_state, open_database, service_of, state_of
from .chat import Chat, recall, stdin_lines
from .commands import Exit, or_at_the_server
from .dialog import Dialog
from .embedded import embedded
from .errors import AddressError, NoConversation
from .news import Remark
from .remote import Remote, RemoteError
from .render import Screen
from .serving import listen
from .settings import DEFAULT_HOST, Settings
from .terminal import Terminal

QUIT_SECONDS: Final = 2.0  # for background work to come to a boundary when a person leaves


def converse(
    settings: Settings,
    desk: str | None,
    folder: Path,
    conversation: str | None,
    *,
    port: int = 0,
    exactly: bool = False,
) -> Exit:
    """Talks to the server that is named, or to one inside this process, at this port; or, unless ``exactly``, at
    another when that is taken. Raises what the command line explains."""
    if settings.server:
        name = hashlib.sha256(settings.server.encode()).hexdigest()[:8]
        memory = make_state(settings.state_folder / f"server-{name}") / "chat.json"
        return _talk(settings.server, settings, memory, conversation)
    state = state_of(settings, folder)
    found = choose_desk(desk, folder, settings)
    quick = settings.model_copy(
        update={"drain_seconds": 0.0, "grace_seconds": min(settings.grace_seconds, QUIT_SECONDS)}
    )
    with (
        or_at_the_server(),
        open_database(settings, f"sqlite:///{state / 'desk.db'}") as database,
        embedded(service_of(found, database, quick), _listening(port, exactly=exactly)) as address,
    ):
        greeting = f"{found.name} at {address}" if port or exactly else ""
        return _talk(address, settings, state / "chat.json", conversation, greeting)


def _listening(port: int, *, exactly: bool) -> socket.socket:
    try:
        return listen(DEFAULT_HOST, port)
    except AddressError:
        if exactly:
            raise
        return listen(DEFAULT_HOST, 0)


def _talk(address: str, settings: Settings, memory: Path, wanted: str | None, greeting: str = "") -> Exit:
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    wanted = wanted or ("last" if at_terminal else "new")
    dialog = recall(memory, wanted)
    screen = Screen(Console(soft_wrap=True, highlight=False))
    token = settings.token.get_secret_value()
    if wanted not in ("last", "new") and _is_gone(address, token, wanted):
        raise NoConversation(wanted)
    if not at_terminal:
        chat = Chat(address, dialog, screen.show, memory=memory, token=token)
        try:
            return anyio.run(chat.run, lambda: chat.pipe(stdin_lines()))
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
    _greet(screen, dialog, greeting)

    async def at_the_terminal() -> Exit:
        terminal = Terminal(screen)
        chat = Chat(address, dialog, terminal.show, memory=memory, token=token)
        return await chat.run(lambda: terminal.talk(chat))

    anyio.run(at_the_terminal)
    if dialog.conversation is not None:
        screen.show(Remark(f"come back with: frontdesk chat --conversation {dialog.conversation}"))
    return Exit.OK


def _is_gone(address: str, token: str, conversation: str) -> bool:
    """Whether the server knows no such conversation. A server that does not answer is the chat's business."""
    try:
        Remote(address, token).get("conversations", conversation)
    except RemoteError as error:
        return error.status in (400, 404)
    except AddressError:
        pass
    return False


def _greet(screen: Screen, dialog: Dialog, greeting: str) -> None:
    if greeting:
        screen.show(Remark(greeting))
    if dialog.conversation is not None:
        screen.show(Remark(f"going on with {dialog.conversation} (begin anew with --conversation new)"))
    for one in dialog.asked():
        screen.show(one)
    screen.show(Remark("/help shows the commands, Ctrl-C cancels, /quit leaves"))
