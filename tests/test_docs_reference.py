"""The reference is what the docstrings say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_reference_is_that_of_this_code() -> None:
    command = [sys.executable, str(ROOT / ".dev" / "reference.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == (ROOT / "docs" / "reference.md").read_text(encoding="utf-8"), "run: make reference"
