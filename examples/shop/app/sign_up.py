# app/sign_up.py
"""The page on which visitors make an account."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from .accounts import AllAccounts
from .pages import show

router = APIRouter()

Name = Annotated[str, Form(pattern="^[a-z0-9]{2,30}$")]
NewPassword = Annotated[str, Form(min_length=12, max_length=200)]


@router.get("/sign-up")
async def sign_up_page(request: Request) -> Response:
    """Show the form."""
    return show(request, "sign-up.html")


@router.post("/sign-up")
async def sign_up(
    request: Request, accounts: AllAccounts, name: Name, password: NewPassword
) -> Response:
    """Make the account."""
    if not await accounts.add(name, password):
        return show(request, "sign-up.html", status_code=409, error="This name is taken.")
    return RedirectResponse("/sign-in", status_code=303)
