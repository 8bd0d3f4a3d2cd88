# app/cart.py
"""The cart, which is in the session."""

import asyncio
from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from .current import CurrentSession

router = APIRouter()

Item = Literal["tea", "coffee", "cocoa"]


async def reserve(_item: Item) -> None:
    """In a real shop: ask the warehouse, which takes a moment."""
    await asyncio.sleep(0.2)


@router.post("/cart/{item}")
async def add(item: Item, session: CurrentSession) -> Response:
    """Put one more of an item into the cart."""
    await reserve(item)
    async with session.exclusive():
        cart: dict[str, int] = session.get("cart", {})
        session["cart"] = {**cart, item: cart.get(item, 0) + 1}
    return RedirectResponse("/", status_code=303)
