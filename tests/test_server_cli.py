"""The program ``frontdesk`` as a person or a script runs it: help, exit codes, serving, killing, coming back."""

from __future__ import annotations

import codecs
import gc
import json
import os
import pty
import re
import select
import signal
import socket as sockets
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from frontdesk.server.cli import main
from frontdesk.server.commands import NEW_OBJECTS, settle_memory
from frontdesk.tests import forked

PROGRAM = [sys.executable, "-c", "from frontdesk.server.cli import main; main()"]
SECONDS = 60  # a bound for what never happens
TASKS = ("list", "show", "tail", "cancel", "retry", "stats")
DB = ("check", "upgrade", "backup", "vacuum")
COMMANDS = (
    "serve",
    "worker",
    "chat",
    "demo",
    *(f"tasks {name}" for name in TASKS),
    *(f"db {name}" for name in DB),
    "queues list",
    "queues pause",
    "queues resume",
    "tokens create",
    "quotas list",
    "quotas set",
    "tokens list",
    "tokens revoke",
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with some files to work on; state and database go beside it."""
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "a.txt").write_text("the same")
    (folder / "b.txt").write_text("the same")
    return folder


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FRONTDESK_", "OPENAI_"))}
    return {**kept, "XDG_STATE_HOME": str(home.parent / "state"), "COLUMNS": "200", **more}


def run(home: Path, *arguments: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    command, env = [*PROGRAM, *arguments], environment(home, **more)
    return forked.run(
        command, cwd=home, env=env, input=given, timeout=SECONDS, capture_output=True, text=True, check=False
    )


@contextmanager
def running(home: Path, *arguments: str) -> Generator[tuple[forked.Popen, str]]:
    """``frontdesk serve`` on a free port, and its address."""
    command = [*PROGRAM, "serve", "--port", "0", *arguments]
    process = forked.Popen(
        command, cwd=home, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        found = re.search(r"http://\S+(?=/v1)", said)
        assert found, said + (process.stderr.read() if process.stderr else "")
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


def fetch(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"{address}{path}", timeout=SECONDS) as reply:
        return json.load(reply)


# --- help and usage


class Here:
    """The program inside this process, which saves its start."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capture = patch, capture
        patch.chdir(home)
        patch.setenv("XDG_STATE_HOME", str(home.parent / "state"))
        patch.setattr(sys, "path", sys.path[:])

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self._patch.setattr(sys, "argv", ["frontdesk", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = self._capture.readouterr()
        return int(ended.value.code or 0), said.out, said.err


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(home, monkeypatch, capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_shows_an_example_and_its_exit_codes(command: str, here: Here) -> None:
    code, text, _ = here.run(*command.split(), "--help")
    assert code == 0
    assert f"frontdesk {command}" in text.partition("Example:")[2]
    assert re.search(r"Exit codes:\n\s+0 ", text)


def test_wrong_usage_exits_with_2(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here.run("nothing")[0] == 2
    assert here.run("serve", "--port", "x")[0] == 2
    assert here.run("tasks", "list", "--limit", "0")[0] == 2
    assert here.run("tasks", "tail", "--every", "0")[0] == 2
    code, _, said = here.run("serve", "--port", "99999")
    assert (code, said) == (2, "frontdesk: port: Input should be less than or equal to 65535\n")
    monkeypatch.setenv("FRONTDESK_PORT", "many")
    code, _, said = here.run("serve")
    assert (code, "port" in said) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["chat", "--server", "http://127.0.0.1:1"], 3, "no Frontdesk answers"),
        (["tasks", "list", "--server", "http://127.0.0.1:1"], 3, "no Frontdesk answers"),
        (["tasks", "tail", "--server", "http://127.0.0.1:1"], 3, "no Frontdesk answers"),
        (["tasks", "stats", "--server", "nonsense"], 3, "no Frontdesk answers"),
        (["serve", "--host", "0.0.0.0"], 3, "--token"),
        (["serve", "--host", "no.such.host.invalid"], 3, "without a token"),
        (["serve", "--host", "no.such.host.invalid", "--token", "x"], 3, "not known here"),
        (["chat", "--database", "mysql://x"], 4, "sqlite:///"),
        (["chat", "--database", "sqlite:///no/such/folder/x.db"], 4, "create it first"),
        (["chat", "--folder", "nowhere"], 5, "--folder"),
        (["serve", "--port", "0", "nowhere:desk"], 5, "no module 'nowhere'"),
        (["serve", "--port", "0", "json:desk"], 5, "no desk named 'desk'"),
        (["serve", "--port", "0", ":desk"], 5, "MODULE:NAME"),
        (["worker", "nowhere:desk"], 5, "no module"),
        (["check", "nowhere.py"], 5, "nowhere:desk"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(here: Here, arguments: list[str], code: int, words: str) -> None:
    ended, said, wrong = here.run(*arguments)
    assert (ended, said) == (code, "")
    assert words in wrong
    assert len(wrong.splitlines()) == 1, "no traceback"


def test_a_database_that_is_none_or_may_not_be_written_is_said_so(home: Path) -> None:
    (home / "bad.db").write_text("this is not a database at all" * 100)
    done = run(home, "chat", "--database", "sqlite:///bad.db")
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 1)


def test_two_servers_on_one_port_and_on_one_database(home: Path) -> None:
    with running(home, "--database", "sqlite:///one.db") as (_, address):
        port = address.rpartition(":")[2]
        second = run(home, "serve", "--port", port, "--database", "sqlite:///two.db")
        assert (second.returncode, f"port {port}" in second.stderr) == (3, True)
        assert len(second.stderr.splitlines()) == 1
        third = run(home, "chat", "--database", "sqlite:///one.db", given="hello\n")
        assert third.returncode in (0, 4), "where two processes are safe it works, elsewhere it is refused"
        assert len(third.stderr.splitlines()) <= 1


# --- serving


def test_serve_answers_and_ends_in_order_when_it_is_asked_to(home: Path) -> None:
    with running(home) as (process, address):
        assert fetch(address, "/healthz") == {"status": "alive"}
        assert fetch(address, "/readyz") == {"status": "ready"}
        assert fetch(address, "/v1/models")["data"][0]["id"] == "front_desk"
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        assert process.communicate() == ("", "")
    assert (home / "frontdesk.db").exists()
    assert not (home / "frontdesk.db-wal").exists(), "the database was closed"


def test_a_desk_of_ones_own_is_served_from_the_working_directory(home: Path) -> None:
    (home / "shop.py").write_text(
        "from frontdesk.agents import Agent, Desk\ndesk = Desk(Agent('clerk', 'You help.'), name='shop')\n"
    )
    with running(home, "shop:desk") as (_, address):
        assert [model["id"] for model in fetch(address, "/v1/models")["data"]] == ["shop", "clerk"]
        done = run(home, "chat", "--server", address, given="hello\n")
        assert (done.returncode, done.stdout.startswith("clerk · ")) == (0, True)


def test_an_error_in_a_desk_of_ones_own_is_shown_with_its_place_and_nothing_else(home: Path, here: Here) -> None:
    (home / "slip.py").write_text("from frontdesk.agents import Agent\ndef clerk(:\n")
    code, _, said = here.run("check", "slip:desk")
    assert code == 5
    assert said.startswith("frontdesk: slip cannot be imported:\n")
    assert 'slip.py", line 2' in said
    assert "SyntaxError" in said
    assert "importlib" not in said
    (home / "lacking.py").write_text("def begin():\n    import nothing_like_this\nbegin()\n")
    code, _, said = here.run("serve", "--port", "0", "lacking:desk")
    assert code == 5
    assert "ModuleNotFoundError: No module named 'nothing_like_this'" in said
    assert re.findall("line ([0-9]+)", said) == ["3", "2"]


def test_a_worker_of_its_own_works_until_it_is_asked_to_end(home: Path) -> None:
    command = [*PROGRAM, "worker", "--database", "sqlite:///worker.db"]
    with forked.Popen(command, cwd=home, env=environment(home), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "working for front_desk (Ctrl-C stops it)\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()  # leaving the block waits for it


# --- talking


def test_a_script_gets_its_answers_and_waits_for_its_tasks(home: Path) -> None:
    done = run(home, "chat", given="What can you do?\n\nFind duplicate files here in the background\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"T1 .*succeeded", done.stdout)
    assert re.search(r"· T1 .*groups found: 1", done.stdout), "the desk tells the result by itself"
    assert "\x1b" not in done.stdout


def test_a_script_that_is_not_let_in_is_told_so_in_one_line(home: Path) -> None:
    with running(home, "--token", "right") as (_, address):
        done = run(home, "chat", "--server", address, "--token", "wrong", given="hello\n")
        assert (done.returncode, done.stdout) == (3, "")
        assert re.fullmatch(r"frontdesk: the server wants a token.*--token.*\n", done.stderr)


def test_a_conversation_is_gone_on_with_by_its_id(home: Path) -> None:
    run(home, "chat", given="I want a large margherita pizza\n")
    again = run(home, "chat", "--conversation", "last", given="Show my cart\n")
    assert (again.returncode, "large" in again.stdout) == (0, True)
    for name in ("conv_typo", "no such thing"):
        wrong = run(home, "chat", "--conversation", name, given="What can you do?\n")
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert wrong.stderr == f"frontdesk: there is no conversation {name!r} here; --conversation new begins one\n"
    for memory in home.parent.glob("**/chat.json"):  # of another server's
        memory.write_text(json.dumps({"conversation": "conv_gone", "cursor": 5, "ahead": []}))
    gone = run(home, "chat", "--conversation", "last", given="What can you do?\n")
    assert (gone.returncode, "a new one begins" in gone.stdout) == (0, True)


def test_tasks_of_a_running_server_are_listed_shown_and_cancelled(home: Path) -> None:
    with running(home) as (_, address):
        assert run(home, "tasks", "list", "--server", address).stdout == "no tasks\n"
        run(home, "chat", "--server", address, given="Find duplicate files here in the background\n")
        listed = json.loads(run(home, "tasks", "list", "--server", address, "--json").stdout)
        (task,) = listed["data"]
        assert task["id"] in run(home, "tasks", "list", FRONTDESK_SERVER=address).stdout
        shown = run(home, "tasks", "show", task["id"], "--server", address)
        assert run(home, "tasks", "show", "t1", "--server", address).stdout == shown.stdout
        assert (shown.returncode, "result" in shown.stdout) == (0, True)
        cancelled = run(home, "tasks", "cancel", task["id"], "--server", address)
        assert (cancelled.returncode, "succeeded" in cancelled.stdout) == (0, True), "what has ended stays as it is"
        unknown = run(home, "tasks", "show", "task_x", "--server", address)
        assert (unknown.returncode, "not found" in unknown.stderr) == (1, True)


class Person:
    """Somebody at a terminal."""

    def __init__(self, home: Path, *arguments: str, echo: bool = True) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            if not echo:
                modes = termios.tcgetattr(0)
                modes[3] &= ~(termios.ECHO | termios.ICANON)
                termios.tcsetattr(0, termios.TCSANOW, modes)
            os.chdir(home)
            os.execve(PROGRAM[0], [*PROGRAM, *arguments], {**environment(home), "TERM": "dumb"})
        self.seen = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode  # a sign may come in two pieces

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def sees(self, pattern: str) -> str:
        """Waits for it to appear after everything that was waited for before."""
        until = time.monotonic() + SECONDS
        while (found := re.search(pattern, self.seen)) is None:
            assert self._read(until), f"{pattern!r} did not appear in {self.seen!r}"
        self.seen = self.seen[found.end() :]
        return found[0]

    def leaves(self) -> int:
        """Waits for the end; the exit code."""
        until = time.monotonic() + SECONDS
        while self._read(until):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self, until: float) -> bool:
        readable, _, _ = select.select([self._terminal], [], [], max(0.0, until - time.monotonic()))
        if not readable:
            return False
        try:
            found = os.read(self._terminal, 65_536)
        except OSError:  # the other end is closed
            return False
        self.seen += self._decode(found)
        return bool(found)

    def close(self) -> None:
        os.close(self._terminal)


@pytest.fixture
def person(home: Path) -> Iterator[Any]:
    people: list[Person] = []

    def comes(*arguments: str, echo: bool = True) -> Person:
        people.append(Person(home, *arguments, echo=echo))
        return people[-1]

    yield comes
    for one in people:
        one.close()


def test_a_person_talks_leaves_and_comes_back(person: Any) -> None:
    one = person("chat")
    one.sees("you · ")
    one.type("I want a large margherita pizza\n")
    one.sees("orders · ")
    one.type("/tasks\n")
    one.sees("no tasks")
    one.type("/nonsense\n")
    one.sees("/help")
    one.type("\x03")
    one.sees("Ctrl-C once more")
    one.type("\x03")
    conversation = one.sees("conv_[0-9a-f]+")
    assert one.leaves() == 0
    two = person("chat")
    two.sees(f"going on with {conversation}")
    two.type("Show my cart\n")
    two.sees("large")
    two.type("/quit\n")
    assert two.leaves() == 0


def test_the_server_is_killed_and_the_chat_goes_on(home: Path, person: Any) -> None:
    port = free_port()
    serve = ["--port", str(port)]
    with running(home, *serve) as (process, address):
        one = person("chat", "--server", address)
        one.sees("you · ")
        one.type("I want a large margherita pizza\n")
        one.sees("orders · ")
        process.kill()
        one.sees("the connection is lost")
        one.type("Show my cart\n")
    with running(home, *serve):
        one.sees("connected again")
        one.sees("large")
        one.type("\x04")
        assert one.leaves() == 0


def test_a_terminal_that_a_killed_chat_left_without_echo_is_mended(person: Any) -> None:
    one = person("chat", echo=False)
    one.sees("you · ")
    one.type("Show my ca")
    one.sees("Show my ca")
    one.type("rt\n/quit\n")
    assert one.leaves() == 0


def test_the_demo_shows_its_address_and_talks(person: Any) -> None:
    one = person("demo")
    address = one.sees(r"http://[\d.]+:\d+")
    assert fetch(address, "/readyz") == {"status": "ready"}
    one.sees("you · ")
    one.type("Find duplicate files here in the background\n")
    one.sees("T1 .*succeeded")
    one.sees("· T1 .*groups found: 1")
    one.type("/quit\n")
    assert one.leaves() == 0


def test_the_demo_is_where_it_was_told_to_be_or_says_why_not(person: Any, home: Path) -> None:
    port = free_port()
    one = person("demo", "--port", str(port))
    one.sees(rf"http://127\.0\.0\.1:{port}\b")
    one.sees("you · ")
    taken = run(home, "demo", "--port", str(port), "--folder", str(home.parent), given="")
    assert (taken.returncode, f"port {port}" in taken.stderr) == (3, True)
    one.type("/quit\n")
    assert one.leaves() == 0


def free_port() -> int:
    with sockets.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_what_a_process_has_loaded_is_not_searched_for_garbage_again() -> None:
    before = gc.get_threshold()
    try:
        settle_memory()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] == NEW_OBJECTS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
