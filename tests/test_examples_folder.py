from __future__ import annotations

import os
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from frontdesk.examples.front_desk.folder import HAS_DESCRIPTORS, Folder, Place, shown
from frontdesk.tasks import ToolError

BOTH_WAYS = pytest.mark.parametrize(
    "descriptors",
    [
        pytest.param(True, marks=pytest.mark.skipif(not HAS_DESCRIPTORS, reason="the system has no openat")),
        False,
    ],
)
SECRET = b"outside the folder"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with files, beside a secret that must never be read through it."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "deep.txt").write_bytes(SECRET)
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"a")
    (root / "sub" / "b.txt").write_bytes(b"b")
    return root


def read(folder: Folder, name: str) -> bytes:
    with folder.open(folder.locate(name)) as file:
        return file.read()


@BOTH_WAYS
@pytest.mark.parametrize("name", ["a.txt", "./a.txt", "sub/../a.txt", "sub//..//a.txt"])
def test_a_file_inside_is_read_however_its_path_is_written(root: Path, name: str, descriptors: bool) -> None:
    assert read(Folder(root, descriptors=descriptors), name) == b"a"


def test_an_absolute_path_inside_the_folder_is_fine(root: Path) -> None:
    assert Folder(root).locate(str(root / "sub" / "b.txt")) == "sub/b.txt"


def test_a_link_inside_the_folder_to_another_file_inside_is_followed(root: Path) -> None:
    (root / "link").symlink_to("sub/b.txt")
    assert Folder(root).locate("link") == "sub/b.txt"
    assert read(Folder(root), "link") == b"b"


def test_the_folder_itself_may_be_given_as_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    folder = Folder(tmp_path / "alias")
    assert read(folder, "a.txt") == b"a"
    assert folder.locate(".") == "."
    assert folder.locate("") == "."


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "sub/../../secret.txt",
        "..",
        "/",
        "/etc/passwd",
        "../root-but-longer/x",
        "to-file",
        "to-folder/deep.txt",
        "to-folder",
        "twice",
        "sub/up/secret.txt",
    ],
)
def test_what_leads_outside_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "root-but-longer").mkdir()
    (root / "to-file").symlink_to(tmp_path / "secret.txt")
    (root / "to-folder").symlink_to("../outside")
    (root / "twice").symlink_to("to-folder/deep.txt")
    (root / "sub" / "up").symlink_to("../..")
    with pytest.raises(ToolError, match="outside the folder"):
        Folder(root).locate(name)


def test_an_absolute_path_outside_is_refused_even_if_it_begins_like_the_folder(root: Path) -> None:
    with pytest.raises(ToolError, match="outside the folder"):
        Folder(root).locate(f"{root}-but-longer")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_cannot_be_a_path_is_refused(root: Path, name: str) -> None:
    with pytest.raises(ToolError, match="is not a path"):
        Folder(root).locate(name)


@BOTH_WAYS
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.csv", "There is no 'absent.csv'"),
        ("absent/x.csv", "There is no"),
        ("sub", "is a folder, not a file"),
        (".", "is a folder, not a file"),
        ("a.txt/x", "not a folder, or a part of its path"),
        ("circle", "circle"),
        ("x" * 5000, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_opened_is_explained(root: Path, name: str, words: str, descriptors: bool) -> None:
    (root / "circle").symlink_to("circle")
    with pytest.raises(ToolError, match=words):
        read(Folder(root, descriptors=descriptors), name)


@BOTH_WAYS
def test_a_pipe_or_socket_is_refused_without_waiting_for_its_other_end(root: Path, descriptors: bool) -> None:
    os.mkfifo(root / "pipe")
    folder = Folder(root, descriptors=descriptors)
    with pytest.raises(ToolError, match="not a regular file"):
        read(folder, "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket"))
        with pytest.raises(ToolError, match="cannot be read"):
            read(folder, "socket")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_explained(root: Path) -> None:
    (root / "a.txt").chmod(0)
    with pytest.raises(ToolError, match="permission denied"):
        read(Folder(root), "a.txt")


@BOTH_WAYS
def test_a_file_exchanged_for_a_link_after_the_check_is_not_followed(
    root: Path, tmp_path: Path, descriptors: bool
) -> None:
    folder = Folder(root, descriptors=descriptors)
    place = folder.locate("a.txt")
    (root / "a.txt").unlink()
    (root / "a.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(ToolError, match="became a link"):
        folder.open(place)


@BOTH_WAYS
def test_a_folder_exchanged_for_a_link_after_the_check_is_not_followed(
    root: Path, tmp_path: Path, descriptors: bool
) -> None:
    folder = Folder(root, descriptors=descriptors)
    place = folder.locate("sub/deep.txt")
    (root / "sub").rename(root / "moved")
    (root / "sub").symlink_to(tmp_path / "outside")
    for attempt in (lambda: folder.open(place), lambda: folder.entries(Place("sub"))):
        with pytest.raises(ToolError, match=r"became a link|a file or a link"):
            attempt()


def test_a_folder_that_is_exchanged_for_a_link_again_and_again_never_shows_what_is_outside(
    root: Path, tmp_path: Path
) -> None:
    folder = Folder(root)
    place = folder.locate("sub/b.txt")
    (root / "twin").symlink_to(tmp_path / "outside")
    (tmp_path / "outside" / "b.txt").write_bytes(SECRET)
    stop = threading.Event()

    def exchange() -> None:
        while not stop.is_set():
            (root / "sub").rename(root / "aside")
            (root / "twin").rename(root / "sub")
            (root / "sub").rename(root / "twin")
            (root / "aside").rename(root / "sub")

    seen: set[bytes] = set()
    attacker = threading.Thread(target=exchange)
    attacker.start()
    try:
        for _ in range(3_000):
            try:
                with folder.open(place) as file:
                    seen.add(file.read())
            except ToolError:
                continue
    finally:
        stop.set()
        attacker.join()
    assert SECRET not in seen
    assert read(folder, "sub/b.txt") == b"b"


@BOTH_WAYS
def test_entries_are_sorted_and_links_are_named_but_not_followed(root: Path, descriptors: bool) -> None:
    (root / "link").symlink_to("a.txt")
    os.mkfifo(root / "pipe")
    os.link(root / "a.txt", root / "z.txt")
    entries = Folder(root, descriptors=descriptors).entries(Place("."))
    assert [(entry.name, entry.kind) for entry in entries] == [
        ("a.txt", "file"),
        ("link", "link"),
        ("pipe", "other"),
        ("sub", "directory"),
        ("z.txt", "file"),
    ]
    assert entries[0].identity == entries[4].identity
    assert (entries[0].size, entries[0].links) == (1, 2)


@BOTH_WAYS
def test_entries_of_something_else_than_a_folder_are_refused(root: Path, descriptors: bool) -> None:
    folder = Folder(root, descriptors=descriptors)
    for name in ("a.txt", "absent"):
        with pytest.raises(ToolError, match=r"not a folder|There is no"):
            folder.entries(folder.locate(name))


def test_what_belongs_to_the_desk_is_neither_listed_nor_opened(root: Path) -> None:
    (root / ".desk").mkdir()
    (root / ".desk" / "state.db").write_bytes(SECRET)
    (root / "alias").symlink_to(".desk/state.db")
    folder = Folder(root, hidden=(root / ".desk",))
    assert ".desk" not in [entry.name for entry in folder.entries(Place("."))]
    for name in (".desk/state.db", ".desk", "alias", "sub/../.desk/state.db"):
        with pytest.raises(ToolError, match="belongs to the desk"):
            folder.locate(name)


def test_hiding_what_is_elsewhere_or_everything_hides_nothing(root: Path, tmp_path: Path) -> None:
    folder = Folder(root, hidden=(tmp_path, root, tmp_path / "outside"))
    assert [entry.name for entry in folder.entries(folder.locate("."))] == ["a.txt", "sub"]
    assert read(folder, "sub/b.txt") == b"b"


def test_a_name_that_is_not_utf8_can_be_shown_and_given_back(root: Path) -> None:
    odd = os.fsdecode(b"caf\xe9 \xff.txt")
    try:
        (root / odd).write_bytes(b"odd")
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    folder = Folder(root)
    (place,) = [entry.place for entry in folder.entries(Place(".")) if entry.name == odd]
    assert shown(place) == "caf\\xe9 \\xff.txt"
    assert to_json(shown(place)) == b'"caf\\\\xe9 \\\\xff.txt"'
    assert read(folder, shown(place)) == b"odd"


def test_a_name_that_only_looks_escaped_is_itself(root: Path) -> None:
    (root / "a\\xe9.txt").write_bytes(b"literal")
    assert read(Folder(root), "a\\xe9.txt") == b"literal"


def test_chunks_stop_at_the_limit(root: Path) -> None:
    (root / "big").write_bytes(b"0123456789" * 200_000)
    folder = Folder(root)
    place = folder.locate("big")
    assert [len(chunk) for chunk in folder.chunks(place)] == [1_048_576, 951_424]
    assert b"".join(folder.chunks(place, 11)) == b"01234567890"
    assert list(folder.chunks(place, 0)) == []


NAMES = st.sampled_from(["..", ".", "", "a", "b", "up", "out", "in", "abs", "loop", "secret.txt", "c.txt"])


@settings(deadline=None, max_examples=300)
@given(parts=st.lists(NAMES, max_size=7), absolute=st.booleans())
def test_no_path_ever_leads_to_a_file_outside(parts: list[str], absolute: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(os.path.realpath(name))
        root = top / "root"
        (root / "a" / "b").mkdir(parents=True)
        for inside in (root, root / "a", root / "a" / "b"):
            (inside / "c.txt").write_bytes(b"inside")
        for outside in (top, top / "x"):
            outside.mkdir(exist_ok=True)
            for file in ("secret.txt", "c.txt"):
                (outside / file).write_bytes(SECRET)
        (root / "up").symlink_to("..")
        (root / "out").symlink_to("../x")
        (root / "a" / "in").symlink_to("../a/b")
        (root / "a" / "abs").symlink_to(top / "x")
        (root / "loop").symlink_to("loop")
        folder = Folder(root)
        path = "/".join(parts)
        try:
            content = read(folder, f"{top if parts[:1] == ['..'] else root}/{path}" if absolute else path)
        except ToolError:
            return
        assert content == b"inside"
