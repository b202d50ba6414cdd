from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import anyio
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.examples.front_desk.market import (
    SAMPLE_SOURCE,
    Benchmark,
    ExchangeRate,
    MarketSettings,
    OilPrice,
    latest,
    multiply,
    oil_price,
    usd_krw,
)
from frontdesk.tasks import ToolError

OIL = "date,benchmark,usd_per_barrel\n2030-01-02,WTI,70.10\n2030-01-03, wti ,71.25\n2029-12-31,WTI,99\n"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncGenerator[str]:
    """The address of a server on this machine that answers with ``handler``."""
    app = web.Application()
    app.router.add_get("/{tail:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/figures.csv?key=secret"
    finally:
        await runner.cleanup()


def answering(body: str | bytes, status: int = 200) -> Handler:
    async def handle(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body.encode() if isinstance(body, str) else body)

    return handle


@pytest.mark.parametrize("benchmark", list(Benchmark))
async def test_without_addresses_the_figures_are_the_sample_and_say_so(benchmark: Benchmark) -> None:
    price = await oil_price(MarketSettings(), benchmark)
    assert (price.benchmark, price.date, price.source) == (benchmark, "2025-01-08", SAMPLE_SOURCE)
    assert 10 < price.usd_per_barrel < 500
    rate = await usd_krw(MarketSettings())
    assert rate == ExchangeRate("USD/KRW", Decimal("1455.00"), "2025-01-08", SAMPLE_SOURCE)


async def test_figures_come_from_the_addresses_in_the_settings() -> None:
    async with (
        served(answering(OIL)) as oil,
        served(answering("\ufeffdate,pair,rate\n2030-01-03,USD/KRW,1400\n")) as won,
    ):
        settings = MarketSettings(oil_url=oil, rate_url=won)
        assert await oil_price(settings, Benchmark.WTI) == OilPrice(
            Benchmark.WTI, Decimal("71.25"), "2030-01-03", "127.0.0.1"
        )
        assert (await usd_krw(settings)).rate == 1400


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("gone", 404, "status 404"),
        ("<html></html>", 200, "no column benchmark, date, usd_per_barrel"),
        ("", 200, "no column"),
        ("date,benchmark,usd_per_barrel\n", 200, "no row for WTI"),
        ("date,benchmark,usd_per_barrel\n2030-01-01,WTI,n/a\n", 200, "not readable"),
        ("date,benchmark,usd_per_barrel\nyesterday,WTI,1\n", 200, "not readable"),
        ("date,benchmark,usd_per_barrel\n2030-01-01,WTI\n", 200, "not readable"),
        ("date,benchmark,usd_per_barrel\n2030-01-01,WTI,Infinity\n", 200, "no usable figure"),
        (b"\xff\xfe\xff", 200, "not text"),
        (b"x" * 1_100_000, 200, "more than 1,000,000 bytes"),
    ],
)
async def test_useless_answers_are_explained_without_the_address(body: str | bytes, status: int, words: str) -> None:
    async with served(answering(body, status)) as url:
        with pytest.raises(ToolError, match=words) as caught:
            await oil_price(MarketSettings(oil_url=url), Benchmark.WTI)
    assert "secret" not in str(caught.value)


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    given_up = anyio.Event()

    async def late(_request: web.Request) -> web.Response:
        await given_up.wait()
        return web.Response(text=OIL)

    async with served(late) as url:
        try:
            with anyio.fail_after(30), pytest.raises(ToolError, match=r"did not answer within 0\.05 seconds"):
                await oil_price(MarketSettings(oil_url=url, timeout=0.05), Benchmark.WTI)
        finally:
            given_up.set()


async def test_an_address_where_nobody_answers_is_explained() -> None:
    with pytest.raises(ToolError, match=r"cannot be had from 127\.0\.0\.1"):
        await usd_krw(MarketSettings(rate_url="http://127.0.0.1:1/"))


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://127.0.0.1/x", "http://[::/", "https:///x"])
def test_settings_with_an_impossible_address_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        MarketSettings(rate_url=url)


def test_the_latest_date_counts_not_the_last_line() -> None:
    assert latest(OIL, "here", {"benchmark": "WTI"}, "usd_per_barrel") == (Decimal("71.25"), "2030-01-03")


@pytest.mark.parametrize(
    ("a", "b", "decimals", "product", "rounding"),
    [
        ("73.32", "1455", 2, "106680.60", "none: exact"),
        ("0.1", "0.2", 2, "0.02", "none: exact"),
        ("1.005", "1", 2, "1.01", "half up to 2 decimals"),
        ("2.5", "1", 0, "3", "half up to 0 decimals"),
        ("-2.5", "1", 0, "-3", "half up to 0 decimals"),
        ("99999999999999999999.99", "99999999999999999999.99", 4, "9999999999999999999998000000000000000000.0001", ""),
    ],
)
def test_products_are_exact_and_say_how_they_are_rounded(
    a: str, b: str, decimals: int, product: str, rounding: str
) -> None:
    result = multiply(Decimal(a), Decimal(b), decimals)
    assert str(result.product) == product
    assert result.exact == Decimal(a) * Decimal(b) or len(product) > 28
    assert rounding in result.rounding


@given(st.integers(-(10**40), 10**40), st.integers(-(10**40), 10**40), st.integers(0, 12))
def test_a_product_equals_that_of_whole_numbers(a: int, b: int, decimals: int) -> None:
    exact = multiply(Decimal(f"{a}e-5"), Decimal(b), decimals).exact
    assert exact.as_tuple().exponent == -5
    assert int(f"{exact:f}".replace(".", "")) == a * b


@pytest.mark.parametrize(
    ("a", "b", "decimals"), [("1", "1", 13), ("1", "1", -1), ("1" * 150, "1" * 150, 2), ("1e999999", "1e999999", 2)]
)
def test_what_cannot_be_multiplied_exactly_is_refused(a: str, b: str, decimals: int) -> None:
    with pytest.raises(ToolError):
        multiply(Decimal(a), Decimal(b), decimals)
