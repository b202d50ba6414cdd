"""What the README tells a newcomer to type, typed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from frontdesk.tests.playback.process import free_port

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
FRONTDESK = Path(sys.executable).with_name("frontdesk")


def python(folder: Path, source: str) -> str:
    """Runs a program in the folder; what it printed."""
    program = folder / "program.py"
    program.write_text(source, "utf-8")
    done = subprocess.run([sys.executable, program], cwd=folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Returns when the address answers; fails when the process has ended, or after a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, "the server has ended"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)  # nothing announces that a port is open
    raise AssertionError(f"{url} has not answered")


def test_the_first_desk_answers_as_it_is_printed(tmp_path: Path) -> None:
    assert "Order 7 left the warehouse" in python(tmp_path, BLOCKS[0])


def test_the_official_client_talks_to_it_as_it_is_printed(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(BLOCKS[0], "utf-8")
    port = free_port()
    command = [str(FRONTDESK), "serve", "shop:desk", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/healthz", server)
            said = python(tmp_path, BLOCKS[1].replace("8765", str(port)))
        finally:
            server.terminate()
    assert "T1 refund_report" in said
