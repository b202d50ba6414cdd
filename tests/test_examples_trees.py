from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from frontdesk.examples.front_desk.checksum import TreeChecksum, checksum_tree
from frontdesk.examples.front_desk.duplicates import DuplicateReport, find_duplicates
from frontdesk.examples.front_desk.folder import Folder, Place
from frontdesk.examples.front_desk.index import TreeIndex, extension_of, index_tree
from frontdesk.examples.front_desk.steps import Pace, Progress, Steps, run_now
from frontdesk.examples.front_desk.textfile import open_text
from frontdesk.examples.front_desk.tree import scan
from frontdesk.tasks import ToolError

TOP = Place(".")


def duplicates(root: Path, top: str = ".") -> DuplicateReport:
    return run_now(find_duplicates(Folder(root), Place(top)))


def index(root: Path, top: str = ".") -> TreeIndex:
    return run_now(index_tree(Folder(root), Place(top)))


def checksum(root: Path, top: str = ".") -> TreeChecksum:
    return run_now(checksum_tree(Folder(root), Place(top)))


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def odd_tree(root: Path) -> None:
    """Links, circles, pipes, odd names."""
    write(root, {"a.txt": b"apple pie", "deep/er/b.txt": b"apple pie", "c.bin": b"\0\1\2", "empty": b""})
    (root / "deep" / "circle").symlink_to("..")
    (root / "dangling").symlink_to("nowhere")
    (root / "outside").symlink_to("/etc")
    os.mkfifo(root / "pipe")
    os.link(root / "a.txt", root / "hard link.txt")
    (root / "line\nbreak.txt").write_bytes(b"one")
    try:
        (root / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"two")
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")


def until_reading(steps: Steps[object]) -> Progress:
    """Takes steps until the scan is over and the first file has been read from."""
    for progress in steps:
        if progress.fraction > 0:
            return progress
    raise AssertionError("the job never read anything")


def test_duplicates_of_an_odd_tree(tmp_path: Path) -> None:
    odd_tree(tmp_path)
    report = duplicates(tmp_path)
    assert [same.paths for same in report.groups] == [("a.txt", "deep/er/b.txt")]
    assert (report.hard_links, report.empty_files, report.files, report.wasted_bytes) == (1, 1, 7, 9)
    assert (report.skipped.links, report.skipped.special, report.skipped.unreadable) == (3, 1, 0)
    assert to_json(report)


def test_files_that_differ_only_after_their_beginning_are_not_duplicates(tmp_path: Path) -> None:
    long = b"x" * 100_000
    write(tmp_path, {"a": long + b"1", "b": long + b"2", "c": long + b"1", "d": long})
    report = duplicates(tmp_path)
    assert [same.paths for same in report.groups] == [("a", "c")]
    assert report.wasted_bytes == 100_001


def test_the_groups_that_waste_the_most_come_first(tmp_path: Path) -> None:
    write(tmp_path, {"a1": b"12", "a2": b"12", "a3": b"12", "b1": b"123", "b2": b"123", "c1": b"ab", "c2": b"ab"})
    assert [(same.files, same.size) for same in sorted(duplicates(tmp_path).groups, key=lambda same: -same.wasted)] == [
        (3, 2),
        (2, 3),
        (2, 2),
    ]


def test_duplicates_below_one_folder(tmp_path: Path) -> None:
    write(tmp_path, {"in/a": b"1", "in/b": b"1", "out/c": b"1"})
    assert [same.paths for same in duplicates(tmp_path, "in").groups] == [("in/a", "in/b")]


CONTENTS = st.sampled_from([b"", b"a", b"b", b"aa", b"x" * 16_384, b"x" * 16_385, b"x" * 16_384 + b"y", b"x" * 40_000])


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "c/d", "c/e", "c/f/g", "h"]), CONTENTS, max_size=6))
def test_duplicates_equal_a_brute_force_comparison(files: dict[str, bytes]) -> None:
    same: defaultdict[bytes, set[str]] = defaultdict(set)
    for name, content in files.items():
        same[content].add(name)
    expected = {frozenset(names) for content, names in same.items() if content and len(names) > 1}
    with tempfile.TemporaryDirectory() as root:
        write(Path(root), files)
        assert expected == {frozenset(group.paths) for group in duplicates(Path(root)).groups}


def test_a_file_that_vanishes_or_changes_meanwhile_is_skipped_and_that_is_said(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(("a", "b", "gone", "grown", "shrunk"), b"same"))
    steps = find_duplicates(Folder(tmp_path), TOP, pace=Pace(0))
    next(steps)  # the scan is over, nothing is read
    (tmp_path / "gone").unlink()
    (tmp_path / "grown").write_bytes(b"same and more")
    (tmp_path / "shrunk").write_bytes(b"sam")
    report = run_now(steps)
    assert [same.paths for same in report.groups] == [("a", "b")]
    assert report.skipped.unreadable == 3
    assert "There is no 'gone'" in report.skipped.examples[0]
    assert "'grown' changed while it was read" in report.skipped.examples[1]


def test_a_file_that_vanishes_is_in_neither_index_nor_checksum(tmp_path: Path) -> None:
    write(tmp_path, {"a": b"stays", "gone": b"goes"})
    indexing = index_tree(Folder(tmp_path), TOP, pace=Pace(0))
    summing = checksum_tree(Folder(tmp_path), TOP, pace=Pace(0))
    next(indexing)
    next(summing)
    (tmp_path / "gone").unlink()
    for skipped in (run_now(indexing).skipped, run_now(summing).skipped):
        assert (skipped.unreadable, "There is no 'gone'" in skipped.examples[0]) == (1, True)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that cannot be read, from Linux")
def test_a_file_that_the_system_cannot_read_is_skipped() -> None:
    process = Folder(Path(f"/proc/{os.getpid()}"))
    with pytest.raises(ToolError, match="cannot be read"):
        open_text(process, process.locate("mem"))
    with pytest.raises(ToolError, match="cannot be read"):
        list(process.chunks(process.locate("mem")))


def test_a_checksum_that_is_not_listed_is_still_in_that_of_the_tree(tmp_path: Path) -> None:
    write(tmp_path, {f"{number}": b"" for number in range(10)})
    short = run_now(checksum_tree(Folder(tmp_path), TOP, listed=500))
    assert (short.files, short.not_listed, len(short.checksums)) == (10, 6, 4)
    assert short.sha256 == checksum(tmp_path).sha256


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files_and_folders_are_skipped_and_that_is_said(tmp_path: Path) -> None:
    write(tmp_path, {"a": b"same", "b": b"same", "closed": b"same", "locked/c": b"same"})
    (tmp_path / "closed").chmod(0)
    (tmp_path / "locked").chmod(0)
    try:
        assert [same.paths for same in duplicates(tmp_path).groups] == [("a", "b")]
        assert duplicates(tmp_path).skipped.unreadable == 2
        assert index(tmp_path).skipped.unreadable == 2
        assert checksum(tmp_path).skipped.unreadable == 2
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_a_folder_that_becomes_a_link_during_the_scan_is_skipped(tmp_path: Path) -> None:
    write(tmp_path, {"root/a": b"1", "root/sub/b": b"2", "outside/b": b"secret"})
    steps = checksum_tree(Folder(tmp_path / "root"), TOP, pace=Pace(0))
    next(steps)
    (tmp_path / "root" / "sub").rename(tmp_path / "moved")
    (tmp_path / "root" / "sub").symlink_to(tmp_path / "outside")
    result = run_now(steps)
    assert [one.path for one in result.checksums] == ["a"]
    assert result.skipped.unreadable == 1


def test_a_tree_is_indexed(tmp_path: Path) -> None:
    odd_tree(tmp_path)
    write(tmp_path, {"note.TXT": "Apple, APPLE tree über 東京 x1 a".encode(), "big.bin": b"\0" * 5000})
    found = index(tmp_path)
    assert (found.files, found.text_files) == (9, 6)  # the empty file and the binary ones are not text
    assert [(total.extension, total.files, total.bytes) for total in found.extensions[:2]] == [
        (".bin", 2, 5003),
        (".txt", 6, 68),
    ]
    assert (found.biggest_files[0].path, found.biggest_files[0].size) == ("big.bin", 5000)
    assert [(word.word, word.count) for word in found.top_words[:2]] == [("apple", 5), ("pie", 3)]
    assert {"über", "東京", "tree", "one", "two"} <= {word.word for word in found.top_words}
    assert (found.words, found.distinct_words, found.top_words_missed) == (13, 7, 0)
    assert to_json(found)


def test_a_word_is_counted_once_however_the_file_is_divided(tmp_path: Path) -> None:
    text = ("x" * 1_048_570) + " boundary " + "y" * 3_000_000 + " end " + "z" * 40
    write(tmp_path, {"a.txt": text.encode()})
    assert [(word.word, word.count) for word in index(tmp_path).top_words] == [
        ("boundary", 1),
        ("end", 1),
        ("z" * 40, 1),
    ]


@settings(deadline=None, max_examples=40)
@given(st.text(st.sampled_from("ab é1_-한"), max_size=60), st.integers(0, 60))
def test_words_equal_those_of_the_whole_text(text: str, cut: int) -> None:
    padding = " " * (1_048_576 - len(text[:cut].encode()))  # the megabyte ends inside the text
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "a").write_text(padding + text, encoding="utf-8")
        found = index(Path(root))
    exact = Counter(re.findall(r"[^\W\d_]{2,}", text))
    assert exact.total() == found.words
    assert dict(exact) == {word.word: word.count for word in found.top_words}


@pytest.mark.parametrize(
    ("name", "extension"),
    [("a.TXT", ".txt"), ("a.tar.gz", ".gz"), (".bashrc", ""), ("notes", ""), ("end.", ""), ("..x", ".x")],
)
def test_the_extension_of_a_name(name: str, extension: str) -> None:
    assert extension_of(name) == extension


def test_the_checksum_of_a_tree_is_that_of_its_sorted_sha256sum_lines(tmp_path: Path) -> None:
    write(tmp_path, {"b": b"2", "a/x": b"1", "a.txt": b"3", "B": b""})
    lines = [
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in (("B", b""), ("a.txt", b"3"), ("a/x", b"1"), ("b", b"2"))
    ]
    result = checksum(tmp_path)
    assert result.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert [line.rstrip("\n") for line in lines] == [f"{one.sha256}  {one.path}" for one in result.checksums]
    assert (result.files, result.bytes, result.not_listed) == (4, 3, 0)


def test_the_checksum_does_not_depend_on_where_the_tree_lies_or_in_which_order_it_was_written(tmp_path: Path) -> None:
    odd_tree(tmp_path / "one")
    (tmp_path / "other" / "place").mkdir(parents=True)
    for path in sorted((tmp_path / "one").rglob("*"), reverse=True):
        if path.is_file() and not path.is_symlink():
            write(tmp_path / "other" / "place", {str(path.relative_to(tmp_path / "one")): path.read_bytes()})
    first, second = checksum(tmp_path / "one"), checksum(tmp_path, "other/place")
    assert first.sha256 == second.sha256
    assert first.checksums == second.checksums
    assert to_json(first)


def test_the_checksum_changes_with_a_name_and_with_a_content(tmp_path: Path) -> None:
    write(tmp_path, {"a": b"1", "b": b"2"})
    seen = {checksum(tmp_path).sha256}
    (tmp_path / "b").rename(tmp_path / "c")
    seen.add(checksum(tmp_path).sha256)
    (tmp_path / "c").write_bytes(b"3")
    seen.add(checksum(tmp_path).sha256)
    assert len(seen) == 3


def test_a_job_on_a_tree_needs_a_folder(tmp_path: Path) -> None:
    write(tmp_path, {"a": b"1"})
    for job in (duplicates, index, checksum):
        with pytest.raises(ToolError, match="is not a folder"):
            job(tmp_path, "a")
        with pytest.raises(ToolError, match="There is no"):
            job(tmp_path, "absent")


def test_the_progress_of_a_job_never_goes_back_and_ends_at_one(tmp_path: Path) -> None:
    write(tmp_path, {f"{number}.txt": b"word " * 5_000 for number in range(20)})
    for job in (find_duplicates, index_tree, checksum_tree):
        fractions = [progress.fraction for progress in job(Folder(tmp_path), TOP, pace=Pace(0))]
        assert fractions == sorted(fractions)
        assert fractions[-1] == pytest.approx(1.0)


def test_a_job_can_be_closed_in_the_middle_of_a_file(tmp_path: Path) -> None:
    write(tmp_path, {"a": b"x" * 3_000_000, "b": b"x" * 3_000_000})
    for job in (find_duplicates, index_tree, checksum_tree):
        steps = job(Folder(tmp_path), TOP, pace=Pace(0))
        until_reading(steps)
        steps.close()


def test_a_tree_with_too_many_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {f"{number}": b"" for number in range(4)})
    with pytest.raises(ToolError, match="more than 3 files"):
        run_now(scan(Folder(tmp_path), TOP, Pace(), most=3))
