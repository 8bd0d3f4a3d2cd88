# app/devices.py
"""The page on which users see their devices, and sign them out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from pgsession import PostgresStore

from .current import CurrentAccount, CurrentSession
from .pages import show

router = APIRouter()


def store_of(request: Request) -> PostgresStore:
    """Return the store of the application."""
    store: PostgresStore = request.app.state.store
    return store


CurrentStore = Annotated[PostgresStore, Depends(store_of)]


@router.get("/devices")
async def devices(request: Request, session: CurrentSession, account: CurrentAccount) -> Response:
    """List the devices on which this account is signed in."""
    found = await session.devices()
    return show(request, "devices.html", account=account, devices=found)


@router.post("/devices/{handle}/sign-out")
async def sign_out_one(handle: str, account: CurrentAccount, store: CurrentStore) -> Response:
    """Sign one device out."""
    await store.revoke(str(account.id), handle)
    return RedirectResponse("/devices", status_code=303)


@router.post("/devices/sign-out-others")
async def sign_out_others(
    session: CurrentSession, account: CurrentAccount, store: CurrentStore
) -> Response:
    """Sign all devices out but this one."""
    await store.revoke_all(str(account.id), keep=session)
    return RedirectResponse("/devices", status_code=303)
