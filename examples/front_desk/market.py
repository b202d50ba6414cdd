"""The market desk's figures: oil prices and the won, from two small CSV files or addresses; and exact multiplication.

``date,benchmark,usd_per_barrel`` and ``date,pair,rate`` are the columns. The latest date counts. Every figure says of
when and from where it is.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, Overflow, localcontext
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from anyio import to_thread

from frontdesk.tasks import ToolError

OIL_SAMPLE: Final = "oil_prices_sample.csv"
RATE_SAMPLE: Final = "usd_krw_sample.csv"
SAMPLE_SOURCE: Final = "sample data that ships with the example: invented figures, not market prices"
MOST_BYTES: Final = 1_000_000
MOST_DECIMALS: Final = 12
_EXACT: Final = Context(prec=200, traps=[Inexact, InvalidOperation, Overflow])


class Benchmark(StrEnum):
    """A kind of crude oil."""

    WTI = "WTI"
    BRENT = "Brent"
    DUBAI = "Dubai"


@dataclass(frozen=True, slots=True)
class MarketSettings:
    """Where the figures come from; without addresses, from the sample data. ``timeout`` is in seconds, per address."""

    oil_url: str | None = None
    rate_url: str | None = None
    timeout: float = 10.0

    def __post_init__(self) -> None:
        for url in (self.oil_url, self.rate_url):
            if url is not None and not _host(url):
                raise ValueError(f"{url!r} is not an address of the form https://host/path")


@dataclass(frozen=True, slots=True)
class OilPrice:
    benchmark: Benchmark
    usd_per_barrel: Decimal
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """``rate`` won for one dollar."""

    pair: str
    rate: Decimal
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class Product:
    product: Decimal
    exact: Decimal
    rounding: str


async def oil_price(settings: MarketSettings, benchmark: Benchmark) -> OilPrice:
    """The latest price of a barrel in US dollars. Raises ToolError when it cannot be had."""
    text, source = await _read(settings.oil_url, OIL_SAMPLE, settings.timeout)
    price, day = latest(text, source, {"benchmark": benchmark.value}, "usd_per_barrel")
    return OilPrice(benchmark, price, day, source)


async def usd_krw(settings: MarketSettings) -> ExchangeRate:
    """The latest price of a US dollar in won. Raises ToolError when it cannot be had."""
    text, source = await _read(settings.rate_url, RATE_SAMPLE, settings.timeout)
    rate, day = latest(text, source, {"pair": "USD/KRW"}, "rate")
    return ExchangeRate("USD/KRW", rate, day, source)


def multiply(a: Decimal, b: Decimal, decimals: int) -> Product:
    """``a`` times ``b``, exactly, and rounded half up to ``decimals`` places."""
    if not 0 <= decimals <= MOST_DECIMALS:
        raise ToolError(f"decimals is 0 to {MOST_DECIMALS}, not {decimals}.")
    try:
        with localcontext(_EXACT):
            exact = a * b
        with localcontext(_EXACT) as context:
            context.traps[Inexact] = False
            rounded = exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    except (Inexact, InvalidOperation, Overflow):
        raise ToolError("These numbers have too many digits to be multiplied exactly.") from None
    return Product(rounded, exact, f"half up to {decimals} decimals" if rounded != exact else "none: exact")


def latest(text: str, source: str, wanted: Mapping[str, str], column: str) -> tuple[Decimal, str]:
    """The figure in ``column`` of the latest row with the ``wanted`` values, in either case, and its date.

    Raises ToolError when there is no such row or it cannot be read.
    """
    rows = csv.DictReader(io.StringIO(text))
    missing = {"date", column, *wanted} - set(rows.fieldnames or ())
    if missing:
        raise ToolError(f"The data from {source} has no column {', '.join(sorted(missing))}.")
    found = [
        row for row in rows if all((row[key] or "").strip().casefold() == it.casefold() for key, it in wanted.items())
    ]
    if not found:
        raise ToolError(f"The data from {source} has no row for {' '.join(wanted.values())}.")
    try:
        day, figure = max((date.fromisoformat(row["date"].strip()), Decimal(row[column].strip())) for row in found)
    except (ValueError, InvalidOperation, AttributeError):
        raise ToolError(
            f"The data from {source} has a row for {' '.join(wanted.values())} that is not readable."
        ) from None
    if not figure.is_finite():
        raise ToolError(f"The data from {source} has no usable figure for {' '.join(wanted.values())}.")
    return figure, day.isoformat()


async def _read(url: str | None, sample: str, timeout: float) -> tuple[str, str]:
    """The text of a file of figures, and what to call its source: never the whole address, which may hold a key."""
    if url is None:
        path = Path(__file__).parent / "data" / sample
        return await to_thread.run_sync(partial(path.read_text, encoding="utf-8")), SAMPLE_SOURCE
    host = _host(url)
    return await _download(url, host, timeout), host


def _host(url: str) -> str:
    """The host that an http address names; empty when it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return (parts.hostname or "") if parts.scheme in ("http", "https") else ""


async def _download(url: str, host: str, timeout: float) -> str:
    import aiohttp  # slow to import, and not needed for the sample data

    try:
        limit = aiohttp.ClientTimeout(total=timeout)
        async with aiohttp.ClientSession(timeout=limit) as session, session.get(url) as response:
            if response.status != 200:
                raise ToolError(
                    f"{host} answered with status {response.status}, not with the figures. Try again later."
                )
            body = b""
            async for chunk in response.content.iter_chunked(65_536):
                body += chunk
                if len(body) > MOST_BYTES:
                    raise ToolError(f"{host} sent more than {MOST_BYTES:,} bytes: that is not the table of figures.")
            return body.decode("utf-8-sig")
    except TimeoutError:
        raise ToolError(f"{host} did not answer within {timeout:g} seconds. Try again later.") from None
    except UnicodeDecodeError:
        raise ToolError(f"{host} sent something that is not text in UTF-8.") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise ToolError(f"The figures cannot be had from {host} ({type(error).__name__}). Try again later.") from None
