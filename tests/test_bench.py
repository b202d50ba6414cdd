"""The benchmarks run, with tiny sizes, and say what they found. How fast anything is, is not asked here."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from frontdesk.bench import peers
from frontdesk.bench.figures import Column, Goal, Table, number, quantile, ratios, render, spread, verdict
from frontdesk.bench.postgresql_server import GIVEN
from frontdesk.bench.rounds import Benchmark, Subject, Unavailable, measure, run_subject
from frontdesk.bench.run import BENCHMARKS
from frontdesk.bench.wal import Written, written

ROUNDS = {"ours": [{"rate": 30.0}, {"rate": 10.0}], "floor": [{"rate": 100.0}, {"rate": 20.0}]}


# The same code as a neighbour's, with another number.
ALIKE = {
    *("2 worker processes", "4 worker processes", "100,000 queued"),
    *("SQLite, nothing else", "PostgreSQL, nothing else"),
}


def subjects() -> list[tuple[Benchmark, Subject]]:
    """Of the peers only what `turns` has not: the frameworks are installed by `make bench` alone."""
    quick = (peers.HAND, peers.DURABLE)
    found = [(one, subject) for one in BENCHMARKS.values() for subject in one.subjects if subject.name not in ALIKE]
    return [pair for pair in found if pair[0] is not peers.BENCHMARK or pair[1].name in quick]


@pytest.mark.parametrize(
    ("of", "subject"), subjects(), ids=[f"{one.name}: {subject.name}" for one, subject in subjects()]
)
def test_each_subject_measures_what_its_tables_show(
    of: Benchmark, subject: Subject, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GIVEN, postgresql_url)
    try:
        figures = run_subject(subject, quick=True)
    except Unavailable as reason:
        pytest.skip(str(reason))
    tables = [table for table in of.tables if subject.name in table.subjects]
    assert tables, "it is measured, but no table shows it"
    for table in tables:
        shown = {column.key for column in table.columns}
        assert shown & figures.keys(), f"{table.title!r} would have an empty row"
    for goal in of.goals:
        if subject.name in (goal.subject, goal.floor):
            assert goal.key in figures, f"{goal.words!r} could not be judged"


def test_a_run_prints_machine_tables_and_goals() -> None:
    command = [sys.executable, "-m", "frontdesk.bench.run", "queues", "--rounds", "1", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "SQLite" in done.stdout
    assert "| Frontdesk" in done.stdout
    assert "goal ≥ 0.5 ×" in done.stdout


def test_every_goal_is_about_subjects_that_are_measured() -> None:
    for one in BENCHMARKS.values():
        names = {subject.name for subject in one.subjects}
        assert {goal.subject for goal in one.goals} | {goal.floor for goal in one.goals} <= {*names, ""}
        assert {name for table in one.tables for name in table.subjects} <= names
        assert {column.over for table in one.tables for column in table.columns} <= {*names, ""}


def test_a_ratio_is_taken_inside_each_round() -> None:
    assert ratios(ROUNDS, "ours", "floor", "rate") == [0.3, 0.5]


def test_a_table_has_a_row_for_each_subject_that_was_measured() -> None:
    table = Table("Rates", ("floor", "ours", "absent"), (Column("rate", "per s"), Column("rate", "× floor", "floor")))
    assert render(table, ROUNDS).splitlines() == [
        "### Rates",
        "",
        "|       | per s            | × floor          |",
        "|-------|------------------|------------------|",
        "| floor | 60.0 (20.0–100)  | 1.00             |",
        "| ours  | 20.0 (10.0–30.0) | 0.40 (0.30–0.50) |",
    ]


@pytest.mark.parametrize(
    ("bound", "at_least", "words"),
    [(0.3, True, "met"), (0.5, True, "missed"), (0.5, False, "met"), (0.3, False, "missed")],
)
def test_a_goal_says_whether_its_median_keeps_it(bound: float, at_least: bool, words: str) -> None:
    goal = Goal("Rate", "ours", "floor", "rate", bound, at_least)
    assert verdict(goal, ROUNDS).endswith(f"{words})")


def test_a_goal_without_a_floor_is_about_the_figure_itself() -> None:
    rate = Goal("Rate", "ours", "", "rate", 25.0, unit="ms")
    assert verdict(rate, ROUNDS) == "- Rate: 20.0 (10.0–30.0) ms (goal ≤ 25 ms: met)"


def test_a_goal_whose_floor_is_missing_is_said_to_be_not_measured() -> None:
    assert "not measured" in verdict(Goal("Rate", "ours", "absent", "rate", 1.0), ROUNDS)


@pytest.mark.parametrize(
    ("value", "expected"), [(12_345.6, "12,346"), (45.67, "45.7"), (1.234, "1.23"), (0.0456, "0.046"), (0, "0.00")]
)
def test_numbers_have_three_digits(value: float, expected: str) -> None:
    assert number(value) == expected


def test_a_spread_without_values_is_a_dash() -> None:
    assert spread([]) == "–"


def test_a_quantile_is_one_of_the_values() -> None:
    assert quantile(range(100), 0.5) == 50
    assert quantile([7.0], 0.99) == 7.0


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Subject]:
    """Makes a subject of a module's source."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(source: str) -> Subject:
        (tmp_path / "some_peer.py").write_text(source, encoding="utf-8")
        return Subject("peer", "some_peer")

    return make


def test_a_subject_that_cannot_be_measured_is_left_out_and_said(peer: Callable[[str], Subject]) -> None:
    said: list[str] = []
    absent = peer("from frontdesk.bench.rounds import unavailable; unavailable('it is not installed')")
    assert measure([absent], 2, quick=True, say=said.append) == {}
    assert said == ["round 1/2: peer", "left out: peer (it is not installed)"]


def test_the_last_line_of_a_subject_is_what_it_has_measured(peer: Callable[[str], Subject]) -> None:
    found = peer("from frontdesk.bench.rounds import show; print('by the way'); show({'rate': 2})")
    assert measure([found], 2, quick=True, say=lambda text: None) == {"peer": [{"rate": 2}, {"rate": 2}]}


def test_a_subject_that_fails_says_why(peer: Callable[[str], Subject]) -> None:
    with pytest.raises(RuntimeError, match="out of luck"):
        run_subject(peer("raise SystemExit('out of luck')"), quick=True)


def test_commits_are_counted_where_sqlite_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "counted.db"
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("CREATE TABLE one (number INTEGER)")
    before = written(path)
    for row in range(3):
        raw.execute("INSERT INTO one VALUES (?)", (row,))
    raw.execute("BEGIN IMMEDIATE")
    raw.execute("COMMIT")  # changes nothing, so it writes nothing
    assert written(path) - before == Written(3, 3)
    raw.close()


def test_a_database_without_a_log_has_no_commits(tmp_path: Path) -> None:
    assert written(tmp_path / "absent.db") == Written(0, 0)
