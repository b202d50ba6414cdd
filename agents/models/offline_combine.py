"""Numbers that one tool has found, as arguments of the next: a price and an exchange rate become a price in won.

Only numbers that stand in outputs of this turn or in the request are used; where it is not clear which, nothing is
combined.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..model import JSON
from .offline_catalogue import Candidate
from .offline_clause import Clause
from .offline_money import target
from .offline_schema import Parameter, as_object
from .offline_turn import Made
from .offline_values import overlap, scan
from .offline_words import stems

_MULTIPLIES: Final = stems(
    "multiply multiplication product times convert conversion 곱하기 곱셈 multiplizieren produkt"
)
_RATES: Final = stems("rate exchange fx 환율 kurs wechselkurs")
_MAIN: Final = (
    "price",
    "rate",
    "value",
    "result",
    "amount",
    "total",
    "product",
    "close",
    "last",
    "sum",
    "cost",
    "number",
    "count",
)
_SIDE: Final = frozenset(
    stems("id year timestamp epoch time port status code page limit offset version change percent")
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number that was found, where from, and the currency that it is in."""

    value: float
    name: str
    currency: str = ""
    rate: bool = False


def found_numbers(made: tuple[Made, ...]) -> list[Number]:
    """The main number of each output that has one, in the order of the calls."""
    numbers: list[Number] = []
    for one in made:
        value, key = main_number(one.data, one.name)
        if value is not None:
            data = as_object(one.data)
            about = stems(one.name) | stems(key)
            numbers.append(Number(value, one.name, str(data.get("currency") or ""), bool(about & _RATES)))
    return numbers


def main_number(data: Any, name: str) -> tuple[float | None, str]:
    """The number that an output is about, and its key."""
    if _is_number(data):
        return data, ""
    if isinstance(data, str):
        return _in_text(data), ""
    numbers = {key: value for key, value in as_object(data).items() if _is_number(value) and not stems(key) & _SIDE}
    own = [key for key in numbers if stems(key) & stems(name)]
    main = [key for word in _MAIN for key in numbers if stems(word) & stems(key)]
    key = next(iter([*own, *main, *numbers]), None)
    if key is not None:
        return numbers[key], key
    inner = [value for value in as_object(data).values() if as_object(value)]
    return main_number(inner[0], name) if len(inner) == 1 else (None, "")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_text(text: str) -> float | None:
    """The number of a sentence: what follows the last ``=``, else the first with decimals, else the only one."""
    if len(text) > 400:
        return None
    tail = text.rpartition("=")[2] if "=" in text else text
    numbers = [value.value for value in scan(tail) if value.kind == "number"]
    broken = [number for number in numbers if isinstance(number, float)]
    return broken[0] if broken else numbers[0] if len(numbers) == 1 or (numbers and "=" in text) else None


def combines(candidate: Candidate) -> bool:
    """Whether a tool only computes: two numbers are all that it requires."""
    required = [one for one in candidate.parameters if not one.optional]
    return candidate.kind == "tool" and len(required) == 2 and all(one.numeric for one in required)


def multiplies(candidate: Candidate) -> bool:
    """Whether a tool that combines does it by multiplying."""
    words = candidate.known | stems(candidate.description)
    return combines(candidate) and bool(words & _MULTIPLIES) and not candidate.known & stems("divide add subtract sum")


def products(
    candidate: Candidate, clause: Clause, numbers: list[Number], used: tuple[tuple[int, int], ...]
) -> list[JSON]:
    """Arguments for a multiplying tool: every amount with the rate, or the only two numbers with each other."""
    wanted = target(clause.text)
    rates = [one for one in numbers if one.rate]
    amounts = [one for one in numbers if not one.rate and (not one.currency or one.currency != wanted)]
    amounts = amounts or _said(clause, used)
    if len(rates) == 1 and amounts:
        pairs = [(amount.value, rates[0].value) for amount in amounts]
    elif not rates and len(amounts) == 2:
        pairs = [(amounts[0].value, amounts[1].value)]
    else:
        return []
    names = [one.name for one in candidate.parameters if not one.optional]
    others = {one.name: None for one in candidate.parameters if one.optional and one.required}
    made = [dict(zip(names, pair, strict=True)) | others for pair in pairs]
    by_name = {one.name: one for one in candidate.parameters}
    return [one for one in made if all(by_name[name].takes(one[name]) for name in names)]


def _said(clause: Clause, used: tuple[tuple[int, int], ...]) -> list[Number]:
    """Amounts of the request itself (``100 dollars``)."""
    return [
        Number(value.value, "")
        for value in clause.values
        if value.kind == "number" and value.unit and not any(overlap(value, *span) for span in used)
    ]


def given(missing: tuple[Parameter, ...], numbers: list[Number]) -> JSON | None:
    """Values for missing arguments from what was found; None when it does not give them all."""
    values: JSON = {}
    left = list(numbers)
    for one in missing:
        if one.numeric and left:
            values[one.name] = left.pop(0).value
        elif re.search("currency|from|base|source", one.name) and numbers and numbers[0].currency:
            values[one.name] = numbers[0].currency
        else:
            return None
        if not one.takes(values[one.name]):
            return None
    return values


def equation(one: Made, numbers: Mapping[str, Any], currency: str | None) -> str | None:
    """``71.3 × 1,390.5 = 99,142.65 KRW`` for a call of a multiplying tool."""
    factors = [value for value in numbers.values() if _is_number(value)]
    result, _ = main_number(one.data, one.name)
    if len(factors) != 2 or result is None:
        return None
    return f"{written(factors[0])} × {written(factors[1])} = {written(result)}{f' {currency}' if currency else ''}"


def written(number: float) -> str:
    """A number for people: thousands apart, without the noise of binary fractions."""
    return f"{number:,}" if isinstance(number, int) else f"{number:,.10g}" if abs(number) < 1e9 else f"{number:,.2f}"
