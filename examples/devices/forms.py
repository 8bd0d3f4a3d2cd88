"""Forms, protected against forged ones."""

import secrets

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pgsession import Session

from .accounts import session_of

Form = dict[str, str]


def token_of(session: Session) -> str:
    """Return the token that each form of this session contains. The first one begins a session."""
    token: str = session.setdefault("token", secrets.token_urlsafe())
    return token


async def accept_form(request: Request) -> Form:
    """Return the fields of a form. Raises `HTTPException` if another site may have made it.

    With SameSite=lax, browsers post the forms of other sites without the cookie. Two cases
    remain: such a form can sign a visitor in to the attacker's account, since that needs no
    cookie; and a host beside ours, such as blog.example.com beside app.example.com, counts as
    the same site. Neither knows the token in the session, so a form must contain it.
    """
    fields = (await request.form()).items()
    form = {name: text for name, text in fields if isinstance(text, str) and is_text(text)}
    token = session_of(request).get("token", "")
    if not token or not secrets.compare_digest(form.get("token", "").encode(), token.encode()):
        raise HTTPException(
            403, "This form is out of date. Go back, reload the page and try again."
        )
    return form


def is_text(text: str) -> bool:
    """Return whether a text can be stored. A form in an odd encoding may have half a character."""
    return not any("\ud800" <= each <= "\udfff" for each in text)
