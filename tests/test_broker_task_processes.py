"""Task functions in processes of their own: real processes, which are stopped, killed and left behind."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from frontdesk.broker import leases
from frontdesk.broker.database import Database
from frontdesk.tasks.registry import TaskFunction
from frontdesk.tests.fakes import heavy
from frontdesk.tests.invariants import broken
from frontdesk.tests.processes import begun, children, gone, lives, said
from frontdesk.tests.works import Works, until

HERE = ("status", "result", "error", "error_kind", "attempt", "progress", "message", "log_tail")


@pytest.fixture
def desk(opened: Callable[..., Database]) -> Iterator[Works]:
    before = children()
    found = Works(opened())
    yield found
    for one in found.workers:
        one.stop_blocking(0.0)
    assert broken(found.store) == []
    assert children() == before, "no process is left, not even an ended one that nobody has waited for"


# --- the same as in a thread


@pytest.mark.parametrize("function", heavy.SAME, ids=lambda one: one.__name__)
async def test_what_a_function_returns_or_raises_is_the_same_as_in_a_thread(
    desk: Works, function: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "frontdesk.functions")  # half a character in a log cannot be sent to a reporter
    options = {"result_limit": 100} if function is heavy.returns_much else {}
    in_thread, in_process = heavy.both(function, **options)
    desk.work(in_thread, in_process)
    arguments = {"number": 1} if function is heavy.adds else {}
    expected, row = [await desk.ended(desk.file(one, arguments)) for one in (in_thread, in_process)]
    changes = {"_in_thread": "_in_process", expected["label"]: row["label"], expected["id"]: row["id"]}
    known = " ".join(f"{name}: {expected[name]}" for name in HERE)
    for old, new in changes.items():
        known = known.replace(old, new)
    assert " ".join(f"{name}: {row[name]}" for name in HERE) == known


async def test_arguments_are_checked_in_the_process(desk: Works) -> None:
    _, in_process = heavy.both(heavy.adds)
    desk.work(in_process)
    task_id = desk.store.enqueue(desk.conversation, name=in_process.name, arguments={"number": "many"})["id"]
    row = await desk.ended(task_id)
    assert (row["status"], row["error_kind"]) == ("held", "ArgumentsError")
    assert "number" in row["error"]


async def test_what_a_function_raised_is_logged_with_where(desk: Works, caplog: pytest.LogCaptureFixture) -> None:
    _, in_process = heavy.both(heavy.raises)
    desk.work(in_process)
    await desk.run(in_process)
    assert "heavy.py" in caplog.text
    assert "in raises" in caplog.text


async def test_what_it_prints_is_printed(desk: Works, capfd: pytest.CaptureFixture[str]) -> None:
    desk.work(heavy.prints)
    assert (await desk.run(heavy.prints))["status"] == "succeeded"
    desk.workers[0].stop_blocking(0.0)  # what is printed to a file waits in the process until it ends
    assert "said on the standard output\n" in capfd.readouterr().out


async def test_the_durable_calls_go_through_to_the_worker(desk: Works) -> None:
    desk.work(heavy.durable, heavy.adds_one, task_slots=1)
    task_id = desk.file(heavy.durable)
    await desk.until(task_id, lambda row: row["waiting_for"] == "answer")
    await until(lambda: desk.workers[0].running() == 0)  # it holds no slot while it waits
    desk.store.answer(task_id, "yes")
    assert (await desk.ended(task_id))["result"] == '[1,true,"yes","TaskNotFound"]'


async def test_dependencies_stay_in_the_worker(desk: Works) -> None:
    desk.work(heavy.wants_dependencies)
    row = await desk.run(heavy.wants_dependencies)
    assert (row["status"], row["error_kind"]) == ("failed", "InvalidOption")
    assert "runs_in='thread'" in row["error"]


# --- stopping


@pytest.mark.parametrize("function", [heavy.spins, heavy.tidies, heavy.starts_others], ids=lambda one: one.name)
async def test_a_cancel_really_stops_it(desk: Works, tmp_path: Path, function: TaskFunction[..., Any]) -> None:
    """Long before the grace period is over."""
    desk.work(function, grace=1e6)
    file = tmp_path / "pid"
    task_id = desk.file(function, {"file": str(file)})
    pid = await begun(file)
    desk.store.cancel(task_id)
    row = await desk.ended(task_id)
    assert (row["status"], row["abandoned"]) == ("cancelled", 0)
    assert not lives(pid)
    if function is heavy.tidies:
        assert (tmp_path / "pid.tidy").read_text(encoding="utf-8") == "True"
        assert row["log_tail"] == '["tidied up"]'
    if function is heavy.starts_others:
        await gone(*said(tmp_path / "pid.others"))


@pytest.mark.parametrize("function", [heavy.holds, heavy.ignores], ids=lambda one: one.name)
async def test_what_does_not_heed_a_cancel_is_killed_after_the_grace_period(
    desk: Works, tmp_path: Path, function: TaskFunction[..., Any]
) -> None:
    desk.work(function, heavy.which, grace=0.1, task_slots=1)
    file = tmp_path / "pid"
    task_id = desk.file(function, {"file": str(file)})
    pid = await begun(file)
    desk.store.cancel(task_id)
    row = await desk.ended(task_id)
    assert (row["status"], row["abandoned"]) == ("cancelled", 0)
    assert not lives(pid)
    assert (await desk.run(heavy.which))["status"] == "succeeded", "its slot is free"


@pytest.mark.parametrize("again", [False, True])
async def test_a_timeout_really_stops_it(desk: Works, tmp_path: Path, again: bool) -> None:
    function = dataclasses.replace(heavy.spins_timed, on_crash="retry" if again else "fail", retry=heavy.AT_ONCE)
    desk.work(function)
    file = tmp_path / "pid"
    task_id = desk.file(function, {"file": str(file)}, max_attempts=2)
    pid = await begun(file)
    row = await desk.ended(task_id)
    assert (row["status"], row["error_kind"]) == ("held" if again else "failed", "timeout")
    assert (row["attempt"], row["abandoned"]) == (2 if again else 1, 0)
    assert "longer than its timeout of 3 s" in row["error"]
    await gone(pid, await begun(file))


async def test_a_worker_that_drains_ends_its_processes(desk: Works, tmp_path: Path) -> None:
    again = dataclasses.replace(heavy.holds, on_crash="retry")
    found = desk.work(again)
    file = tmp_path / "pid"
    task_id = desk.file(again, {"file": str(file)})
    pid = await begun(file)
    await found.stop(0.0)
    assert not lives(pid)
    row = desk.store.row(task_id)
    assert (row["status"], row["attempt"]) == ("queued", 1)


async def test_a_process_whose_lease_is_lost_is_killed_at_once(desk: Works, tmp_path: Path) -> None:
    found = desk.work(heavy.ignores, grace=1e6, lease=1.0)
    file = tmp_path / "pid"
    task_id = desk.file(heavy.ignores, {"file": str(file)})
    pid = await begun(file)
    desk.store.do(lambda conn: leases.lose(conn, desk.store.row(task_id)))
    await gone(pid)
    await until(lambda: found.running() == 0)
    assert desk.store.row(task_id)["error_kind"] == "worker lost"


async def test_a_signal_to_every_process_of_the_service_does_not_stop_a_function(desk: Works, tmp_path: Path) -> None:
    desk.work(heavy.waits)
    file = tmp_path / "pid"
    task_id = desk.file(heavy.waits, {"file": str(file)})
    pid = await begun(file)
    for _ in range(100):
        os.kill(pid, signal.SIGTERM)
    (tmp_path / "go").touch()
    assert (await desk.ended(task_id))["status"] == "succeeded"


async def test_what_a_function_forks_is_stopped_by_a_signal_as_anywhere(desk: Works) -> None:
    desk.work(heavy.stops_its_own)
    assert (await desk.run(heavy.stops_its_own))["result"] == str(-signal.SIGTERM)
