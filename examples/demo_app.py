"""What `make demo` serves: devices/ at /, and counter.py at /counter, in the same session."""

from starlette.routing import Route

from .counter import count
from .devices.app import app

app.router.routes.append(Route("/counter", count))
