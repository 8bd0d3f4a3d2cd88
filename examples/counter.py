"""Counts the visits of each browser.

`make demo` serves it with its own PostgreSQL server. To use yours:

    export SESSION_DATABASE_URL=postgresql://localhost/app
    export SESSION_SECRET_KEY="$(pgsession secret)"
    pgsession migrate
    uvicorn --app-dir examples counter:app
"""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from pgsession import SessionMiddleware, SessionSettings

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>pgsession: counter</title>
<style>
  :root { color-scheme: light dark; font: 1.1rem/1.5 system-ui, sans-serif }
  body { max-width: 26rem; margin: 16vh auto 0; padding: 0 1rem; text-align: center }
  output { display: block; font-size: 6rem; font-weight: 200; line-height: 1.2 }
  small { opacity: .65 }
</style>
<p>Visits of this browser<output id="visits">VISITS</output>
<p><a href="">Visit again</a>
<p><small>Kept in PostgreSQL. The count survives a restart.</small>
</html>
"""


async def count(request: Request) -> HTMLResponse:
    """Count this visit and show the number of visits."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HTMLResponse(PAGE.replace("VISITS", str(request.session["visits"])))


app = Starlette(
    routes=[Route("/", count)],
    middleware=[Middleware(SessionMiddleware, settings=SessionSettings.from_env())],
)
