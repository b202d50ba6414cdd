"""Several processes on one database: servers without workers, and workers that are started again and drained."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from frontdesk.broker.urls import engine_of
from frontdesk.tests import forked
from frontdesk.tests.test_server_cli import PROGRAM, SECONDS, environment, home, run, running

__all__ = ["home"]  # a fixture

linux = pytest.mark.skipif(sys.platform != "linux", reason="children of a process are looked up in /proc")


def children(process: forked.Popen) -> set[int]:
    """The ids of the processes that it has started."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii")
    return {int(one) for one in text.split()}


@contextmanager
def crew(home: Path, database: str, *more: str) -> Generator[forked.Popen]:
    command = [*PROGRAM, "worker", "--database", database, "--processes", "2", *more]
    with forked.Popen(command, cwd=home, env=environment(home), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "2 workers (Ctrl-C stops them)\n"
            for _ in range(2):
                assert process.stdout.readline() == "working for front_desk (Ctrl-C stops it)\n"
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert process.wait(SECONDS) == 0


@linux
def test_a_worker_that_is_killed_is_replaced_and_all_are_drained(home: Path, postgresql_url: str) -> None:
    with crew(home, postgresql_url) as process:
        before = children(process)
        assert len(before) == 2
        killed = before.pop()
        subprocess.run(["kill", "-9", str(killed)], check=True, timeout=SECONDS)
        assert process.stdout is not None
        assert process.stdout.readline() == "working for front_desk (Ctrl-C stops it)\n"
        after = children(process)
        assert (len(after), killed in after, before <= after) == (2, False, True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    for one in after:
        assert not Path(f"/proc/{one}").exists()


def test_a_server_without_a_worker_is_answered_by_workers(home: Path, postgresql_url: str) -> None:
    with running(home, "--database", postgresql_url, "--no-worker") as (_, address), crew(home, postgresql_url):
        done = run(home, "chat", "--server", address, given="Find duplicate files here in the background\n")
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"T1 .*succeeded", done.stdout)


def test_a_worker_that_never_starts_is_started_more_and_more_slowly(home: Path, postgresql_url: str) -> None:
    (home / "broken.py").write_text(
        "from pathlib import Path\nPath('starts').open('a').write('x')\nraise SystemExit(7)\n"
    )
    command = [*PROGRAM, "worker", "broken:desk", "--database", postgresql_url, "--processes", "2"]
    with forked.Popen(
        command, cwd=home, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(4)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        process.communicate()
    assert sum("started in 1 s" in line for line in said) == 2, said
    assert sum("started in 2 s" in line for line in said) == 2, said


def test_sqlite_takes_several_processes_only_where_it_is_safe(home: Path) -> None:
    if not engine_of("sqlite:///some.db").alone:
        pytest.skip("this SQLite is safe for several processes")
    done = run(home, "worker", "--processes", "2", "--database", "sqlite:///some.db")
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 1)
    assert "one process at a time" in done.stderr


def test_a_worker_may_serve_some_queues_and_no_turns(home: Path) -> None:
    database = "sqlite:///some.db"
    command = [*PROGRAM, "worker", "--database", database, "--queues", "slow, night", "--turns", "0", "--tasks", "2"]
    with forked.Popen(command, cwd=home, env=environment(home), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working for front_desk (Ctrl-C stops it)\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
