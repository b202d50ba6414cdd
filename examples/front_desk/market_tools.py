"""The market desk's tools. A product is computed here and not in a model's head."""

from __future__ import annotations

from decimal import Decimal

from frontdesk.agents import Context, tool

from . import market
from .market import Benchmark, ExchangeRate, OilPrice, Product
from .services import Services


@tool(
    idempotent=True,
    keywords=(
        "oil", "crude", "barrel", "price", "petroleum", "WTI", "Brent", "Dubai",
        "석유", "유가", "원유", "기름", "가격", "배럴", "두바이", "두바이유", "브렌트", "브렌트유", "서부텍사스",
    ),
)  # fmt: skip
async def get_oil_price(*, benchmark: Benchmark = Benchmark.WTI, context: Context[Services]) -> OilPrice:
    """The latest price of a barrel of crude oil in US dollars, with its date and source. Say which benchmark it is.

    Args:
        benchmark: The kind of oil.
    """
    return await market.oil_price(context.dependencies.market, benchmark)


@tool(
    idempotent=True,
    keywords=(
        "exchange", "rate", "won", "dollar", "KRW", "USD", "currency", "Korean",
        "환율", "원화", "원", "달러", "미국", "한국",
    ),
)  # fmt: skip
async def get_usd_krw_rate(context: Context[Services]) -> ExchangeRate:
    """How many Korean won one US dollar costs, with date and source."""
    return await market.usd_krw(context.dependencies.market)


@tool(idempotent=True, keywords=("multiply", "times", "product", "convert", "곱하기", "곱해", "곱", "환산"))
def multiply(a: Decimal, b: Decimal, *, decimals: int = 2) -> Product:
    """Multiplies two numbers exactly. Use it for every product and conversion.

    Args:
        a: A number.
        b: Another number.
        decimals: How many decimals to round to, half up.
    """
    return market.multiply(a, b, decimals)


MARKET_TOOLS = (get_oil_price, get_usd_krw_rate, multiply)
