"""Serves sessions, and the metrics of each worker on a port of its own, for Prometheus.

export SESSION_DATABASE_URL=postgresql://localhost/app
export SESSION_SECRET_KEY="$(pgsession secret)"
export METRICS_PORTS=9464,9465
pgsession migrate
uvicorn --app-dir examples/monitoring --workers 2 app:app
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

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


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Answer Prometheus in a thread, on the first port that no other worker has."""
    for port in PORTS:
        with suppress(OSError):
            server, thread = start_http_server(port, addr="127.0.0.1")
            break
    else:
        logging.getLogger("uvicorn.error").error("No port is left: this worker has no metrics.")
        yield
        return
    yield
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
