"""Rounds: each subject is measured in a process of its own, in turn. What a subject does is its own module's business.

A subject's process prints its figures as one JSON object on its last line. In each round another subject is first, so
that none always runs after the same neighbour.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .figures import Figures, Goal, Table

TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Subject:
    """One row: its name, and the module with the arguments that measure it."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Subjects that are measured in turn, how they are shown, and what is promised."""

    name: str
    subjects: Sequence[Subject]
    tables: Sequence[Table]
    goals: Sequence[Goal] = ()
    about: str = ""
    times: int = 1  # how many rounds make one: many short ones are disturbed less than one long one


class Unavailable(Exception):
    """A subject cannot be measured here; the text says why."""


def environment() -> dict[str, str]:
    """That of this process, without anybody's keys, settings and proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPENAI_", "FRONTDESK_")) and not name.lower().endswith("_proxy")
    }
    return {**kept, "NO_PROXY": "127.0.0.1"}


def run_subject(subject: Subject, *, quick: bool) -> Figures:
    """Measures one subject once. Raises Unavailable, RuntimeError with the end of what its process wrote."""
    command = [sys.executable, "-m", subject.module, *subject.arguments]
    done = subprocess.run(
        command + ["--quick"] * quick, capture_output=True, text=True, timeout=TIMEOUT, env=environment(), check=False
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"{subject.name} ended with {done.returncode}: {done.stderr.strip()[-2_000:]}")
    found: Any = json.loads(lines[-1])
    if "unavailable" in found:
        raise Unavailable(found["unavailable"])
    return cast("Figures", found)


def measure(
    subjects: Sequence[Subject], rounds: int, *, quick: bool, say: Callable[[str], None]
) -> dict[str, list[Figures]]:
    """All subjects, ``rounds`` times. One that cannot be measured is said and left out."""
    found: dict[str, list[Figures]] = {}
    left = list(subjects)
    for number in range(rounds):
        turn = number % max(1, len(left))
        for subject in left[turn:] + left[:turn]:
            say(f"round {number + 1}/{rounds}: {subject.name}")
            try:
                found.setdefault(subject.name, []).append(run_subject(subject, quick=quick))
            except Unavailable as reason:
                say(f"left out: {subject.name} ({reason})")
                found.pop(subject.name, None)
                left = [one for one in left if one is not subject]
    return found


def show(figures: Figures) -> None:
    """How a subject's process hands over what it has measured."""
    print(json.dumps({key: round(value, 6) for key, value in figures.items()}), flush=True)


def unavailable(reason: str) -> None:
    """How a subject's process says that it cannot be measured here."""
    print(json.dumps({"unavailable": reason}), flush=True)
