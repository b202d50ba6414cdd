"""The models of the channels, checked by SPIN: every rule holds in all their states, and every mistake that was put
into them is found. What they say, and what they leave out, is in docs/model/README.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from frontdesk.tests.spin import BUGS, CORRECT, MISSING, MODELS, Check, is_right, missing, run

ROOT = Path(__file__).resolve().parent.parent
NAMED = re.compile(r"\b(?:tasks|broker|agents|server)/\w+\.py")


needs_spin = pytest.mark.skipif(bool(missing()), reason=f"{' and '.join(missing())} not found. {MISSING}")


def title(check: Check) -> str:
    return " ".join((check.model, *check.scene, check.bug, *check.ltl)).strip()


@needs_spin
@pytest.mark.parametrize("check", CORRECT, ids=title)
def test_the_rules_hold_in_every_state_of_the_model(check: Check) -> None:
    found = run(check)
    assert [one for one in found if not is_right(check, one)] == []
    assert len(found) == len(check.ltl or ("assertions",))


@needs_spin
@pytest.mark.parametrize("check", BUGS, ids=title)
def test_a_mistake_in_the_model_is_found(check: Check) -> None:
    (found,) = run(check)
    assert is_right(check, found), found


@pytest.mark.parametrize("model", ["channels", "slots", "locks"])
def test_a_model_names_files_that_exist(model: str) -> None:
    named = set(NAMED.findall((MODELS / f"{model}.pml").read_text("utf-8")))
    assert named, "each part says which code it stands for"
    assert {name for name in named if not (ROOT / name).is_file()} == set()


def test_every_mistake_is_checked_for_and_explained() -> None:
    asked = {
        "".join(name)
        for path in MODELS.glob("*.pml")
        for name in re.findall(r"^#ifn?def (\w+)|defined\((\w+)\)", path.read_text("utf-8"), re.MULTILINE)
    }
    known = {check.bug for check in BUGS} | {name.split("=")[0] for check in CORRECT for name in check.scene}
    assert asked == known
    text = (MODELS / "README.md").read_text("utf-8")
    assert {name for name in asked if name not in text} == set()
