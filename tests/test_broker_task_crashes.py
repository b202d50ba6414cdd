"""Processes of task functions that die, and workers that die above them: what becomes of the run, and that nothing is
left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from frontdesk.broker import messages, processes
from frontdesk.broker.database import Database
from frontdesk.broker.processes import ProcessLost
from frontdesk.tasks.registry import TaskFunction
from frontdesk.tests.fakes import heavy
from frontdesk.tests.invariants import broken
from frontdesk.tests.processes import begun, children, gone, lives, open_files
from frontdesk.tests.works import PATIENCE, Works

start = subprocess.Popen[bytes]  # at once: nothing else is to be done meanwhile


@pytest.fixture
def desk(opened: Callable[..., Database]) -> Iterator[Works]:
    before = children()
    found = Works(opened())
    yield found
    for one in found.workers:
        one.stop_blocking(0.0)
    assert broken(found.store) == []
    assert children() == before, "no process is left, not even an ended one that nobody has waited for"


# --- processes that die


@pytest.mark.parametrize(
    ("function", "how"),
    [
        (heavy.exits_once, "exit code 3"),
        (heavy.killed_once, "signal SIGKILL"),
        (heavy.segfaults_once, "signal SIGSEGV"),
    ],
    ids=lambda one: getattr(one, "name", None),
)
async def test_a_process_that_dies_fails_its_run_and_nothing_else(
    desk: Works, function: TaskFunction[..., Any], how: str
) -> None:
    desk.work(function, heavy.which)
    row = await desk.run(function)
    assert (row["status"], row["error_kind"], row["attempt"]) == ("failed", "process lost", 1)
    assert row["error"] == f"its process ended with {how}"
    assert (await desk.run(heavy.which))["status"] == "succeeded"


async def test_a_run_whose_process_died_is_tried_again_as_one_whose_worker_died(desk: Works) -> None:
    desk.work(heavy.dies_twice, heavy.exits_again)
    row = await desk.run(heavy.dies_twice)
    assert (row["status"], row["result"]) == ("succeeded", "3")
    row = await desk.run(heavy.exits_again)
    assert (row["status"], row["error_kind"], row["attempt"]) == ("held", "process lost", 3)
    assert row["error"] == "its process ended with exit code 3 (after 3 attempts)"


def test_how_a_process_ended_is_said_also_of_signals_without_a_name() -> None:
    assert str(ProcessLost(-62)) == "its process ended with signal 62"


async def test_memory_is_bounded(desk: Works) -> None:
    desk.work(heavy.eats, heavy.too_little)
    row = await desk.run(heavy.eats, gigabytes=0.1)
    assert row["result"] == "100000000"
    row = await desk.run(heavy.eats, gigabytes=2.0)
    assert (row["status"], row["error_kind"]) == ("failed", "MemoryError")
    row = await desk.run(heavy.too_little)
    assert (row["status"], row["error_kind"]) == ("failed", "InvalidOption")
    assert "before the function begins; raise it" in row["error"]
    assert (await desk.run(heavy.eats, gigabytes=0.1))["status"] == "succeeded", "a bound is that of one run"


# --- processes that are kept


async def test_a_process_is_kept_for_the_next_run_unless_it_has_run_too_many(
    desk: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "RUNS", 3)
    desk.work(heavy.which)
    pids = [(await desk.run(heavy.which))["result"] for _ in range(7)]
    assert pids[0] == pids[1] == pids[2] != pids[3]
    assert pids[3] == pids[4] == pids[5] != pids[6]
    await gone(int(pids[0]), int(pids[3]))


async def test_a_process_without_work_ends(desk: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "IDLE", 0.0)
    desk.work(heavy.which)
    await gone(int((await desk.run(heavy.which))["result"]))


async def test_a_process_that_dies_without_work_costs_nobody_a_run(desk: Works) -> None:
    desk.work(heavy.which)
    for _ in range(5):
        pid = int((await desk.run(heavy.which))["result"])
        os.kill(pid, signal.SIGKILL)
        assert (await desk.run(heavy.which))["status"] == "succeeded"


async def test_there_are_no_more_processes_than_slots(desk: Works) -> None:
    desk.work(heavy.which, task_slots=2)
    ids = [desk.file(heavy.which) for _ in range(20)]
    assert len({(await desk.ended(one))["result"] for one in ids}) <= 2


async def test_a_hundred_runs_leave_nothing_behind(opened: Callable[..., Database], tmp_path: Path) -> None:
    """Good ones, ones that raise, that die, and that are cancelled."""
    _, raises = heavy.both(heavy.raises)
    before = children(), open_files()
    desk = Works(opened())
    worker = desk.work(heavy.which, raises, heavy.exits_once, heavy.spins, task_slots=4)
    files = [tmp_path / str(number) for number in range(4)]
    ids = [desk.file(heavy.spins, {"file": str(file)}) for file in files]
    for one, file in zip(ids, files, strict=True):
        await begun(file)
        desk.store.cancel(one)
    ids += [desk.file(raises if number % 5 else heavy.exits_once) for number in range(26)]
    ids += [desk.file(heavy.which) for _ in range(70)]
    statuses = [(await desk.ended(one))["status"] for one in ids]
    assert statuses == ["cancelled"] * 4 + ["failed"] * 26 + ["succeeded"] * 70
    assert len(children() - before[0]) <= 4
    await worker.stop(0.0)
    desk.database.close()
    assert (children(), open_files()) == before


# --- workers that die


@pytest.mark.parametrize("function", [heavy.spins, heavy.holds], ids=lambda one: one.name)
async def test_a_worker_that_is_killed_leaves_no_process(
    desk: Works, url: str, tmp_path: Path, function: TaskFunction[..., Any]
) -> None:
    """Also when its function never lets the interpreter go, and when it is itself the script that was started."""
    file = tmp_path / "pid"
    task_id = desk.file(function, {"file": str(file)})
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-m", "frontdesk.tests.fakes.heavy", url, "1e6"]
        worker = start(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log)
    try:
        pid = await begun(file)
        assert lives(pid)
        worker.kill()
        await gone(pid)
    finally:
        worker.kill()
        worker.wait(PATIENCE)
        assert worker.stdin is not None
        worker.stdin.close()
    assert desk.store.status(task_id) == "running", "whoever recovers it decides"


def test_a_process_ends_with_its_socket_where_no_kernel_does_it(tmp_path: Path) -> None:
    """As on macOS, which tells nobody when a parent dies."""
    file = tmp_path / "pid"
    code = f"import sys; sys.path[:] = {sys.path!r}; from frontdesk.broker.child import main; sys.platform = 'darwin'; "
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", f"{code} main({theirs.fileno()}, {os.getpid()})"]
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), start_new_session=True)
        theirs.close()
        order: messages.Message = {
            "module": heavy.__name__, "path": "spins", "name": "spins", "arguments": f'{{"file":"{file}"}}',
            "info": {}, "records": [], "result_limit": 1, "memory_limit": None,
        }  # fmt: skip
        ours.sendall(messages.framed(order))
        size = messages.length_of(ours.recv(messages.HEADER.size))
        assert messages.message_of(ours.recv(size)) == {"begun": True}
        assert process.poll() is None
    assert process.wait(PATIENCE) == -signal.SIGKILL


def test_a_process_whose_worker_is_gone_before_it_begins_ends(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", processes.START, str(theirs.fileno()), "1", json.dumps(sys.path)]
        done = subprocess.run(command, pass_fds=(theirs.fileno(),), check=False, timeout=PATIENCE)
    assert done.returncode == 1
