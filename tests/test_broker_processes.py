"""Workers in processes that are killed, and that are stopped for so long that they are thought dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from frontdesk.broker import leases, line
from frontdesk.broker.clock import Owner, is_dead
from frontdesk.broker.database import Database
from frontdesk.broker.failpoints import Failpoint, failpoints
from frontdesk.tasks.errors import InvalidOption
from frontdesk.tests import forked
from frontdesk.tests.fakes.worker_process import FUNCTIONS
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store
from frontdesk.tests.works import Works

PATIENCE = 60.0


class Process:
    """A worker process."""

    def __init__(self, url: str, log: Path, lease: float) -> None:
        command = [sys.executable, "-m", "frontdesk.tests.fakes.worker_process", url, str(lease)]
        self.log = log
        with log.open("w") as errors:
            self.process = forked.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.says("started")

    def says(self, what: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{what}\n", self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self) -> None:
        """Lets it end by itself."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(PATIENCE) == 0, self.log.read_text()


Start = Callable[..., Process]


@pytest.fixture
def start(url: str, tmp_path: Path) -> Iterator[Start]:
    found: list[Process] = []

    def start_one(lease: float = 1e6) -> Process:
        found.append(Process(url, tmp_path / f"{len(found)}.log", lease))
        return found[-1]

    yield start_one
    for one in found:
        one.kill()
        for stream in (one.process.stdin, one.process.stdout):
            if stream is not None:
                stream.close()


@pytest.fixture
def desk(opened: Callable[..., Database]) -> Iterator[Works]:
    found = Works(opened())
    yield found
    for one in found.workers:
        one.stop_blocking(0.0)
    assert broken(found.store) == []


async def test_what_a_killed_process_ran_goes_on_at_once_as_it_has_chosen(
    desk: Works, start: Start, tmp_path: Path
) -> None:
    """Its leases are a million seconds long: only its death releases them."""
    file = tmp_path / "go"
    again = desk.file(FUNCTIONS["again"], {"file": str(file)})
    process = start()
    process.says("running 1")
    once = desk.file(FUNCTIONS["once"], {"file": str(file)})
    process.says("running 1")
    assert desk.store.do(leases.recover) == 0, "it is alive"
    process.kill()
    file.touch()
    desk.work(*FUNCTIONS.values())
    row = await desk.ended(again)
    assert (row["status"], row["attempt"]) == ("succeeded", 2)
    row = await desk.ended(once)
    assert (row["status"], row["error_kind"], row["attempt"]) == ("failed", "worker lost", 1)
    assert row["error"].endswith("because it is not idempotent")


async def test_a_server_that_is_started_again_goes_on_at_once(start: Start, desk: Works, tmp_path: Path) -> None:
    file = tmp_path / "go"
    again = desk.file(FUNCTIONS["again"], {"file": str(file)})
    process = start()
    process.says("running 1")
    process.kill()
    process = start()
    process.says("running 2")
    file.touch()
    row = await desk.ended(again)
    assert row["result"] == f'"process {process.process.pid}, attempt 2"'
    process.end()


async def test_a_process_that_drains_gives_back_what_it_runs(start: Start, desk: Works, tmp_path: Path) -> None:
    file = tmp_path / "go"
    again = desk.file(FUNCTIONS["again"], {"file": str(file)})
    process = start()
    process.says("running 1")
    file.touch()
    process.end()
    assert desk.store.row(again)["result"] == f'"process {process.process.pid}, attempt 1"'


async def test_a_zombies_late_result_is_rejected(postgresql_url: str, tmp_path: Path) -> None:
    """It is stopped past its lease, its task is run elsewhere, and then it goes on as if nothing had happened."""
    database = Database.open(postgresql_url)
    desk = Works(database)
    file = tmp_path / "go"
    task_id = desk.file(FUNCTIONS["again"], {"file": str(file)})
    zombie = Process(postgresql_url, tmp_path / "zombie.log", 0.6)
    try:
        zombie.says("running 1")
        zombie.send(signal.SIGSTOP)
        worker = desk.work(FUNCTIONS["again"])
        await desk.until(task_id, lambda row: row["epoch"] == 2)
        file.touch()
        row = await desk.ended(task_id)
        assert row["attempt"] == 2
        zombie.send(signal.SIGCONT)
        zombie.end()
        assert desk.store.row(task_id) == row
        assert "is rejected" in zombie.log.read_text() or "was lost" in zombie.log.read_text()
        await worker.stop(0.0)
        assert broken(desk.store) == []
    finally:
        zombie.kill()
        for stream in (zombie.process.stdin, zombie.process.stdout):
            if stream is not None:
                stream.close()
        database.close()


async def test_a_worker_of_another_process_wakes_who_listens_here(desk: Works, start: Start, tmp_path: Path) -> None:
    """`Works.ended` waits for an event of the conversation: it comes from the other process."""
    process = start()
    file = tmp_path / "go"
    file.touch()
    for _ in range(3):
        task_id = desk.file(FUNCTIONS["once"], {"file": str(file)})
        process.says("running 1")
        assert (await desk.ended(task_id))["status"] == "succeeded"
    process.end()


DIES = """
import sys
from frontdesk.agents import filing
from frontdesk.broker import leases, line, queue
from frontdesk.tasks.request import TaskRequest
from frontdesk.broker.clock import Owner
from frontdesk.broker.database import Database
from frontdesk.tests.store import Store

store = Store(Database.open(sys.argv[1], durable=False, failpoint=sys.argv[2]))
owner = Owner.here().text
claim = store.claim_one(owner=owner)
match sys.argv[2].partition(":")[2]:
    case "release": store.do(queue.release, [claim])
    case "give_up": store.do(leases.give_up, claim)
    case "release_all": store.do(leases.release_all, [owner])
    case "set_paused": store.do(line.set_paused, "slow", paused=True)
    case "file_task": store.do(filing.file_task, TaskRequest(name="work"), queue.Origin(created_by="code"))
"""


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("operation", ["release", "give_up", "release_all"])
def test_a_process_that_dies_while_it_gives_back_a_claim_loses_nothing(
    sqlite_url: str, operation: str, side: str
) -> None:
    database = Database.open(sqlite_url, durable=False)
    store = Store(database)
    task_id = store.enqueue(store.conversation(), on_crash="retry")["id"]
    database.close()
    command = [sys.executable, "-c", DIES, sqlite_url, f"{side}:{operation}"]
    died = forked.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert died.returncode == -signal.SIGKILL, died.stderr
    database = Database.open(sqlite_url, durable=False)
    store = Store(database)
    assert store.status(task_id) == ("running" if side == "before" else "queued")
    assert store.do(leases.recover) == (side == "before")
    assert store.claim_one().attempt == (2 if side == "before" else 1)
    assert broken(store) == []
    database.close()


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_process_that_dies_while_it_pauses_a_queue_has_paused_it_or_not(sqlite_url: str, side: str) -> None:
    with closing(Database.open(sqlite_url, durable=False)) as database:
        Store(database).enqueue()
    command = [sys.executable, "-c", DIES, sqlite_url, f"{side}:set_paused"]
    died = forked.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert died.returncode == -signal.SIGKILL, died.stderr
    with closing(Database.open(sqlite_url, durable=False)) as database:
        store = Store(database)
        assert store.see(line.all_queues) == {"default": False, **({"slow": True} if side == "after" else {})}
        store.do(leases.recover)
        assert broken(store) == []


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_process_that_dies_while_code_files_a_task_has_filed_it_or_not(sqlite_url: str, side: str) -> None:
    with closing(Database.open(sqlite_url, durable=False)) as database:
        Store(database).enqueue()
    command = [sys.executable, "-c", DIES, sqlite_url, f"{side}:file_task"]
    died = forked.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert died.returncode == -signal.SIGKILL, died.stderr
    with closing(Database.open(sqlite_url, durable=False)) as database:
        store = Store(database)
        assert len(store.tasks()) == (2 if side == "after" else 1)
        assert store.enqueue(created_by="code")["created_by"] == "code"
        assert len(store.tasks()) == 2, "asked again, it is the same one"
        store.do(leases.recover)
        assert broken(store) == []


def test_a_failpoint_is_a_side_and_a_name() -> None:
    for wrong in ("", "before", "beside:claim", "before:claim:x", "before:claim:1:2"):
        with pytest.raises(InvalidOption, match="a failpoint is before:NAME"):
            Failpoint(wrong)
    assert {"before:claim", "after:claim", "before:give_up"} <= set(failpoints())
    Failpoint("before:claim:2").reached("before", ["claim", "finish"])  # the first of two


def test_a_process_is_known_by_its_number_and_its_start() -> None:
    here = Owner.here()
    assert not is_dead(here.text)
    assert is_dead(f"{here.boot}/{here.pid}/1/worker"), "another process had this number before"
    assert not is_dead(f"another boot/{here.pid}/1/worker"), "nothing is known of another machine"
    assert not is_dead("nonsense")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
    text = f"{here.boot}/{child.pid}/{started}/worker"
    assert not is_dead(text)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(text), "it is a zombie that its parent has not looked at"
    child.communicate()
    assert is_dead(text)
