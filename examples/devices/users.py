"""For administrators: who is signed in, the devices of each user, and the buttons that end them."""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pgsession import SignedInUser, get_session

from .account import FRESH
from .accounts import ID, Account, Accounts, account_of, accounts_of
from .agents import describe, learn
from .forms import accept_form
from .listing import DEVICES
from .pages import redirect, show

LOGGER = logging.getLogger(__name__)

#: Users on one page, accounts that a search finds, and devices of a user whose browsers are named.
SIZE, FOUND, NAMED = 20, 1000, 5

#: The number of a page.
NUMBER = re.compile("[1-9][0-9]{0,2}")


class NotConfirmedError(Exception):
    """The administrator has given the password too long ago."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One user who is signed in, as a row of the table."""

    id: str
    name: str
    sessions: int
    last_seen_at: datetime
    #: Of the devices used last.
    kinds: Sequence[str]
    has_more_devices: bool


async def show_all(request: Request) -> Response:
    """List the users who are signed in, those seen last first, or those of some names."""
    admin, accounts = await admin_of(request), accounts_of(request)
    name, number = request.query_params.get("name", "").strip(" "), number_of(request)
    among = await named(accounts, name)
    found = await accounts.store.signed_in(
        by="seen", most=SIZE + 1, skip=(number - 1) * SIZE, among=among and among[:FOUND]
    )
    users, is_more = await seen(accounts, found[:SIZE]), len(found) > SIZE
    return show(
        request,
        "users.html",
        account=admin,
        users=users,
        name=name,
        number=number,
        is_more=is_more,
        first=FOUND if among is not None and len(among) > FOUND else None,
    )


async def named(accounts: Accounts, name: str) -> list[str] | None:
    """Return the ids that a search finds, one more than `FOUND` at most; None without a name."""
    if not name:
        return None
    # No account has another name, and PostgreSQL takes no NUL.
    return await accounts.find(name, most=FOUND + 1) if name.isprintable() else []


async def seen(accounts: Accounts, users: Sequence[SignedInUser]) -> list[Seen]:
    """Return rows of the table, with the names of the users and of their browsers."""
    names = await accounts.names([it.user_id for it in users])
    devices = await asyncio.gather(*(accounts.store.devices(it.user_id) for it in users))
    await learn(device.agent for own in devices for device in own[:NAMED])
    return [
        Seen(
            user.user_id,
            names.get(user.user_id, "A deleted account"),
            user.sessions,
            user.last_seen_at,
            sorted({describe(device.agent) for device in own[:NAMED]}),
            len(own) > NAMED,
        )
        for user, own in zip(users, devices, strict=True)
    ]


async def show_one(request: Request) -> Response:
    """List the devices of one user."""
    admin, user = await admin_of(request), await user_of(request)
    current = get_session(request).handle
    found = await accounts_of(request).store.devices(user.id)
    devices = [replace(it, is_current=it.handle == current) for it in found[:DEVICES]]
    more = len(found) - len(devices)
    await learn(device.agent for device in devices)
    return show(request, "user.html", account=admin, user=user, devices=devices, more=more)


async def end(request: Request) -> Response:
    """Sign one device of a user out."""
    form, session = await accept_form(request), get_session(request)
    admin, user = await admin_of(request), await user_of(request)
    handle = form.get("handle", "")
    if user.id == admin.id and handle == session.handle:
        session.logout()
        return redirect("/sign-in")
    is_ended = await accounts_of(request).store.revoke(user.id, handle)
    note(admin, user, number=int(is_ended))
    how = "is signed out." if is_ended else "was signed out already."
    session["notice"] = f"The device {how}"
    return redirect(f"/users/{user.id}")


async def end_all(request: Request) -> Response:
    """Sign all devices of a user out."""
    await accept_form(request)
    session = get_session(request)
    admin, user = await admin_of(request), await user_of(request)
    number = await accounts_of(request).store.revoke_all(user.id, keep=session)
    note(admin, user, number=number)
    if user.id == admin.id:
        session.logout()
        return redirect("/sign-in")
    session["notice"] = f"{number} {'device is' if number == 1 else 'devices are'} signed out."
    return redirect(f"/users/{user.id}")


def note(admin: Account, user: Account, *, number: int) -> None:
    """Log who has ended sessions of whom: the store keeps nothing of a session that has ended."""
    LOGGER.info("%s has signed %d devices of %s out.", admin.id, number, user.id)


async def admin_of(request: Request) -> Account:
    """Return the administrator who is signed in.

    Raises `HTTPException` for another user, and `NotConfirmedError` if the password was given
    too long ago.
    """
    account = await account_of(request)
    if not account.is_admin:
        raise HTTPException(403, "This page is for administrators.")
    if not get_session(request).is_fresh(within=FRESH):
        raise NotConfirmedError
    return account


async def user_of(request: Request) -> Account:
    """Return the account that the address names. Raises `HTTPException` if there is none."""
    user = await accounts_of(request).get(request.path_params["id"])
    if user is None:
        raise HTTPException(404, "There is no such user.")
    return user


def number_of(request: Request) -> int:
    """Return the page of the list that is asked for, the first one if that is none."""
    given = request.query_params.get("page", "")
    return int(given) if NUMBER.fullmatch(given) else 1


def show_confirm(request: Request, error: Exception) -> Response:
    """Lead an administrator to the step-up, and from there to the page that has the button."""
    assert isinstance(error, NotConfirmedError)
    user_id = request.path_params.get("id", "")
    page = f"users/{user_id}" if ID.fullmatch(user_id) else "users"
    return redirect(f"/confirm?after={page}")
