"""The long jobs on files, as tasks. They only read, so running one again after a crash does no harm: ``idempotent``."""

from __future__ import annotations

from frontdesk.tasks import TaskContext, task

from . import checksum, duplicates, index, profile
from .checksum import TreeChecksum
from .duplicates import DuplicateReport
from .index import TreeIndex
from .profile import CsvProfile
from .services import Services
from .steps import run_steps

HOURS = 3600.0


@task(
    title="Profile a CSV file",
    idempotent=True,
    timeout=12 * HOURS,
    keywords=("statistics", "columns", "quantiles", "mean", "통계", "분석"),
)
async def profile_csv(path: str, *, header: bool | None = None, context: TaskContext[Services]) -> CsvProfile:
    """Describes every column of a CSV file of any size: type, missing and distinct values, range, mean, quantiles.

    Args:
        path: The file, relative to the desk's folder.
        header: Whether the first row names the columns; null to find out.
    """
    folder = context.dependencies.folder
    return await run_steps(profile.profile_csv(folder, folder.locate(path), header=header), context.progress)


@task(
    title="Find duplicate files",
    idempotent=True,
    timeout=12 * HOURS,
    keywords=("duplicate files", "identical", "copies", "중복", "중복 파일"),
)
async def find_duplicates(*, path: str = ".", context: TaskContext[Services]) -> DuplicateReport:
    """Finds files with the same content in a folder and all folders below it.

    Args:
        path: The folder.
    """
    folder = context.dependencies.folder
    return await run_steps(duplicates.find_duplicates(folder, folder.locate(path)), context.progress)


@task(
    title="Index a folder",
    idempotent=True,
    timeout=12 * HOURS,
    keywords=("count", "words", "biggest", "largest", "extensions", "색인", "단어"),
)
async def index_tree(*, path: str = ".", context: TaskContext[Services]) -> TreeIndex:
    """Counts a folder and all below it: files and bytes per extension, biggest files, words and the most frequent ones.

    Args:
        path: The folder.
    """
    folder = context.dependencies.folder
    return await run_steps(index.index_tree(folder, folder.locate(path)), context.progress)


@task(
    title="Checksum a folder",
    idempotent=True,
    timeout=12 * HOURS,
    keywords=("sha256", "hash", "fingerprint", "체크섬"),
)
async def checksum_tree(*, path: str = ".", context: TaskContext[Services]) -> TreeChecksum:
    """Computes SHA-256 of every file in a folder and all below it, and one checksum of the whole.

    Args:
        path: The folder.
    """
    folder = context.dependencies.folder
    return await run_steps(checksum.checksum_tree(folder, folder.locate(path)), context.progress)


FILE_TASKS = (profile_csv, find_duplicates, index_tree, checksum_tree)
