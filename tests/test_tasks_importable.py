"""Which functions may run in a process of their own, and what is said of those that may not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

from frontdesk.broker.functions import FunctionRuns
from frontdesk.tasks.errors import InvalidOption
from frontdesk.tasks.importable import found, place_of
from frontdesk.tasks.registry import task
from frontdesk.tests.fakes import heavy


def adds(number: int) -> int:
    return number + 1


async def waits(number: int) -> int:
    return number


class Shop:
    def status(self, number: int) -> int:
        return number


def nested() -> Callable[[int], int]:
    def inner(number: int) -> int:
        return number

    return inner


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (waits, "make it a plain def that computes, or leave out runs_in='process'"),
        (lambda: 1, "a lambda has none; make it a def at the top of its module"),
        (nested(), r"inside nested\(\), where another process cannot find it; move it to the top of its module"),
        (partial(adds, number=1), "a partial has none; write a function at the top of a module that calls it"),
        (Shop().status, "a method has none; write a function at the top of a module that calls it"),
    ],
    ids=["async", "lambda", "nested", "partial", "method"],
)
def test_what_no_process_can_import_is_refused_when_it_is_declared(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(InvalidOption, match=f"job: runs_in='process' is not possible: .*{said}"):
        task(name="job", runs_in="process")(function)


def test_a_function_of_a_script_is_refused_with_what_to_do(tmp_path: Path) -> None:
    script = tmp_path / "jobs.py"
    script.write_text(
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from frontdesk.tasks.registry import task\n"
        "@task(runs_in='process')\ndef job() -> int:\n    return 1\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert "InvalidOption: job: runs_in='process' is not possible: it is defined in the script" in done.stderr
    assert done.stderr.rstrip().endswith("or start the script as a module: python -m jobs")
    done = subprocess.run([sys.executable, "-m", "jobs"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_a_function_is_found_by_its_module_and_name() -> None:
    assert found(*place_of(heavy.adds, name="adds")) is heavy.adds
    assert found(heavy.__name__, "which") is heavy.which
    with pytest.raises(ImportError, match=r"heavy has no nothing; a function with runs_in='process' is imported"):
        found(heavy.__name__, "nothing")


def test_a_worker_refuses_a_function_that_its_process_would_not_find(monkeypatch: pytest.MonkeyPatch) -> None:
    one = task(name="one", runs_in="process")(heavy.adds)
    FunctionRuns({"one": one}, lambda: None)
    monkeypatch.setattr(heavy, "adds", heavy.raises)
    with pytest.raises(InvalidOption, match=r"heavy\.adds is another function by now"):
        FunctionRuns({"one": one}, lambda: None)
    monkeypatch.delattr(heavy, "adds")
    with pytest.raises(InvalidOption, match="heavy has no adds"):
        FunctionRuns({"one": one}, lambda: None)


def test_a_worker_refuses_a_function_of_a_module_that_was_not_imported_by_its_name() -> None:
    module = ModuleType("made_here")
    exec("def job() -> int:\n    return 1\n", vars(module))
    one = task(runs_in="process")(cast("Callable[[], int]", module.job))
    with pytest.raises(InvalidOption, match="its module made_here cannot be imported by that name"):
        FunctionRuns({"job": one}, lambda: None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"runs_in": "cloud"}, "runs_in is 'thread' or 'process', not 'cloud'"),
        ({"memory_limit": 10}, "memory_limit bounds a process; it needs runs_in='process'"),
        ({"memory_limit": 0, "runs_in": "process"}, "memory_limit is in bytes, 1 or more"),
        ({"memory_limit": "1G", "runs_in": "process"}, "memory_limit is in bytes, 1 or more, .* not '1G'"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption, match=f"adds: {said}"):
        task(**options)(heavy.adds)
