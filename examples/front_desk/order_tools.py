"""The pizza counter's tools, constructed with the shop. Which cart and which payment it is about is hidden from the
model, never an argument: it cannot mix them up.
"""

from __future__ import annotations

from typing import Annotated, Any

from frontdesk.agents import Context, Hidden, Toolset, tool

from .shop import MENU, Cart, CartChange, CartKey, Menu, Order, Pizza, Shop, Size, Topping


def _cart(context: Context[Any]) -> CartKey:
    return CartKey(context.tenant, context.conversation_id)


def _key(context: Context[Any]) -> str:
    return context.idempotency_key


OwnCart = Annotated[CartKey, Hidden(_cart)]
Key = Annotated[str, Hidden(_key)]


class Orders(Toolset):
    """The counter, orders-… to a model."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    @tool(idempotent=True, keywords=("toppings", "메뉴"))
    def get_pizza_menu(self) -> Menu:
        """The pizzas that can be ordered: sizes, toppings and their prices."""
        return MENU

    @tool(idempotent=True, keywords=("want", "order", "피자", "주문"))
    def add_pizza_to_cart(
        self,
        size: Size,
        *,
        toppings: tuple[Topping, ...] = (),
        quantity: int = 1,
        special_instructions: str = "",
        cart: OwnCart,
        key: Key,
    ) -> CartChange:
        """Adds pizzas of one kind to the person's cart. Says what was added.

        Args:
            size: The size.
            toppings: What goes on it; none for a plain one.
            quantity: How many of this kind.
            special_instructions: Wishes in the person's words.
        """
        return self._shop.add(cart, key, size, toppings, quantity, special_instructions)

    @tool(idempotent=True, keywords=("빼", "삭제"))
    def remove_pizza_from_cart(self, pizza_id: int, *, cart: OwnCart, key: Key) -> CartChange:
        """Removes a line from the person's cart. Says what was removed.

        Args:
            pizza_id: The number of the line, as get_cart shows it.
        """
        return self._shop.remove(cart, key, pizza_id)

    @tool(idempotent=True)
    def get_pizza_from_cart(self, pizza_id: int, *, cart: OwnCart) -> Pizza:
        """One line of the person's cart.

        Args:
            pizza_id: The number of the line.
        """
        return self._shop.pizza(cart, pizza_id)

    @tool(idempotent=True, keywords=("basket", "total", "장바구니"))
    def get_cart(self, *, cart: OwnCart) -> Cart:
        """Everything in the person's cart, with the total."""
        return self._shop.cart(cart)

    @tool(idempotent=True, alone=True, needs_approval=True, keywords=("pay", "결제"))
    def checkout(self, *, cart: OwnCart, key: Key) -> Order:
        """Orders what is in the cart and empties it; the person is asked first. A demo: nothing is charged."""
        return self._shop.checkout(cart, key)
