"""Your devices: the sessions of the user, and the buttons that end them."""

from starlette.requests import Request
from starlette.responses import Response

from pgsession import get_session

from .accounts import account_of, accounts_of
from .agents import learn
from .forms import accept_form
from .pages import redirect
from .pages import show as show_page

#: Devices on one page, at most.
DEVICES = 100


async def show(request: Request) -> Response:
    """List the devices of the user, this one first, then those used last."""
    session = get_session(request)
    account = await account_of(request)
    found = await session.devices()
    devices, more = found[:DEVICES], len(found[DEVICES:])
    await learn(device.agent for device in devices)
    return show_page(request, "devices.html", account=account, devices=devices, more=more)


async def end(request: Request) -> Response:
    """Sign one device out."""
    form, session, accounts = await accept_form(request), get_session(request), accounts_of(request)
    account = await account_of(request)
    # A handle of another user's device ends nothing.
    if await accounts.store.revoke(account.id, form.get("handle", "")):
        session["notice"] = "The device is signed out."
    else:
        session["notice"] = "The device was signed out already."
    return redirect("/")


async def end_others(request: Request) -> Response:
    """Sign all devices out, except this one."""
    await accept_form(request)
    session, accounts = get_session(request), accounts_of(request)
    account = await account_of(request)
    number = await accounts.store.revoke_all(account.id, keep=session)
    devices = "device is" if number == 1 else "devices are"
    session["notice"] = f"{number} other {devices} signed out."
    return redirect("/")
