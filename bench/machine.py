"""What the figures were measured on: the machine, the versions, and how fast both were just then."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
import time
from importlib import metadata
from pathlib import Path

from .figures import Figures, quantile

PACKAGES = (
    "openai",
    "aiohttp",
    "websockets",
    "uvicorn",
    "starlette",
    "sqlmodel",
    "sqlalchemy",
    "pydantic",
    "anyio",
    "psycopg",
    "huey",
    "asyncpg",
    "pgqueuer",
    "procrastinate",
    "saq",
)


def version(package: str) -> str | None:
    """The version that is installed, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def described() -> str:
    """Lines for the head of a report."""
    installed = [f"{name} {found}" for name in PACKAGES if (found := version(name))]
    return "\n".join(
        (
            f"- {_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
            f"- Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
            f"- {', '.join(installed)}",
        )
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def calibration(quick: bool) -> Figures:
    """The speed of plain Python, and of one durable append: when these move, so does everything else."""
    loops = 100_000 if quick else 3_000_000
    began, total = time.perf_counter(), 0
    for number in range(loops):
        total += number & 3
    python = loops / (time.perf_counter() - began) / 1e6
    seconds: list[float] = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(10 if quick else 200):
            began = time.perf_counter()
            os.write(file.fileno(), b"x" * 4096)
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    return {"python": python, "sync_p50": quantile(seconds, 0.5) * 1e3, "sync_p99": quantile(seconds, 0.99) * 1e3}
