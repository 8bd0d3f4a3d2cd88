"""Registering, signing in and signing out."""

from datetime import timedelta

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response

from pgsession import SessionError, StoreUnavailableError, get_session

from .accounts import Account, NotSignedInError, account_of, accounts_of
from .forms import Form, accept_form
from .pages import redirect, show
from .passwords import LONGEST, SHORTEST

REMEMBERED = timedelta(days=30)
LONGEST_NAME = 40


class Register(HTTPEndpoint):
    """Creates an account and signs in to it."""

    async def get(self, request: Request) -> Response:
        return show(request, "register.html")

    async def post(self, request: Request) -> Response:
        form = await accept_form(request)
        name, password = form.get("name", "").strip(), form.get("password", "")
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            error = f"Choose a name of 1 to {LONGEST_NAME} characters."
        elif not is_acceptable(password):
            error = f"Choose a password of {SHORTEST} or more characters."
        elif account := await accounts_of(request).register(name, password):
            return await begin(request, account, form)
        else:
            error = "This name is taken. Choose another one."
        return show(request, "register.html", status=422, error=error, name=name)


class SignIn(HTTPEndpoint):
    """Signs in."""

    async def get(self, request: Request) -> Response:
        return show(request, "sign-in.html")

    async def post(self, request: Request) -> Response:
        form = await accept_form(request)
        name, password = form.get("name", "").strip(), form.get("password", "")
        account = None
        if name.isprintable() and len(password) <= LONGEST:
            account = await accounts_of(request).check(name, password)
        if account is None:
            error = "The name or the password is wrong."
            return show(request, "sign-in.html", status=401, error=error, name=name)
        return await begin(request, account, form)


async def begin(request: Request, account: Account, form: Form) -> Response:
    """Sign a user in. The session gets a new key, so an attacker cannot have planted it."""
    session, label = get_session(request), form.get("label", "").strip()[:LONGEST_NAME]
    session.login(
        account.id,
        period=REMEMBERED if "remember" in form else None,
        stamp=account.stamp,
        label=label if label and label.isprintable() else None,
    )
    session.pop("token", None)  # the attacker may know that of the old key too
    try:
        await session.save()
    except StoreUnavailableError:
        raise
    except SessionError as error:  # the foreign key: the account was deleted meanwhile
        session.logout()
        raise NotSignedInError from error
    await account_of(request)  # the password may have been changed meanwhile
    return redirect("/")


async def sign_out(request: Request) -> Response:
    """End the session. Its row is deleted before the response is sent."""
    await accept_form(request)
    get_session(request).logout()
    return redirect("/sign-in")


def is_acceptable(password: str) -> bool:
    """Return whether a password is long enough, and not so long that its hash takes long."""
    return SHORTEST <= len(password) <= LONGEST
