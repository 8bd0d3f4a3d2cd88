"""The session of a request that comes without the proof that its session is bound to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NoReturn

from pgsession.core.period import Period
from pgsession.core.session import Session, forbid_in_templates
from pgsession.core.tracked import state_of
from pgsession.errors import ProofMissingError


class UnprovenSession(Session):
    """An empty session: the stored one needs the proof of a device, and it did not come.

    Only `login` and `logout` work: they end the stored session, and this is an
    ordinary one from then on. Any other change raises `ProofMissingError`, and nothing is
    written, so that the browser itself can go on.
    """

    __slots__ = ()

    def login(
        self,
        user_id: str,
        *,
        period: Period | None = None,
        keep: Iterable[str] | None = None,
        stamp: str | None = None,
        label: str | None = None,
        actor_id: str | None = None,
    ) -> None:
        session = _ordinary(self)
        try:
            session.login(
                user_id, period=period, keep=keep, stamp=stamp, label=label, actor_id=actor_id
            )
        except BaseException:  # nothing has changed
            withhold(session)
            raise

    def logout(self) -> None:
        _ordinary(self).logout()

    # Each other method that changes a session, or needs the store, calls one of these.

    def _note_change(self) -> NoReturn:
        raise ProofMissingError

    def _check_not_started(self) -> NoReturn:
        raise ProofMissingError

    def _attached(self) -> NoReturn:
        raise ProofMissingError


forbid_in_templates(UnprovenSession)


def _ordinary(session: Session) -> Session:
    """Make `session` an ordinary one."""
    session.__class__ = Session
    state_of(session).proof_ends = None
    return session


def withhold(session: Session) -> None:
    """Make `session` the one of a request without the proof that it needs."""
    dict.clear(session)
    session.__class__ = UnprovenSession
    state_of(session).proof_ends = -math.inf
