# app/current.py
"""What handlers ask of a request: its session, and the account that is signed in."""

from typing import Annotated

from fastapi import Depends, HTTPException

from pgsession import Session, get_session

from .accounts import Account, AllAccounts

CurrentSession = Annotated[Session, Depends(get_session)]


async def account_or_none(session: CurrentSession, accounts: AllAccounts) -> Account | None:
    """Return the account that is signed in, or None for a visitor."""
    if session.user_id is None:
        return None
    account = await accounts.get(session.user_id)
    if account is None:  # it was deleted
        session.logout()
    return account


VisitorOrAccount = Annotated[Account | None, Depends(account_or_none)]


async def account_or_redirect(account: VisitorOrAccount) -> Account:
    """Return the account that is signed in. Send a visitor to the page that signs in."""
    if account is None:
        raise HTTPException(303, headers={"Location": "/sign-in"})
    return account


CurrentAccount = Annotated[Account, Depends(account_or_redirect)]
