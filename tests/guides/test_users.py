"""The pages about users: signing in and out, the list of devices, administrators."""

import asyncio

import psycopg
import pytest
from starlette.websockets import WebSocketDisconnect

from pgsession import NewDevice
from pgsession.testing import session_of, websocket_connect
from tests.guides.conftest import Browse, client
from tests.project.conftest import Names
from tests.project.documents import Document

(USERS,) = Document("docs/how-to/users.md").programs
DEVICES, _, NEW_DEVICE = Document("docs/how-to/devices-of-a-user.md").programs
ADMIN_PAGE = Document("docs/how-to/administrators.md")
(ADMINISTRATORS,) = ADMIN_PAGE.programs
(END_VIEWS,) = ADMIN_PAGE.statements


def test_users(names: Names) -> None:
    """A login signs the user in; a wrong password does not; a copy of the cookie ends too."""
    with client(names(USERS)) as visitor:
        wrong = {"user": "ann", "password": "guessed"}
        assert visitor.post("/sign-in", json=wrong).status_code == 403
        assert visitor.get("/account").status_code == 401
        with pytest.raises(WebSocketDisconnect), websocket_connect(visitor, "/chat"):
            pass
        visitor.post("/sign-in", json={"user": "ann", "password": "secret"})
        assert visitor.get("/account").json() == "Hello, ann."
        with websocket_connect(visitor, "/chat") as socket:
            assert socket.receive_text() == "ann"
        copy = dict(visitor.cookies)
        assert "Max-Age=0;" in visitor.post("/sign-out").headers["set-cookie"]
        visitor.cookies.update(copy)
        assert visitor.get("/account").status_code == 401


def test_devices(names: Names, browse: Browse) -> None:
    """A user lists the devices, ends one, and ends all others."""
    program = names(DEVICES)
    visitor = browse(program)
    jars: dict[str, dict[str, str]] = {"laptop": {}, "tablet": {}, "phone": {}}
    for label, jar in jars.items():
        visitor.cookies.clear()
        visitor.post("/sign-in/ann", json=f"{label}\0", headers={"user-agent": "Firefox"})
        jar.update(visitor.cookies)

    listed = visitor.get("/devices").json()
    assert [(it["label"], it["is_current"], it["agent"]) for it in listed] == [
        ("phone", True, "Firefox"),
        ("tablet", False, "Firefox"),
        ("laptop", False, "Firefox"),
    ]
    assert visitor.delete(f"/devices/{listed[1]['handle']}").json() is True
    assert visitor.delete("/devices/unknown").json() is False
    assert visitor.delete("/devices").json() == 1
    assert len(visitor.get("/devices").json()) == 1
    visitor.cookies = jars["laptop"]
    assert visitor.get("/devices").status_code == 401
    assert program["label_of"](" \0 ") is None


def test_no_login(names: Names, browse: Browse) -> None:
    """A session whose content names a user is a visitor's: `revoke_all` ends none of these."""
    stored = """
@app.post("/old-sign-in/{user}")
async def old_sign_in(user: str, session: SessionDep) -> int:
    session["user"] = user
    await session.save()
    return await store.revoke_all(user)
"""
    visitor = browse(names(DEVICES + stored))

    assert visitor.post("/old-sign-in/ann").json() == 0
    with session_of(visitor) as session:
        assert dict(session) == {"user": "ann"}
        assert session.user_id is None


def test_administrators(names: Names, browse: Browse) -> None:
    """An administrator sees who is signed in, ends their sessions, and looks as a user."""
    visitor = browse(names(ADMINISTRATORS))
    assert visitor.get("/users").status_code == 401
    visitor.post("/sign-in/ann")
    ann = dict(visitor.cookies)
    assert visitor.get("/users").status_code == 403
    visitor.cookies.clear()
    visitor.post("/sign-in/root")

    assert [it["user_id"] for it in visitor.get("/users").json()] == ["root", "ann"]
    assert len(visitor.get("/users/ann/sessions").json()) == 1
    assert visitor.delete("/users/ann/sessions").json() == 1
    visitor.post("/users/ann/visit")
    assert visitor.get("/account").json() == {"user": "ann", "actor": "root"}
    assert visitor.get("/users").status_code == 403
    visitor.cookies = ann
    assert visitor.get("/account").json() == {"user": None, "actor": None}


def test_dismissed(
    names: Names, browse: Browse, accounts: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is no administrator any more does not stay signed in as the user."""
    monkeypatch.setenv("SESSION_DATABASE_URL", accounts.info.dsn)
    program = names(ADMINISTRATORS)
    visitor = browse(program)
    visitor.post("/sign-in/root")
    visitor.post("/users/ann/visit")
    as_ann = dict(visitor.cookies)
    assert visitor.get("/account").json() == {"user": "ann", "actor": "root"}

    program["ADMINISTRATORS"].discard("root")
    assert visitor.get("/account").json() == {"user": None, "actor": None}
    program["ADMINISTRATORS"].add("root")
    visitor.cookies = as_ann
    assert visitor.get("/account").json() == {"user": None, "actor": None}

    visitor.post("/sign-in/root")
    visitor.post("/users/ann/visit")
    accounts.execute(END_VIEWS)
    assert visitor.get("/account").json() == {"user": None, "actor": None}


def test_new_device(names: Names, capsys: pytest.CaptureFixture[str]) -> None:
    """The hook of the page says which browser has signed in."""
    program = names(NEW_DEVICE)
    device = NewDevice(user_id="ann", handle="h", address="192.0.2.1", agent="Firefox")

    asyncio.run(program["send_mail"](device))

    assert program["settings"].on_new_device is program["send_mail"]
    assert capsys.readouterr().out == "ann has signed in with Firefox from 192.0.2.1\n"
