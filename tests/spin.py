"""Runs SPIN on the models in docs/model. ``python -m frontdesk.tests.spin``, or ``make model``, prints the results."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODELS: Final = Path(__file__).resolve().parent.parent / "docs" / "model"
MEGABYTES: Final = 1_000
SECONDS: Final = 120  # for one program; it takes a few
MISSING: Final = "SPIN and a C compiler check the models: `apt-get install spin gcc` (or `brew install spin`)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One checker, compiled from a model. ``bug``: a mistake that SPIN must find, or something that must be possible.

    Without ``ltl``: assertions and end states.
    """

    model: str
    scene: tuple[str, ...] = ()
    bug: str = ""
    ltl: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one run of a checker said. ``trail``: the steps that lead to the error, if there is one."""

    name: str
    errors: int
    is_complete: bool
    states: int
    depth: int
    megabytes: float
    seconds: float
    error: str
    has_trail: bool


SMALL: Final = ("TASKS=3", "INPUTS=2")
CHAIN: Final = ("TASKS=6", "CHAIN")
CORRECT: Final = (
    Check(model="slots", scene=("TASKS=4", "NOBODY_CANCELS")),
    Check(model="slots", scene=SMALL),
    Check(model="slots", scene=SMALL, ltl=("answered", "woken", "all_end", "cancel_goes_through")),
    Check(model="slots", scene=CHAIN, ltl=("all_end",)),
    Check(model="slots", scene=(*SMALL, "STUCK")),
    Check(model="slots", scene=(*SMALL, "STUCK"), ltl=("answered",)),
    Check(model="channels"),
    Check(model="channels", ltl=("reader_returns", "reader_hears", "answered", "cancel_goes_through")),
    Check(model="locks"),
    Check(model="locks", scene=("MERGED",)),
)
BUGS: Final = (
    Check(model="channels", bug="READER_WAITS_FOR_WRITER"),
    Check(model="channels", bug="RUN_WAITS_FOR_CLIENT"),
    Check(model="channels", bug="INBOX_BLOCKS"),
    Check(model="channels", bug="WRITER_HOLDS_A_QUEUE"),
    Check(model="channels", bug="ONE_WRITER_FOR_ALL"),
    Check(model="channels", bug="CONTROL_QUEUES_BEHIND_WORK"),
    Check(model="slots", scene=CHAIN, bug="WAIT_HOLDS_SLOT"),
    Check(model="slots", scene=SMALL, bug="WAITS_IN_A_CIRCLE"),
    Check(model="slots", scene=(*SMALL, "STUCK"), bug="ONE_KIND_OF_SLOT"),
    Check(model="slots", scene=CHAIN, bug="CHAINS_ARE_SHORT"),
    Check(model="locks", bug="PARK_DOES_NOT_LOCK"),
    Check(model="locks", bug="FINISH_LOCKS_IN_ANY_ORDER"),
    Check(model="locks", bug="WAKE_WAITS_FOR_A_LOCK"),
    Check(model="locks", scene=("MERGED",), bug="MERGED_LOOKS_BEFORE_IT_LOCKS"),
)


def missing() -> list[str]:
    """Which of the programs that are needed are not installed."""
    return [name for name in ("spin", "gcc") if shutil.which(name) is None]


def names(check: Check) -> list[str]:
    """The names of a check's runs, one for each of its properties."""
    scene = " ".join((check.model, *check.scene))
    return [f"{scene}: {one}" for one in (check.ltl or (check.bug or "assertions",))]


def run(check: Check) -> list[Found]:
    """Compiles a checker and runs it for each of its properties. Raises CalledProcessError, TimeoutExpired."""
    with tempfile.TemporaryDirectory() as folder:
        source = shutil.copy(MODELS / f"{check.model}.pml", folder)
        defines = [f"-D{name}" for name in (*check.scene, check.bug) if name]
        _said(["spin", *defines, "-a", source], folder)
        safety = [] if check.ltl else ["-DSAFETY", "-DNOCLAIM"]
        optimised = "-O1" if len(check.ltl) > 1 else "-O0"  # to optimise takes longer than one run
        _said(["gcc", optimised, "-w", f"-DMEMLIM={MEGABYTES}", *safety, "-o", "pan", "pan.c"], folder)
        found: list[Found] = []
        for name, ltl in zip(names(check), check.ltl or ("",), strict=True):
            command = ["./pan", "-m20000", "-w22", *(("-a", "-N", ltl) if ltl else ())]
            found.append(_read(name, _said(command, folder), has_trail=Path(f"{source}.trail").is_file()))
        return found


def _said(command: list[str], folder: str) -> str:
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=SECONDS)
    return done.stdout


def _read(name: str, said: str, *, has_trail: bool) -> Found:
    def number(pattern: str) -> float:
        match = re.search(pattern, said)
        return float(match[1]) if match else 0.0

    error = re.search(r"pan:1: (.*) \(at depth", said)
    return Found(
        name=name,
        errors=int(number(r"errors: (\d+)")),
        is_complete="Search not completed" not in said and "max search depth too small" not in said,
        states=int(number(r"(\d+) states, stored")),
        depth=int(number(r"depth reached (\d+)")),
        megabytes=number(r"([\d.]+)\s+total actual memory usage"),
        seconds=number(r"elapsed time ([\d.]+) seconds"),
        error=error[1] if error else "",
        has_trail=has_trail,
    )


def run_all() -> Iterator[tuple[Check, list[Found]]]:
    """Every check, as many at once as there are processors."""
    checks = (*CORRECT, *BUGS)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
        yield from zip(checks, pool.map(run, checks), strict=True)


def is_right(check: Check, found: Found) -> bool:
    """Whether a mistake was found with its trail, or the whole model was searched and there is none."""
    if check.bug:
        return found.errors == 1 and found.has_trail
    return found.errors == 0 and found.is_complete and found.states > 0


def main() -> int:
    """Prints one line for each run. Exit codes: 0 all is as it must be, 1 it is not, 2 a program is missing."""
    if missing():
        sys.stderr.write(MISSING + "\n")
        return 2
    wrong = 0
    sys.stdout.write(f"{'':58} {'states':>9} {'depth':>6} {'MB':>5} {'s':>5}\n")
    for check, runs in run_all():
        for found in runs:
            right = is_right(check, found)
            wrong += not right
            verdict = ("found" if check.bug else "holds") if right else "WRONG " + found.error
            sizes = f"{found.states:9,} {found.depth:6,} {found.megabytes:5.0f} {found.seconds:5.1f}"
            sys.stdout.write(f"{found.name:58} {sizes}  {verdict}\n")
            sys.stdout.flush()
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
