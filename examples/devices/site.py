"""The parts put together: the routes, the session and the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from pgsession import SessionMiddleware, SessionSettings

from . import account, badge, listing, signing, users
from .accounts import Accounts, NotSignedInError
from .pages import FOLDER, show_error, show_sign_in

ROUTES = [
    Route("/", listing.show),
    Route("/devices/end", listing.end, methods=["POST"]),
    Route("/devices/end-others", listing.end_others, methods=["POST"]),
    Route("/users", users.show_all),
    Route("/users/{id}", users.show_one),
    Route("/users/{id}/end", users.end, methods=["POST"]),
    Route("/users/{id}/end-all", users.end_all, methods=["POST"]),
    Route("/register", signing.Register),
    Route("/sign-in", signing.SignIn),
    Route("/sign-out", signing.sign_out, methods=["POST"]),
    Route("/password", account.ChangePassword),
    Route("/confirm", account.Confirm),
    Route("/delete-account", account.DeleteAccount),
    Route("/session", badge.answer),
    WebSocketRoute("/badge", badge.wait),
    Mount("/static", StaticFiles(directory=FOLDER / "static"), name="static"),
]


def make_app(settings: SessionSettings, *, admin_password: str | None = None) -> Starlette:
    """Return the application. Its accounts are in the schema of the sessions.

    With a password, the account "admin" is created if it is missing.
    """
    settings = replace(
        settings,
        max_age=None,  # without "remember me" the cookie ends with the browser
        record_client=True,  # the list shows "Firefox on Linux", and the address
        close_websockets=True,  # the badge learns at once that its session has ended
        exclude=["/static"],
    )
    store = settings.make_store()

    async def find_tables(connection: AsyncConnection) -> None:
        if settings.schema is not None:
            path = sql.SQL("SET search_path TO {}").format(sql.Identifier(settings.schema))
            await connection.execute(path)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        pool = AsyncConnectionPool(
            str(settings.database_url),
            kwargs={"autocommit": True},
            configure=find_tables,
            check=AsyncConnectionPool.check_connection,  # the database may have restarted
            min_size=1,
            open=False,
        )
        async with pool:
            app.state.accounts = Accounts(pool, store, settings.table)
            await app.state.accounts.prepare()
            if admin_password:
                await app.state.accounts.add_admin("admin", admin_password)
            yield

    return Starlette(
        routes=ROUTES,
        middleware=[Middleware(SessionMiddleware, store=store, settings=settings)],
        exception_handlers={
            HTTPException: show_error,
            NotSignedInError: show_sign_in,
            users.NotConfirmedError: users.show_confirm,
        },
        lifespan=lifespan,
    )
