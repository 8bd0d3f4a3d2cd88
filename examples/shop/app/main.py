# app/main.py
"""The shop: uvicorn --factory app.main:make_app."""

from dataclasses import replace

from fastapi import FastAPI

from pgsession import Liveness, Readiness, SessionMiddleware, SessionSettings

from . import cart, devices, home, sign_in, sign_up
from .accounts import Accounts


def make_app() -> FastAPI:
    """Return the application, with the settings of the environment."""
    settings = replace(
        SessionSettings.from_env(),
        record_client=True,
        csrf_protection=True,
        exclude=["/alive", "/ready"],
    )
    store, accounts = settings.make_store(), Accounts(str(settings.database_url))
    app = FastAPI(lifespan=accounts.opened)
    app.state.store, app.state.accounts = store, accounts
    app.add_middleware(SessionMiddleware, store=store, settings=settings)
    for part in (home, sign_up, sign_in, cart, devices):
        app.include_router(part.router)
    app.add_route("/alive", Liveness().answer)
    app.add_route("/ready", Readiness(once=True).answer)
    return app
