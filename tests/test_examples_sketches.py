from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdesk.examples.front_desk.sketches import Distinct, MostCommon, Quantiles


@settings(deadline=None)
@given(st.lists(st.text(max_size=3), max_size=50))
def test_distinct_texts_are_counted_exactly_while_they_fit(texts: list[str]) -> None:
    distinct = Distinct(50)
    for text in texts:
        distinct.add(text)
    assert distinct.count() == len(set(texts))
    assert distinct.error() == 0.0


def test_more_distinct_texts_than_fit_are_estimated_within_the_error() -> None:
    distinct = Distinct(1000)
    for number in range(100_000):
        distinct.add(f"value {number % 20_000}")
    assert not distinct.exact
    assert distinct.error() == pytest.approx(0.0317, abs=0.001)
    assert abs(distinct.count() / 20_000 - 1) < 4 * distinct.error()


def test_the_order_of_texts_does_not_change_the_estimate() -> None:
    texts = [f"value {number}" for number in range(3_000)]
    forwards, backwards = Distinct(64), Distinct(64)
    for one, other in zip(texts, reversed(texts), strict=True):
        forwards.add(one)
        backwards.add(other)
    assert forwards.count() == backwards.count()


def test_half_a_character_is_a_text_too() -> None:
    distinct = Distinct()
    for text in ("\ud800", "\ud801", "\ud800"):
        distinct.add(text)
    assert distinct.count() == 2


@settings(deadline=None, max_examples=300)
@given(
    values=st.lists(st.integers(-50, 50) | st.floats(-1e6, 1e6), min_size=1, max_size=400),
    size=st.sampled_from([2, 3, 8, 32, 1000]),
    pieces=st.integers(1, 40),
)
def test_a_quantile_is_never_further_off_than_it_says(values: list[float], size: int, pieces: int) -> None:
    quantiles = Quantiles(size)
    for start in range(0, len(values), pieces):
        quantiles.add(values[start : start + pieces])
    assert quantiles.count == len(values)
    if len(values) < size:
        assert quantiles.error() == 0.0
    ordered = sorted(values)
    allowed = quantiles.error() * len(values) + 1e-6
    for percent in (0, 1, 25, 50, 75, 99, 100):
        wanted = max(1, math.ceil(percent * len(values) / 100))
        answer = quantiles.value(percent)
        assert bisect_left(ordered, answer) < wanted + allowed
        assert bisect_right(ordered, answer) >= wanted - allowed


def test_the_error_of_quantiles_stays_small() -> None:
    quantiles = Quantiles(512)
    for _ in range(200):
        quantiles.add(range(1_000))
    assert 0 < quantiles.error() < 0.01
    assert quantiles.value(50) == pytest.approx(500, abs=10)


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=20), max_size=10), st.sampled_from([2, 4, 100]))
def test_counts_are_never_too_high_and_too_low_by_no_more_than_said(batches: list[list[str]], size: int) -> None:
    common = MostCommon(size)
    exact: Counter[str] = Counter()
    for batch in batches:
        common.add(Counter(batch))
        exact.update(batch)
    found = dict(common.top(100))
    assert len(found) <= size
    for text, count in exact.items():
        assert count - common.missed <= found.get(text, 0) <= count


def test_equally_common_texts_are_in_alphabetical_order() -> None:
    common = MostCommon()
    common.add(Counter("banana"))
    common.add(Counter("cc"))
    assert common.top(3) == [("a", 3), ("c", 2), ("n", 2)]
