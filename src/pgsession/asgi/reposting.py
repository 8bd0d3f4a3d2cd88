"""Forms that another site posts, posted again by a page of our own: the cookie comes with that."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

#: What an authorization server posts: RFC 6749, RFC 9207, OpenID Connect; `user` is Apple's.
OAUTH_FIELDS: Final = (
    "code",
    "state",
    "iss",
    "error",
    "error_description",
    "error_uri",
    "id_token",
    "session_state",
    "user",
)

#: The field that tells the second request from the first.
_AGAIN: Final = "pgsession-reposted"

# Without `action`, a form is posted to the address of its page: nothing can lead it elsewhere.
_PAGE: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Continue</title>'
    '<form method="post">{}<button>Continue</button></form><script>{}</script>'
)
_FIELD: Final = '<input type="hidden" name="{}" value="{}">'
_SCRIPT: Final = 'document.querySelector("button").click()'
_SCRIPT_HASH: Final = b64encode(sha256(_SCRIPT.encode()).digest()).decode("ascii")

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'sha256-{_SCRIPT_HASH}'; base-uri 'none'; "
        "frame-ancestors 'self'"
    ),
}


async def repost(request: Request, fields: Sequence[str] = OAUTH_FIELDS) -> Response | None:
    """Return a page that posts the form of another site again, or None if that was done.

    A form that another site posts comes without a SameSite cookie, so its
    handler finds no session. The page posts the same fields to the same address
    from this site, so the cookie comes. It does so by itself, or with a button
    where scripts are off. Only `fields` are posted again, and no files.

    The session is neither read nor changed. The second request looks like one of
    this site whoever sent the first, so the handler must check a value that only
    its own session knows, such as the ``state`` of OAuth.

    Returns None for other methods than POST. Needs ``python-multipart``, as
    Starlette's forms do, and raises what ``request.form`` raises.
    """
    if request.method != "POST":
        return None
    form = await request.form()
    if _AGAIN in form:
        return None
    kept = [(name, text) for name in fields if isinstance(text := form.get(name), str)]
    await form.close()
    inputs = "".join(_FIELD.format(escape(name), escape(_sendable(text))) for name, text in kept)
    inputs += _FIELD.format(_AGAIN, 1)
    return HTMLResponse(_PAGE.format(inputs, _SCRIPT), headers=_HEADERS)


def _sendable(text: str) -> str:
    """Return a text without the lone surrogates that a form's own charset may have put there."""
    return text.encode("utf-8", "replace").decode("utf-8")
