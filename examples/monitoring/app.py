"""Serves sessions, and the metrics of each worker on a port of its own, for Prometheus.

export SESSION_DATABASE_URL=postgresql://localhost/app
export SESSION_SECRET_KEY="$(pgsession secret)"
export METRICS_PORTS=9464,9465
pgsession migrate
uvicorn --app-dir examples/monitoring --workers 2 app:app
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from threading import Thread
from wsgiref.simple_server import WSGIServer

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import start_http_server
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pgsession import SessionMiddleware, SessionSettings, get_session

PORTS = [int(port) for port in os.environ.get("METRICS_PORTS", "9464,9465").split(",")]
set_meter_provider(MeterProvider([PrometheusMetricReader()]))
settings = SessionSettings.from_env()
store = settings.make_store()


async def take_port() -> tuple[WSGIServer, Thread]:
    """Answer Prometheus in a thread, on the first port that no other worker has.

    In a deployment the workers from before have them all: wait until one of them has ended.
    """
    is_told = False
    while True:
        for port in PORTS:
            with suppress(OSError):
                return start_http_server(port, addr="127.0.0.1")
        if not is_told:
            is_told = True
            text = "No port is free: this worker has no metrics until another worker ends."
            logging.getLogger("uvicorn.error").warning(text)
        await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Take a port beside the start, so that requests are served meanwhile; give it back."""
    taking = asyncio.create_task(take_port())
    yield
    if not taking.done():
        taking.cancel()
        return
    server, thread = taking.result()
    server.shutdown()
    server.server_close()
    thread.join()


async def act(request: Request) -> JSONResponse:
    """Do what the path says. There is no password: this application only makes figures."""
    session = get_session(request)
    match request.path_params["act"]:
        case "visit":
            session["visits"] = session.get("visits", 0) + 1
        case "login":
            session.login("ann")
        case "logout":
            session.logout()
        case "revoke":
            await store.revoke_all("ann")
    return JSONResponse(dict(session))


app = Starlette(
    routes=[Route("/{act}", act)],
    middleware=[Middleware(SessionMiddleware, store=store, settings=settings)],
    lifespan=lifespan,
)
