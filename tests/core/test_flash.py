"""Flash messages of a session, without a request."""

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from markupsafe import Markup, escape

from pgsession import Entry, Flash, Session, SessionError, UnsupportedTypeError
from pgsession.core.flash import FLASH, MOST_MESSAGES, Flashes, read
from tests.states import changes_of


def loaded(session: Session) -> Session:
    """Return the session as the next request loads it, its members in another order."""
    value = json.loads(json.dumps(dict(reversed(session.items()))))
    return Session(Entry(value, period=timedelta(days=1)))


async def test_same_request() -> None:
    """Messages are read in order by the request that made them, and leave nothing behind."""
    session = Session()
    session.flash("Saved.", category="success")
    session.flash("Twice.")

    messages = [Flash("Saved.", "success"), Flash("Twice.", "info")]
    assert await session.flashes() == messages
    assert session == {}
    session.flash("Late.")
    assert await session.flashes() == [*messages, Flash("Late.", "info")]
    assert not session.modified


async def test_no_request() -> None:
    """A message that is stored can only be taken with a store."""
    session = Session()
    session.flash("Saved.")

    with pytest.raises(SessionError, match="no store"):
        await loaded(session).flashes()


def test_members() -> None:
    """Each message is a member of its own, under a name with the prefix."""
    session = Session({"user": "ann"})
    session.flash("Saved.")
    session.flash("Saved.")

    assert sum(name.startswith(FLASH) for name in session) == 2
    assert len(changes_of(session).set) == 2


def test_clear() -> None:
    """clear() and logout() remove messages like other members; a later one is kept."""
    session = Session()
    session.flash("Lost.")
    session.logout()
    session.flash("Goodbye.")

    assert [member["text"] for member in session.values()] == ["Goodbye."]


@pytest.mark.parametrize(("keep", "kept"), [(None, 2), (["cart"], 1)], ids=["all", "the cart"])
def test_login(keep: list[str] | None, kept: int) -> None:
    """A message from before a login stays if the visitor's content does."""
    session = Session()
    session.flash("Please sign in.")
    session.login("ann", keep=keep)
    session.flash("Welcome.")

    assert len(session) == kept


def test_most() -> None:
    """Of more messages than a session keeps, the oldest are removed."""
    session = Session()
    for number in range(MOST_MESSAGES + 2):
        session.flash(str(number))

    assert [session[name]["text"] for name in sorted(session)] == [
        str(number) for number in range(2, MOST_MESSAGES + 2)
    ]


def test_order() -> None:
    """Messages stay in order if the clock stands still or goes back."""
    flashes = Flashes()

    names = [flashes.new_name([], partial(int, moment)) for moment in (9, 9, 5, 12)]

    assert sorted(names) == names
    assert len(set(names)) == 4


async def test_markup() -> None:
    """A text that was Markup is not escaped by a template, and any other is."""
    session = Session()
    session.flash(Markup("<b>Saved.</b>"))
    session.flash("<b>")

    safe, other = await session.flashes()

    assert str(escape(safe.text)) == safe.text == "<b>Saved.</b>"
    assert str(escape(other.text)) == "&lt;b&gt;"


def test_most_with_a_clock_behind() -> None:
    """The message that was just flashed is kept, also behind names that are later."""
    session = Session({f"{FLASH}zzz{number:02}": {"text": "old"} for number in range(60)})
    session.flash("new")

    assert len(session) == MOST_MESSAGES
    assert [member["text"] for member in session.values()][-1] == "new"


async def test_later_clock() -> None:
    """A message sorts behind those of a process whose clock is ahead."""
    session = Session({f"{FLASH}{2**62:016x}-0": {"text": "old"}})
    session.flash("new")

    assert [session[name]["text"] for name in sorted(session)] == ["old", "new"]


async def test_html_of_its_own() -> None:
    """Of a text that escapes itself, what is escaped is kept."""

    class Lazy(str):
        __slots__ = ()

        def __html__(self) -> str:
            return str(escape(str(self)))

    session = Session()
    session.flash(Lazy("<b>"))
    (message,) = await session.flashes()

    assert str(escape(message.text)) == "&lt;b&gt;"


def test_reprs() -> None:
    """The repr of a message shows nothing of it."""
    assert repr(Flash("Saved.", "success")) == "<Flash>"


def test_wrong_call() -> None:
    """A call with too many arguments is an error that names the method of the session."""
    with pytest.raises(TypeError, match=r"Session\.flash\(\)") as caught:
        Session().flash("Saved.", "success")  # type: ignore[call-arg] # a mistake
    assert "ContentSession" not in str(caught.value)


@pytest.mark.parametrize("text", [7, None, b"Saved."])
def test_no_text(text: Any) -> None:
    """A message that is no text is an error at once."""
    with pytest.raises(UnsupportedTypeError):
        Session().flash(text)


@pytest.mark.parametrize(
    ("member", "flash"),
    [("Saved.", Flash("Saved.", "")), ({}, Flash("", "")), (7, Flash("7", ""))],
    ids=["a text", "nothing", "a number"],
)
def test_foreign_member(member: Any, flash: Flash) -> None:
    """Whatever an application has stored under such a name is a message."""
    assert read(member) == flash
