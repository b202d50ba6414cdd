"""The clients of examples/clients against a real server, each with its own tool: Python, Node, curl, websocat, and what
openai-agents makes of a desk."""

from __future__ import annotations

import hashlib
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from frontdesk.agents.models.scripted import call
from frontdesk.tests.served import House, open_house

CLIENTS = Path(__file__).resolve().parent.parent / "examples" / "clients"
LOCK = CLIENTS.parent.parent / "bench" / "requirements.lock"
PATIENCE = 120  # seconds


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house")) as found:
        found.lines["weather?"] = (call("weather", {"city": "Oslo"}, call_id="oslo"), "Cold in Oslo.")
        yield found


def run(house: House, *command: str, folder: Path = CLIENTS, **more: str) -> str:
    """What a program prints that is told where the server is."""
    env = {**os.environ, "FRONTDESK_URL": house.base_url.removesuffix("/v1"), **more}
    done = subprocess.run(command, cwd=folder, env=env, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_python_sdk(house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FRONTDESK_URL", house.base_url.removesuffix("/v1"))
    runpy.run_path(str(CLIENTS / "python_sdk.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == [
        "answer: You said: hello", "same conversation: True", "You said: hello again",
        "resumed: response.completed completed", "chat: True", "socket: completed",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def node() -> Path:
    """A folder with the Node SDK of the versions that the example names; kept for the next time."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not here")
    wanted = (CLIENTS / "package.json").read_bytes()

    def install(folder: Path) -> str:
        (folder / "package.json").write_bytes(wanted)
        options = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
        done = subprocess.run(
            [npm, "install", *options], cwd=folder, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
        return done.stderr if done.returncode else ""

    return kept(f"node-{hashlib.sha256(wanted).hexdigest()[:12]}", install)


def kept(name: str, install: Callable[[Path], str]) -> Path:
    """A folder of that name that is filled once. ``install`` returns why it could not; then the test is skipped."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "frontdesk-tests"
    folder = caches / name
    if not folder.is_dir():
        making = caches / f"{name}.{os.getpid()}"
        making.mkdir(parents=True)
        problem = install(making)
        if problem:
            shutil.rmtree(making)
            pytest.skip(f"it cannot be installed here: {problem.strip()[-200:]}")
        try:
            making.rename(folder)
        except OSError:  # another test run was first
            shutil.rmtree(making)
    return folder


def test_the_node_sdk(house: House, node: Path, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node / "node_modules")
    shutil.copy(CLIENTS / "node_sdk.mjs", tmp_path)
    assert run(house, "node", "node_sdk.mjs", folder=tmp_path).splitlines() == [
        "answer: You said: hello", "same conversation: true", "streamed: You said: hello again",
        "resumed: response.completed completed", "cancelled: true", "items: 3", "chat: true", "socket: completed",
        "refused: 404 model_not_found",
    ]  # fmt: skip


def test_curl(house: House) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not here")
    shown = run(house, "sh", "curl.sh")
    assert '"id":"house"' in shown
    assert shown.count("You said: hello") >= 3
    assert "event: response.completed" in shown
    assert '"object":"chat.completion"' in shown


def test_websocat(house: House) -> None:
    if shutil.which("websocat") is None:
        pytest.skip("websocat is not here")
    assert '"type":"response.completed"' in run(house, "sh", "websocat.sh", SECONDS_OPEN="1")


@pytest.fixture(scope="module")
def agents_sdk() -> Path:
    """A folder with the OpenAI Agents SDK of the version that is measured beside, and what it needs; kept for the next
    time."""
    (wanted,) = re.findall(r"^openai-agents==[\d.]+", LOCK.read_text("utf-8"), re.MULTILINE)
    uv = shutil.which("uv")
    if uv is None and find_spec("pip") is None:
        pytest.skip("neither uv nor pip is here")
    installer = [uv, "pip", "install", "--quiet"] if uv else [sys.executable, "-m", "pip", "install", "--quiet"]
    python = ["--python", sys.executable] if uv else ["--disable-pip-version-check"]

    def install(folder: Path) -> str:
        command = [*installer, *python, "--target", str(folder), wanted]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
        return done.stderr if done.returncode else ""

    return kept(f"{wanted}-{sys.version_info.major}.{sys.version_info.minor}", install)


@pytest.mark.parametrize("model", ["OpenAIResponsesModel", "OpenAIResponsesWSModel"])
def test_openai_agents(house: House, agents_sdk: Path, tmp_path: Path, model: str) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (CLIENTS / "README.md").read_text("utf-8"), re.S)
    (tmp_path / "example.py").write_text(block.replace("OpenAIResponsesModel", model), "utf-8")
    shown = run(house, sys.executable, "example.py", folder=tmp_path, PYTHONPATH=str(agents_sdk))
    assert shown.splitlines() == ["answer: Cold in Oslo.", "and then: You said: thanks"]
