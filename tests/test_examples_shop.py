from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from pydantic_core import to_json

from frontdesk.examples.front_desk.shop import (
    MENU,
    Cart,
    CartChange,
    CartKey,
    Pizza,
    Shop,
    Size,
    Topping,
)
from frontdesk.tasks import ToolError

MINE = CartKey("tenant", "conv_1")
YOURS = CartKey("tenant", "conv_2")


@pytest.fixture(params=[False, True], ids=["journal", "wal"])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Shop:
    return Shop(tmp_path / "state" / "shop.db", wal=request.param)


def add(shop: Shop, key: str, cart: CartKey = MINE, *toppings: Topping, quantity: int = 1) -> CartChange:
    return shop.add(cart, key, Size.LARGE, toppings, quantity, "")


def test_adding_says_what_was_added_and_not_the_whole_cart(shop: Shop) -> None:
    add(shop, "k0")
    change = shop.add(MINE, "k1", Size.LARGE, [Topping.MUSHROOMS, Topping.PEPPERONI], 1, " well done ")
    assert change.summary == "1 large pizza (Mushrooms, Pepperoni) in your cart"
    assert change.pizza == Pizza(
        2, Size.LARGE, (Topping.MUSHROOMS, Topping.PEPPERONI), 1, "well done", Decimal("18.00")
    )


def test_the_cart_is_the_sum_of_its_changes(shop: Shop) -> None:
    assert shop.cart(MINE) == Cart((), Decimal("0.00"))
    add(shop, "k1", MINE, Topping.EXTRA_CHEESE, quantity=2)
    add(shop, "k2")
    add(shop, "k3", YOURS)
    assert shop.remove(MINE, "k4", 2).summary == "1 large pizza (plain) removed from the cart"
    cart = shop.cart(MINE)
    assert [pizza.words() for pizza in cart.pizzas] == ["2 large pizzas (Extra cheese)"]
    assert cart.total_usd == Decimal("33.00")
    assert shop.pizza(MINE, 1) == cart.pizzas[0]
    assert len(shop.cart(YOURS).pizzas) == 1


def test_a_cart_belongs_to_its_tenant_too(shop: Shop) -> None:
    add(shop, "k1")
    assert shop.cart(CartKey("other", "conv_1")).pizzas == ()


def test_the_number_of_a_removed_pizza_is_not_given_again(shop: Shop) -> None:
    add(shop, "k1")
    shop.remove(MINE, "k2", 1)
    assert add(shop, "k3").pizza.pizza_id == 2


def test_a_topping_named_twice_is_paid_once(shop: Shop) -> None:
    assert add(shop, "k", MINE, Topping.OLIVES, Topping.OLIVES).pizza.price_usd == Decimal("16.50")


def test_a_repeated_call_changes_nothing_and_gets_the_same_answer(shop: Shop) -> None:
    added = add(shop, "k1")
    add(shop, "k2")
    assert add(shop, "k1") == added
    removed = shop.remove(MINE, "k3", 1)
    assert shop.remove(MINE, "k3", 1) == removed
    assert len(shop.cart(MINE).pizzas) == 1
    order = shop.checkout(MINE, "k4")
    add(shop, "k5")
    assert shop.checkout(MINE, "k4") == order
    assert len(shop.cart(MINE).pizzas) == 1


def test_the_same_key_at_the_same_time_is_one_change(shop: Shop) -> None:
    keys = [f"k{number % 4}" for number in range(32)]
    with ThreadPoolExecutor(8) as threads:
        changes = list(threads.map(partial(add, shop), keys))
    assert len({change.pizza.pizza_id for change in changes}) == 4
    assert len(shop.cart(MINE).pizzas) == 4


def test_an_order_empties_the_cart(shop: Shop) -> None:
    add(shop, "k1", MINE, Topping.PINEAPPLE)
    add(shop, "k2", quantity=3)
    order = shop.checkout(MINE, "k3")
    assert order.summary == "Ordered: 1 large pizza (Pineapple), 3 large pizzas (plain)"
    assert order.total_usd == Decimal("61.50")
    assert shop.cart(MINE).pizzas == ()
    add(shop, "k4", YOURS)
    assert shop.checkout(YOURS, "k5").order_number == order.order_number + 1


def test_what_cannot_be_done_is_explained_and_changes_nothing(shop: Shop) -> None:
    with pytest.raises(ToolError, match="cart is empty"):
        shop.checkout(MINE, "k1")
    with pytest.raises(ToolError, match=r"no pizza 7 in the cart\. It is empty"):
        shop.pizza(MINE, 7)
    add(shop, "k2")
    with pytest.raises(ToolError, match=r"no pizza 7 in the cart\. There are: 1\."):
        shop.remove(MINE, "k3", 7)
    for quantity in (0, -1, 51):
        with pytest.raises(ToolError, match="1 to 50"):
            add(shop, "k4", quantity=quantity)
    with pytest.raises(ToolError, match="at most 500"):
        shop.add(MINE, "k5", Size.SMALL, [], 1, "x" * 501)
    assert len(shop.cart(MINE).pizzas) == 1
    assert shop.checkout(MINE, "k1").order_number == 1


def test_everything_that_a_model_sees_is_json(shop: Shop) -> None:
    change = add(shop, "k", MINE, Topping.EXTRA_CHEESE)
    for value in (MENU, change, shop.cart(MINE), shop.checkout(MINE, "k2")):
        assert to_json(value)
    assert b'"price_usd":"16.50"' in to_json(change)


CUSTOMER = """
import sys
from pathlib import Path
from frontdesk.examples.front_desk.shop import CartKey, Shop, Size
shop = Shop(Path(sys.argv[1]))
for number in range(100_000):
    shop.add(CartKey("tenant", "conv_1"), f"key {number}", Size.SMALL, [], 1, "")
    print(number, flush=True)
"""


def test_a_cart_survives_a_kill_and_the_repeated_calls_after_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    for wanted in (1, 7):
        with subprocess.Popen(
            [sys.executable, "-c", CUSTOMER, str(path)], stdout=subprocess.PIPE, text=True
        ) as customer:
            assert customer.stdout is not None
            answered = [customer.stdout.readline() for _ in range(wanted)]
            customer.kill()
            answered += customer.stdout.readlines()
        confirmed = int(answered[-1]) + 1 if answered[-1].endswith("\n") else int(answered[-2]) + 1
        shop = Shop(path)
        assert len(shop.cart(MINE).pizzas) >= confirmed
        for number in range(confirmed + 1):
            add(shop, f"key {number}")
        pizzas = shop.cart(MINE).pizzas
        assert len(pizzas) >= confirmed + 1
        assert [pizza.pizza_id for pizza in pizzas] == list(range(1, len(pizzas) + 1))
