"""Schedules, without a database: ticks, time zones, missed ticks, and everything that cannot be a schedule."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.tasks.context import TaskContext
from frontdesk.tasks.cron import MOST, Schedule
from frontdesk.tasks.errors import InvalidOption
from frontdesk.tasks.registry import task


def at(text: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def ticks(schedule: Schedule, after: float, count: int) -> list[str]:
    """The next ticks as local clocks show them, with their distance from UTC."""
    found: list[str] = []
    for _ in range(count):
        after = schedule.next(after)
        found.append(datetime.fromtimestamp(after, ZoneInfo(schedule.timezone)).strftime("%d %H:%M %z"))
    return found


# --- ticks


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/20 * * * *", ["21 08:40 +0000", "21 09:00 +0000"]),
        ("30 9 * * MON-FRI", ["23 09:30 +0000", "24 09:30 +0000"]),
        ("0 0 L * *", ["30 00:00 +0000", "31 00:00 +0000"]),
        ("0 12 * * MON#2", ["14 12:00 +0000", "11 12:00 +0000"]),
    ],
)
def test_ticks_are_those_of_crontab(expression: str, expected: list[str]) -> None:
    assert ticks(Schedule(expression), at("2026-11-21 08:22"), 2) == expected


def test_an_expression_is_meant_in_its_time_zone() -> None:
    assert Schedule("0 9 * * *", "Asia/Seoul").next(at("2026-11-21 08:22")) == at("2026-11-22 00:00")


def test_a_tick_is_not_its_own_successor() -> None:
    schedule = Schedule("0 9 * * *")
    assert schedule.next(at("2026-11-21 09:00")) == at("2026-11-22 09:00")
    assert schedule.next(at("2026-11-21 09:00") - 0.5) == at("2026-11-21 09:00")


# --- clocks that are put forward and back (Berlin: 2026-03-29 02:00 -> 03:00, 2026-10-25 03:00 -> 02:00)


def test_a_time_that_does_not_exist_becomes_the_first_one_that_does() -> None:
    found = ticks(Schedule("30 2 * * *", "Europe/Berlin"), at("2026-03-28 00:00"), 3)
    assert found == ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]


def test_a_time_that_comes_twice_ticks_once() -> None:
    found = ticks(Schedule("30 2 * * *", "Europe/Berlin"), at("2026-10-24 00:00"), 3)
    assert found == ["24 02:30 +0200", "25 02:30 +0200", "26 02:30 +0100"]
    between = at("2026-10-25 02:15", "Europe/Berlin", fold=1)  # the second 02:30 is still to come
    assert ticks(Schedule("30 2 * * *", "Europe/Berlin"), between, 1) == ["26 02:30 +0100"]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_every_half_hour_stays_every_half_hour(day: str) -> None:
    schedule, now = Schedule("*/30 * * * *", "Europe/Berlin"), at(day)
    for _ in range(10):
        following = schedule.next(now)
        assert following - now == 1800
        now = following


FIELD = st.sampled_from(["*", "*/7", "*/30", "0", "30", "0,30", "59"])
HOUR = st.sampled_from(["*", "*/2", "0", "1", "2", "3", "0,3", "23"])
CHANGES = st.sampled_from(
    [
        ("Europe/Berlin", "2026-03-29 01:00"), ("Europe/Berlin", "2026-10-25 01:00"),
        ("America/New_York", "2026-11-01 06:00"), ("America/Havana", "2026-11-01 05:00"),
        ("America/Sao_Paulo", "2017-10-15 03:00"), ("Australia/Lord_Howe", "2026-04-04 15:00"),
        ("Africa/Casablanca", "2026-02-15 02:00"), ("Pacific/Apia", "2011-12-30 10:00"),
    ]
)  # fmt: skip


@given(FIELD, HOUR, st.sampled_from(["*", "SUN"]), CHANGES, st.integers(-30_000, 30_000))
def test_ticks_only_go_forward_wherever_clocks_are_changed(
    minute: str, hour: str, day: str, change: tuple[str, str], beside: int
) -> None:
    zone, moment = change
    schedule = Schedule(f"{minute} {hour} * * {day}", zone, "all")
    now = at(moment) + beside
    first = schedule.next(now)
    second = schedule.next(first)
    assert now < first < second
    assert schedule.due(first, second) == ([first, second], False)


# --- missed ticks


def test_of_missed_ticks_the_last_one_stands_for_all() -> None:
    first = at("2026-11-21 09:00")
    assert Schedule("0 * * * *").due(first, first + 3.5 * 3600) == ([first + 3 * 3600], False)


def test_missed_ticks_are_skipped_but_for_one_of_the_last_minute() -> None:
    schedule, first = Schedule("0 * * * *", missed="skip"), at("2026-11-21 09:00")
    assert schedule.due(first, first + 0.4) == ([first], False)
    assert schedule.due(first, first + 61) == ([], False)
    assert schedule.due(first, first + 2 * 3600 + 30) == ([first + 2 * 3600], False)


def test_every_missed_tick_is_made_up_for_the_last_hundred_at_most() -> None:
    schedule, first = Schedule("*/5 * * * *", missed="all"), at("2026-11-21 09:00")
    assert schedule.due(first, first + 899) == ([first, first + 300, first + 600], False)
    exactly = first + (MOST - 1) * 300
    assert schedule.due(first, exactly) == ([first + 300 * number for number in range(MOST)], False)
    found, given_up = schedule.due(first, exactly + 300)
    assert (found[0], len(found), given_up) == (first + 300, MOST, True)


@pytest.mark.parametrize("expression", ["* * * * *", "0 0 29 2 *"])
@pytest.mark.parametrize("missed", ["once", "all"])
def test_years_of_missed_ticks_are_not_gone_through(expression: str, missed: Any) -> None:
    schedule, now = Schedule(expression, "Europe/Berlin", missed), at("2026-11-21 09:00")
    found, given_up = schedule.due(schedule.next(0.0), now)
    assert len(found) == (1 if missed == "once" else 100 if expression == "* * * * *" else 14)
    assert given_up == (missed == "all" and expression == "* * * * *")
    assert schedule.next(found[-1]) > now


# --- what cannot be a schedule


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "it has five fields, minute hour"),
        ("* * * *", "it has five fields"),
        ("0 * * * * *", "it has five fields"),
        ("@daily", "it has five fields"),
        (5, "it has five fields"),
        ("61 * * * *", "Bad minute"),
        ("* 24 * * *", "Bad hour"),
        ("* * * * MON#6", "Bad day-of-week"),
        ("9" * 5000 + " * * * *", "is no cron expression"),
        ("0 0 30 2 *", "Bad day-of-month"),
        ("0 0 LW * */7", "names a time that never comes"),
    ],
)
def test_what_is_no_expression_is_refused_where_it_is_declared(expression: Any, why: str) -> None:
    with pytest.raises(InvalidOption, match=why) as raised:
        task(cron=expression)(every_hour)
    assert str(raised.value).startswith(f"every_hour: cron={repr(expression)[:100]}")
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "Europe", "../etc/passwd", "\0", None, 5])
def test_an_unknown_time_zone_is_refused(zone: Any) -> None:
    with pytest.raises(InvalidOption, match=r"every_hour: timezone=.* is not known here: give an IANA name"):
        task(cron="0 * * * *", timezone=zone)(every_hour)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InvalidOption, match="missed is 'once', 'skip' or 'all', not 'twice'"):
        task(cron="0 * * * *", missed=cast(Any, "twice"))(every_hour)


@pytest.mark.parametrize(
    "options",
    [{"timezone": "Europe/Berlin"}, {"missed": "all"}, {"cron_arguments": {}}],
    ids=lambda one: next(iter(one)),
)
def test_options_of_a_schedule_need_one(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="belong to a schedule; give cron= too"):
        task(**options)(every_hour)


def every_hour() -> None:
    """Does nothing."""


def of_month(context: TaskContext[Any], month: str, limit: int = 100) -> None:
    """Needs a month."""


def test_required_arguments_must_be_given_and_fit() -> None:
    with pytest.raises(InvalidOption, match=r"of_month: cron= files it with cron_arguments=\{\}(?s:.*)month"):
        task(cron="0 9 1 * *")(of_month)
    with pytest.raises(InvalidOption, match=r"cron_arguments=\{'month': 'May', 'day': 1\}(?s:.*)day"):
        task(cron="0 9 1 * *", cron_arguments={"month": "May", "day": 1})(of_month)
    function = task(cron="0 9 1 * *", cron_arguments={"month": "May"}, queue="slow")(of_month)
    assert function.schedule is not None
    request = function.scheduled(function.schedule)
    assert (request.name, request.arguments, request.queue) == ("of_month", {"month": "May"}, "slow")


def test_a_schedule_can_be_copied_away_and_into_a_function() -> None:
    function = task(cron="0 9 * * *", timezone="Europe/Berlin", missed="skip")(every_hour)
    assert function.schedule == Schedule("0 9 * * *", "Europe/Berlin", "skip", {})
    assert replace(function, schedule=None).schedule is None
    with pytest.raises(InvalidOption, match="of_month: cron= files it"):
        replace(task(of_month), schedule=Schedule("0 9 * * *"))


def test_the_reader_of_expressions_is_imported_when_a_schedule_is_declared() -> None:
    code = (
        "import sys; from frontdesk.tasks import task\n"
        "print('cronsim' in sys.modules)\n"
        "def f() -> None: ...\n"
        "task(cron='0 9 * * *')(f); print('cronsim' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_utc_needs_no_data_of_time_zones() -> None:
    moment = datetime(2026, 11, 21, 8, 22, tzinfo=UTC)
    code = (
        "import zoneinfo; zoneinfo.ZoneInfo = None\n"
        "from frontdesk.tasks.cron import Schedule\n"
        f"print(Schedule('30 * * * *').next({moment.timestamp()}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == (moment + timedelta(minutes=8)).timestamp()
