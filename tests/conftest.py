"""What every test relies on, and nothing else: reproducible property tests, and an environment without anybody's keys.

Fixtures that belong to one room lie in that room's test file.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["frontdesk.tests.databases"]

# No test may depend on the machine's speed; a failure prints the line that repeats it.
settings.register_profile("frontdesk", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("frontdesk")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] # pytest calls it
    """A key or setting of the developer's shell must neither reach a provider nor change a result."""
    for name in os.environ:
        if name.startswith(("OPENAI_", "FRONTDESK_")):
            monkeypatch.delenv(name)
