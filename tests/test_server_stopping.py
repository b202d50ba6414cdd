"""Signals that ask a process to stop, at moments in which a lock would miss them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 60.0
ELSEWHERE = """
import os, signal, sys, threading
from pathlib import Path
from frontdesk.server.stopping import StopSignals

def another_thread():
    state = Path(f"/proc/self/task/{os.getpid()}/stat")
    while state.read_text().rpartition(")")[2].split()[0] != "S":
        pass  # until the main thread sleeps
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

with StopSignals() as signals:
    threading.Thread(target=another_thread).start()
    print(signals.wait().name)
"""
BEFORE = """
import os, signal
from frontdesk.server.stopping import StopSignals

kept = signal.getsignal(signal.SIGINT)
with StopSignals() as signals:
    os.kill(os.getpid(), signal.SIGINT)
    print(signals.wait().name)
assert signal.getsignal(signal.SIGINT) is kept
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see that a thread sleeps")
def test_a_signal_that_another_thread_gets_wakes_who_waits() -> None:
    assert said(ELSEWHERE) == "SIGTERM\n"


def test_a_signal_that_comes_before_the_wait_is_not_lost() -> None:
    assert said(BEFORE) == "SIGINT\n"


def said(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
