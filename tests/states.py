"""The state of a session, as the package sees it and a handler does not."""

from pgsession import Changes, Entry, Session
from pgsession.core.session import fill
from pgsession.core.tracked import state_of


def changes_of(session: Session) -> Changes:
    return state_of(session).changes(session)


def rebase(session: Session, entry: Entry) -> None:
    state_of(session).rebase(session, entry, changes_of(session))


def loaded(entry: Entry) -> Session:
    """Return the session of a request with what its store has read: nobody else has it."""
    session = Session()
    fill(session, state_of(session), entry)
    return session


def limited(entry: Entry, limit: int) -> Session:
    """Return a session that may have `limit` bytes."""
    session = loaded(entry)
    state_of(session).limit = limit
    return session
