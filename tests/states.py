"""The state of a session, as the package sees it and a handler does not."""

from pgsession import Changes, Entry, Session
from pgsession.core.tracked import state_of


def changes_of(session: Session) -> Changes:
    return state_of(session).changes(session)


def rebase(session: Session, entry: Entry) -> None:
    state_of(session).rebase(session, entry, changes_of(session))


def limited(entry: Entry, limit: int) -> Session:
    """Return a session that may have `limit` bytes."""
    session = Session(entry)
    state_of(session).limit = limit
    return session
