"""The files that docs/deployment.md gives to start from: their commands are ones that this version has, with options
that it takes, and every variable is one that it heeds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from frontdesk.server.cli import app
from frontdesk.server.settings import Settings

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "deployment"
COMPOSE = (FOLDER / "compose.yaml").read_text("utf-8")
UNITS = {path.name: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.service"))}
PAGE = (FOLDER.parent / "deployment.md").read_text("utf-8")


def commands() -> list[list[str]]:
    """Every command line of frontdesk in the files and on their page, without its first word."""
    filled = re.sub(r"\$\{DESK:\?[^}]*\}", "shop:desk", COMPOSE)
    found = [json.loads(one) for one in re.findall(r"command: (\[.*\])", filled)]
    found += [line.split() for unit in UNITS.values() for line in re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)]
    found += [line.split("#")[0].split() for line in re.findall(r"^    (frontdesk .*)$", PAGE, re.MULTILINE)]
    assert all(Path(words[0]).name == "frontdesk" for words in found)
    return [words[1:] for words in found]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_of_a_file_to_start_from_is_one_that_this_version_takes(words: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    context = group.make_context("frontdesk", list(words), resilient_parsing=True)
    _, command, rest = group.resolve_command(context, list(words))
    made = command.make_context(words[0], rest)
    assert made.params["desk"] == "shop:desk"


def test_there_are_two_servers_and_four_workers() -> None:
    assert len(commands()) == 2 + 2 + 3
    assert re.findall(r"^  (server\d): \*server$", COMPOSE, re.MULTILINE) == ["server1", "server2"]
    assert re.findall(r"replicas: (\d+)", COMPOSE) == ["4"]
    assert re.findall(r"(server\d):(\d+)", (FOLDER / "Caddyfile").read_text("utf-8")) == [
        (name, str(Settings.model_fields["port"].default or 8765)) for name in ("server1", "server2")
    ]


def test_every_variable_of_a_file_to_start_from_is_a_setting() -> None:
    known = {f"FRONTDESK_{name.upper()}" for name in Settings.model_fields}
    used = set(re.findall(r"FRONTDESK_[A-Z_]+", COMPOSE + "".join(UNITS.values()) + PAGE))
    assert used - known == set()


def test_a_supervisor_waits_longer_than_what_runs_is_given() -> None:
    seconds = re.findall(r"stop_grace_period: (\d+)s", COMPOSE), re.findall(r"GRACE_SECONDS: \"(\d+)\"", COMPOSE)
    assert int(seconds[0][0]) > int(seconds[1][0])
    for unit in UNITS.values():
        (stop,) = re.findall(r"TimeoutStopSec=(\d+)", unit)
        assert int(stop) > 2 * Settings.model_fields["grace_seconds"].default
