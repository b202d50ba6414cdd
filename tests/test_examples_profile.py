from __future__ import annotations

import csv
import io
import math
import tempfile
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from frontdesk.examples.front_desk.csvfile import Layout, column_names, has_header, layout_of
from frontdesk.examples.front_desk.folder import Folder
from frontdesk.examples.front_desk.profile import PERCENTS, ColumnProfile, CsvProfile, Sizes, profile_csv
from frontdesk.examples.front_desk.steps import Pace, run_now
from frontdesk.examples.front_desk.values import MISSING, Kind, kind_of
from frontdesk.tasks import ToolError


def profiled(path: Path, **options: Any) -> CsvProfile:
    folder = Folder(path.parent)
    return run_now(profile_csv(folder, folder.locate(path.name), **options))


def profiled_text(tmp_path: Path, content: str | bytes, **options: Any) -> CsvProfile:
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return profiled(path, **options)


def column(profile: CsvProfile, name: str) -> ColumnProfile:
    (found,) = [one for one in profile.columns if one.name == name]
    return found


def test_a_table_is_profiled_column_by_column(tmp_path: Path) -> None:
    profile = profiled_text(
        tmp_path,
        "id,price,day,paid,note,nothing\n"
        "1,2.5,2024-01-03,yes,apple,\n"
        "2,,2024-01-01,no,pear,NA\n"
        "3,10,2024-01-02,yes,apple,\n",
    )
    assert (profile.rows, profile.header, profile.delimiter, profile.encoding) == (3, True, ",", "utf-8")
    assert [one.type for one in profile.columns] == ["integer", "number", "date", "boolean", "text", "empty"]
    price = column(profile, "price")
    assert (price.missing, price.distinct, price.minimum, price.maximum, price.mean) == (1, 2, 2.5, 10, 6.25)
    assert price.quantiles == {"p5": 2.5, "p25": 2.5, "p50": 2.5, "p75": 10.0, "p95": 10.0}
    assert (price.distinct_error, price.quantile_error) == (0.0, 0.0)
    day = column(profile, "day")
    assert (day.minimum, day.maximum, day.mean, day.quantiles) == ("2024-01-01", "2024-01-03", None, {})
    assert column(profile, "nothing").missing == 3
    assert column(profile, "note").distinct == 2


def test_a_result_is_valid_json(tmp_path: Path) -> None:
    profile = profiled_text(tmp_path, "a,b\n1e200,x\n1e289,\u2028\n")
    assert from_json(to_json(profile))["columns"][0]["maximum"] == 1e289


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        ("7", Kind.INTEGER, 7),
        ("-12", Kind.INTEGER, -12),
        ("9007199254740993", Kind.INTEGER, 9007199254740993),
        ("1.50", Kind.NUMBER, 1.5),
        (".5", Kind.NUMBER, 0.5),
        ("1e3", Kind.NUMBER, 1000.0),
        ("007", Kind.TEXT, None),
        ("1_000", Kind.TEXT, None),
        ("1,5", Kind.TEXT, None),
        ("inf", Kind.TEXT, None),
        ("1e999", Kind.TEXT, None),
        ("1" * 400, Kind.TEXT, None),
        ("١٢", Kind.TEXT, None),
        ("TRUE", Kind.BOOLEAN, None),
        ("2024-02-29", Kind.DATE, None),
        ("2023-02-29", Kind.TEXT, None),
        ("2024-02-29T10:00:00Z", Kind.DATETIME, None),
        ("2024-02-29 25:00", Kind.TEXT, None),
        ("apple", Kind.TEXT, None),
    ],
)
def test_what_a_cell_is(text: str, kind: Kind, number: float | None) -> None:
    assert (kind, number) == kind_of(text, ",")


def test_semicolons_bring_decimal_commas(tmp_path: Path) -> None:
    profile = profiled_text(tmp_path, "name;price\napple;1,5\npear;2,5\nplum;.5\n")
    assert profile.delimiter == ";"
    assert (column(profile, "price").type, column(profile, "price").mean) == ("number", 1.5)


def test_a_column_of_several_kinds_says_how_many_of_each(tmp_path: Path) -> None:
    mixed = profiled_text(tmp_path, "a\n1\n2.5\nx\n2024-01-01\n").columns[0]
    assert (mixed.type, mixed.kinds) == ("mixed", {"date": 1, "integer": 1, "number": 1, "text": 1})
    assert (mixed.minimum, mixed.maximum, mixed.mean) == (1, 2.5, 1.75)


@pytest.mark.parametrize(("cells", "kind"), [("1\n2.5", "number"), ("2024-01-01\n2024-01-01T00:00", "datetime")])
def test_kinds_that_belong_together_are_one_type(tmp_path: Path, cells: str, kind: str) -> None:
    assert profiled_text(tmp_path, f"a\n{cells}\n").columns[0].type == kind


def test_integers_are_exact_however_long(tmp_path: Path) -> None:
    numbers = profiled_text(tmp_path, "id\n9007199254740993\n9007199254740995\n").columns[0]
    assert (numbers.minimum, numbers.maximum) == (9007199254740993, 9007199254740995)


@pytest.mark.parametrize(
    ("content", "header", "names"),
    [
        ("a,b\n1,2\n", True, ["a", "b"]),
        ("1,2\n3,4\n", False, ["column 1", "column 2"]),
        ("x,2\n3,4\n", False, ["column 1", "column 2"]),
        (",a,a\n1,2,3\n", True, ["column 1", "a", "a (2)"]),
    ],
)
def test_the_header_is_recognised(tmp_path: Path, content: str, header: bool, names: list[str]) -> None:
    profile = profiled_text(tmp_path, content)
    assert (profile.header, [one.name for one in profile.columns]) == (header, names)


def test_the_caller_knows_better_whether_there_is_a_header(tmp_path: Path) -> None:
    assert profiled_text(tmp_path, "2019,2020\n1,2\n", header=True).columns[1].name == "2020"
    assert profiled_text(tmp_path, "a,b\nc,d\n", header=False).rows == 2


def test_names_stay_unique_when_one_looks_like_a_made_up_one() -> None:
    assert column_names(["a", "a (2)", "a", "", "column 4"]) == ["a", "a (2)", "a (3)", "column 4", "column 4 (2)"]
    assert not has_header(["", " "], ",")
    assert not has_header(["1,5", "a"], ";")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    profile = profiled_text(tmp_path, "stadt,zahl\nKöln,1\nMünchen,2\n".encode(encoding))
    assert profile.encoding == encoding
    assert (profile.columns[0].name, profile.columns[0].maximum) == ("stadt", "München")


def test_bytes_that_are_not_utf8_far_down_are_read_as_latin_1(tmp_path: Path) -> None:
    lines = b"name,number\n" + b"plain,1\n" * 40_000 + "Köln,2\n".encode("latin-1")
    profile = profiled_text(tmp_path, lines)
    assert (profile.encoding, profile.rows) == ("latin-1", 40_001)
    assert column(profile, "name").minimum == "Köln"


def test_half_a_character_of_utf16_is_damage(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="is damaged"):
        profiled_text(tmp_path, "a,b\n1,2\n".encode("utf-16") + b"x")


def test_rows_of_another_width_are_counted_and_kept(tmp_path: Path) -> None:
    profile = profiled_text(tmp_path, "a,b,c\n1,2,3\n4\n\n5,6,7,8\n")
    assert (profile.rows, profile.ragged_rows) == (3, 2)
    assert [one.missing for one in profile.columns] == [0, 1, 1]


def test_a_quote_that_never_closes_costs_some_rows_and_not_the_file(tmp_path: Path) -> None:
    good = "1,plain\n" * 30_000
    profile = profiled_text(tmp_path, f'a,b\n2,"open\n{good}3,last\n')
    assert profile.unreadable_rows == 1
    assert profile.rows > 10_000
    assert column(profile, "a").maximum == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a binary file"),
        (bytes(range(1, 32)) * 10, "is a binary file"),
        (b"x" * (5 * 1024 * 1024), "is longer than 4,194,304 characters"),
    ],
)
def test_what_is_not_a_table_is_explained(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ToolError, match=words):
        profiled_text(tmp_path, content)


def test_a_missing_file_and_a_directory_are_explained(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ToolError, match="is a folder"):
        profiled(tmp_path / "folder.csv")
    with pytest.raises(ToolError, match="There is no"):
        profiled(tmp_path / "absent.csv")


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    profile = profiled_text(tmp_path, "a,b\n")
    assert (profile.rows, [one.type for one in profile.columns]) == (0, ["empty", "empty"])


def test_columns_beyond_the_limit_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    profile = profiled_text(tmp_path, "a,b,c\n1,2,3\n", sizes=Sizes(columns=2))
    assert (len(profile.columns), profile.columns_left_out, profile.ragged_rows) == (2, 1, 0)


def test_progress_grows_to_the_end_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "1,2\n" * 5_000)
    folder = Folder(tmp_path)
    seen = list(profile_csv(folder, folder.locate("table.csv"), pace=Pace(0)))
    fractions = [progress.fraction for progress in seen]
    assert len(fractions) >= 5
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert seen[-1].message == "5,000 rows"


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    peaks: list[int] = []
    for rows in (4_000, 16_000):  # 1 MB, 4 MB
        with path.open("w") as file:
            file.write("id,price,note\n")
            for number in range(rows):
                file.write(f"{number},{number * 7919 % 100_003 / 100},{f'note {number} ' * 25}\n")
        tracemalloc.start()
        profile = profiled(path, sizes=Sizes(most=256))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert profile.rows == rows
        assert profile.columns[0].distinct_error > 0
    size = path.stat().st_size
    assert size > 4_000_000
    assert peaks[1] < size / 2
    assert peaks[1] < peaks[0] * 1.1


def test_what_is_estimated_is_within_its_error(tmp_path: Path) -> None:
    count = 60_000
    content = "id,code\n" + "".join(f"{number * 7919 % count},x{number % 9_000}\n" for number in range(count))
    ids, codes = profiled_text(tmp_path, content, sizes=Sizes(most=1024)).columns
    assert 0 < ids.distinct_error < 0.04
    assert abs(ids.distinct / count - 1) < 4 * ids.distinct_error
    assert abs(codes.distinct / 9_000 - 1) < 4 * codes.distinct_error
    assert 0 < ids.quantile_error < 0.03
    for percent in (5, 25, 50, 75, 95):
        rank = ids.quantiles[f"p{percent}"] + 1
        assert abs(rank / count - percent / 100) <= ids.quantile_error + 1 / count
    assert (ids.minimum, ids.maximum, ids.mean) == (0, count - 1, (count - 1) / 2)


WORDS = ["true", "2024-01-01", 'say "hi"', "a,b", "a;b", "two\nlines", "오렌지", " ", "NA"]
CELL = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(-1e9, 1e9, allow_nan=False).map(repr),
    st.sampled_from([*sorted(MISSING), *WORDS]),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8),
)


@st.composite
def tables(draw: st.DrawFn) -> str:
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=12))
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=draw(st.sampled_from([",", ";", "\t", "|"]))).writerows(rows)
    return text.getvalue()


def naive(cells: list[str], delimiter: str) -> dict[str, Any]:
    values = [cell.strip() for cell in cells]
    present = [value for value in values if value.casefold() not in MISSING]
    numbers = sorted(number for value in present if (number := kind_of(value, delimiter)[1]) is not None)
    texts = sorted(value for value in present if kind_of(value, delimiter)[1] is None)
    ranks = {percent: max(1, math.ceil(percent * len(numbers) / 100)) for percent in PERCENTS}
    ordered: list[Any] = numbers or texts
    mean = float(sum(map(Fraction, numbers)) / len(numbers)) if numbers else None
    return {
        "missing": len(values) - len(present),
        "distinct": len(set(present)),
        "range": (ordered[0], ordered[-1]) if ordered else (None, None),
        "mean": None if mean is None else pytest.approx(mean, rel=1e-9, abs=1e-6),
        "quantiles": {f"p{p}": pytest.approx(numbers[rank - 1]) for p, rank in ranks.items()} if numbers else {},
    }


@settings(deadline=None, max_examples=200)
@given(text=tables())
def test_a_profile_equals_a_naive_computation(text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "table.csv"
        path.write_text(text, encoding="utf-8", newline="")
        profile = profiled(path, header=False, pace=Pace(0))
    layout = layout_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter, skipinitialspace=layout.spaced)
    rows = [row for row in reader if row]
    width = len(rows[0])
    assert (profile.rows, len(profile.columns)) == (len(rows), width)
    assert profile.ragged_rows == sum(len(row) != width for row in rows)
    for index, got in enumerate(profile.columns):
        assert naive([row[index] if index < len(row) else "" for row in rows], layout.delimiter) == {
            "missing": got.missing,
            "distinct": got.distinct,
            "range": (got.minimum, got.maximum),
            "mean": got.mean,
            "quantiles": got.quantiles,
        }


@settings(deadline=None)
@given(
    rows=st.lists(
        st.lists(st.sampled_from(["a b", "x", "12", "y|z"[:1]]), min_size=3, max_size=3), min_size=2, max_size=9
    ),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
)
def test_the_delimiter_of_a_plain_table_is_found(rows: list[list[str]], delimiter: str) -> None:
    assert layout_of("\n".join(delimiter.join(row) for row in rows)) == Layout(delimiter)


@pytest.mark.parametrize(
    ("sample", "layout"),
    [
        ("", Layout(",")),
        ("one\ntwo\n", Layout(",")),
        ('a, b\n1, "x, y"\n2, "z, w"\n', Layout(",", spaced=True)),
        ('a;b\n"1,5";"2,5"\n"1,7";"2,8"\n', Layout(";")),
        ("a,b\r1,2\r3,4\r", Layout(",")),
        ('"quote""d",b\n"x""y",2\n', Layout(",")),
    ],
)
def test_layouts(sample: str, layout: Layout) -> None:
    assert layout_of(sample) == layout
