"""``frontdesk new`` and ``frontdesk check``, as somebody who begins a desk uses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from frontdesk.tests import forked

PROGRAM = [sys.executable, "-c", "from frontdesk.server.cli import main; main()"]
SECONDS = 120


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *arguments]
    return forked.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_a_new_desk_is_in_order_and_its_tests_pass(tmp_path: Path) -> None:
    made = run(tmp_path, "new", "shop")
    assert (made.returncode, made.stderr) == (0, "")
    assert "frontdesk chat shop_desk:desk" in made.stdout
    folder = tmp_path / "shop"
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "shop_desk.py", "test_shop_desk.py"]
    checked = run(folder, "check", "shop_desk:desk", "--strict", "--svg", "desk.svg")
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith(
        "shop: 2 agents, 1 task function\n  triage (is asked first): hands over to orders;"
    )
    assert "nothing is wrong" in checked.stdout
    assert (folder / "desk.svg").read_text(encoding="utf-8").startswith("<svg ")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "2 passed" in tested.stdout


def test_nothing_is_overwritten_and_a_name_has_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mine.txt").write_text("mine")
    refused = run(tmp_path, "new", "shop")
    assert refused.returncode == 5
    assert "is not empty" in refused.stderr
    assert [file.name for file in (tmp_path / "shop").iterdir()] == ["mine.txt"]
    for name in ("My Shop", "class", "7up", "../shop"):
        assert run(tmp_path, "new", name).returncode == 5


@pytest.fixture
def careless(tmp_path: Path) -> Path:
    (tmp_path / "careless.py").write_text(
        "from frontdesk.agents import Agent, Desk\n"
        "desk = Desk(Agent('clerk', 'You help.'), agents=[Agent('lonely', 'You wait.')])\n"
    )
    return tmp_path


def test_warnings_fail_when_they_are_to(careless: Path) -> None:
    lenient = run(careless, "check", "careless:desk")
    assert lenient.returncode == 0
    assert "warning: agent lonely: nobody hands over" in lenient.stdout
    assert run(careless, "check", "careless:desk", "--strict").returncode == 1
    found = json.loads(run(careless, "check", "careless:desk", "--json").stdout)
    assert [agent["name"] for agent in found["agents"]] == ["clerk", "lonely"]
    assert found["findings"][0]["level"] == "warning"
    drawn = run(careless, "check", "careless:desk", "--mermaid", "-")
    assert drawn.stdout.startswith("flowchart LR")


def test_a_desk_that_cannot_work_is_an_error(careless: Path) -> None:
    (careless / "wrong.py").write_text(
        "from frontdesk.agents import Agent, Desk\ndesk = Desk(Agent('clerk', 'You help.', handoffs=['nobody']))\n"
    )
    refused = run(careless, "check", "wrong:desk")
    assert refused.returncode == 5
    assert "'nobody', which is not an agent of this desk" in refused.stderr
