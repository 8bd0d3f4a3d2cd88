"""Changing the password, and deleting the account after a step-up."""

import re
from datetime import timedelta

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response

from pgsession import get_session

from .accounts import ID, NotSignedInError, account_of, accounts_of
from .forms import accept_form
from .pages import redirect, show
from .passwords import LONGEST, SHORTEST, is_password
from .signing import is_acceptable

#: How long ago the user may have given the password before something dangerous.
FRESH = timedelta(minutes=10)

#: Where the step-up may lead to. Another address in the form could lead to another site.
AFTER = re.compile(f"users(/{ID.pattern})?|delete-account")


class ChangePassword(HTTPEndpoint):
    """Changes the password, and signs all other devices out with it."""

    async def get(self, request: Request) -> Response:
        account = await account_of(request)
        return show(request, "password.html", account=account)

    async def post(self, request: Request) -> Response:
        form, accounts = await accept_form(request), accounts_of(request)
        session = get_session(request)
        account = await account_of(request)
        old, new = form.get("password", ""), form.get("new", "")
        if not await is_given(old, account.password):
            error, status = "This is not your current password.", 401
        elif not is_acceptable(new):
            error, status = f"Choose a password of {SHORTEST} or more characters.", 422
        else:
            if not await accounts.change_password(account, new, session):
                raise NotSignedInError
            session.confirm()  # this device has given the password: it goes on, with a new key
            session["notice"] = "The password is changed. All other devices are signed out."
            return redirect("/")
        return show(request, "password.html", account=account, status=status, error=error)


class Confirm(HTTPEndpoint):
    """Asks for the password again: the step-up."""

    async def get(self, request: Request) -> Response:
        account, after = await account_of(request), request.query_params.get("after")
        return show(request, "confirm.html", account=account, after=after)

    async def post(self, request: Request) -> Response:
        form, session = await accept_form(request), get_session(request)
        account, after = await account_of(request), form.get("after", "")
        if not await is_given(form.get("password", ""), account.password):
            context = {"error": "The password is wrong.", "after": after}
            return show(request, "confirm.html", account=account, status=401, **context)
        session.confirm()
        return redirect(f"/{after}" if AFTER.fullmatch(after) else "/delete-account")


class DeleteAccount(HTTPEndpoint):
    """Deletes the account. The password must have been given a short time ago."""

    async def get(self, request: Request) -> Response:
        session = get_session(request)
        account = await account_of(request)
        if not session.is_fresh(within=FRESH):
            return redirect("/confirm?after=delete-account")
        return show(request, "delete-account.html", account=account)

    async def post(self, request: Request) -> Response:
        await accept_form(request)
        session, accounts = get_session(request), accounts_of(request)
        account = await account_of(request)
        if not session.is_fresh(within=FRESH):
            return redirect("/confirm?after=delete-account")
        await accounts.delete(account)
        session.logout()
        return redirect("/sign-in")


async def is_given(password: str, stored: str) -> bool:
    """Return whether a password is the stored one. One that is too long is not hashed."""
    return len(password) <= LONGEST and await is_password(password, stored)
