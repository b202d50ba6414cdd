"""``frontdesk queues``: what an operator sees and does from a shell."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from frontdesk.tests import forked
from frontdesk.tests.test_server_cli import PROGRAM, SECONDS, environment, home, run, running

__all__ = ["home"]  # a fixture


def test_a_paused_queue_holds_its_tasks_until_it_is_resumed(home: Path) -> None:
    with running(home) as (_, address):
        assert run(home, "queues", "list", "--server", address).stdout == "no queues yet\n"
        assert run(home, "queues", "pause", "default", "--server", address).stdout == "default  paused\n"
        command = [*PROGRAM, "chat", "--server", address]
        with forked.Popen(
            command, cwd=home, env=environment(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as chat:
            assert chat.stdin is not None
            assert chat.stdout is not None
            chat.stdin.write("Find duplicate files here in the background\n")
            chat.stdin.close()
            assert next(line for line in chat.stdout if "T1" in line)
            looks(home, address)
            assert "succeeded" in chat.stdout.read()
            assert chat.wait(SECONDS) == 0
    gone = run(home, "queues", "list", "--server", address)
    assert (gone.returncode, "frontdesk serve" in gone.stderr) == (3, True)


def looks(home: Path, address: str) -> None:
    """The task waits; then the queue is resumed."""
    (task,) = json.loads(run(home, "tasks", "list", "--server", address, "--json").stdout)["data"]
    assert task["status"] == "queued"
    done = run(home, "queues", "resume", "default", "--server", address, "--json")
    assert json.loads(done.stdout) == {"object": "frontdesk.queue", "id": "default", "paused": False}
