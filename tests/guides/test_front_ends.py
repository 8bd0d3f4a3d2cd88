"""docs/how-to/front-ends.md: a front end at another origin keeps its session."""

from typing import Final

from pgsession import SessionSettings
from tests.applications import SECRET
from tests.guides.conftest import Browse
from tests.project.conftest import Names
from tests.project.documents import Document

(PROGRAM,) = Document("docs/how-to/front-ends.md").programs

ORIGIN: Final = "http://localhost:5173"
OF_SITE: Final = {"origin": ORIGIN, "sec-fetch-site": "same-site"}
OF_STRANGER: Final = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
ALLOWED: Final = {
    "access-control-allow-origin": ORIGIN,
    "access-control-allow-credentials": "true",
}


def test_other_origin(names: Names, browse: Browse) -> None:
    """The front end may ask and read with the cookie; a page of another origin gets a 403."""
    visitor = browse(names(PROGRAM))
    asked = {**OF_SITE, "access-control-request-method": "POST"}
    preflight = visitor.options("/api/sign-in/ann", headers=asked)
    signed_in = visitor.post("/api/sign-in/ann", headers=OF_SITE)
    read = visitor.get("/api/me", headers=OF_SITE)
    rejected = visitor.post("/api/sign-in/eve", headers=OF_STRANGER)

    assert (preflight.status_code, signed_in.status_code, read.json()) == (200, 200, "ann")
    for response in (preflight, signed_in, read):
        assert ALLOWED.items() <= response.headers.items()
    assert "samesite=lax" in signed_in.headers["set-cookie"]
    assert rejected.status_code == 403
    assert "access-control-allow-origin" not in rejected.headers
    assert visitor.get("/api/me").json() == "ann"


def test_not_trusted(names: Names, browse: Browse) -> None:
    """Without `trusted_origins` the front end gets a 403, which it can read."""
    visitor = browse(names(PROGRAM.replace(", trusted_origins=FRONT_ENDS", "")))
    rejected = visitor.post("/api/sign-in/ann", headers=OF_SITE)

    assert rejected.status_code == 403
    assert ALLOWED.items() <= rejected.headers.items()
    assert SessionSettings(secret_key=SECRET).same_site == "lax"


def test_one_origin(names: Names, browse: Browse) -> None:
    """Behind a proxy path nothing needs to be trusted: the page is of the API's own origin."""
    visitor = browse(names(PROGRAM.replace(", trusted_origins=FRONT_ENDS", "")))
    own = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}  # Host is that of the API

    assert visitor.post("/api/sign-in/ann", headers=own).status_code == 200
    assert visitor.get("/api/me").json() == "ann"
