# app/home.py
"""The first page."""

from fastapi import APIRouter, Request, Response

from .current import CurrentSession, VisitorOrAccount
from .pages import show

router = APIRouter()


@router.get("/")
async def home(request: Request, session: CurrentSession, account: VisitorOrAccount) -> Response:
    """Show who is signed in, and the cart."""
    return show(request, "home.html", account=account, cart=session.get("cart", {}))
