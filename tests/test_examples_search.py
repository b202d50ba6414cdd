from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from frontdesk.examples.front_desk.folder import Folder, Place
from frontdesk.examples.front_desk.search import find_files, list_files, name_filter, read_head, search_files
from frontdesk.tasks import ToolError

TOP = Place(".")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    for name, content in {
        "readme.md": "Front desk\nsecond line\n",
        "sales/2024/may.csv": "day,total\n1,20\n",
        "sales/june.csv": "day,total\n1,40\n",
        "photo.bin": "\0\1",
        "notes/Mayor.txt": "The MAYOR may speak\nnothing\nmay again\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return Folder(tmp_path)


def test_a_folder_is_listed(folder: Folder) -> None:
    listing = list_files(folder, TOP)
    assert [(file.path, file.kind) for file in listing.files] == [
        ("notes", "directory"),
        ("photo.bin", "file"),
        ("readme.md", "file"),
        ("sales", "directory"),
    ]
    assert (listing.files[2].size, listing.files[2].modified[:2]) == (23, "20")


def test_a_long_listing_is_cut_and_says_how_many_there_are(tmp_path: Path) -> None:
    for number in range(201):
        (tmp_path / f"{number:03}").touch()
    listing = list_files(Folder(tmp_path), TOP)
    assert (listing.found, len(listing.files)) == (201, 200)


def test_a_time_that_no_calendar_has_does_not_break_a_listing(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    os.utime(tmp_path / "a", (-5, -5))
    assert list_files(Folder(tmp_path), TOP).files[0].modified == "1970-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.csv", ["sales/2024/may.csv", "sales/june.csv"]),
        ("*.CSV", ["sales/2024/may.csv", "sales/june.csv"]),
        ("may", ["notes/Mayor.txt", "sales/2024/may.csv"]),
        ("sales/*.csv", ["sales/june.csv"]),
        ("sales/**/*.csv", ["sales/2024/may.csv", "sales/june.csv"]),
        ("**/may.csv", ["sales/2024/may.csv"]),
        ("sales/**", ["sales/2024/may.csv", "sales/june.csv"]),
        ("sales/**/**/may.csv", ["sales/2024/may.csv"]),
        ("./readme.md", ["readme.md"]),
        ("r?adme.[mn]d", ["readme.md"]),
        ("nothing*", []),
    ],
)
def test_files_are_found_by_name_and_path(folder: Folder, pattern: str, found: list[str]) -> None:
    assert [file.path for file in find_files(folder, pattern, TOP).files] == found


def test_a_pattern_counts_from_the_folder_that_is_searched(folder: Folder) -> None:
    assert [file.path for file in find_files(folder, "2024/*", folder.locate("sales")).files] == ["sales/2024/may.csv"]


def test_stars_do_not_make_a_pattern_slow() -> None:
    fits = name_filter("/".join(["**"] * 40 + ["x"]))
    assert not fits("/".join("abcdefghij"))
    assert not name_filter("*a" * 30)("a" * 60 + "b")


def test_the_head_of_a_file(folder: Folder) -> None:
    head = read_head(folder, Place("readme.md"), 1)
    assert (head.lines, head.more, head.encoding) == (("Front desk",), True, "utf-8")
    assert not read_head(folder, Place("readme.md"), 2).more
    assert read_head(folder, Place("readme.md"), -3).lines == ("Front desk",)


def test_a_long_line_and_many_lines_are_cut(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x" * 3_000_000 + "\n" + "y\n" * 500)
    head = read_head(Folder(tmp_path), Place("a"), 1_000)
    assert len(head.lines) == 200
    assert head.lines[0] == "x" * 500 + " …"


def test_the_head_of_something_else_is_refused(folder: Folder) -> None:
    for name, words in (("photo.bin", "binary"), ("sales", "is a folder"), ("absent", "There is no")):
        with pytest.raises(ToolError, match=words):
            read_head(folder, Place(name), 5)


def test_text_is_found_in_either_case(folder: Folder) -> None:
    result = search_files(folder, "may", "*", TOP)
    assert [(match.path, match.line, match.text) for match in result.matches] == [
        ("notes/Mayor.txt", 1, "The MAYOR may speak"),
        ("notes/Mayor.txt", 3, "may again"),
    ]
    assert (result.complete, result.files_searched) == (True, 5)


def test_the_files_that_are_searched_can_be_narrowed(folder: Folder) -> None:
    assert list(search_files(folder, "may", "*.csv", TOP).matches) == []
    assert len(search_files(folder, "total", "*.csv", TOP).matches) == 2
    assert len(search_files(folder, "total", "*", folder.locate("sales/2024")).matches) == 1
    assert len(search_files(folder, "may", "*", folder.locate("notes/Mayor.txt")).matches) == 2


def test_a_search_for_nothing_is_refused(folder: Folder) -> None:
    with pytest.raises(ToolError, match="which text"):
        search_files(folder, "  ", "*", TOP)


def test_many_matches_are_cut_and_that_is_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("match\n" * 51)
    result = search_files(Folder(tmp_path), "match", "*", TOP)
    assert (len(result.matches), result.complete, result.files_searched) == (50, False, 1)


def test_exactly_as_many_matches_as_are_shown_are_complete(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("match\n" * 50)
    assert search_files(Folder(tmp_path), "match", "*", TOP).complete


def test_looking_stops_in_time_and_says_so(folder: Folder) -> None:
    slow = itertools.count(step=6.0)
    assert not find_files(folder, "*", TOP, clock=lambda: next(slow)).complete
    assert not search_files(folder, "may", "*", TOP, clock=lambda: next(slow)).complete
