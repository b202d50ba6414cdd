"""Numbers that one tool has found, as arguments of the next: a price and an exchange rate become a price in won.

Only numbers that stand in outputs of this turn or in the request are used; where it is not clear which, nothing is
combined.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from ...model import JSON
from .candidate import Candidate
from .clause import Clause
from .money import currencies, target
from .schema import Parameter, as_object
from .turn import Made
from .values import overlap, scan
from .words import stems

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
_FIGURE: Final = re.compile(r"-?\d+(?:\.\d+)?")
_TROUBLE: Final = re.compile(r"\b(?:error|failed|status|not|no|try|cannot|unknown|invalid)\b", re.IGNORECASE)
_SIDE: Final = frozenset(
    stems("id year timestamp epoch time port status code page limit offset version change percent")
)


Figure: TypeAlias = int | float | str
"""A number as an output has it: exact decimals come as texts."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number that was found, and the currency that it is in. ``rate``: it is what others are to be multiplied by."""

    value: Figure
    currency: str = ""
    rate: bool = False


def found_numbers(made: tuple[Made, ...]) -> list[Number]:
    """The main number of each output that has one, in the order of the calls."""
    numbers: list[Number] = []
    for one in made:
        value, key = main_number(one.data, one.name)
        if value is not None:
            named = str(as_object(one.data).get("currency") or next((code.code for code in currencies(key)), ""))
            numbers.append(Number(value, named, bool((stems(one.name) | stems(key)) & _RATES)))
    return numbers


def main_number(data: Any, name: str) -> tuple[Figure | None, str]:
    """The number that an output is about, and its key."""
    if _is_figure(data):
        return data, ""
    if isinstance(data, str):
        return _in_text(data), ""
    figures = {key: value for key, value in as_object(data).items() if _is_figure(value) and not stems(key) & _SIDE}
    own = [key for key in figures if stems(key) & stems(name)]
    main = [key for word in _MAIN for key in figures if stems(word) & stems(key)]
    key = next(iter([*own, *main, *figures]), None)
    if key is not None:
        return figures[key], key.replace("_", " ")
    inner = [value for value in as_object(data).values() if as_object(value)]
    return main_number(inner[0], name) if len(inner) == 1 else (None, "")


def _is_figure(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) < 60 and _FIGURE.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e60


def _in_text(text: str) -> float | None:
    """The number of a short statement: what follows the last ``=``, else the first with decimals, else the only one."""
    if len(text) > 80 or _TROUBLE.search(text):
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
    by_name = {one.name: one for one in candidate.parameters}
    made = [{name: _for(by_name[name], value) for name, value in zip(names, pair, strict=True)} for pair in pairs]
    return [{**one, **others} for one in made if None not in one.values()]


def _for(parameter: Parameter, value: Figure) -> Figure | None:
    """A figure in a form that the parameter takes: a text stays exact where it may."""
    return next((form for form in (value, float(value)) if parameter.takes(form)), None)


def _said(clause: Clause, used: tuple[tuple[int, int], ...]) -> list[Number]:
    """Amounts of the request itself (``100 dollars``)."""
    return [
        Number(value.value)
        for value in clause.values
        if value.kind == "number" and not any(overlap(value, *span) for span in used)
    ]


def given(missing: tuple[Parameter, ...], numbers: list[Number]) -> JSON | None:
    """Values for missing arguments from what was found; None when it does not give them all."""
    values: JSON = {}
    left = list(numbers)
    for one in missing:
        if one.numeric and left:
            values[one.name] = _for(one, left.pop(0).value)
        elif re.search("currency|from|base|source", one.name) and numbers and numbers[0].currency:
            values[one.name] = numbers[0].currency
        else:
            return None
        if not one.takes(values[one.name]):
            return None
    return values


def equation(one: Made, currency: str | None) -> str | None:
    """``71.3 × 1,390.5 = 99,142.65 KRW`` for a call of a multiplying tool."""
    factors = [value for value in one.arguments.values() if _is_figure(value)]
    result, _ = main_number(one.data, one.name)
    if len(factors) != 2 or result is None:
        return None
    return f"{written(factors[0])} × {written(factors[1])} = {written(result)}{f' {currency}' if currency else ''}"


def written(figure: Figure) -> str:
    """A number for people: thousands apart, without the noise of binary fractions."""
    if isinstance(figure, str):
        return f"{Decimal(figure):,f}"
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:,.10g}" if abs(figure) < 1e9 else f"{figure:,.2f}"
