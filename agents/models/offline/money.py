"""Currencies: how people name them, and which one a text asks to have something expressed in. Nothing about rates,
nothing about tools.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_NAMES: Final = {
    "USD": r"US dollars?|american dollars?|dollars?|bucks|dólares|달러화?|美元|ドル|\$",
    "EUR": r"euros?|유로화?|欧元|ユーロ|€",
    "KRW": (
        r"(?:south )?korean won|(?<=\d )won|won(?= ?(?:currency|please|now|today|$|[?.!,]))"
        r"|원화|(?<=\d)\s?원|원(?=으로)|韩元|ウォン|₩"
    ),
    "JPY": r"japanese yen|yen|엔화|日元|日本円|円|¥",
    "GBP": (
        r"british pounds?|pounds? sterling|(?<=\d )pounds?|pounds?(?= ?(?:please|now|today|$|[?.!,]))"
        r"|파운드화?|英镑|ポンド|£"
    ),
    "CNY": r"chinese yuan|yuan|renminbi|rmb|위안화?|人民币|人民元",
    "CHF": r"swiss francs?|(?:schweizer )?franken|스위스 ?프랑",
    "INR": r"(?:indian )?rupees?|루피화?|₹",
    "CAD": r"canadian dollars?|캐나다 ?달러",
    "AUD": r"australian dollars?|호주 ?달러",
    "SEK": r"swedish kron[ae]r?",
    "NOK": r"norwegian kron[ae]r?",
    "DKK": r"danish kron[ae]r?",
    "PLN": r"z[łl]oty",
    "MXN": r"mexican pesos?",
    "BRL": r"brazilian rea(?:l|is)",
    "TRY": r"turkish lira",
    "VND": r"vietnamese dong|베트남 ?동",
    "THB": r"(?:thai )?baht|바트",
}
_CODES: Final = (
    r"USD|EUR|KRW|JPY|GBP|CNY|CHF|INR|CAD|AUD|SEK|NOK|DKK|PLN|MXN|BRL|TRY|VND|THB|SGD|HKD|NZD|ZAR|CZK|HUF|ILS|IDR|MYR|PHP|TWD"
    r"|usd|eur|krw|jpy|gbp|cny|chf|inr"
)
_ONE: Final = re.compile(
    "|".join(
        [rf"(?<![A-Za-z])(?P<code>{_CODES})(?![A-Za-z])"]
        + [
            rf"(?P<{code}>(?i:{names}))(?![A-Za-z])" if code in ("USD", "EUR") else rf"(?P<{code}>(?i:{names}))"
            for code, names in sorted(_NAMES.items(), key=lambda named: named[0] in ("USD", "EUR"))
        ]
    )
)
_INTO: Final = re.compile(r"(?:^|\s)(?:in|into|to|as|nach|zu|en|a)\s+(?:the\s+)?$", re.IGNORECASE)
_INTO_AFTER: Final = re.compile(r"(?:으로|로|で|に)")
_LETTER: Final = re.compile(r"[A-Za-z]$")


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency named in a text. ``target``: what something is to be expressed in (``in won``, ``원화로``)."""

    code: str
    start: int
    end: int
    target: bool


def currencies(text: str) -> tuple[Currency, ...]:
    """The currencies that a text names, in order."""
    found: list[Currency] = []
    for match in _ONE.finditer(text):
        word = match.group().strip()
        if word[0].isascii() and word[0].isalpha() and _LETTER.search(text[: match.start()]):
            continue
        code = match.group("code")
        name = code.upper() if code else str(match.lastgroup)
        target = bool(_INTO.search(text[: match.start()]) or _INTO_AFTER.match(text, match.end()))
        found.append(Currency(name, match.start(), match.end(), target))
    return tuple(found)


def target(text: str) -> str | None:
    """The currency that the text wants an amount in."""
    return next((one.code for one in currencies(text) if one.target), None)
