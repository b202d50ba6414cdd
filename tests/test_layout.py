"""The shape of the repository: what may import what, what is installed, what an import costs, what is documented.

Everything is read from the source with ``ast``, so imports inside functions and under ``TYPE_CHECKING`` count as well.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STOREYS = ("tasks", "broker", "agents", "server")  # from the lowest to the highest
OUTSIDE = ("tests", "examples", "bench")
LONGER_THAN_300_LINES: frozenset[str] = frozenset()
HEAVY = ("alembic", "cronsim", "openai", "aiohttp", "griffe", "typer", "rich", "starlette", "uvicorn")


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    """``tasks/states.py`` is ``frontdesk.tasks.states``, ``tasks/__init__.py`` is ``frontdesk.tasks``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("frontdesk", *(parts[:-1] if parts[-1] == "__init__" else parts)))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def our_modules() -> frozenset[str]:
    return frozenset(module(path) for path in files(*STOREYS, *OUTSIDE))


def import_statements(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.Import | ast.ImportFrom))


def source_of(node: ast.ImportFrom, path: Path) -> str:
    """The absolute name of what stands after ``from``."""
    if not node.level:
        return node.module or ""
    package = module(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    package = package[: len(package) - (node.level - 1)]
    return ".".join((*package, node.module) if node.module else package)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of each import of a file; ``from a import b`` is ``a.b`` when that is a module of ours."""
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
            continue
        source = source_of(node, path)
        for alias in node.names:
            name = f"{source}.{alias.name}"
            yield node.lineno, name if name in our_modules() else source


def storey(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "frontdesk" else None


def git(*arguments: str) -> str:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("what git records can only be checked in a git checkout")
    # The checkout may belong to someone else (a container's volume): reading it is harmless.
    command = ["git", "-c", f"safe.directory={ROOT}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def python(code: str, folder: Path) -> str:
    """What ``code`` prints in a fresh interpreter that starts in ``folder``."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def imports_of(modules: list[str], watched: tuple[str, ...], folder: Path) -> str:
    """Which of ``watched`` are imported by importing ``modules``, as a printed list."""
    return python(
        f"import sys, {', '.join(modules)}; print([name for name in {watched!r} if name in sys.modules])", folder
    )


# --- imports


def test_the_root_module_imports_nothing() -> None:
    assert list(import_statements(ROOT / "__init__.py")) == []


def test_inside_the_storeys_imports_of_ours_are_relative() -> None:
    absolute = [
        f"{relative(path)}:{node.lineno}"
        for path in files(*STOREYS)
        for node in import_statements(path)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if not getattr(node, "level", 0) and name.split(".")[0] in ("frontdesk", *STOREYS, *OUTSIDE)
    ]
    assert absolute == [], "write `from ..broker.database import Database`"


def test_outside_the_storeys_they_are_imported_by_their_full_name() -> None:
    wrong = [
        f"{relative(path)}:{line} imports {name}"
        for path in files(*OUTSIDE)
        for line, name in imported(path)
        if name.split(".")[0] in STOREYS
    ]
    wrong += [
        f"{relative(path)}:{node.lineno} is relative"
        for path in files(*OUTSIDE)
        for node in import_statements(path)
        if isinstance(node, ast.ImportFrom) and node.level and storey(source_of(node, path)) in (None, *STOREYS)
    ]
    assert wrong == [], "write `from frontdesk.broker.database import Database`"


def test_imports_only_go_down() -> None:
    above = {name: {*STOREYS[rank + 1 :], *OUTSIDE} for rank, name in enumerate(STOREYS)}
    above["server"] = {"tests", "bench"}  # `frontdesk demo` serves the desk of examples/
    upward = [
        f"{relative(path)}:{line} imports {name}"
        for level in STOREYS
        for path in files(level)
        for line, name in imported(path)
        if storey(name) in above[level]
    ]
    assert upward == [], "server -> agents -> broker -> tasks"


def test_no_import_goes_in_a_circle() -> None:
    ours = {module(path): path for path in files(*STOREYS, "examples")}
    graph = {name: {target for _, target in imported(path) if target in ours} for name, path in ours.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " <- ".join(error.args[1])
        pytest.fail(f"import circle: {circle}; a third, lower file is missing")


def test_only_settings_reads_the_environment() -> None:
    readers = {"environ", "environb", "getenv", "getenvb", "pydantic_settings", "dotenv"}
    found = {
        relative(path)
        for path in files(*STOREYS)
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Attribute) and node.attr in readers)
        or (isinstance(node, ast.Import | ast.ImportFrom) and readers & set(re.split(r"\W+", ast.unparse(node))))
    }
    assert found <= {"server/settings.py"}


# --- what is imported and installed


@pytest.mark.parametrize("name", STOREYS)
def test_a_storey_is_not_importable_by_its_bare_name(name: str, tmp_path: Path) -> None:
    find = f"import importlib.util; spec = importlib.util.find_spec({name!r})"
    show = "print(spec and list(spec.submodule_search_locations or [spec.origin]))"
    found = python(f"{find}; {show}", tmp_path)
    found = found.replace(str(ROOT / ".venv"), "")  # what others have installed may well be named so
    assert str(ROOT) not in found, f"`import {name}` reaches this repository: it would shadow other people's module"


def test_importing_agents_does_not_import_what_only_some_need(tmp_path: Path) -> None:
    watched = (*HEAVY, "sqlmodel", "sqlalchemy", "psycopg")
    assert imports_of(["frontdesk.agents"], watched, tmp_path) == "[]", "import it inside the function"


def test_no_room_below_the_server_imports_what_only_some_need(tmp_path: Path) -> None:
    rooms = [module(path) for path in files("tasks", "broker", "agents")]
    assert imports_of(rooms, HEAVY, tmp_path) == "[]", "import it inside the function that needs it"


def test_no_import_at_all_brings_the_client_of_a_provider(tmp_path: Path) -> None:
    assert imports_of([module(path) for path in files(*STOREYS)], ("openai",), tmp_path) == "[]", "it takes 0.7 s"


def test_the_link_that_gives_the_package_its_name_is_a_link() -> None:
    mode, _, _, path = git("ls-files", "-s", ".dev/frontdesk").split()
    assert (mode, path) == ("120000", ".dev/frontdesk")
    assert (ROOT / ".dev" / "frontdesk").resolve() == ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel that is built from this checkout, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_frontdesk_and_its_metadata_alone(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {re.sub(r"-.*\.dist-info$", ".dist-info", top) for top in tops} == {"frontdesk", "frontdesk.dist-info"}


def test_the_wheel_holds_every_module_and_data_file(wheel: set[str]) -> None:
    packed = ("__init__.py", "py.typed", *STOREYS, "examples")
    listed = git("ls-files", "--cached", "--others", "--exclude-standard", "--", *packed).splitlines()
    expected = {f"frontdesk/{name}" for name in listed if (ROOT / name).is_file()}
    assert {name for name in wheel if name.startswith("frontdesk/")} == expected


def test_every_library_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *(r for rs in project["optional-dependencies"].values() for r in rs)]
    declared = {re.split(r"[\[<>=!~; ]", requirement)[0].replace("-", "_") for requirement in requirements}
    comes_with = {
        "sqlalchemy": "sqlmodel",
        "pydantic_core": "pydantic",
        "typing_extensions": "pydantic",
        "click": "typer",
        "httpx2": "openai",
        "jwt": "pyjwt",
        "aiohttp": "openai",  # its extra
    }
    missing = {
        f"{relative(path)}:{line} imports {name}"
        for path in files(*STOREYS, "examples")
        for line, name in imported(path)
        if (top := name.split(".")[0]) not in {"frontdesk", *sys.stdlib_module_names, *declared}
        and comes_with.get(top) not in declared
    }
    assert missing == set(), "name it in pyproject.toml, with its sentence in docs/dependencies.md"


# --- what is written down


def test_every_dependency_has_its_sentence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = (project["project"]["dependencies"], project["dependency-groups"]["dev"])
    names = [re.split(r"[\[<>=!~; ]", requirement)[0] for group in groups for requirement in group]
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert [name for name in names if f"**{name}**" not in text] == [], "docs/dependencies.md says why each is here"


def test_every_room_is_in_the_architecture() -> None:
    """Each file of the four folders is named there by its path, and each path that is named there exists."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(rf"`((?:{'|'.join(STOREYS)})/[\w/]+\.\w+)`", text))
    rooms = {relative(path) for path in files(*STOREYS) if path.name != "__init__.py"}
    assert rooms - named == set(), "add a line for each of these files to the rooms of docs/architecture.md"
    assert {name for name in named if not (ROOT / name).is_file()} == set(), "docs/architecture.md names missing files"


def test_every_module_says_what_belongs_there() -> None:
    silent = [relative(path) for path in files(*STOREYS, "examples", "bench") if not ast.get_docstring(tree(path))]
    assert silent == [], "the first lines of a module say what belongs there and what never will"


def test_a_file_is_one_noun_of_at_most_300_lines() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files(*STOREYS)}
    assert {name for name, lines in lengths.items() if lines > 300} == LONGER_THAN_300_LINES


def test_the_lock_names_no_registry() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if re.search(r"://|^-|find-links|index-url| @ ", line)] == []


# --- what belongs together


def test_whoever_removes_a_conversation_removes_all_that_is_its_own() -> None:
    """Every table with a ``conversation_id`` is named where rows of conversations are deleted."""
    owned = {
        node.name
        for path in files("tasks", "broker", "agents", "server")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and any(word.arg == "table" for word in node.keywords)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and ast.unparse(field.target) == "conversation_id"
    }
    assert {"Item", "Task", "LogRow"} <= owned
    texts = {relative(path): path.read_text("utf-8") for path in files("broker", "agents", "server")}
    removing = {name: text for name, text in texts.items() if "sa.delete(conversation)" in text}
    assert removing
    left = {name: {one for one in owned if not re.search(rf"\b{one}\b", text)} for name, text in removing.items()}
    assert {name: tables for name, tables in left.items() if tables} == {}
