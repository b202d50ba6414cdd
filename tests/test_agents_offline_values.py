from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from frontdesk.agents.models.offline.clause import after_word, before, clause, says, yes_or_no
from frontdesk.agents.models.offline.members import named_members
from frontdesk.agents.models.offline.money import currencies, target
from frontdesk.agents.models.offline.smalltalk import small_talk
from frontdesk.agents.models.offline.split import split
from frontdesk.agents.models.offline.time import dates, times
from frontdesk.agents.models.offline.values import scan
from frontdesk.agents.models.offline.words import fold, pairs, stem, stems, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("find duplicates in . and ..", [("path", "."), ("path", "..")]),
        (
            "data/sales.csv, (a.txt) ~/x C:\\d\\e.f",
            [("path", p) for p in ("data/sales.csv", "a.txt", "~/x", "C:\\d\\e.f")],
        ),
        ("data/sales.csv를 .에서", [("path", "data/sales.csv"), ("path", ".")]),
        ("it ends in file.txt.", [("path", "file.txt")]),
        (
            "and/or USD/KRW 1/2 e.g. v1.2",
            [("currency", "USD"), ("currency", "KRW"), ("number", 1), ("number", 2), ("id", "v1.2")],
        ),
        ("see https://a.b/c?d=1, mail bob@a-b.com", [("url", "https://a.b/c?d=1"), ("email", "bob@a-b.com")]),
        ("say 'it is' or “so”, don't", [("quoted", "it is"), ("quoted", "so")]),
        ("T1 and t22, not T1.csv", [("label", "T1"), ("label", "T22"), ("path", "T1.csv")]),
        ("1,000 and -2.5 and 1e3 and 3rd", [("number", 1000), ("number", -2.5), ("number", 1000.0), ("number", 3)]),
        ("two dozen of one", [("number", 2), ("number", 12)]),
        ("1e999 apples", []),
        ("A-17 and 978-3-16", [("id", "A-17"), ("id", "978-3-16")]),
        ("for Dr. Kim and Anna Lee, here", [("name", "Dr. Kim"), ("name", "Anna Lee"), ("here", ".")]),
    ],
)
def test_values_are_found_in_a_text(text: str, expected: list[tuple[str, Any]]) -> None:
    found = [(value.kind, value.value) for value in scan(text)]
    assert [one for one in found if one[0] != "name" or one in expected] == expected


def test_a_number_keeps_its_unit() -> None:
    assert [(value.value, value.unit) for value in scan("10 MB, 3%, 2판") if value.kind == "number"] == [
        (10, "MB"),
        (3, "%"),
        (2, "판"),
    ]


@pytest.mark.parametrize(
    ("text", "day", "month", "clock"),
    [
        ("2026-03-14", "2026-03-14", "2026-03", ""),
        ("2026-03-14T10:30", "2026-03-14", "2026-03", "10:30:00"),
        ("2026-03-14T10:30:05Z", "2026-03-14", "2026-03", "10:30:05"),
        ("14.3.2026", "2026-03-14", "2026-03", ""),
        ("2026년 3월 14일", "2026-03-14", "2026-03", ""),
        ("14/3/2026", "2026-03-14", "2026-03", ""),
        ("3/14/2026", "2026-03-14", "2026-03", ""),
        ("3/4/2026", "", "", ""),
        ("14th of March, 2026", "2026-03-14", "2026-03", ""),
        ("March 14 2026", "2026-03-14", "2026-03", ""),
        ("14. März 2026", "2026-03-14", "2026-03", ""),
        ("14 March", "", "", ""),
        ("2026-03", "", "2026-03", ""),
        ("March 2026", "", "2026-03", ""),
        ("for March", "", "", ""),
        ("tomorrow", "", "", ""),
        ("übermorgen", "", "", ""),
    ],
)
def test_dates_are_read(text: str, day: str, month: str, clock: str) -> None:
    ((_, _, moment), *_) = dates(text)
    assert (moment.date, moment.month, moment.time) == (day, month, clock)


@pytest.mark.parametrize(
    "text", ["2026-02-31", "31.2.2026", "31 February", "40 things", "Tim 7", "in Berlin", "Berlin 2026"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert list(dates(text)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", "2026-12-30"), ("tomorrow", "2026-12-31"), ("내일", "2026-12-31"),
        ("day after tomorrow", "2027-01-01"),
        ("on Friday", "2027-01-01"), ("Mittwoch", "2027-01-06"), ("2 January", "2027-01-02"),
        ("31 December", "2026-12-31"),
    ],
)  # fmt: skip
def test_relative_dates_need_to_know_the_day(text: str, expected: str) -> None:
    (_, _, moment) = next(iter(dates(text, date(2026, 12, 30))))
    assert moment.date == expected


def test_a_month_alone_is_of_the_year_that_is_known() -> None:
    assert [moment.month for _, _, moment in dates("in March", date(2026, 12, 30))] == ["2026-03"]


def test_the_last_day_of_all_has_no_tomorrow() -> None:
    assert list(dates("tomorrow", date.max)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10:30", ["10:30:00"]), ("7 pm", ["19:00:00"]), ("12 a.m.", ["00:00:00"]), ("7:05:09 PM", ["19:05:09"]),
        ("14 Uhr", ["14:00:00"]),
        ("오후 3시 15분", ["15:15:00"]), ("noon or midnight", ["12:00:00", "00:00:00"]),
        ("13 pm", []), ("25:00", []), ("at 7", []),
    ],
)  # fmt: skip
def test_times_are_read(text: str, expected: list[str]) -> None:
    assert [moment.time for _, _, moment in times(text)] == expected


@pytest.mark.parametrize(
    ("text", "codes", "wanted"),
    [
        ("in won?", ["KRW"], "KRW"),
        ("원화로 알려줘", ["KRW"], "KRW"),
        ("5000원을 달러로", ["KRW", "USD"], "USD"),
        ("100 US dollars to the euro", ["USD", "EUR"], "EUR"),
        ("$5 and €3", ["USD", "EUR"], None),
        ("who won the game", [], None),
        ("병원 예약", [], None),
        ("turn it into a pound of flour", [], None),
        ("usd in krw", ["USD", "KRW"], "KRW"),
        ("Euros, then dollarsign and ABCUSD", ["EUR"], None),
        ("xyen", [], None),
    ],
)
def test_currencies_are_told_from_other_words(text: str, codes: list[str], wanted: str | None) -> None:
    assert [one.code for one in currencies(text)] == codes
    assert target(text) == wanted


def test_words_are_compared_without_case_accents_and_endings() -> None:
    assert fold("Größe") == "grosse"
    for forms in (
        "order orders ordering Ordered",
        "duplicate duplicates",
        "Buch Bücher",
        "файл файлы файлов",
        "profile profiling",
    ):
        assert len({stem(form) for form in forms.split()}) == 1
    assert stem("address") == "address"
    assert stem("석유") == "석유"
    assert pairs("가격을") == ("가격", "격을")
    assert pairs("가") == ("가",)


def test_terms_are_weighed_by_what_they_say() -> None:
    found = terms("please list the pizzas")
    assert found[stem("pizza")] == 1
    assert found["list"] < found[stem("pizza")]
    assert stem("display") in found
    assert "please" not in found
    assert stem("checkout") in terms("check out")
    assert stem("multiply") in terms("3 * 4")
    assert stems("a T1 I 7") == {"t1", "7"}


@pytest.mark.parametrize(
    ("text", "members", "expected"),
    [
        ("a LARGE one", ["small", "large"], ["large"]),
        ("extra-large", ["large", "extra_large"], ["extra_large"]),
        ("mushroom, onions", ["mushrooms", "onions", "olives"], ["mushrooms", "onions"]),
        ("without onions", ["onions"], []),
        ("두바이유 가격", ["두바이", "브렌트"], ["두바이"]),
        ("size M, a shirt", ["S", "M", "A"], ["M"]),
        ("A shirt", ["A"], []),
        ("group A", ["A"], ["A"]),
        ("in won", ["USD", "KRW"], ["KRW"]),
        ("take 2", [1, 2, None, True], [2]),
        ("nothing", ["", "--"], []),
    ],
)
def test_members_of_an_enum_are_recognised_in_any_form(text: str, members: list[Any], expected: list[Any]) -> None:
    assert [value.value for value in named_members(clause(text), members)] == expected


def test_other_words_stand_for_members_that_are_there() -> None:
    found = named_members(clause("a huge 특대 one"), ["xl"], (("huge", "xl"), ("특대", "xl"), ("one", "gone")))
    assert [value.value for value in found] == ["xl", "xl"]


def test_the_word_before_a_place_is_read_over_articles_but_not_over_commas() -> None:
    assert before(clause("to the house"), 7) == "to"
    assert before(clause("yes, house"), 5) == ""
    assert before(clause("house"), 0) == ""


def test_words_after_a_preposition_end_where_something_else_begins() -> None:
    def found(text: str, known: frozenset[str] = frozenset()) -> str | None:
        place = after_word(clause(text), frozenset({"in", "for"}), known)
        return place and text[place[0] : place[1]]

    assert found("weather in the new york today") == "new york"
    assert found("weather in old york city") == "old york"
    assert found("weather in paris, france") == "paris"
    assert found("weather in data/x.csv") is None
    assert found("wait for it") is None
    assert found("it is in") is None
    assert found("books in stock", frozenset({stem("stock")})) is None


def test_yes_and_no_are_read_where_they_are_said() -> None:
    assert says(clause("search recursively"), "recursive") is True
    assert says(clause("not recursive please"), "recursive") is False
    assert says(clause("search"), "recursive") is None
    assert says(clause("search hidden files"), "include_hidden") is True
    assert says(clause("search hidden"), "hidden_secret") is None
    assert [yes_or_no(text) for text in ("Yes!", "nein", "네", "perhaps")] == [True, False, True, None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Guten Tag", "about"), ("what can you do for me?", "about"), ("thx", "thanks"), ("forget it", "never mind"),
        ("", None),
        ("hello " * 50, None), ("help me find duplicates", None),
    ],
)  # fmt: skip
def test_small_talk_is_told_from_requests(text: str, expected: str | None) -> None:
    assert small_talk(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go a and go b; go c, then go d", ["go a", "go b", "go c", "go d"]),
        ("go a and b and go c", ["go a and b", "go c"]),
        ("well, go a", ["well, go a"]),
        ("say 'go a and go b'", ["say 'go a and go b'"]),
        ("go a. go b!", ["go a", "go b!"]),
        ("go a 그리고 go b", ["go a", "go b"]),
        ("nothing and nothing", ["nothing and nothing"]),
        ("", [""]),
    ],
)
def test_a_request_is_split_only_where_the_parts_stand_alone(text: str, expected: list[str]) -> None:
    assert split(text, lambda part: part.strip().startswith("go ")) == expected
