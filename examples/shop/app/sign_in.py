# app/sign_in.py
"""Signing in, with "remember me", and signing out."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from .accounts import AllAccounts
from .current import CurrentSession
from .pages import show
from .sign_up import Name

router = APIRouter()

Password = Annotated[str, Form(max_length=200)]
Remember = Annotated[bool, Form()]

REMEMBERED = timedelta(days=30)


@router.get("/sign-in")
async def sign_in_page(request: Request) -> Response:
    """Show the form."""
    return show(request, "sign-in.html")


@router.post("/sign-in")
async def sign_in(
    request: Request,
    session: CurrentSession,
    accounts: AllAccounts,
    name: Name,
    password: Password,
    *,
    remember: Remember = False,
) -> Response:
    """Sign in, under a new key."""
    account = await accounts.check(name, password)
    if account is None:
        error = "The name or the password is wrong."
        return show(request, "sign-in.html", status_code=401, error=error)
    session.login(str(account.id), period=REMEMBERED if remember else None)
    return RedirectResponse("/", status_code=303)


@router.post("/sign-out")
async def sign_out(session: CurrentSession) -> Response:
    """End the session."""
    session.logout()
    return RedirectResponse("/", status_code=303)
