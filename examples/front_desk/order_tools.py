"""The pizza counter's tools. Which cart and which payment it is about is in the context, never in an argument: a model
cannot mix them up.
"""

from __future__ import annotations

from frontdesk.agents import Context, tool

from .services import Services
from .shop import MENU, Cart, CartChange, CartKey, Menu, Order, Pizza, Size, Topping


def _cart(context: Context[Services]) -> CartKey:
    return CartKey(context.tenant, context.conversation_id)


@tool(namespace="orders", idempotent=True, keywords=("toppings", "메뉴"))
def get_pizza_menu() -> Menu:
    """The pizzas that can be ordered: sizes, toppings and their prices."""
    return MENU


@tool(namespace="orders", idempotent=True, keywords=("want", "order", "피자", "주문"))
def add_pizza_to_cart(
    size: Size,
    *,
    toppings: tuple[Topping, ...] = (),
    quantity: int = 1,
    special_instructions: str = "",
    context: Context[Services],
) -> CartChange:
    """Adds pizzas of one kind to the person's cart. Says what was added.

    Args:
        size: The size.
        toppings: What goes on it; none for a plain one.
        quantity: How many of this kind.
        special_instructions: Wishes in the person's words.
    """
    shop = context.dependencies.shop
    return shop.add(_cart(context), context.idempotency_key, size, toppings, quantity, special_instructions)


@tool(namespace="orders", idempotent=True, keywords=("빼", "삭제"))
def remove_pizza_from_cart(pizza_id: int, *, context: Context[Services]) -> CartChange:
    """Removes a line from the person's cart. Says what was removed.

    Args:
        pizza_id: The number of the line, as get_cart shows it.
    """
    return context.dependencies.shop.remove(_cart(context), context.idempotency_key, pizza_id)


@tool(namespace="orders", idempotent=True)
def get_pizza_from_cart(pizza_id: int, *, context: Context[Services]) -> Pizza:
    """One line of the person's cart.

    Args:
        pizza_id: The number of the line.
    """
    return context.dependencies.shop.pizza(_cart(context), pizza_id)


@tool(namespace="orders", idempotent=True, keywords=("basket", "total", "장바구니"))
def get_cart(context: Context[Services]) -> Cart:
    """Everything in the person's cart, with the total."""
    return context.dependencies.shop.cart(_cart(context))


@tool(namespace="orders", idempotent=True, alone=True, keywords=("pay", "결제"))
def checkout(context: Context[Services]) -> Order:
    """Orders what is in the cart and empties it; only when the person has agreed. A demo: nothing is charged."""
    return context.dependencies.shop.checkout(_cart(context), context.idempotency_key)


ORDER_TOOLS = (
    get_pizza_menu,
    add_pizza_to_cart,
    remove_pizza_from_cart,
    get_pizza_from_cart,
    get_cart,
    checkout,
)
