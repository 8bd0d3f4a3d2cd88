"""Forms, protected against forged ones."""

import secrets

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pgsession import Session, get_session

Form = dict[str, str]


def token_of(session: Session) -> str:
    """Return the token that each form of this session contains. The first one begins a session."""
    if session.proof_missing:
        return ""  # the session holds nothing: see `accept_form`
    token: str = session.setdefault("token", secrets.token_urlsafe())
    return token


async def accept_form(request: Request) -> Form:
    """Return the fields of a form. Raises `HTTPException` if another site may have made it.

    With SameSite=lax, browsers post the forms of other sites without the cookie. Two cases
    remain: such a form can sign a visitor in to the attacker's account, since that needs no
    cookie; and a host beside ours, such as blog.example.com beside app.example.com, counts as
    the same site. Neither knows the token in the session, so a form must contain it.

    A session whose proof is missing holds no token. The browsers that bind sessions to
    their device also say which site made a form.
    """
    fields = (await request.form()).items()
    form = {name: text for name, text in fields if isinstance(text, str) and is_text(text)}
    session, given = get_session(request), form.get("token", "")
    if session.proof_missing or not given:
        is_ours = request.headers.get("sec-fetch-site") == "same-origin"
    else:
        token = session.get("token", "")
        is_ours = token != "" and secrets.compare_digest(given.encode(), token.encode())
    if not is_ours:
        raise HTTPException(
            403, "This form is out of date. Go back, reload the page and try again."
        )
    return form


def is_text(text: str) -> bool:
    """Return whether a text can be stored. A form in an odd encoding may have half a character."""
    return not any("\ud800" <= each <= "\udfff" for each in text)
