"""A desk mounted in somebody's application, on a real uvicorn that is not ours."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from frontdesk.agents import Agent, Desk
from frontdesk.agents.models.scripted import ScriptedModel
from frontdesk.tests.served import Lines, choose, errand, hold, look


def desk() -> Desk[Any]:
    """One that repeats what it is told."""
    return Desk(Agent("triage", "Answers.", tools=[look, hold], tasks=[errand, choose]), model=ScriptedModel(Lines()))


@contextmanager
def running(app: Any) -> Generator[str]:
    """Serves the application with what anybody would use; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="auto"))
    ready = threading.Event()
    startup = server.startup

    async def started(sockets: Any = None) -> None:
        await startup(sockets)
        ready.set()

    server.startup = started  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="application")
    thread.start()
    try:
        assert ready.wait(30), "the application does not start"
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
        assert not thread.is_alive(), "the application does not end"


@contextmanager
def mounted_house(folder: Path) -> Generator[str]:
    """An application that has a desk under ``/desk`` and does nothing for it; its address."""
    app = Starlette()
    app.mount("/desk", desk().asgi(database=f"sqlite:///{folder}/desk.db"))
    with running(app) as url:
        yield url
