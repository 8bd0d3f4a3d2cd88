"""The pages: templates, and the headers that all of them have."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from pgsession import get_session

from .accounts import Account, NotSignedInError
from .agents import describe, is_handheld
from .forms import token_of

FOLDER = Path(__file__).parent

HEADERS = {
    # Neither a cache nor the back button shows a page after the sign-out.
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self'; "
        "style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

#: The units in which a time is told, in seconds, the largest first.
UNITS = {"day": 86_400, "hour": 3_600, "minute": 60}


def ago(moment: datetime) -> str:
    """Return how long ago a moment was, such as "3 minutes ago"."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, size in UNITS.items():
        if (number := int(seconds // size)) > 0:
            return f"{number} {unit}{'s' if number > 1 else ''} ago"
    return "just now"


templates = Jinja2Templates(FOLDER / "templates")
templates.env.filters |= {"ago": ago, "agent": describe}
templates.env.tests["handheld"] = is_handheld
templates.env.trim_blocks = templates.env.lstrip_blocks = True


def show(
    request: Request,
    page: str,
    *,
    account: Account | None = None,
    status: int = 200,
    **context: Any,  # noqa: ANN401 - for the template
) -> Response:
    """Return a page with a form. `account` is the one that is signed in."""
    session = get_session(request)
    context |= {
        "account": account,
        "notice": session.pop("notice") if "notice" in session else None,
        "token": token_of(session),
        "proof_missing": session.proof_missing,
    }
    return _render(request, page, context, status)


def show_error(request: Request, error: Exception) -> Response:
    """Return the page for an error. It does not use the session."""
    assert isinstance(error, HTTPException)
    page = _render(request, "error.html", {"error": error}, error.status_code)
    page.headers.update(error.headers or {})  # a 405 says which methods are allowed
    return page


def show_sign_in(request: Request, error: Exception) -> Response:
    """Lead a visitor to the form that signs in.

    Without the proof of a device it is shown at once: after a reload, which brings the proof,
    the browser is at the page that it wanted.
    """
    assert isinstance(error, NotSignedInError)
    if get_session(request).proof_missing:
        return show(request, "sign-in.html", status=401)
    return redirect("/sign-in")


def redirect(path: str) -> Response:
    """Return a redirect after a form: a reload then does not post it again."""
    return RedirectResponse(path, status_code=303, headers=HEADERS)


def _render(request: Request, page: str, context: Mapping[str, Any], status: int) -> Response:
    return templates.TemplateResponse(
        request, page, dict(context), status_code=status, headers=HEADERS
    )
