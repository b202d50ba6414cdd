"""How long it takes until one can begin: imports, and a server from the start of its process to its first answer.

    python -m frontdesk.bench.starts import-MODULE…|serve-frontdesk|serve-plain [--quick]

Each figure is the median of a few processes. An import is the processor time that it uses inside the process
(``import``), and the time of a whole process that does nothing else (``whole``); bytecode is compiled before. A server
answers ``GET /healthz``; the clock starts before its process does.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from .figures import Column, Figures, Goal, Table
from .rounds import Benchmark, Subject, environment, show
from .server_process import PROGRAM

REPEATS, QUICK_REPEATS = 4, 1
PATIENCE = 60.0
FRONTDESK, SQLMODEL = "Frontdesk", "sqlmodel"
SERVE, DEMO, PLAIN = "frontdesk serve", "frontdesk serve (demo desk)", "sqlmodel + uvicorn by hand"

IMPORTS = {
    "sqlmodel": "import sqlmodel",
    "frontdesk": "from frontdesk.agents import Agent, Desk, tool",
    "broker": "import frontdesk.broker.database, frontdesk.broker.worker",
}

MODULE = "frontdesk.bench.starts"

BENCHMARK = Benchmark(
    "starts",
    (
        Subject(SQLMODEL, MODULE, ("import-sqlmodel",)),
        Subject(FRONTDESK, MODULE, ("import-frontdesk",)),
        Subject(PLAIN, MODULE, ("serve-plain",)),
        Subject(SERVE, MODULE, ("serve-frontdesk",)),
        Subject(DEMO, MODULE, ("serve-demo",)),
    ),
    (
        Table(
            "Import: `from frontdesk.agents import Agent, Desk, tool` beside `import sqlmodel`",
            (SQLMODEL, FRONTDESK),
            (
                Column("import", "import, CPU ms"),
                Column("import", "× sqlmodel", SQLMODEL),
                Column("whole", "whole process ms"),
                Column("whole", "× sqlmodel", SQLMODEL),
            ),
        ),
        Table(
            "From the start of the process to the first answer of /healthz, on a new database",
            (PLAIN, SERVE, DEMO),
            (Column("serve", "ms"), Column("serve", "× by hand", PLAIN)),
        ),
    ),
    (
        Goal("Import beside sqlmodel", FRONTDESK, SQLMODEL, "import", 1.15),
        Goal("Serving beside a bare application", SERVE, PLAIN, "serve", 1.5),
    ),
    "The bare application is `bench/plain_server.py`.",
    times=3,
)


def imported(statement: str) -> tuple[float, float]:
    """Milliseconds of processor time of the import alone, and of a whole process that does nothing else."""
    timed = f"import time; began = time.process_time(); {statement}; print(time.process_time() - began)"
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True, env=environment())
    return float(done.stdout) * 1e3, (time.perf_counter() - began) * 1e3


def free_port() -> int:
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return int(asking.getsockname()[1])


def served(command: list[str], port: int, folder: Path) -> float:
    """Milliseconds until a new process answers."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, env={**environment(), "XDG_STATE_HOME": str(folder)},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not answers(port):
            if process.poll() is not None:
                raise RuntimeError(f"{command} ended with {process.returncode}")
            if time.perf_counter() - began > PATIENCE:
                raise TimeoutError(f"{command} has not answered")
            time.sleep(0.002)
        return (time.perf_counter() - began) * 1e3
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int) -> bool:
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        asking.request("GET", "/healthz")
        return asking.getresponse().status == 200
    except OSError:
        return False
    finally:
        asking.close()


def command_of(kind: str, port: int, folder: Path) -> list[str]:
    """What serves, on a database that does not exist yet."""
    if kind == "plain":
        return ["-m", "frontdesk.bench.plain_server", str(port), str(folder / "plain.db")]
    desk = ["frontdesk.bench.desk:adding"] if kind == "frontdesk" else []
    return [*PROGRAM, "serve", *desk, "--port", str(port), "--database", f"sqlite:///{folder / 'desk.db'}"]


def serve_once(kind: str) -> float:
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder:
        port = free_port()
        return served(command_of(kind, port, Path(folder)), port, Path(folder))


def measured(what: str, kind: str, *, quick: bool) -> Figures:
    """The first process compiles; it is counted only where nothing is really measured."""
    repeats = QUICK_REPEATS if quick else REPEATS
    if what == "serve":
        return {"serve": median([serve_once(kind) for _ in range(repeats)][not quick :])}
    times = [imported(IMPORTS[kind]) for _ in range(repeats)][not quick :]
    return {"import": median(one for one, _ in times), "whole": median(whole for _, whole in times)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    what, _, kind = given.what.partition("-")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is measured is compiled
    show(measured(what, kind, quick=given.quick))


if __name__ == "__main__":
    main()
