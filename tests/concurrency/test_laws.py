"""Laws about expiry that can be tested without a race."""

import time
from datetime import timedelta

import pytest

from pgsession import PostgresStore, Session
from tests.concurrency.visits import Work, application, filling, idle, visit
from tests.concurrency.witness import Witness

DAY = timedelta(days=1)
SLACK = 20


@pytest.mark.parametrize("wrong_by", [DAY, -DAY], ids=["ahead", "behind"])
async def test_wrong_clock(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, wrong_by: timedelta
) -> None:
    """A process whose clock is off by a day still finds valid sessions, and no expired ones."""
    await store.open()
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + wrong_by.total_seconds())

    living = await store.generate({"user": "ann"}, period=3600)
    expired = await store.generate({"user": "ann"}, period=-3600)

    assert await store.get(living) is not None
    assert await store.get(expired) is None


async def save(session: Session) -> None:
    """Change the session and commit it before the response."""
    session["cart"] = [1]
    await session.save()


@pytest.mark.parametrize(
    ("work", "late"),
    [pytest.param(idle, filling(cart=[1]), id="late"), pytest.param(save, idle, id="saved")],
)
async def test_expiry_stays(store: PostgresStore, witness: Witness, work: Work, late: Work) -> None:
    """A change that is saved without a new cookie does not change the expiry."""
    first = await visit(application(store, filling(user="ann")))
    await witness.age(first.key, timedelta(hours=1))

    answer = await visit(application(store, work, late=late), first.cookie)

    row = await witness.row(first.key)
    assert answer.cookies == []
    assert row is not None
    assert row.value == {"user": "ann", "cart": [1]}
    assert row.remaining == pytest.approx(7 * 86_400 - 3600, abs=SLACK)


async def test_expiry_stays_until_the_response(store: PostgresStore, witness: Witness) -> None:
    """Saving does not extend the expiry, even if that is due: the response does, and says so."""
    first = await visit(application(store, filling(user="ann")))
    await witness.age(first.key, timedelta(days=1))
    remaining: list[float] = []

    async def save_and_look(session: Session) -> None:
        await save(session)
        row = await witness.row(first.key)
        assert row is not None
        remaining.append(row.remaining)

    answer = await visit(application(store, save_and_look), first.cookie)

    assert remaining == [pytest.approx(6 * 86_400, abs=SLACK)]
    assert answer.max_age == 7 * 86_400


async def test_take_expired(store: PostgresStore) -> None:
    """Nothing can be taken from an expired session."""
    key = await store.generate({"state": "x"}, period=-1)

    assert await store.take(key, "state") is None
